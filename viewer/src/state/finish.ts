/** The Finish screen's state: master, chain with its past, previews and runs; kept with the project and found again. */
import { batch, computed, effect, signal } from "@preact/signals";
import { fetchJson, postJson, RequestRefused, runTask } from "../api/client";
import type { ApiFault, FinishOffer, FinishResult, FinishStep, ImageInfo, Task } from "../api/types";
import { tellFault } from "../parts/notices";
import type { Place } from "../tiles/view";
import { imageChanged, products, tasks } from "./app";
import { add, chainOf, edit, editValue, makesPicture, moveTo, orderFaults, remove, stepsKept, stepsOn, type Chain, type Operations, type Step } from "./chain";
import { beginHistory, change, redo, undo, type History } from "./history";
import { pictureOfProduct } from "./pictures";
import { rememberedView, rememberView, screen } from "./view";

export type Comparing = "before" | "split" | "after";
export type Format = "png" | "jpeg" | "tiff" | "xisf";

export interface Master { key: string; product: string; group: string; name: string }
export interface Shown extends FinishResult { info: ImageInfo; place: Place; isPreview: boolean }
interface Kept { master: string; preset: string; steps: FinishStep[]; isAuto: boolean }

const QUIET_MS = 350;

export const offer = signal<FinishOffer | null>(null);
export const operations = computed<Operations>(() => Object.fromEntries((offer.value?.operations ?? []).map((one) => [one.name, one])));
export const masterKey = signal<string | null>(null);
export const preset = signal("preview");
const history = signal<History<Chain>>(beginHistory<Chain>([]));
export const isAuto = signal(true);
export const openStep = signal<number | null>(null);
export const before = signal<ImageInfo | null>(null);
export const result = signal<Shown | null>(null);
export const fault = signal<ApiFault | null>(null);
export const work = signal<{ task: string; isPreview: boolean } | null>(null);
export const comparing = signal<Comparing>("split");
export const splitAt = signal(0.5);
export const isHeld = signal(false);

export const chain = computed<Chain>(() => history.value.now);
export const canUndo = computed(() => history.value.past.length > 0);
export const canRedo = computed(() => history.value.future.length > 0);
export const faults = computed(() => orderFaults(chain.value, operations.value));
export const isPictureMade = computed(() => makesPicture(chain.value, operations.value));
export const share = computed(() => (work.value ? tasks.value.get(work.value.task)?.percent ?? 0 : null));

/** Images that can be finished: what runs made, the masters first. */
export const masters = computed<Master[]>(() => {
  const found = products.value.filter(({ kind }) => kind !== "finish").flatMap((group) =>
    group.products.filter(({ kind }) => kind === "image").map((product) => (
      { key: pictureOfProduct(group.name, product)[1], product: product.id, group: group.name, name: product.name }
    )));
  const isLinear = ({ name }: Master): number => (name.endsWith("_linear") ? 0 : 1);
  return found.sort((p, q) => isLinear(p) - isLinear(q));
});
export const master = computed<Master | null>(() => masters.value.find(({ key }) => key === masterKey.value) ?? masters.value[0] ?? null);

/** Whether the chain is another one than its preset by now. */
export const isOwn = computed(() => {
  const found = offer.value?.presets.find(({ name }) => name === preset.value);
  return found !== undefined && JSON.stringify(stepsKept(chainOf(found.steps, operations.value))) !== JSON.stringify(stepsKept(chain.value));
});

/** Where the picture is cut: the whole is one of its two sides while the key is held or one side alone is asked for. */
export const split = computed(() => {
  if (!result.value || isHeld.value || comparing.value === "before") return 1;
  return comparing.value === "after" ? 0 : splitAt.value;
});

// the chain

function take(next: Chain, tag = ""): void {
  history.value = change(history.value, next, tag);
}

export function undoChain(): void { history.value = undo(history.value); }
export function redoChain(): void { history.value = redo(history.value); }
export const setOn = (step: Step, isOn: boolean): void => take(edit(chain.value, step.id, { isOn }));
export const setOptional = (step: Step, isOptional: boolean): void => take(edit(chain.value, step.id, { isOptional }));
export const setValue = (step: Step, name: string, value: unknown): void =>
  take(editValue(chain.value, step.id, name, value, operations.value), `${step.id}.${name}`);
export const setMask = (step: Step, mask: Step["mask"], tag = ""): void =>
  take(edit(chain.value, step.id, { mask, isMaskInverted: mask !== null && step.isMaskInverted }), tag && `${step.id}.${tag}`);
export const setMaskInverted = (step: Step, isMaskInverted: boolean): void => take(edit(chain.value, step.id, { isMaskInverted }));
export const moveStep = (step: Step, place: number): void => take(moveTo(chain.value, step.id, place));

export function removeStep(step: Step): void {
  take(remove(chain.value, step.id));
  if (openStep.value === step.id) openStep.value = null;
}

export function addStep(operation: string): void {
  const made = add(chain.value, operation, operations.value);
  batch(() => { take(made.chain); openStep.value = made.id; });
}

