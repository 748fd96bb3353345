/** The pictures that are open on the Image screen: the shown one (a), the one it is compared with (b), and how each is shown. */
import { computed, effect, signal } from "@preact/signals";
import { fetchJson, postJson } from "../api/client";
import type { Histogram, ImageInfo, Overlay, OverlayName, Product } from "../api/types";
import { autoHyperbola, FIRST_HYPERBOLA } from "../stretch/hyperbolic";
import { autoStretch, evenEnds, SHADOWS_SIGMA, TARGET_BACKGROUND, type Stretch } from "../stretch/stretch";
import { tellFault } from "../parts/notices";
import type { Camera } from "../tiles/camera";
import { imageChanged, products } from "./app";
import { LATER_MS, rememberedView, rememberView } from "./view";

export type Source = { product: string } | { frame: string } | { live: true };

export interface Picture {
  /** Under which its stretch is remembered: the file, so that it is found again in a later start. */
  key: string;
  source: Source;
  info: ImageInfo;
  histogram: Histogram | null;
}

export type Comparison = "single" | "side" | "blink";

export const a = signal<Picture | null>(null);
export const b = signal<Picture | null>(null);
export const map = signal<Picture | null>(null);
export const mapOpacity = signal(0.6);
export const comparison = signal<Comparison>("single");
export const shownOverlays = signal<ReadonlySet<OverlayName>>(new Set());
export const overlays = signal<ReadonlyMap<OverlayName, Overlay>>(new Map());

/** The stretch of each picture that is open, by its key. */
export const stretches = signal<Readonly<Record<string, Stretch>>>({});

/** A finished picture is shown as it is: black at 0, white at 1. */
const asItIs = (info: ImageInfo): ImageInfo["stretch"]["linked"] => {
  const all = (value: number): number[] => info.channel_names.map(() => value);
  return { shadows: all(0), midtones: all(0.5), highlights: all(1) };
};

export function firstStretch(info: ImageInfo): Stretch {
  if (info.unit === "stretched") {
    return { curve: "mtf", linked: true, target: TARGET_BACKGROUND, sigma: SHADOWS_SIGMA, strength: 200, saturation: 1, stf: asItIs(info) };
  }
  const linked = info.channels === 3 && info.kind !== "frame" ? false : true;
  return {
    curve: "mtf", linked, target: TARGET_BACKGROUND, sigma: SHADOWS_SIGMA, strength: 200, saturation: 1,
    stf: linked ? info.stretch.linked : info.stretch.unlinked,
  };
}

/** Maps are shown from their least to their largest value, straight. */
function mapStretch(info: ImageInfo): Stretch {
  const { statistics } = info;
  const low = Math.min(...statistics.map(({ minimum }) => minimum));
  const high = Math.max(...statistics.map(({ maximum }) => maximum));
  const all = (value: number): number[] => statistics.map(() => value);
  return { ...firstStretch(info), stf: { shadows: all(low), midtones: all(0.5), highlights: all(high > low ? high : low + 1) } };
}

export function stretchOf(picture: Picture): Stretch {
  return stretches.value[picture.key] ?? (picture.info.kind === "map" ? mapStretch(picture.info) : firstStretch(picture.info));
}

/** Show the picture so from now on, and remember it with the project. */
export function setStretch(picture: Picture, change: Partial<Stretch>): void {
  stretches.value = { ...stretches.value, [picture.key]: { ...stretchOf(picture), ...change } };
  rememberView("stretches", stretches.value, LATER_MS);
}

/** Stretch by the figures of the picture: no request. */
export function setAutoStretch(picture: Picture, change: Partial<Pick<Stretch, "linked" | "target" | "sigma">> = {}): void {
  const next = { ...stretchOf(picture), ...change };
  const stf = autoStretch(picture.info.statistics, next.linked, next.target, next.sigma);
  setStretch(picture, { ...next, curve: "mtf", stf });
}

/** The same by the generalised hyperbolic curve, whose shape and protected ends stay as they were chosen. */
export function setAutoHyperbola(picture: Picture, change: Partial<Pick<Stretch, "linked" | "target" | "sigma">> = {}): void {
  const next = { ...stretchOf(picture), ...change };
  const { statistics } = picture.info;
  const stf = autoStretch(statistics, next.linked, next.target, next.sigma);
  const even = next.linked ? stf : evenEnds(statistics, stf, next.target);
  const chosen = next.hyperbola ?? FIRST_HYPERBOLA;
  const { factor, symmetry } = autoHyperbola(statistics, even, next.target, chosen.shape);
  setStretch(picture, { ...next, curve: "hyperbolic", stf: even, hyperbola: { ...chosen, factor, symmetry } });
}

async function openPicture(source: Source, key: string): Promise<Picture> {
  const info = await postJson<ImageInfo>("/api/image", source);
  const known = rememberedView<Record<string, Stretch>>("stretches", {})[key];
  if (known && known.stf.shadows.length === info.channels) stretches.value = { ...stretches.value, [key]: known };
  return { key, source, info, histogram: null };
}

function withHistogram(target: typeof a, picture: Picture): void {
  fetchJson<Histogram>(`/api/image/${picture.info.handle}/histogram`)
    .then((histogram) => {
      const now = target.value;
      if (now?.info.handle === picture.info.handle) target.value = { ...now, histogram };
    })
    .catch(tellFault);
}

