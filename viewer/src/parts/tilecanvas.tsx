/** The canvas of a tile view with its drawings above: lines and marks in image px, drawn with each frame. */
import { useEffect, useRef } from "preact/hooks";
import type { Overlay } from "../api/types";
import type { Camera } from "../tiles/camera";
import { listenToGestures } from "../tiles/gestures";
import { NoGraphics } from "../tiles/renderer";
import { sizeOf, TileView, type FrameFigures, type Pane } from "../tiles/view";
import { t } from "../words";
import { tellFault } from "./notices";

const COLOURS: Record<string, string> = {
  ra: "rgba(130,200,255,.45)", dec: "rgba(130,200,255,.45)", footprint: "rgba(255,200,119,.5)", object: "#8fe3a8", star: "#ffc877",
};

/** Labels of one frame: what would lie over another one is left out. */
class Labels {
  private readonly boxes: [number, number, number, number][] = [];

  constructor(private readonly paper: CanvasRenderingContext2D) {}

  write(text: string, x: number, y: number): void {
    const size = 12 * devicePixelRatio;
    const box: [number, number, number, number] = [x, y - size, x + text.length * size * 0.58, y + 2];
    if (this.boxes.some(([x0, y0, x1, y1]) => box[0] < x1 && box[2] > x0 && box[1] < y1 && box[3] > y0)) return;
    this.boxes.push(box);
    this.paper.fillText(text, x, y);
  }
}

const LABEL = "#b5dcff";

function drawOverlay(view: TileView, paper: CanvasRenderingContext2D, overlay: Overlay, labels: Labels): void {
  const ratio = devicePixelRatio;
  for (const port of view.ports) {
    paper.save();
    paper.beginPath();
    paper.rect(port.left, port.top, port.width, port.height);
    paper.clip();
    paper.font = `${11 * ratio}px system-ui, sans-serif`;
    paper.lineWidth = ratio;
    for (const line of overlay.lines) {
      paper.strokeStyle = paper.fillStyle = COLOURS[line.kind] ?? COLOURS.object!;
      paper.beginPath();
      let label: [number, number] | null = null;
      line.points.forEach(([x, y], i) => {
        const [sx, sy] = view.screenAt(port, x, y);
        if (i === 0) paper.moveTo(sx, sy);
        else paper.lineTo(sx, sy);
        if (!label && sx > port.left + 8 && sx < port.left + port.width - 60 && sy > 24 * ratio && sy < port.height - 12) label = [sx, sy];
      });
      paper.stroke();
      paper.fillStyle = LABEL;
      if (label && line.label) labels.write(line.label, label[0] + 4 * ratio, label[1] - 4 * ratio);
    }
    for (const mark of overlay.marks) {
      const [sx, sy] = view.screenAt(port, mark.x, mark.y);
      const radius = Math.max(5 * ratio, mark.radius * view.camera.zoom);
      if (sx < port.left - radius || sx > port.left + port.width + radius || sy < -radius || sy > port.height + radius) continue;
      paper.strokeStyle = paper.fillStyle = COLOURS[mark.kind] ?? COLOURS.object!;
      paper.beginPath();
      paper.arc(sx, sy, radius, 0, 2 * Math.PI);
      paper.stroke();
      if (mark.label) labels.write(mark.label, sx + radius + 3 * ratio, sy + 4 * ratio);
    }
    paper.restore();
  }
}

export function TileCanvas(props: {
  panes: Pane[];
  /** With two panes: they lie above each other, the first one left of this share of the width. */
  split?: number;
  overlays: Overlay[];
  label: string;
  /** Where to look first; null or left out: at the whole picture. */
  place?: Camera | null;
  onPlace?: (place: Camera | null) => void;
  onHover?: (point: [number, number] | null) => void;
  onView?: (view: TileView) => void;
  onFigures?: (figures: FrameFigures, view: TileView) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const paper = useRef<HTMLCanvasElement>(null);
  const view = useRef<TileView | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    let made: TileView;
    try {
      made = new TileView(canvas.current!);
    } catch (error) {
      tellFault(error instanceof NoGraphics ? new Error(t("fault.noGraphics")) : error);
      return undefined;
    }
    view.current = made;
    made.onDrawn = (figures) => {
      const sheet = paper.current;
      const ink = sheet?.getContext("2d");
      const start = performance.now();
      if (sheet && ink && made.image) {
        if (sheet.width !== made.canvas.width || sheet.height !== made.canvas.height) [sheet.width, sheet.height] = [made.canvas.width, made.canvas.height];
        else ink.clearRect(0, 0, sheet.width, sheet.height);
        const labels = new Labels(ink);
        for (const overlay of latest.current.overlays) drawOverlay(made, ink, overlay, labels);
      }
      latest.current.onFigures?.({ ...figures, scriptMs: figures.scriptMs + performance.now() - start }, made);
    };
    const silence = listenToGestures(made, (point) => latest.current.onHover?.(point));
    made.show(latest.current.panes, latest.current.split ?? null);
    if (latest.current.place) made.look(latest.current.place);
    else made.fit();
    made.onCamera = () => latest.current.onPlace?.(made.place);
    latest.current.onView?.(made);
    return () => {
      silence();
      made.dispose();
      view.current = null;
    };
  }, []);

  const handle = props.panes[0]?.layers[0]?.image;
  const size = handle ? `${sizeOf(handle).width}x${sizeOf(handle).height}` : "";
  useEffect(() => { view.current?.show(props.panes, props.split ?? null); }, [props.panes, props.overlays, props.split]);
  const fitted = useRef(size);
  useEffect(() => {
    if (fitted.current === size) return; // another picture of the same size keeps the place that was looked at
    fitted.current = size;
    view.current?.fit();
  }, [size]);

  return (
    <div class="tile-canvas">
      <canvas ref={canvas} tabIndex={0} role="application" aria-label={props.label} />
      <canvas ref={paper} class="paper" aria-hidden="true" />
    </div>
  );
}
