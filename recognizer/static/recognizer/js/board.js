/* The drawing surface of the Draw page: strokes in a frame of 280 x 280 units, with undo and redo. */

export const FRAME = 280;
// What the server accepts at most (ml/preprocessing/strokes.py).
const MAX_STROKES = 200;
const MAX_POINTS = 10_000;
// Points closer together than this add nothing that a pen of 12 units or more could show.
const MIN_STEP = 0.6;
// A captured pointer may leave the canvas; how far its line is followed, in units.
const OUTSIDE = FRAME / 2;

const clamp = (value) => Math.min(FRAME + OUTSIDE, Math.max(-OUTSIDE, value));
const rounded = (value) => Math.round(value * 10) / 10;

/* Smooth through the midpoints: each recorded point becomes the control point of a quadratic curve. */
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
  #strokes = [];
  #past = [];
  #future = [];
  #active = null;
  #paths = new WeakMap();
  #frameRequested = false;
  #listeners;

  /* listeners: changed() after every change, full() when no more can be taken. */
  constructor(canvas, listeners) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#listeners = listeners;
    this.pen = 20;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => this.#up(event));
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
    this.#travel(this.#past, this.#future);
  }

  redo() {
    this.#travel(this.#future, this.#past);
  }

  clear() {
    if (!this.isEmpty) this.#become([]);
  }

  /* What the server takes: [[x…], [y…], [t…]] for each stroke, t in milliseconds since the first touch. */
  toJSON() {
    const start = this.#strokes[0]?.start ?? 0;
    return this.#strokes.map((stroke) => [
      stroke.x,
      stroke.y,
      stroke.t.map((t) => Math.max(0, Math.round(stroke.start - start + t))),
    ]);
  }

  /* The width of the pen, for each stroke. */
  get pens() {
    return this.#strokes.map((stroke) => stroke.pen);
  }

  /* Everything needed to bring the drawing back after a reload. */
  snapshot() {
    return this.#strokes;
  }

  restore(strokes) {
    this.#strokes = strokes;
    this.#repaint();
  }

  #become(strokes) {
    this.#past.push(this.#strokes);
    this.#future = [];
    this.#strokes = strokes;
    this.#repaint();
    this.#listeners.changed();
  }

  #travel(from, to) {
    if (this.#active || from.length === 0) return;
    to.push(this.#strokes);
    this.#strokes = from.pop();
    this.#repaint();
    this.#listeners.changed();
  }

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
      room: MAX_POINTS - points,
      stroke: { x: [], y: [], t: [], pen: this.pen, start: performance.timeOrigin + event.timeStamp },
      box: this.#canvas.getBoundingClientRect(),
      began: event.timeStamp,
    };
    this.#add(event);
    this.#repaint();
    this.#listeners.began();
  }

  #move(event) {
    if (event.pointerId !== this.#active?.pointer) return;
    // Only offered to secure contexts; a phone on the local network gets the plain event.
    const coalesced = event.getCoalescedEvents?.() ?? [];
    for (const point of coalesced.length ? coalesced : [event]) this.#add(point);
    this.#repaint();
  }

  #up(event) {
    if (event.pointerId !== this.#active?.pointer) return;
    const { stroke } = this.#active;
    this.#active = null;
    this.#become([...this.#strokes, stroke]);
  }

  #add(event) {
    const { stroke, box, began, room } = this.#active;
    const x = rounded(clamp(((event.clientX - box.left) / box.width) * FRAME));
    const y = rounded(clamp(((event.clientY - box.top) / box.height) * FRAME));
    const isClose = stroke.x.length > 0 && Math.hypot(x - stroke.x.at(-1), y - stroke.y.at(-1)) < MIN_STEP;
    if (isClose || stroke.x.length >= room) return;
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

  #stroke({ pen }, path) {
    this.#context.lineWidth = pen;
    this.#context.stroke(path);
  }

  #finishedPath(stroke) {
    if (!this.#paths.has(stroke)) this.#paths.set(stroke, pathOf(stroke));
    return this.#paths.get(stroke);
  }
}
