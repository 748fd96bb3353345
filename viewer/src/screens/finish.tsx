/** The Finish screen: from a master to a picture, step by step, with before and after in one view. */
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Overlay } from "../api/types";
import { Bar, Choice, Empty, IconButton, Panel, Toggle } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { TileCanvas } from "../parts/tilecanvas";
import { isReadOnly, loadProducts, products, state } from "../state/app";
import {
  before, cancelWork, canRedo, canUndo, chain, comparing, fault, faults, isAuto, isHeld, isOwn, loadOffer, master, masterKey, masters, offer, preset, redoChain,
  result, runPreview, setPreset, share, split, splitAt, undoChain, work, type Comparing,
} from "../state/finish";
import { firstStretch, showPicture, stretches } from "../state/pictures";
import { showScreen } from "../state/view";
import type { Pane, TileView } from "../tiles/view";
import { formatNumber, t } from "../words";
import { presetHelp, presetName } from "../words/finish";
import { LoadChainDialog, RunDialog, SaveChainDialog } from "./finish_files";
import { StepList } from "./finish_steps";

const dialog = signal<"run" | "save" | "load" | null>(null);
const nWaiting = signal(0);
const zoom = signal(1);
const SPLIT_STEP = 0.02;
const NO_OVERLAYS: Overlay[] = [];

const isTyping = (event: KeyboardEvent): boolean =>
  event.target instanceof HTMLElement && event.target.matches("input[type=text], input[type=search], textarea, select");

function takeKey(event: KeyboardEvent): void {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  const name = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (isTyping(event) || (name !== "z" && name !== "y")) return;
    event.preventDefault();
    if (name === "y" || event.shiftKey) redoChain();
    else undoChain();
  } else if (isTyping(event)) return;
  else if (name === "b") isHeld.value = true;
  else if (name === "p") void runPreview();
}

function releaseKey(event: KeyboardEvent): void {
  if (event.key.toLowerCase() === "b") isHeld.value = false;
}

function MasterSelect() {
  const groups = [...new Set(masters.value.map(({ group }) => group))];
  return (
    <select class="compact" aria-label={t("finish.master")} value={master.value?.key} onChange={(event) => { masterKey.value = event.currentTarget.value; }}>
      {groups.map((group) => (
        <optgroup key={group} label={group}>
          {masters.value.filter((one) => one.group === group).map(({ key, name }) => <option key={key} value={key}>{name}</option>)}
        </optgroup>
      ))}
    </select>
  );
}

function RunButtons() {
  const now = work.value;
  const isBlocked = faults.value.size > 0 || !before.value;
  return (
    <div class="buttons">
      <button type="button" title="p" disabled={isBlocked || (now !== null && !now.isPreview)} onClick={() => void runPreview()}>
        <Icon name="eye" size={16} /> {t("finish.preview")}
      </button>
      <button type="button" class="primary" disabled={isBlocked || isReadOnly.value || (now !== null && !now.isPreview)} onClick={() => { dialog.value = "run"; }}>
        <Icon name="play" size={16} /> {t("finish.whole")}
      </button>
    </div>
  );
}

function Toolbar({ view }: { view: () => TileView | null }) {
  return (
    <div class="toolbar" role="toolbar" aria-label={t("image.tools")}>
      <MasterSelect />
      <Choice
        label={t("image.comparison")} value={comparing.value} onChange={(value: Comparing) => { comparing.value = value; }}
        options={[{ value: "before", text: t("finish.before") }, { value: "split", text: t("finish.split") }, { value: "after", text: t("finish.after") }]}
      />
      <span class="divider" />
      <IconButton icon="minus" label={t("image.zoomOut")} onClick={() => view()?.zoom(1 / 1.4)} />
      <span class="figure">{`${formatNumber(zoom.value * 100, zoom.value < 0.1 ? 1 : 0)} %`}</span>
      <IconButton icon="plus" label={t("image.zoomIn")} onClick={() => view()?.zoom(1.4)} />
      <IconButton icon="fit" label={t("image.fit")} onClick={() => view()?.fit()} />
      <span class="space" />
      <RunButtons />
    </div>
  );
}

function Working() {
  const now = work.value;
  if (!now) return null;
  const label = t(now.isPreview ? "task.preview" : "task.finish");
  return (
    <div class="working" role="status">
      <span>{label}</span>
      <Bar share={share.value} label={label} />
      <button type="button" class="small" onClick={cancelWork}>{t("common.cancel")}</button>
    </div>
  );
}

function Fault() {
  const now = fault.value;
  if (!now) return null;
  return (
    <div class="fault" role="alert">
      <Icon name="warning" size={16} />
      <div><p>{now.message}</p>{now.hint && <p class="muted">{now.hint}</p>}</div>
    </div>
  );
}

function ChainPanel() {
  const presets = offer.value?.presets ?? [];
  const help = presets.find(({ name }) => name === preset.value)?.title ?? "";
  return (
    <aside class="side chain" tabIndex={0} role="region" aria-label={t("finish.chain")}>
      <Panel
        title={t("finish.steps")}
        actions={(
          <div class="buttons">
            <IconButton icon="undo" label={`${t("finish.undo")} (Ctrl+Z)`} disabled={!canUndo.value} onClick={undoChain} />
            <IconButton icon="redo" label={`${t("finish.redo")} (Ctrl+Shift+Z)`} disabled={!canRedo.value} onClick={redoChain} />
            <IconButton icon="open" label={t("finish.loadChain")} onClick={() => { dialog.value = "load"; }} />
            <IconButton icon="save" label={t("finish.saveChain")} onClick={() => { dialog.value = "save"; }} />
          </div>
        )}
      >
        <label class="row">
          <span>{t("run.preset")}</span>
          <select aria-label={t("run.preset")} value={isOwn.value ? "" : preset.value} onChange={(event) => setPreset(event.currentTarget.value)}>
            {isOwn.value && <option value="">{t("finish.own", { name: presetName(preset.value) })}</option>}
            {presets.map(({ name }) => <option key={name} value={name}>{presetName(name)}</option>)}
          </select>
        </label>
        {!isOwn.value && <p class="muted small-text">{presetHelp(preset.value, help)}</p>}
        <Fault />
        <StepList />
        <Toggle label={t("finish.auto")} isOn={isAuto.value} onChange={(isOn) => { isAuto.value = isOn; }} />
      </Panel>
    </aside>
  );
}

