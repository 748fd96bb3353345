/** The Run screen: settings, what they would cost, progress, gauges, the picture as it grows, the log. */
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { postJson, runTask } from "../api/client";
import type { Job, Plan } from "../api/types";
import { Bar, Dialog, Empty, Panel } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { TileCanvas } from "../parts/tilecanvas";
import { gauges, isReadOnly, isRunning, job, products, session, tasks } from "../state/app";
import { counts } from "../state/frametable";
import { followLive, live } from "../state/live";
import { firstStretch, pictureOfProduct, showPicture } from "../state/pictures";
import { kind, loadRecipe, preset, values } from "../state/recipe";
import { showScreen } from "../state/view";
import { formatBytes, formatDuration, formatNumber, t, word } from "../words";
import { SettingsForm } from "./run_form";
import { LogPanel } from "./run_log";

const plans = signal<Plan[] | null>(null);

const request = () => ({ kind: kind.value, settings: values.value, preset: preset.value });

/** Ask for it; what came of it is told by events, which may be faster than the answer and then know more. */
function act(path: string, body: unknown): void {
  postJson<{ job: Job | null }>(path, body).catch(tellFault);
}

function plan(): void {
  runTask<{ plans: Plan[] }>("/api/plan", request()).then((result) => { plans.value = result.plans; }, tellFault);
}

function Buttons() {
  const now = job.value;
  const isPlanning = [...tasks.value.values()].some((task) => task.kind === "plan");
  const canContinue = now && ["stopped", "interrupted", "failed"].includes(now.state);
  return (
    <div class="buttons run-buttons">
      {isRunning.value ? (
        <button type="button" class="danger" disabled={now?.state === "stopping" || isReadOnly.value} onClick={() => act("/api/job/stop", {})}>
          <Icon name="stop" size={16} /> {t(now?.state === "stopping" ? "job.stopping" : "run.stop")}
        </button>
      ) : (
        <button type="button" class={canContinue ? "" : "primary"} disabled={isReadOnly.value} onClick={() => act("/api/run", request())}>
          <Icon name="play" size={16} /> {t("run.start")}
        </button>
      )}
      {canContinue && (
        <button type="button" class="primary" disabled={isReadOnly.value} onClick={() => act("/api/job/continue", {})}><Icon name="again" size={16} /> {t("run.continue")}</button>
      )}
      <button type="button" disabled={isPlanning || isRunning.value} onClick={plan}>{t(isPlanning ? "run.planning" : "run.plan")}</button>
    </div>
  );
}

function Phases({ now }: { now: Job }) {
  return (
    <ol class="phases">
      {now.phases.map((phase) => (
        <li key={phase.name} class={`is-${phase.state}`} aria-current={phase.state === "running" ? "step" : undefined}>
          <span class="name">{word("phase", phase.name)}</span>
          <Bar share={phase.state === "done" ? 1 : phase.state === "waiting" ? 0 : phase.total > 0 ? phase.done / phase.total : null} label={word("phase", phase.name)} />
          <span class="muted number">{phase.state === "waiting" ? "" : phase.total > 0 && phase.state === "running" ? `${formatNumber(phase.done)} / ${formatNumber(phase.total)}` : formatDuration(phase.seconds)}</span>
        </li>
      ))}
    </ol>
  );
}

function Gauge({ label, used, total, note }: { label: string; used: number; total: number; note: string }) {
  const share = total > 0 ? used / total : 0;
  return (
    <div class="gauge">
      <span>{label}</span>
      <Bar share={share} label={label} tone={share > 0.9 ? "is-bad" : ""} />
      <small class="muted">{note}</small>
    </div>
  );
}

function Gauges() {
  const now = gauges.value;
  if (!now) return null;
  const { memory, disk } = now;
  return (
    <div class="gauges">
      <Gauge
        label={t("run.memory")} used={memory.engine_bytes ?? 0} total={memory.limit_bytes ?? memory.total_bytes}
        note={t("run.memoryNote", { used: memory.engine_bytes === null ? "?" : formatBytes(memory.engine_bytes), total: formatBytes(memory.limit_bytes ?? memory.total_bytes) })}
      />
      <Gauge
        label={t("run.disk")} used={disk.total_bytes - disk.free_bytes} total={disk.total_bytes}
        note={t("run.diskNote", { free: formatBytes(disk.free_bytes), scratch: formatBytes(disk.scratch_bytes) })}
      />
    </div>
  );
}

function lookAtResult(now: Job): void {
  const product = now.products.find(({ kind: what }) => what === "image");
  const group = products.value.find((one) => one.products.some(({ id }) => id === product?.id));
  if (!product || !group) showScreen("image");
  else showPicture(...pictureOfProduct(group.name, product)).then(() => showScreen("image"), tellFault);
}

