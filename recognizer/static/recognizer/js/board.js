// @ts-check
/* The canvas of the Draw page: strokes in a frame of 280 x 280 units, with undo and redo. */

export const FRAME = 280;
// Limits of the server (ml/preprocessing/strokes.py).
const MAX_STROKES = 200;
const MAX_POINTS = 10_000;
// Minimum distance of points. Closer ones are invisible with pens of 12 units or more.
const MIN_STEP = 0.6;
// How far a captured pointer is followed outside of the canvas, in units.
const OUTSIDE = FRAME / 2;

/** @param {number} value */
const clamp = (value) => Math.min(FRAME + OUTSIDE, Math.max(-OUTSIDE, value));
/** @param {number} value */
const rounded = (value) => Math.round(value * 10) / 10;

/**
 * Times are milliseconds since `start`, which is the time of the first point.
 *
 * @typedef {{x: number[], y: number[], t: number[], pen: number, start: number}} Stroke
 */

/**
 * Smooths a stroke: quadratic curves through the midpoints, with the recorded points as control points.
 *
 * @param {Stroke} stroke
 */
function pathOf({ x, y }) {
  const path = new Path2D();
  path.moveTo(x[0], y[0]);
  if (x.length === 1) {
    path.lineTo(x[0], y[0]);
    return path;
  }
  for (let i = 1; i < x.length - 1; i += 1) {
    path.quadraticCurveTo(x[i], y[i], (x[i] + x[i + 1]) / 2, (y[i] + y[i + 1]) / 2);
  }
  path.lineTo(x.at(-1), y.at(-1));
  return path;
}

export class Board {
  #canvas;
  #context;
  /** @type {Stroke[]} */
  #strokes = [];
  /** @type {Stroke[][]} */
  #past = [];
  /** @type {Stroke[][]} */
  #future = [];
  /** @type {{pointer: number, remaining: number, stroke: Stroke, box: DOMRect, began: number} | null} */
  #active = null;
  #paths = new WeakMap();
  #frameRequested = false;
  #listeners;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{began: () => void, changed: () => void, full: () => void}} listeners Called when a stroke starts, after
   * every change, and when a limit is reached.
   */
  constructor(canvas, listeners) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#listeners = listeners;
    this.pen = 20;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => this.#up(/** @type {PointerEvent} */ (event)));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    new ResizeObserver(() => this.#fit()).observe(canvas);
    this.#fit();
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  get isDrawing() {
    return this.#active !== null;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.#step(this.#future, this.#past);
  }

  clear() {
    if (!this.isEmpty) this.#setStrokes([]);
  }

  /* Strokes in the API's format: [[x…], [y…], [t…]] each, t in milliseconds since the start of the first stroke. */
  toJSON() {
    const start = this.#strokes[0]?.start ?? 0;
    return this.#strokes.map((stroke) => [
      stroke.x,
      stroke.y,
      stroke.t.map((t) => Math.max(0, Math.round(stroke.start - start + t))),
    ]);
  }

  /* The pen width of each stroke. */
  get pens() {
    return this.#strokes.map((stroke) => stroke.pen);
  }

  /* The strokes, for `restore` after a reload. */
  snapshot() {
    return this.#strokes;
  }

  /** @param {Stroke[]} strokes */
  restore(strokes) {
    this.#strokes = strokes;
    this.#repaint();
  }

  /** @param {Stroke[]} strokes */
  #setStrokes(strokes) {
    this.#past.push(this.#strokes);
    this.#future = [];
    this.#strokes = strokes;
    this.#repaint();
    this.#listeners.changed();
  }

  /**
   * @param {Stroke[][]} from
   * @param {Stroke[][]} to
   */
  #step(from, to) {
    if (this.#active || from.length === 0) return;
    to.push(this.#strokes);
    this.#strokes = from.pop();
    this.#repaint();
    this.#listeners.changed();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (this.#active || !event.isPrimary || event.button !== 0) return;
    const points = this.#strokes.reduce((sum, stroke) => sum + stroke.x.length, 0);
    if (this.#strokes.length >= MAX_STROKES || points >= MAX_POINTS - 1) {
      this.#listeners.full();
      return;
    }
    this.#canvas.setPointerCapture(event.pointerId);
    this.#active = {
      pointer: event.pointerId,
      remaining: MAX_POINTS - points,
      stroke: { x: [], y: [], t: [], pen: this.pen, start: performance.timeOrigin + event.timeStamp },
      box: this.#canvas.getBoundingClientRect(),
      began: event.timeStamp,
    };
    this.#add(event);
    this.#repaint();
    this.#listeners.began();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (event.pointerId !== this.#active?.pointer) return;
    // Exists in secure contexts only; not on a phone in the local network.
    const coalesced = event.getCoalescedEvents?.() ?? [];
    for (const point of coalesced.length ? coalesced : [event]) this.#add(point);
    this.#repaint();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (event.pointerId !== this.#active?.pointer) return;
    const { stroke } = this.#active;
    this.#active = null;
    this.#setStrokes([...this.#strokes, stroke]);
  }

  /** @param {PointerEvent} event */
  #add(event) {
    const { stroke, box, began, remaining } = this.#active;
    const x = rounded(clamp(((event.clientX - box.left) / box.width) * FRAME));
    const y = rounded(clamp(((event.clientY - box.top) / box.height) * FRAME));
    const isTooClose = stroke.x.length > 0 && Math.hypot(x - stroke.x.at(-1), y - stroke.y.at(-1)) < MIN_STEP;
    if (isTooClose || stroke.x.length >= remaining) return;
    stroke.x.push(x);
    stroke.y.push(y);
    stroke.t.push(Math.max(0, Math.round(event.timeStamp - began)));
  }

  #fit() {
    const side = Math.max(1, Math.round(this.#canvas.clientWidth * window.devicePixelRatio));
    if (this.#canvas.width !== side) {
      this.#canvas.width = side;
      this.#canvas.height = side;
    }
    this.#paint();
  }

  #repaint() {
    if (this.#frameRequested) return;
    this.#frameRequested = true;
    requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#frameRequested = false;
    const context = this.#context;
    const scale = this.#canvas.width / FRAME;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, FRAME, FRAME);
    context.strokeStyle = "#fff";
    context.lineCap = "round";
    context.lineJoin = "round";
    for (const stroke of this.#strokes) this.#stroke(stroke, this.#finishedPath(stroke));
    if (this.#active) this.#stroke(this.#active.stroke, pathOf(this.#active.stroke));
  }

  /**
   * @param {Stroke} stroke
   * @param {Path2D} path
   */
  #stroke({ pen }, path) {
    this.#context.lineWidth = pen;
    this.#context.stroke(path);
  }

  /** @param {Stroke} stroke */
  #finishedPath(stroke) {
    if (!this.#paths.has(stroke)) this.#paths.set(stroke, pathOf(stroke));
    return this.#paths.get(stroke);
  }
}