export function setPreset(name: string): void {
  const found = offer.value?.presets.find((one) => one.name === name);
  if (!found) return;
  batch(() => {
    preset.value = name;
    openStep.value = null;
    take(chainOf(found.steps, operations.value));
  });
}

export function takeSteps(steps: FinishStep[]): void {
  batch(() => { openStep.value = null; take(chainOf(steps, operations.value)); });
}

// what is kept with the project

let isRestored = false;

function restore(found: FinishOffer): void {
  const kept = rememberedView<Partial<Kept>>("finish", {});
  const steps = kept.steps ?? found.presets.find(({ name }) => name === (kept.preset ?? "preview"))?.steps ?? [];
  batch(() => {
    masterKey.value = kept.master ?? null;
    preset.value = kept.preset ?? "preview";
    isAuto.value = kept.isAuto ?? true;
    history.value = beginHistory(chainOf(steps, operations.value));
  });
  isRestored = true;
}

export async function loadOffer(): Promise<void> {
  const found = await fetchJson<FinishOffer>("/api/finish");
  offer.value = found;
  if (!isRestored) restore(found);
}

effect(() => {
  const kept: Kept = { master: masterKey.value ?? "", preset: preset.value, steps: stepsKept(chain.value), isAuto: isAuto.value };
  if (isRestored && JSON.stringify(kept) !== JSON.stringify(rememberedView("finish", null))) rememberView("finish", kept);
});

// before and after

/** Counts what was asked for: an answer to an earlier question is left aside. */
let number = 0;

const product = computed(() => master.value?.product ?? null);
let opened: string | null = null;

/** The master is opened when the screen is shown, and again when another one is chosen or it was written anew. */
effect(() => {
  const wanted = product.value;
  if (screen.value !== "finish" || wanted === opened) return;
  opened = wanted;
  cancelWork();
  batch(() => { before.value = null; result.value = null; fault.value = null; });
  if (wanted === null) return;
  postJson<ImageInfo>("/api/image", { product: wanted })
    .then((info) => { if (opened === wanted) before.value = info; })
    .catch(tellFault);
});

effect(() => {
  const changed = imageChanged.value;
  for (const slot of [before, result] as const) {
    const now = slot.peek();
    const info = now && ("info" in now ? now.info : now);
    if (!changed || info?.handle !== changed.handle || info.revision === changed.revision) continue;
    fetchJson<ImageInfo>(`/api/image/${changed.handle}`)
      .then((fresh) => {
        if (slot === before && before.peek()?.handle === fresh.handle) before.value = fresh;
        const shown = result.peek();
        if (slot === result && shown?.info.handle === fresh.handle) result.value = { ...shown, info: fresh };
      })
      .catch(() => undefined);
  }
});

// runs

export function cancelWork(): void {
  const now = work.peek();
  number += 1;
  work.value = null;
  if (now?.task) postJson(`/api/task/${now.task}/cancel`, {}).catch(() => undefined);
}

/** Return where the image of a result lies on its master: its pixels are cells of `factor` px from the corner of the box on. */
export function placeOf({ box, factor }: Pick<FinishResult, "box" | "factor">): Place {
  const middle = (factor - 1) / 2;
  return { x: box[0] + middle, y: box[1] + middle, scale: factor };
}

async function run(body: Record<string, unknown>, isPreview: boolean): Promise<Shown | null> {
  const now = master.value;
  if (!now) return null;
  if (work.value?.isPreview) cancelWork();
  number += 1;
  const mine = number;
  const isMine = (): boolean => number === mine && master.peek()?.product === now.product;
  work.value = { task: "", isPreview };
  fault.value = null;
  try {
    const asked = { product: now.product, steps: stepsOn(chain.value), preview: isPreview, ...body };
    const done = await runTask<FinishResult>("/api/finish/run", asked, (task: Task) => {
      if (isMine()) work.value = { task: task.id, isPreview };
      else postJson(`/api/task/${task.id}/cancel`, {}).catch(() => undefined);
    });
    if (!isMine()) return null;
    const info = await fetchJson<ImageInfo>(`/api/image/${done.image}`);
    if (!isMine()) return null;
    const shown: Shown = { ...done, info, place: placeOf(done), isPreview };
    result.value = shown;
    return shown;
  } catch (error) {
    if (isMine() && error instanceof RequestRefused) fault.value = { message: error.message, hint: error.hint };
    else if (isMine()) tellFault(error);
    return null;
  } finally {
    if (number === mine) work.value = null;
  }
}

export const runPreview = (): Promise<Shown | null> => run({}, true);
export const runWhole = (name: string, formats: Format[]): Promise<Shown | null> => run({ name, formats }, false);

/** While previews are automatic, one is made when the chain has been quiet for a moment. */
let quiet: ReturnType<typeof setTimeout> | undefined;
effect(() => {
  const isWanted = screen.value === "finish" && isAuto.value && before.value !== null && offer.value !== null;
  const steps = JSON.stringify(stepsOn(chain.value));
  clearTimeout(quiet);
  if (!isWanted || faults.value.size > 0 || steps === "") return;
  quiet = setTimeout(() => {
    if (!work.peek() || work.peek()?.isPreview) void runPreview();
  }, QUIET_MS);
});
