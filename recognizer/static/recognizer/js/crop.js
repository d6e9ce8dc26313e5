/* A box drawn over a picture, by pointer or by keyboard. Its figures are in the picture's own pixels. */

const SMALLEST = 8; // pixels of the picture
const GRIP = 22; // how near to a corner a press takes hold of it, in pixels of the screen
const STEP = 0.02; // of the picture's longer side, for each press of an arrow key

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class CropBox {
  #stage;
  #picture;
  #overlay;
  #changed;
  #drag = null;
  box = null; // {left, top, right, bottom} or null: the whole picture

  /* stage: the focusable element round `picture`; overlay: shows the box; changed() is called after every change. */
  constructor({ stage, picture, overlay, changed }) {
    this.#stage = stage;
    this.#picture = picture;
    this.#overlay = overlay;
    this.#changed = changed;
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.#up(event));
    stage.addEventListener("keydown", (event) => this.#key(event));
  }

  get values() {
    return this.box && [this.box.left, this.box.top, this.box.right, this.box.bottom].map(Math.round);
  }

  #at(event) {
    const frame = this.#picture.getBoundingClientRect();
    return {
      x: clamp((event.clientX - frame.left) / frame.width, 0, 1) * this.#picture.naturalWidth,
      y: clamp((event.clientY - frame.top) / frame.height, 0, 1) * this.#picture.naturalHeight,
      scale: this.#picture.naturalWidth / frame.width,
    };
  }

  /* A press near a corner moves that corner, inside the box the box; anywhere else it starts a new one. */
  #down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    const point = this.#at(event);
    this.#stage.setPointerCapture(event.pointerId);
    const anchor = this.#anchorOf(point);
    if (anchor) this.#drag = { anchor };
    else if (this.#holds(point)) this.#drag = { from: point, box: { ...this.box } };
    else this.#drag = { anchor: point };
  }

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
        if (Math.hypot(x - cornerX, y - cornerY) < GRIP * scale) return { x: oppositeX, y: oppositeY };
      }
    }
    return null;
  }

  #holds({ x, y }) {
    const box = this.box;
    return box !== null && x > box.left && x < box.right && y > box.top && y < box.bottom;
  }

  #move(event) {
    if (!this.#drag) return;
    const point = this.#at(event);
    const { anchor, from, box } = this.#drag;
    if (anchor) {
      this.#become({
        left: Math.min(anchor.x, point.x),
        top: Math.min(anchor.y, point.y),
        right: Math.max(anchor.x, point.x),
        bottom: Math.max(anchor.y, point.y),
      });
    } else {
      this.#become(this.#shifted(box, point.x - from.x, point.y - from.y));
    }
  }

  #up() {
    if (!this.#drag) return;
    this.#drag = null;
    const box = this.box;
    if (box && (box.right - box.left < SMALLEST || box.bottom - box.top < SMALLEST)) this.#become(null);
  }

  #key(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (direction) {
      const step = STEP * Math.max(this.#picture.naturalWidth, this.#picture.naturalHeight);
      const [x, y] = direction.map((sign) => sign * step);
      const box = this.box ?? this.#middle();
      this.#become(event.shiftKey ? this.#sized(box, x, y) : this.#shifted(box, x, y));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.#become(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  #middle() {
    const { naturalWidth: width, naturalHeight: height } = this.#picture;
    return { left: width / 4, top: height / 4, right: (width * 3) / 4, bottom: (height * 3) / 4 };
  }

  #shifted(box, x, y) {
    const across = clamp(x, -box.left, this.#picture.naturalWidth - box.right);
    const down = clamp(y, -box.top, this.#picture.naturalHeight - box.bottom);
    return { left: box.left + across, top: box.top + down, right: box.right + across, bottom: box.bottom + down };
  }

  #sized(box, x, y) {
    return {
      ...box,
      right: clamp(box.right + x, box.left + SMALLEST, this.#picture.naturalWidth),
      bottom: clamp(box.bottom + y, box.top + SMALLEST, this.#picture.naturalHeight),
    };
  }

  #become(box) {
    this.box = box;
    this.#overlay.hidden = box === null;
    if (box) {
      const { naturalWidth: width, naturalHeight: height } = this.#picture;
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
