/** The live stack: its figures, its frames and the curve of its noise, kept by events. */
import { batch, computed, signal } from "@preact/signals";
import { fetchJson } from "../api/client";
import type { LiveBoard, LiveFigures, LiveFrame, LivePoint, LiveUpdate } from "../api/types";

export const figures = signal<LiveFigures | null>(null);
export const curve = signal<LivePoint[]>([]);
export const excluded = signal<ReadonlySet<string>>(new Set());
const frames = signal<ReadonlyMap<string, LiveFrame>>(new Map());

const moment = (frame: LiveFrame): string => `${frame.date_obs ?? ""} ${frame.file}`;

/** The frames, the newest first. */
export const newestFirst = computed(() => [...frames.value.values()].sort((p, q) => (moment(p) < moment(q) ? 1 : -1)));

/** Fold what has changed into what is known. */
export function takeLive(update: LiveUpdate): void {
  batch(() => {
    figures.value = update.figures;
    excluded.value = new Set(update.excluded);
    const before = update.is_anew ? [] : [...frames.value];
    frames.value = new Map([...before, ...update.frames.map((frame) => [frame.file, frame] as const)]);
    curve.value = update.is_anew ? update.curve : [...curve.value, ...update.curve];
  });
}

export async function loadLive(): Promise<void> {
  takeLive({ ...(await fetchJson<LiveBoard>("/api/live")), is_anew: true });
}
