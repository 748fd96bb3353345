/** The histogram of each channel, logarithmic, with shadows, midtones and highlights to drag or to move by keys. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Histogram } from "../api/types";
import { applyStretch, type Stretch } from "../stretch/stretch";
import { formatValue, t } from "../words";

export type Handle = "shadows" | "midtones" | "highlights";
export const HANDLES: readonly Handle[] = ["shadows", "midtones", "highlights"];
const HEIGHT = 130;
const COLOURS = ["#ff6b63", "#5fd38a", "#6aa5ff"];
const GREY = "#c9d2e0";

interface Range { low: number; high: number }

/** Return the values that the axis shows: all of the histogram, or what lies between black and a little above the sky. */
function wholeRange(histogram: Histogram): Range {
  const low = Math.min(...histogram.channels.map((channel) => channel.low));
  const high = Math.max(...histogram.channels.map((channel) => channel.high));
  return { low, high: high > low ? high : low + 1 };
}

/** Return the largest count of the bins that fall on each of `width` columns. */
export function columnsOf(channel: Histogram["channels"][number], range: Range, width: number): Float64Array {
  const columns = new Float64Array(width);
  const bin = (channel.high - channel.low) / channel.counts.length;
  for (let x = 0; x < width; x += 1) {
    const from = range.low + ((range.high - range.low) * x) / width;
    const to = range.low + ((range.high - range.low) * (x + 1)) / width;
    const first = Math.max(0, Math.floor((from - channel.low) / bin));
    const last = Math.min(channel.counts.length - 1, Math.max(first, Math.ceil((to - channel.low) / bin) - 1));
    for (let i = first; i <= last; i += 1) columns[x] = Math.max(columns[x]!, channel.counts[i] ?? 0);
  }
  return columns;
}

function draw(canvas: HTMLCanvasElement, histogram: Histogram, range: Range, stretch: Stretch, isLog: boolean): void {
  const ratio = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(HEIGHT * ratio)];
  if (width === 0) return;
  canvas.width = width;
  canvas.height = height;
  const paper = canvas.getContext("2d");
  if (!paper) return;
  const all = histogram.channels.map((channel) => columnsOf(channel, range, width));
  const level = isLog ? Math.log1p : (value: number): number => value;
  const top = level(Math.max(1, ...all.map((columns) => columns.reduce((most, value) => Math.max(most, value), 0))));
  paper.globalCompositeOperation = "lighter";
  all.forEach((columns, c) => {
    paper.fillStyle = all.length === 1 ? GREY : COLOURS[c]!;
    paper.globalAlpha = all.length === 1 ? 0.75 : 0.5;
    paper.beginPath();
    paper.moveTo(0, height);
    columns.forEach((value, x) => paper.lineTo(x, height - (level(value) / top) * (height - 6 * ratio)));
    paper.lineTo(width, height);
    paper.fill();
  });
  paper.globalCompositeOperation = "source-over";
  paper.globalAlpha = 0.9;
  paper.lineWidth = 1.2 * ratio;
  const curves = stretch.stf.shadows.length > 1 && !stretch.linked ? stretch.stf.shadows.map((_, c) => c) : [0];
  for (const c of curves) {
    paper.strokeStyle = curves.length > 1 ? COLOURS[c]! : "#ffffff";
    paper.beginPath();
    for (let x = 0; x <= width; x += 2) {
      const y = height - 1 - applyStretch(range.low + ((range.high - range.low) * x) / width, c, stretch) * (height - 2);
      if (x === 0) paper.moveTo(x, y);
      else paper.lineTo(x, y);
    }
    paper.stroke();
  }
}

/** Return where a handle of the curve of `channel` stands, in the units of the image. */
export function valueOf(handle: Handle, stretch: Stretch, channel: number): number {
  const [low, high] = [stretch.stf.shadows[channel] ?? 0, stretch.stf.highlights[channel] ?? 1];
  if (handle === "shadows") return low;
  return handle === "highlights" ? high : low + (stretch.stf.midtones[channel] ?? 0.5) * (high - low);
}

