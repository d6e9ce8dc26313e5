// @ts-check
/* Crop box over an image, drawn by pointer or keyboard. Its values are in pixels of the image. */

const MIN_SIZE = 8; // pixels of the image
const CORNER_RADIUS = 22; // pixels of the screen within which a corner is grabbed
const STEP = 0.02; // share of the image's longer side, for each press of an arrow key

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */
/** @typedef {{x: number, y: number}} Point */

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class CropBox {
  #stage;
  #picture;
  #overlay;
  #changed;
  /** @type {{anchor?: Point, from?: Point, box?: Box} | null} */
  #drag = null;
  /** @type {Box | null} null: the whole image */
  box = null;

  /**
   * @param {object} options
   * @param {HTMLElement} options.stage The focusable element around `picture`.
   * @param {HTMLImageElement} options.picture
   * @param {HTMLElement} options.overlay Shows the box.
   * @param {() => void} options.changed Called after every change.
   */
  constructor({ stage, picture, overlay, changed }) {
    this.#stage = stage;
    this.#picture = picture;
    this.#overlay = overlay;
    this.#changed = changed;
    // Otherwise Chromium takes a tap soon after a stroke for the end of a fling, and sends no click.
    stage.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => this.#up());
    stage.addEventListener("keydown", (event) => this.#key(event));
  }

  get values() {
    return this.box && [this.box.left, this.box.top, this.box.right, this.box.bottom].map(Math.round);
  }

  /** @param {number[]} values Left, top, right and bottom of a box to start from; the image must be loaded. */
  show([left, top, right, bottom]) {
    this.#setBox({ left, top, right, bottom });
  }

  /* "Box: 120 × 80 pixels", for the status line. */
  get description() {
    const box = this.values;
    return box ? `Box: ${box[2] - box[0]} × ${box[3] - box[1]} pixels` : "No box: the whole picture";
  }

  /** @param {PointerEvent} event */
  #pointOf(event) {
    const frame = this.#picture.getBoundingClientRect();
    return {
      x: clamp((event.clientX - frame.left) / frame.width, 0, 1) * this.#picture.naturalWidth,
      y: clamp((event.clientY - frame.top) / frame.height, 0, 1) * this.#picture.naturalHeight,
      scale: this.#picture.naturalWidth / frame.width,
    };
  }

  /**
   * A press near a corner moves the corner, one inside the box moves the box, and any other starts a new box.
   *
   * @param {PointerEvent} event
   */
  #down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    const point = this.#pointOf(event);
    this.#stage.setPointerCapture(event.pointerId);
    const anchor = this.#anchorOf(point);
    if (anchor) this.#drag = { anchor };
    else if (this.#contains(point)) this.#drag = { from: point, box: { ...this.box } };
    else this.#drag = { anchor: point };
  }

  /** @param {Point & {scale: number}} point */
  #anchorOf({ x, y, scale }) {
    if (!this.box) return null;
    const { left, top, right, bottom } = this.box;
    for (const [cornerX, oppositeX] of [
      [left, right],
      [right, left],
    ]) {
      for (const [cornerY, oppositeY] of [
        [top, bottom],
        [bottom, top],
      ]) {
        if (Math.hypot(x - cornerX, y - cornerY) < CORNER_RADIUS * scale) return { x: oppositeX, y: oppositeY };
      }
    }
    return null;
  }

  /** @param {Point} point */
  #contains({ x, y }) {
    const box = this.box;
    return box !== null && x > box.left && x < box.right && y > box.top && y < box.bottom;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.#drag) return;
    const point = this.#pointOf(event);
    const { anchor, from, box } = this.#drag;
    if (anchor) {
      this.#setBox({
        left: Math.min(anchor.x, point.x),
        top: Math.min(anchor.y, point.y),
        right: Math.max(anchor.x, point.x),
        bottom: Math.max(anchor.y, point.y),
      });
    } else {
      this.#setBox(this.#moved(box, point.x - from.x, point.y - from.y));
    }
  }

  #up() {
    if (!this.#drag) return;
    this.#drag = null;
    const box = this.box;
    if (box && (box.right - box.left < MIN_SIZE || box.bottom - box.top < MIN_SIZE)) this.#setBox(null);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    /** @type {Record<string, number[]>} */
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (direction) {
      const step = STEP * Math.max(this.#picture.naturalWidth, this.#picture.naturalHeight);
      const [x, y] = direction.map((sign) => sign * step);
      const box = this.box ?? this.#defaultBox();
      this.#setBox(event.shiftKey ? this.#resized(box, x, y) : this.#moved(box, x, y));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.#setBox(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  #defaultBox() {
    const { naturalWidth: width, naturalHeight: height } = this.#picture;
    return { left: width / 4, top: height / 4, right: (width * 3) / 4, bottom: (height * 3) / 4 };
  }

  /**
   * @param {Box} box
   * @param {number} x
   * @param {number} y
   */
  #moved(box, x, y) {
    const across = clamp(x, -box.left, this.#picture.naturalWidth - box.right);
    const down = clamp(y, -box.top, this.#picture.naturalHeight - box.bottom);
    return { left: box.left + across, top: box.top + down, right: box.right + across, bottom: box.bottom + down };
  }

  /**
   * @param {Box} box
   * @param {number} x
   * @param {number} y
   */
  #resized(box, x, y) {
    return {
      ...box,
      right: clamp(box.right + x, box.left + MIN_SIZE, this.#picture.naturalWidth),
      bottom: clamp(box.bottom + y, box.top + MIN_SIZE, this.#picture.naturalHeight),
    };
  }

  /** @param {Box | null} box */
  #setBox(box) {
    this.box = box;
    this.#overlay.hidden = box === null;
    if (box) {
      const { naturalWidth: width, naturalHeight: height } = this.#picture;
      /**
       * @param {number} part
       * @param {number} whole
       */
      const share = (part, whole) => `${(part / whole) * 100}%`;
      Object.assign(this.#overlay.style, {
        left: share(box.left, width),
        top: share(box.top, height),
        width: share(box.right - box.left, width),
        height: share(box.bottom - box.top, height),
      });
    }
    this.#changed();
  }
}