const isOpen = (handle: string): boolean => [a, b, map].some((slot) => slot.value?.info.handle === handle);

async function replace(slot: typeof a, source: Source | null, key: string): Promise<Picture | null> {
  const before = slot.value;
  const next = source ? await openPicture(source, key) : null;
  slot.value = next;
  if (before && !isOpen(before.info.handle)) postJson(`/api/image/${before.info.handle}/close`, {}).catch(() => undefined);
  return next;
}

export async function showPicture(source: Source, key: string): Promise<void> {
  const next = await replace(a, source, key);
  overlays.value = new Map();
  if (map.value) await showMap(null);
  if (next) withHistogram(a, next);
  rememberView("picture", { source, key });
}

export async function comparePicture(source: Source | null, key = ""): Promise<void> {
  const next = await replace(b, source, key);
  if (!next) comparison.value = "single";
  else if (comparison.value === "single") comparison.value = "side";
  if (next) withHistogram(b, next);
  rememberView("beside", next ? { key, way: comparison.value } : null);
}

export function compareBy(way: Comparison): void {
  comparison.value = way;
  if (b.value) rememberView("beside", { key: b.value.key, way });
}

export async function showMap(product: string | null, name = ""): Promise<void> {
  await replace(map, product ? { product } : null, `map:${name}`);
  rememberView("map", product && a.value ? { of: a.value.key, name } : null);
}

/** Remember where in the picture is looked at; sent once that has been still for a while. */
export function rememberPlace(picture: Picture, camera: Camera | null): void {
  rememberView("place", camera ? { of: picture.key, camera } : null, LATER_MS);
}

export function placeIn(picture: Picture): Camera | null {
  const known = rememberedView<{ of: string; camera: Camera } | null>("place", null);
  return known?.of === picture.key ? known.camera : null;
}

/** Show what lay beside the picture, and the map above it, when they were seen last; `sourceOf` finds what is there still. */
export async function restoreBeside(sourceOf: (key: string) => Source | null): Promise<void> {
  const beside = rememberedView<{ key: string; way: Comparison } | null>("beside", null);
  const above = rememberedView<{ of: string; name: string } | null>("map", null);
  const source = beside && sourceOf(beside.key);
  if (beside && source) {
    await comparePicture(source, beside.key);
    compareBy(beside.way);
  }
  const item = above?.of === a.value?.key ? a.value?.info.maps.find(({ name }) => name === above?.name) : undefined;
  if (item) await showMap(item.product, item.name);
}

export const pictureOfProduct = (group: string, product: Product): [Source, string] => [{ product: product.id }, `${group}/${product.name}`];

/** Ask for an overlay once, and show it from then on. */
export async function toggleOverlay(name: OverlayName, isOn: boolean): Promise<void> {
  const next = new Set(shownOverlays.value);
  if (isOn) next.add(name);
  else next.delete(name);
  shownOverlays.value = next;
  rememberView("overlays", [...next]);
}

/** Overlays that are wanted and not yet here are fetched as soon as the picture offers them. */
effect(() => {
  const picture = a.value;
  if (!picture) return;
  for (const name of shownOverlays.value) {
    if (overlays.value.has(name) || !picture.info.overlays.includes(name)) continue;
    const { handle } = picture.info;
    overlays.value = new Map(overlays.peek()).set(name, { lines: [], marks: [] });
    fetchJson<Overlay>(`/api/image/${handle}/overlay/${name}`)
      .then((overlay) => {
        if (a.peek()?.info.handle === handle) overlays.value = new Map(overlays.peek()).set(name, overlay);
      })
      .catch(tellFault);
  }
});

/** A product that a new run has written again is opened again; the place and the stretch stay. */
async function openAgain(slot: typeof a): Promise<void> {
  const now = slot.peek();
  if (!now || !("product" in now.source)) return;
  const info = await postJson<ImageInfo>("/api/image", now.source);
  if (slot.peek()?.info.handle !== now.info.handle || info.handle === now.info.handle) return;
  slot.value = { ...now, info, histogram: null };
  withHistogram(slot, slot.peek()!);
  if (slot === a) overlays.value = new Map();
  if (!isOpen(now.info.handle)) postJson(`/api/image/${now.info.handle}/close`, {}).catch(() => undefined);
}

effect(() => {
  const there = new Set(products.value.flatMap((group) => group.products.map(({ id }) => id)));
  for (const slot of [a, b, map]) {
    const source = slot.peek()?.source;
    if (source && "product" in source && there.has(source.product)) openAgain(slot).catch(() => undefined);
  }
});

/** A picture that grew: new figures and new tiles under the same handle. */
effect(() => {
  const change = imageChanged.value;
  if (!change) return;
  for (const slot of [a, b, map]) {
    const now = slot.peek();
    if (now?.info.handle !== change.handle || now.info.revision === change.revision) continue;
    fetchJson<ImageInfo>(`/api/image/${change.handle}`)
      .then((info) => {
        const later = slot.peek();
        if (later?.info.handle !== info.handle) return;
        slot.value = { ...later, info };
        withHistogram(slot, slot.peek()!);
      })
      .catch(() => undefined);
  }
});

export const hasTwo = computed(() => a.value !== null && b.value !== null);