function Progress({ now }: { now: Job }) {
  return (
    <Panel title={t("run.progress")} class={`progress is-${now.state}`} actions={<span class={`badge is-${now.state}`} role="status">{t(`job.${now.state}`)}</span>}>
      <div class="headline">
        <strong>{Math.round(now.percent * 100)}<small> %</small></strong>
        <Bar share={now.percent} label={t("run.progress")} />
        <dl class="figures">
          <div><dt>{t("run.elapsed")}</dt><dd>{formatDuration(now.elapsed_s)}</dd></div>
          <div><dt>{t("run.eta")}</dt><dd>{now.eta_s === null ? "–" : formatDuration(now.eta_s)}</dd></div>
          <div><dt>{t("run.leftOut")}</dt><dd>{formatNumber(now.n_left_out)}</dd></div>
          {now.restarts > 0 && <div><dt>{t("run.restarts")}</dt><dd>{now.restarts}</dd></div>}
        </dl>
      </div>
      {now.error && <p class="warning"><Icon name="warning" size={16} /> {now.error.message} <span class="muted">{now.error.hint}</span></p>}
      <Phases now={now} />
      <Gauges />
      {now.state === "done" && (
        <div class="buttons">
          <button type="button" class="primary" onClick={() => lookAtResult(now)}>{t("run.toImage")}</button>
          <a class="button" href="#report">{t("run.toReport")}</a>
        </div>
      )}
    </Panel>
  );
}

export function LivePicture() {
  useEffect(followLive, [job.value?.live, job.value?.state]);
  const picture = live.value;
  const panes = useMemo(
    () => (picture ? [{ layers: [{ image: picture, look: { stretch: firstStretch(picture), isColoured: false, opacity: 1 } }], ahead: [] }] : []),
    [picture],
  );
  if (!picture) return <div class="live"><Empty icon="image" title={t("run.noPixels")} text={t("run.noPixelsText")} /></div>;
  return (
    <section class="live media" aria-label={picture.name}>
      <TileCanvas panes={panes} overlays={[]} label={t("image.canvas", { name: picture.name })} />
      <span class="tag">{picture.kind === "live" ? `${t("image.live")} · ${formatNumber(picture.revision)}` : picture.name}</span>
      {picture.kind === "live" && <button type="button" class="small over" onClick={() => { showPicture({ live: true }, "live").then(() => showScreen("image"), tellFault); }}><Icon name="eye" size={16} /> {t("frames.look")}</button>}
    </section>
  );
}

function PlanDialog({ list }: { list: Plan[] }) {
  return (
    <Dialog title={t("run.plan")} onClose={() => { plans.value = null; }}>
      {list.map((item) => (
        <section key={item.name}>
          <h3>{item.name}</h3>
          <dl class="facts">
            <div><dt>{t("open.frames")}</dt><dd>{formatNumber(item.n_frames)}</dd></div>
            <div><dt>{t("image.size")}</dt><dd>{`${item.width} × ${item.height}`}</dd></div>
            <div><dt>{t("run.planTime")}</dt><dd>{formatDuration(item.seconds)}</dd></div>
            <div><dt>{t("run.planMemory")}</dt><dd>{formatBytes(item.peak_memory_bytes)}</dd></div>
            <div><dt>{t("run.planScratch")}</dt><dd>{formatBytes(item.scratch_bytes)}</dd></div>
            <div><dt>{t("run.planOutput")}</dt><dd>{formatBytes(item.output_bytes)}</dd></div>
          </dl>
          <ul class="notes">{item.lines.map((line) => <li key={line}>{line}</li>)}</ul>
        </section>
      ))}
    </Dialog>
  );
}

export function RunScreen() {
  useEffect(() => { loadRecipe().catch(tellFault); }, []);
  if (!session.value) {
    return <Empty icon="run" title={t("frames.noSession")} text={t("frames.noSessionText")}><a class="button" href="#open">{t("screen.open")}</a></Empty>;
  }
  const now = job.value;
  return (
    <div class="run-screen">
      <Panel title={t("run.settings")} class="form" actions={<Buttons />}>
        <div class="scroll" tabIndex={0} role="group" aria-label={t("run.settings")}><SettingsForm /></div>
      </Panel>
      <div class="work">
        {now ? <Progress now={now} /> : (
          <Panel title={t("run.progress")}>
            <p>{t("run.idle")}</p>
            {counts.value.all > 0 && <p class="muted">{t("run.willTake", { n: formatNumber(counts.value.in), excluded: formatNumber(counts.value.excluded) })}</p>}
          </Panel>
        )}
        <LivePicture />
        <LogPanel />
      </div>
      {plans.value && <PlanDialog list={plans.value} />}
    </div>
  );
}
