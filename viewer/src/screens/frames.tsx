/** The Frames screen: figures of every frame, plotted, sorted, blinked, chosen. */
import { runTask } from "../api/client";
import { Bar, Choice, Empty, IconButton } from "../parts/controls";
import { tellFault } from "../parts/notices";
import { frames, isReadOnly, session, tasks } from "../state/app";
import { choose, counts, rows, search, selection, shown, showOnly, type Shown } from "../state/frametable";
import { rememberedView, rememberView } from "../state/view";
import { formatNumber, t } from "../words";
import { Blink } from "./frames_blink";
import { METRICS, MetricPlot, type Axis } from "./frames_plots";
import { FrameGrid } from "./frames_table";

function measure(): void {
  runTask("/api/frames", { scored: true }).catch(tellFault);
}

function Selected() {
  const n = selection.value.size;
  if (n === 0) return <span class="muted">{t("frames.selectHint")}</span>;
  const act = (choice: "exclude" | "include") => () => { choose(selection.value, choice).catch(tellFault); };
  return (
    <span class="selected">
      <strong>{t("frames.selected", { n: formatNumber(n) })}</strong>
      <button type="button" disabled={isReadOnly.value} onClick={act("exclude")}>{t("frames.exclude")}</button>
      <button type="button" disabled={isReadOnly.value} onClick={act("include")}>{t("frames.include")}</button>
      <IconButton icon="close" label={t("frames.deselect")} onClick={() => { selection.value = new Set(); }} />
    </span>
  );
}

export function FramesScreen() {
  if (!session.value) {
    return <Empty icon="frames" title={t("frames.noSession")} text={t("frames.noSessionText")}><a class="button" href="#open">{t("screen.open")}</a></Empty>;
  }
  const measuring = [...tasks.value.values()].find((task) => task.kind === "frames");
  const isScored = frames.value?.is_scored ?? false;
  const axis = rememberedView<Axis>("frames.axis", "order");
  const { all, in: taken, excluded } = counts.value;
  return (
    <div class="frames-screen">
      <div class="toolbar">
        <input type="search" placeholder={t("frames.search")} aria-label={t("frames.search")} value={search.value} onInput={(event) => { search.value = event.currentTarget.value; }} />
        <Choice<Shown>
          label={t("frames.show")} value={shown.value} onChange={showOnly}
          options={[
            { value: "all", text: `${t("frames.all")} ${formatNumber(all)}` }, { value: "in", text: `${t("frames.in")} ${formatNumber(taken)}` },
            { value: "out", text: `${t("frames.out")} ${formatNumber(all - taken)}` }, { value: "excluded", text: `${t("frames.excluded")} ${formatNumber(excluded)}` },
          ]}
        />
        <Selected />
        <span class="space" />
        <Choice<Axis>
          label={t("frames.axis")} value={axis} onChange={(value) => rememberView("frames.axis", value)}
          options={[{ value: "order", text: t("frames.byOrder") }, { value: "time", text: t("frames.byTime") }]}
        />
        {measuring
          ? <span class="measuring"><Bar share={measuring.percent || null} label={t("frames.measuring")} /><span class="muted">{t("frames.measuring")}</span></span>
          : <button type="button" class={isScored ? "" : "primary"} disabled={isReadOnly.value} onClick={measure}>{t(isScored ? "frames.measureAgain" : "frames.measure")}</button>}
      </div>
      <div class="plots">{rows.value.length > 0 && METRICS.map((metric) => <MetricPlot key={metric} metric={metric} axis={axis} />)}</div>
      <FrameGrid />
      <Blink />
    </div>
  );
}
