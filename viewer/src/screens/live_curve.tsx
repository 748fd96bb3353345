/** The noise of the live stack against the number of its frames, both by powers of ten: without loss it is a straight line. */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { LivePoint } from "../api/types";
import { curve } from "../state/livestack";
import { language, theme } from "../state/view";
import { t } from "../words";

/** Return the number of frames, the noise, and that of the frames alone; the last point of each number counts. */
export function curveData(points: LivePoint[]): uPlot.AlignedData {
  const byNumber = new Map(points.filter((point) => point.noise_adu !== null).map((point) => [point.n_in, point]));
  const sorted = [...byNumber.values()].sort((p, q) => p.n_in - q.n_in);
  return [sorted.map((point) => point.n_in), sorted.map((point) => point.noise_adu), sorted.map((point) => point.expected_adu)];
}

function makePlot(box: HTMLElement): uPlot {
  const style = getComputedStyle(document.documentElement);
  const [accent, muted, line] = ["--accent", "--muted", "--line"].map((name) => style.getPropertyValue(name).trim());
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: muted!, font, ticks: { show: false } };
  return new uPlot(
    {
      width: box.clientWidth, height: box.clientHeight, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [{ ...axis, grid: { show: false }, size: 26 }, { ...axis, grid: { stroke: line!, width: 1 }, size: 46 }],
      series: [{}, { stroke: accent!, width: 2, points: { show: true, size: 4 } }, { stroke: muted!, width: 1, dash: [4, 4], points: { show: false } }],
    },
    curveData(curve.value),
    box,
  );
}

export function NoiseCurve() {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current!;
    const plot = makePlot(element);
    const stop = effect(() => plot.setData(curveData(curve.value)));
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => { stop(); observer.disconnect(); plot.destroy(); };
  }, [theme.value, language.value]);
  return (
    <figure class="plot">
      <figcaption>{t("live.curve")}</figcaption>
      <div ref={box} class="plot-box" role="img" aria-label={t("live.curveLabel")} />
    </figure>
  );
}
