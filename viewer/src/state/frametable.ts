/** The frames as rows: sorting, filtering, selecting, and what the person says of them. */
import { computed, signal } from "@preact/signals";
import { postJson } from "../api/client";
import { frames, loadFrames } from "./app";
import { reasonOf } from "../words/reasons";
import { rememberedView, rememberView } from "./view";

export interface FrameRow {
  id: string; file: string; group: string; status: "stacked" | "left_out"; code: string | null; reason: string | null;
  date_obs: string | null; time_s: number | null; exposure_s: number | null; gain: number | null; temperature_c: number | null; filter: string | null;
  n_stars: number | null; fwhm_px: number | null; eccentricity: number | null; background_adu: number | null; noise_adu: number | null;
  transparency: number | null; score: number | null; saturated_share: number | null; choice: "include" | "exclude" | null;
  /** Place in the order of time, from 0. */
  order: number;
}

export type Column = Exclude<keyof FrameRow, "time_s" | "order">;
export type Shown = "all" | "in" | "out" | "excluded";
export interface Sorting { column: Column; isDescending: boolean }

export const isIn = (row: FrameRow): boolean => row.status === "stacked" && row.choice !== "exclude";

/** Return the rows of a table of columns and lists, as objects. */
export function rowsOf(columns: string[], rows: unknown[][]): FrameRow[] {
  return rows.map((values, order) => {
    const row = Object.fromEntries(columns.map((name, i) => [name, values[i]])) as unknown as FrameRow;
    const text = row.date_obs;
    const time = text ? Date.parse(/Z|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`) / 1000 : Number.NaN;
    return { ...row, order, time_s: Number.isFinite(time) ? time : null };
  });
}

/** Return the rows in order; unknown values last whichever way, equal ones in the order of time. */
export function sortRows(rows: FrameRow[], { column, isDescending }: Sorting): FrameRow[] {
  const sign = isDescending ? -1 : 1;
  return [...rows].sort((p, q) => {
    const [x, y] = [p[column], q[column]];
    if (x === y) return p.order - q.order;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  });
}

export const rows = computed(() => (frames.value ? rowsOf(frames.value.columns, frames.value.rows) : []));
export const sorting = computed<Sorting>(() => rememberedView("frames.sorting", { column: "date_obs", isDescending: false }));
export const shown = computed<Shown>(() => rememberedView("frames.shown", "all"));
export const search = signal("");
export const selection = signal<ReadonlySet<string>>(new Set());
export const current = signal<string | null>(null);

export const visibleRows = computed(() => {
  const words = search.value.trim().toLowerCase();
  const kept = rows.value.filter((row) => {
    if (words && !`${row.file} ${row.reason ?? ""} ${reasonOf(row)} ${row.group}`.toLowerCase().includes(words)) return false;
    if (shown.value === "in") return isIn(row);
    if (shown.value === "out") return !isIn(row);
    return shown.value === "all" || row.choice === "exclude";
  });
  return sortRows(kept, sorting.value);
});

export const counts = computed(() => ({
  all: rows.value.length,
  in: rows.value.filter(isIn).length,
  excluded: rows.value.filter((row) => row.choice === "exclude").length,
}));

export function sortBy(column: Column): void {
  const now = sorting.value;
  rememberView("frames.sorting", { column, isDescending: now.column === column ? !now.isDescending : false });
}

export function showOnly(which: Shown): void {
  rememberView("frames.shown", which);
}

export async function choose(ids: Iterable<string>, choice: "exclude" | "include" | "clear"): Promise<void> {
  const list = [...ids];
  if (list.length === 0) return;
  await postJson("/api/frames/choice", { exclude: [], include: [], clear: [], [choice]: list });
  await loadFrames();
}
