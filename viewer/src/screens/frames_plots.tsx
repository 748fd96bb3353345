/** One figure of every frame over time or order; a rectangle drawn over the points selects their frames. */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { current, isIn, rows, selection, type FrameRow } from "../state/frametable";
import { language, theme } from "../state/view";
import { t } from "../words";

export type Metric = "fwhm_px" | "background_adu" | "n_stars" | "eccentricity";
export const METRICS: readonly Metric[] = ["fwhm_px", "background_adu", "n_stars", "eccentricity"];
export type Axis = "time" | "order";

const abscissa = (row: FrameRow, axis: Axis): number => (axis === "time" && row.time_s !== null ? row.time_s : row.order);

/** Return x, then the values of frames that are in, out, excluded, and selected; x rises as the plot needs it. */
export function plotData(list: FrameRow[], metric: Metric, axis: Axis, selected: ReadonlySet<string>): uPlot.AlignedData {
  const sorted = [...list].sort((p, q) => abscissa(p, axis) - abscissa(q, axis));
  const pick = (test: (row: FrameRow) => boolean): (number | null)[] => sorted.map((row) => (test(row) ? row[metric] : null));
  return [
    sorted.map((row) => abscissa(row, axis)),
    pick(isIn),
    pick((row) => !isIn(row) && row.choice !== "exclude"),
    pick((row) => row.choice === "exclude"),
    pick((row) => selected.has(row.id)),
  ];
}

/** Return the ends of the axis a little beyond the data, so that the first and the last point are seen whole. */
function withMargin(_: uPlot, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const margin = 0.03 * (high - low) || 1;
  return [low - margin, high + margin];
}

function tellTick(value: number): string {
  return value.toLocaleString(language.peek(), { maximumFractionDigits: 3 });
}

function colours(): string[] {
  const style = getComputedStyle(document.documentElement);
  return ["--accent", "--muted", "--bad", "--warm"].map((name) => style.getPropertyValue(name).trim());
}

function takeBrush(plot: uPlot, metric: Metric, axis: Axis, isAdded: boolean): void {
  const { left, top, width, height } = plot.select;
  if (width < 3 && height < 3) return;
  const [x0, x1] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
  const [y1, y0] = [plot.posToVal(top, "y"), plot.posToVal(top + height, "y")];
  const next = new Set(isAdded ? selection.value : []);
  for (const row of rows.value) {
    const [x, y] = [abscissa(row, axis), row[metric]];
    if (y !== null && x >= x0 && x <= x1 && y >= y0 && y <= y1) next.add(row.id);
  }
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false); // first: new data would tell the old rectangle again
  selection.value = next;
}

function takeClick(plot: uPlot, metric: Metric, axis: Axis): void {
  const { left, top } = plot.cursor;
  if (left === undefined || top === undefined || left < 0) return;
  let best: { id: string; distance: number } | null = null;
  for (const row of rows.value) {
    const y = row[metric];
    if (y === null) continue;
    const distance = Math.hypot(plot.valToPos(abscissa(row, axis), "x") - left, plot.valToPos(y, "y") - top);
    if (distance < 12 && (!best || distance < best.distance)) best = { id: row.id, distance };
  }
  if (best) current.value = best.id;
}

/** Draw the points of a series as squares, one a place: ten thousand round dots take a graphics card without a chip seconds. */
function drawPoints(plot: uPlot, series: number, colour: string, size: number): void {
  const [xs, ys] = [plot.data[0], plot.data[series]];
  if (!ys) return;
  const side = Math.round(size * devicePixelRatio);
  const taken = new Set<number>();
  plot.ctx.save();
  plot.ctx.beginPath();
  plot.ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  plot.ctx.clip();
  plot.ctx.fillStyle = colour;
  for (let i = 0; i < ys.length; i += 1) {
    const y = ys[i];
    if (y === null || y === undefined) continue;
    const px = Math.round(plot.valToPos(xs[i]!, "x", true) - side / 2);
    const py = Math.round(plot.valToPos(y, "y", true) - side / 2);
    const place = px * 16384 + py;
    if (taken.has(place)) continue;
    taken.add(place);
    plot.ctx.fillRect(px, py, side, side);
  }
  plot.ctx.restore();
}

function makePlot(box: HTMLElement, metric: Metric, axis: Axis, data: uPlot.AlignedData): uPlot {
  const [accent, muted, bad, warm] = colours();
  const grid = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  let isAdded = false;
  const size = rows.value.length > 2000 ? 3 : 5;
  const tones = [accent!, muted!, bad!, warm!];
  const series: uPlot.Series = { paths: () => null, points: { show: false } };
  const font = "11px system-ui, sans-serif";
  const plot = new uPlot(
    {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false },
      cursor: { drag: { x: true, y: true, setScale: false }, points: { show: false }, y: false },
      scales: { x: { time: axis === "time", range: withMargin } },
      tzDate: (timestamp) => uPlot.tzDate(new Date(timestamp * 1e3), "Etc/UTC"),
      axes: [
        { stroke: muted!, font, grid: { show: false }, ticks: { stroke: grid, width: 1 }, size: 26 },
        { stroke: muted!, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 46, values: (_, splits) => splits.map(tellTick) },
      ],
      series: [{}, ...tones.map(() => series)],
      hooks: {
        setSelect: [(self) => takeBrush(self, metric, axis, isAdded)],
        drawSeries: [(self, i) => drawPoints(self, i, tones[i - 1]!, i > 2 ? size + 1 : size)],
      },
    },
    data,
    box,
  );
  plot.over.addEventListener("mousedown", (event) => { isAdded = event.shiftKey; });
  plot.over.addEventListener("click", () => takeClick(plot, metric, axis));
  return plot;
}

export function MetricPlot({ metric, axis }: { metric: Metric; axis: Axis }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current!;
    const plot = makePlot(element, metric, axis, plotData(rows.value, metric, axis, selection.value));
    const stop = effect(() => plot.setData(plotData(rows.value, metric, axis, selection.value)));
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => { stop(); observer.disconnect(); plot.destroy(); };
  }, [metric, axis, theme.value, language.value]);
  return (
    <figure class="plot">
      <figcaption>{t(`frames.plot.${metric}`)}</figcaption>
      <div ref={box} class="plot-box" role="img" aria-label={t("frames.plotLabel", { metric: t(`frames.plot.${metric}`) })} />
    </figure>
  );
}
