/** Hands on a tile view: wheel and pinch zoom, drag pans, a double click goes between fit and 1:1, keys do all of it too. */
import type { TileView } from "./view";

const KEY_PAN_PX = 80;

/** Listen on the view's canvas; return what takes the listeners away. */
export function listenToGestures(view: TileView, hover: (point: [number, number] | null) => void): () => void {
  const { canvas } = view;
  const control = new AbortController();
  const options = { signal: control.signal };
  const pointers = new Map<number, [number, number]>();

  const at = (event: MouseEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };

  const pinch = (): { middle: [number, number]; span: number } => {
    const [a, b] = [...pointers.values()];
    return { middle: [(a![0] + b![0]) / 2, (a![1] + b![1]) / 2], span: Math.hypot(a![0] - b![0], a![1] - b![1]) };
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    canvas.classList.add("is-dragged");
  }, options);

  canvas.addEventListener("pointermove", (event) => {
    const point = at(event);
    const before = pointers.get(event.pointerId);
    if (before && pointers.size === 1) view.pan(point[0] - before[0], point[1] - before[1]);
    if (before && pointers.size === 2) {
      const old = pinch();
      pointers.set(event.pointerId, point);
      const now = pinch();
      view.pan(now.middle[0] - old.middle[0], now.middle[1] - old.middle[1]);
      view.zoom(now.span / Math.max(1, old.span), ...now.middle);
    }
    if (before) pointers.set(event.pointerId, point);
    hover(view.imageAt(...point));
  }, options);

  const lift = (event: PointerEvent): void => {
    pointers.delete(event.pointerId);
    if (pointers.size === 0) canvas.classList.remove("is-dragged");
  };
  canvas.addEventListener("pointerup", lift, options);
  canvas.addEventListener("pointercancel", lift, options);
  canvas.addEventListener("pointerleave", () => hover(null), options);

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    view.zoom(Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) * 0.0018), ...at(event));
  }, { ...options, passive: false });

  canvas.addEventListener("dblclick", (event) => {
    if (view.camera.zoom < 1) view.zoom(1 / view.camera.zoom, ...at(event));
    else view.fit();
  }, options);

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = KEY_PAN_PX * devicePixelRatio * (event.shiftKey ? 4 : 1);
    const actions: Record<string, () => void> = {
      ArrowLeft: () => view.pan(step, 0),
      ArrowRight: () => view.pan(-step, 0),
      ArrowUp: () => view.pan(0, step),
      ArrowDown: () => view.pan(0, -step),
      "+": () => view.zoom(1.4),
      "=": () => view.zoom(1.4),
      "-": () => view.zoom(1 / 1.4),
      f: () => view.fit(),
      "0": () => view.fit(),
      z: () => view.zoom(1 / view.camera.zoom),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    hover(view.imageAt(canvas.width / 2, canvas.height / 2)); // by keys, the probe looks at the middle
  }, options);

  return () => control.abort();
}
