/** The Live screen: a folder is stacked while the telescope fills it; frames are taken out and in. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { postJson } from "../api/client";
import type { Folder, LiveFrame } from "../api/types";
import { Empty, Panel } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { useVirtualRows } from "../parts/virtual";
import { isReadOnly, isRunning, job, state } from "../state/app";
import { curve, excluded, figures, loadLive, newestFirst } from "../state/livestack";
import { preset, values } from "../state/recipe";
import { formatDuration, formatNumber, formatValue, t } from "../words";
import { reasonOf } from "../words/reasons";
import { NoiseCurve } from "./live_curve";
import { LivePicture } from "./run";

const ROW_PX = 30;
const chosenFolder = signal<string | null>(null);

/** Ask for it; what came of it is told by events. */
function act(path: string, body: unknown): void {
  postJson(path, body).catch(tellFault);
}

function folders(): Folder[] {
  const open = state.value?.project?.folder;
  const roots = state.value?.roots ?? [];
  return open ? [open, ...roots.filter((root) => root.id !== open.id)] : roots;
}

function Controls() {
  const now = job.value;
  const isWatch = now?.kind === "watch";
  const list = folders();
  const id = chosenFolder.value ?? list[0]?.id ?? null;
  const isBlocked = isReadOnly.value;
  if (isRunning.value) {
    if (!isWatch) return <p class="muted">{t("live.busy")}</p>;
    const isLive = now.state === "running" && now.phase === "live";
    return (
      <div class="buttons">
        <button type="button" class="primary" disabled={isBlocked || !isLive} onClick={() => act("/api/live/finish", {})}><Icon name="check" size={16} /> {t("live.finish")}</button>
        <button type="button" class="danger" disabled={isBlocked || now.state !== "running"} onClick={() => act("/api/job/stop", {})}><Icon name="stop" size={16} /> {t("run.stop")}</button>
      </div>
    );
  }
  const canContinue = isWatch && ["stopped", "interrupted", "failed"].includes(now.state);
  return (
    <div class="buttons">
      <label>
        <span class="unseen">{t("live.folder")}</span>
        <select value={id ?? ""} onChange={(event) => { chosenFolder.value = event.currentTarget.value; }}>
          {list.map((folder) => <option key={folder.id} value={folder.id}>{folder.name}</option>)}
        </select>
      </label>
      <button
        type="button" class={canContinue ? "" : "primary"} disabled={isBlocked || id === null}
        onClick={() => act("/api/watch", { folder: id, settings: values.value, preset: preset.value })}
      >
        <Icon name="play" size={16} /> {t("live.start")}
      </button>
      {canContinue && <button type="button" class="primary" disabled={isBlocked} onClick={() => act("/api/job/continue", {})}><Icon name="again" size={16} /> {t("run.continue")}</button>}
    </div>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return <div><dt>{label}</dt><dd>{value}</dd></div>;
}

function Figures() {
  const now = figures.value;
  const adu = (value: number | null): string => (value === null ? "–" : `${formatValue(value, 4)} ADU`);
  if (!now) return <p class="muted">{t("live.idle")}</p>;
  return (
    <>
      <dl class="figures" aria-live="polite">
        <Figure label={t("live.inPicture")} value={formatNumber(now.n_in)} />
        <Figure label={t("run.leftOut")} value={formatNumber(now.n_left_out)} />
        <Figure label={t("open.exposure")} value={formatDuration(now.exposure_s)} />
        <Figure label={t("live.noise")} value={adu(now.noise_adu)} />
        <Figure label={t("live.expected")} value={adu(now.expected_adu)} />
        <Figure label={t("live.delay")} value={now.delay_s === null ? "–" : `${formatNumber(now.delay_s, 1)}\u00a0s`} />
      </dl>
      {now.problem && <p class="warning"><Icon name="warning" size={16} /> {now.problem}</p>}
    </>
  );
}

function Row({ frame, start }: { frame: LiveFrame; start: number }) {
  const isExcluded = excluded.value.has(frame.file);
  const shown = isExcluded ? "excluded" : frame.status === "stacked" ? "in" : "out";
  const number = (value: number | null | undefined, digits: number): string => (value === null || value === undefined ? "–" : formatNumber(value, digits));
  const canChoose = job.value?.kind === "watch" && job.value.state === "running" && job.value.phase === "live" && !isReadOnly.value;
  return (
    <li class={`is-${shown}`} style={{ transform: `translateY(${start}px)` }}>
      <i class={`dot is-${shown}`} aria-hidden="true" />
      <span class="file" title={frame.file}>{frame.file}</span>
      <span class="why" title={frame.reason ?? ""}>{isExcluded ? t("frames.state.excluded") : frame.status === "stacked" ? t("frames.state.in") : reasonOf(frame) || t("frames.state.out")}</span>
      <span class="number">{number(frame.fwhm_px, 2)} px</span>
      <span class="number">{number(frame.n_stars, 0)}</span>
      <span class="number">{number(frame.background_adu, 0)}</span>
      <button
        type="button" class="small" disabled={!canChoose} aria-label={`${t(isExcluded ? "frames.include" : "frames.exclude")} ${frame.file}`}
        onClick={() => act("/api/live/choice", isExcluded ? { include: [frame.file] } : { exclude: [frame.file] })}
      >
        {t(isExcluded ? "frames.include" : "frames.exclude")}
      </button>
    </li>
  );
}

function Frames() {
  const scroller = useRef<HTMLDivElement>(null);
  const list = newestFirst.value;
  const virtual = useVirtualRows(scroller, list.length, ROW_PX);
  return (
    <Panel title={t("screen.frames")} class="live-frames">
      <p class="muted columns" aria-hidden="true">
        <span>{t("frames.column.file")}</span><span>{t("frames.column.choice")}</span><span>{t("frames.column.fwhm_px")}</span>
        <span>{t("frames.column.n_stars")}</span><span>{t("frames.column.background_adu")}</span>
      </p>
      <div ref={scroller} class="rows" tabIndex={0} role="group" aria-label={t("live.frames")}>
        {list.length === 0 ? <p class="muted">{t("live.noFrames")}</p> : (
          <ul style={{ height: `${virtual.height}px` }}>
            {virtual.items.map((item) => {
              const frame = list[item.index];
              return frame && <Row key={frame.file} frame={frame} start={item.start} />;
            })}
          </ul>
        )}
      </div>
    </Panel>
  );
}

export function LiveScreen() {
  useEffect(() => { loadLive().catch(tellFault); }, []);
  if (folders().length === 0) return <Empty icon="live" title={t("frames.noSession")} text={t("frames.noSessionText")} />;
  return (
    <div class="live-screen">
      <LivePicture />
      <div class="side">
        <Panel title={t("screen.live")} actions={<Controls />}>
          <Figures />
        </Panel>
        {curve.value.length > 1 && <section class="panel curve"><NoiseCurve /></section>}
        <Frames />
      </div>
    </div>
  );
}