/** The line between before and after: dragged, or moved by the arrow keys. */
function SplitLine() {
  const box = useRef<HTMLDivElement>(null);
  const isDragged = useRef(false);
  if (!result.value || comparing.value !== "split" || isHeld.value) return null;
  const move = (event: PointerEvent): void => {
    const stage = box.current!.parentElement!.getBoundingClientRect();
    if (isDragged.current) splitAt.value = Math.min(1, Math.max(0, (event.clientX - stage.left) / stage.width));
  };
  const step = (event: KeyboardEvent): void => {
    const to = { ArrowLeft: splitAt.value - SPLIT_STEP, ArrowRight: splitAt.value + SPLIT_STEP, Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    splitAt.value = Math.min(1, Math.max(0, to));
  };
  return (
    <div
      ref={box} class="split-line" role="slider" tabIndex={0} aria-label={t("finish.splitLine")} aria-valuemin={0} aria-valuemax={100}
      aria-valuenow={Math.round(100 * splitAt.value)} aria-valuetext={`${Math.round(100 * splitAt.value)} %`} style={{ left: `${100 * splitAt.value}%` }}
      onPointerDown={(event) => { isDragged.current = true; event.currentTarget.setPointerCapture(event.pointerId); }}
      onPointerMove={move} onPointerUp={() => { isDragged.current = false; }} onPointerCancel={() => { isDragged.current = false; }} onKeyDown={step}
    />
  );
}

function panesNow(): Pane[] {
  const [first, made] = [before.value, result.value];
  if (!first || !master.value) return [];
  const stretch = stretches.value[master.value.key] ?? firstStretch(first);
  const pane: Pane = { layers: [{ image: first, look: { stretch, isColoured: false, opacity: 1 } }], ahead: [] };
  if (!made) return [pane];
  return [pane, { layers: [{ image: made.info, look: { stretch: firstStretch(made.info), isColoured: false, opacity: 1 }, place: made.place }], ahead: [] }];
}

function Tags() {
  const made = result.value;
  if (!made) return <span class="tag">{t("finish.before")}</span>;
  const text = made.isPreview && made.factor > 1 ? t("finish.afterPreview", { n: made.factor }) : t(made.isPreview ? "finish.after" : "finish.afterWhole");
  return (
    <>
      {split.value > 0 && <span class="tag">{t("finish.before")}</span>}
      {split.value < 1 && <span class="tag is-last">{text}</span>}
    </>
  );
}

function Status() {
  const made = result.value;
  return (
    <div class="status" data-waiting={nWaiting.value} data-split={split.value} data-revision={made?.image ?? ""}>
      <span class="muted">{t("finish.hint")}</span>
      <span class="space" />
      {made && !made.isPreview && <span>{t("finish.written", { files: made.files.join(", ") })}</span>}
      {made && !made.isPreview && (
        <button type="button" class="small" onClick={() => void lookClosely(made.files[0]!)}>{t("finish.toImage")}</button>
      )}
    </div>
  );
}

async function lookClosely(file: string): Promise<void> {
  await loadProducts();
  const group = products.value.find(({ kind }) => kind === "finish");
  const product = group?.products.find((one) => one.file === file);
  if (!group || !product) return;
  await showPicture({ product: product.id }, `${group.name}/${product.name}`).catch(tellFault);
  showScreen("image");
}

export function FinishScreen() {
  const view = useRef<TileView | null>(null);
  const project = state.value?.project?.out;
  useEffect(() => { loadOffer().catch(tellFault); }, [project]);
  useEffect(() => {
    addEventListener("keydown", takeKey);
    addEventListener("keyup", releaseKey);
    return () => {
      removeEventListener("keydown", takeKey);
      removeEventListener("keyup", releaseKey);
      isHeld.value = false;
    };
  }, []);
  const panes = useMemo(panesNow, [before.value, result.value, stretches.value]);
  if (!master.value) return <Empty icon="finish" title={t("finish.none")} text={t("finish.noneText")}><a class="button" href="#run">{t("screen.run")}</a></Empty>;
  if (!offer.value || !before.value) return <Empty icon="finish" title={t("image.opening")} />;
  return (
    <div class="finish-screen" data-steps={chain.value.length}>
      <Toolbar view={() => view.current} />
      <ChainPanel />
      <div class="stage media">
        <TileCanvas
          panes={panes} split={split.value} overlays={NO_OVERLAYS} label={t("image.canvas", { name: master.value.name })}
          onView={(made) => { view.current = made; }}
          onFigures={(figures, made) => { nWaiting.value = figures.nWaiting; zoom.value = made.camera.zoom; }}
        />
        <SplitLine />
        <Tags />
        <Working />
      </div>
      <Status />
      {dialog.value === "run" && <RunDialog onClose={() => { dialog.value = null; }} />}
      {dialog.value === "save" && <SaveChainDialog onClose={() => { dialog.value = null; }} />}
      {dialog.value === "load" && <LoadChainDialog onClose={() => { dialog.value = null; }} />}
    </div>
  );
}