/** Return the stretch after a handle of `channel` was moved to `value`; -1 moves those of all channels by the same step. */
export function moveHandle(stretch: Stretch, handle: Handle, channel: number, value: number): Partial<Stretch> {
  const stf = { shadows: [...stretch.stf.shadows], midtones: [...stretch.stf.midtones], highlights: [...stretch.stf.highlights] };
  const lead = Math.max(0, channel);
  const step = value - valueOf(handle, stretch, lead);
  const moved = channel < 0 ? stf.shadows.map((_, c) => c) : [channel];
  for (const c of moved) {
    const [low, high] = [stf.shadows[c]!, stf.highlights[c]!];
    const least = Math.max(1e-12, Math.abs(high - low) * 1e-6);
    if (handle === "shadows") {
      const middle = valueOf("midtones", stretch, c);
      stf.shadows[c] = Math.min(low + step, high - least);
      // The grey point stays on its value while the black point moves below it.
      const balance = (middle - stf.shadows[c]!) / (high - stf.shadows[c]!);
      if (balance > 1e-6 && balance < 0.999) stf.midtones[c] = balance;
    } else if (handle === "highlights") {
      const middle = valueOf("midtones", stretch, c);
      stf.highlights[c] = Math.max(high + step, low + least);
      const balance = (middle - low) / (stf.highlights[c]! - low);
      if (balance > 1e-6 && balance < 0.999) stf.midtones[c] = balance;
    } else {
      const balance = (valueOf("midtones", stretch, c) + step - low) / (high - low);
      stf.midtones[c] = Math.min(0.999, Math.max(1e-6, balance));
    }
  }
  return { stf };
}

export function HistogramPlot(props: {
  histogram: Histogram; stretch: Stretch; channel: number; isLog: boolean; onChange: (change: Partial<Stretch>) => void;
}) {
  const { histogram, stretch, channel, isLog } = props;
  const whole = wholeRange(histogram);
  const [range, setRange] = useState(whole);
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const dragged = useRef<Handle | null>(null);
  const lead = Math.max(0, channel);

  useEffect(() => { setRange(whole); }, [whole.low, whole.high]);
  useEffect(() => { if (canvas.current) draw(canvas.current, histogram, range, stretch, isLog); });

  const share = (handle: Handle): number => (valueOf(handle, stretch, lead) - range.low) / (range.high - range.low);
  const valueAt = (clientX: number): number => {
    const { left, width } = box.current!.getBoundingClientRect();
    return range.low + ((clientX - left) / width) * (range.high - range.low);
  };

  const zoom = (event: WheelEvent): void => {
    event.preventDefault();
    const middle = valueAt(event.clientX);
    const factor = Math.exp(event.deltaY * 0.002);
    const low = Math.max(whole.low, middle - (middle - range.low) * factor);
    const high = Math.min(whole.high, middle + (range.high - middle) * factor);
    if (high - low > (whole.high - whole.low) * 1e-4) setRange({ low, high });
  };

  const grab = (event: PointerEvent): void => {
    const x = (event.clientX - box.current!.getBoundingClientRect().left) / box.current!.clientWidth;
    dragged.current = [...HANDLES].sort((p, q) => Math.abs(share(p) - x) - Math.abs(share(q) - x))[0]!;
    box.current!.setPointerCapture(event.pointerId);
    drag(event);
  };
  const drag = (event: PointerEvent): void => {
    if (dragged.current) props.onChange(moveHandle(stretch, dragged.current, channel, valueAt(event.clientX)));
  };
  const drop = (): void => { dragged.current = null; };

  const step = (event: KeyboardEvent, handle: Handle): void => {
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!sign) return;
    event.preventDefault();
    event.stopPropagation();
    const size = ((range.high - range.low) / 400) * (event.shiftKey ? 10 : 1);
    props.onChange(moveHandle(stretch, handle, channel, valueOf(handle, stretch, lead) + sign * size));
  };

  return (
    <div
      class="histogram" ref={box} onWheel={zoom} onPointerDown={grab} onPointerMove={drag} onPointerUp={drop} onPointerCancel={drop}
      onDblClick={() => setRange(whole)}
    >
      <canvas ref={canvas} role="img" aria-label={t("image.histogram")} />
      {HANDLES.map((handle) => (
        <span
          key={handle} class={`handle is-${handle}`} role="slider" tabIndex={0} aria-label={t(`image.${handle}`)}
          aria-valuemin={whole.low} aria-valuemax={whole.high} aria-valuenow={valueOf(handle, stretch, lead)}
          aria-valuetext={formatValue(valueOf(handle, stretch, lead))}
          style={{ left: `${100 * Math.min(1, Math.max(0, share(handle)))}%` }}
          onKeyDown={(event) => step(event, handle)}
        />
      ))}
    </div>
  );
}
