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

/** What the axis shows: u = asinh((v - centre) / scale) of the leading channel, from low to high. */
export interface Axis { centre: number; scale: number; low: number; high: number }

const toU = (axis: Pick<Axis, "centre" | "scale">, value: number): number => Math.asinh((value - axis.centre) / axis.scale);
const toValue = (axis: Pick<Axis, "centre" | "scale">, u: number): number => axis.centre + axis.scale * Math.sinh(u);

/** Return the axis of one channel, wide enough for all of them. */
export function wholeAxis(histogram: Histogram, lead: number): Axis {
  const { centre, scale } = histogram.channels[lead]!;
  const axis = { centre, scale };
  const low = Math.min(...histogram.channels.map((channel) => toU(axis, toValue(channel, channel.low))));
  const high = Math.max(...histogram.channels.map((channel) => toU(axis, toValue(channel, channel.high))));
  return { ...axis, low, high: high > low ? high : low + 1 };
}

/** Return the largest count of the bins that fall on each of `width` columns. */
export function columnsOf(channel: Histogram["channels"][number], axis: Axis, width: number): Float64Array {
  const columns = new Float64Array(width);
  const bin = (channel.high - channel.low) / channel.counts.length;
  const binAt = (x: number): number => (toU(channel, toValue(axis, axis.low + ((axis.high - axis.low) * x) / width)) - channel.low) / bin;
  for (let x = 0; x < width; x += 1) {
    const first = Math.max(0, Math.floor(binAt(x)));
    const last = Math.min(channel.counts.length - 1, Math.max(first, Math.ceil(binAt(x + 1)) - 1));
    for (let i = first; i <= last; i += 1) columns[x] = Math.max(columns[x]!, channel.counts[i] ?? 0);
  }
  return columns;
}

function draw(canvas: HTMLCanvasElement, histogram: Histogram, axis: Axis, stretch: Stretch, isLog: boolean): void {
  const ratio = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(HEIGHT * ratio)];
  if (width === 0) return;
  canvas.width = width;
  canvas.height = height;
  const paper = canvas.getContext("2d");
  if (!paper) return;
  const all = histogram.channels.map((channel) => columnsOf(channel, axis, width));
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
      const y = height - 1 - applyStretch(toValue(axis, axis.low + ((axis.high - axis.low) * x) / width), c, stretch) * (height - 2);
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

/** Return the midtones of a channel whose ends were moved, so that its grey point stays on its value where it can. */
function balanceFor(grey: number, low: number, high: number, otherwise: number): number {
  const balance = (grey - low) / (high - low);
  return balance > 1e-6 && balance < 0.999 ? balance : otherwise;
}

/**
 * Return the stretch after a handle of `channel` was moved to `value`; -1 moves those of all channels alike: shadows by the same
 * step, midtones and the width of the range by the same factor, since channels differ in sky and in brightest star.
 */
export function moveHandle(stretch: Stretch, handle: Handle, channel: number, value: number): Partial<Stretch> {
  const { stf: old } = stretch;
  const stf = { shadows: [...old.shadows], midtones: [...old.midtones], highlights: [...old.highlights] };
  const lead = Math.max(0, channel);
  const [leadLow, leadWidth] = [old.shadows[lead]!, old.highlights[lead]! - old.shadows[lead]!];
  for (const c of channel < 0 ? old.shadows.map((_, i) => i) : [channel]) {
    const [low, high, grey] = [old.shadows[c]!, old.highlights[c]!, valueOf("midtones", stretch, c)];
    if (handle === "shadows") {
      stf.shadows[c] = Math.min(low + value - leadLow, high - (high - low) * 1e-6);
      stf.midtones[c] = balanceFor(grey, stf.shadows[c]!, high, old.midtones[c]!);
    } else if (handle === "highlights") {
      stf.highlights[c] = low + (high - low) * Math.max(1e-6, (value - leadLow) / leadWidth);
      stf.midtones[c] = balanceFor(grey, low, stf.highlights[c]!, old.midtones[c]!);
    } else {
      const factor = (value - leadLow) / leadWidth / old.midtones[lead]!;
      stf.midtones[c] = Math.min(0.999, Math.max(1e-6, old.midtones[c]! * factor));
    }
  }
  return { stf };
}

export function HistogramPlot(props: {
  histogram: Histogram; stretch: Stretch; channel: number; isLog: boolean; onChange: (change: Partial<Stretch>) => void;
}) {
  const { histogram, stretch, channel, isLog } = props;
  const lead = Math.max(0, channel);
  const whole = wholeAxis(histogram, lead);
  const [axis, setAxis] = useState(whole);
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const dragged = useRef<Handle | null>(null);

  useEffect(() => { setAxis(whole); }, [whole.centre, whole.scale, whole.low, whole.high]);
  useEffect(() => { if (canvas.current) draw(canvas.current, histogram, axis, stretch, isLog); });

  const share = (handle: Handle): number => (toU(axis, valueOf(handle, stretch, lead)) - axis.low) / (axis.high - axis.low);
  const uAt = (clientX: number): number => {
    const { left, width } = box.current!.getBoundingClientRect();
    return axis.low + ((clientX - left) / width) * (axis.high - axis.low);
  };

  const zoom = (event: WheelEvent): void => {
    event.preventDefault();
    const middle = uAt(event.clientX);
    const factor = Math.exp(event.deltaY * 0.002);
    const low = Math.max(whole.low, middle - (middle - axis.low) * factor);
    const high = Math.min(whole.high, middle + (axis.high - middle) * factor);
    if (high - low > (whole.high - whole.low) * 1e-3) setAxis({ ...axis, low, high });
  };

  const grab = (event: PointerEvent): void => {
    const x = (event.clientX - box.current!.getBoundingClientRect().left) / box.current!.clientWidth;
    dragged.current = [...HANDLES].sort((p, q) => Math.abs(share(p) - x) - Math.abs(share(q) - x))[0]!;
    box.current!.setPointerCapture(event.pointerId);
    drag(event);
  };
  const drag = (event: PointerEvent): void => {
    if (dragged.current) props.onChange(moveHandle(stretch, dragged.current, channel, toValue(axis, uAt(event.clientX))));
  };
  const drop = (): void => { dragged.current = null; };

  const step = (event: KeyboardEvent, handle: Handle): void => {
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!sign) return;
    event.preventDefault();
    event.stopPropagation();
    const size = ((axis.high - axis.low) / 400) * (event.shiftKey ? 10 : 1);
    props.onChange(moveHandle(stretch, handle, channel, toValue(axis, toU(axis, valueOf(handle, stretch, lead)) + sign * size)));
  };

  return (
    <div
      class="histogram" ref={box} onWheel={zoom} onPointerDown={grab} onPointerMove={drag} onPointerUp={drop} onPointerCancel={drop}
      onDblClick={() => setAxis(whole)}
    >
      <canvas ref={canvas} role="img" aria-label={t("image.histogram")} />
      {HANDLES.map((handle) => (
        <span
          key={handle} class={`handle is-${handle}`} role="slider" tabIndex={0} aria-label={t(`image.${handle}`)}
          aria-valuemin={toValue(whole, whole.low)} aria-valuemax={toValue(whole, whole.high)} aria-valuenow={valueOf(handle, stretch, lead)}
          aria-valuetext={formatValue(valueOf(handle, stretch, lead))}
          style={{ left: `${100 * Math.min(1, Math.max(0, share(handle)))}%` }}
          onKeyDown={(event) => step(event, handle)}
        />
      ))}
    </div>
  );
}
