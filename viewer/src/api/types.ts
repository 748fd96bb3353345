/** The nouns of the server's interface, version 1. Times in seconds, angles in degrees, lengths in px of the full image. */

export interface Folder { id: string; name: string; n_images: number | null }
export interface FolderList { folder: Folder | null; parents: Folder[]; folders: Folder[]; n_files?: number; is_cut?: boolean }

export interface Product {
  id: string; name: string; file: string; kind: "image" | "map" | "picture" | "other"; size_bytes: number; mtime: number;
}
export interface ProductGroup { name: string; kind: "stack" | "mosaic" | "finish"; products: Product[]; report: string | null }

export interface SessionGroup {
  name: string; target: string | null; filter: string | null; n_frames: number; exposure_s: number | null;
  width: number; height: number; is_colour: boolean; products: Product[];
}
export interface CalibrationFound { kind: string; n_files: number; verdict: "found" | "used" | "not used" | "missing"; reason: string }
export interface LeftOut { file: string; code: string; reason: string }
export interface Check { name: string; verdict: "ok" | "warning" | "blocked"; text: string; code?: string; values?: Record<string, unknown> }
export interface Session {
  device: string; name: string; groups: SessionGroup[]; calibration: CalibrationFound[]; left_out: LeftOut[]; notes: string[];
  preflight: { verdict: "ready" | "warning" | "blocked"; checks: Check[] };
}

export interface ApiFault { message: string; hint: string }
export interface Task {
  id: string; kind: string; state: "running" | "done" | "failed" | "stopped"; stage: string; percent: number;
  result: unknown; error: ApiFault | null;
}

export interface Phase { name: string; state: "waiting" | "running" | "done"; done: number; total: number; seconds: number }
export type JobState = "running" | "stopping" | "stopped" | "interrupted" | "done" | "failed";
export interface Job {
  id: string; kind: Kind | "watch"; state: JobState; settings: Record<string, unknown>; phase: string; phases: Phase[];
  percent: number; eta_s: number | null; elapsed_s: number; n_left_out: number; restarts: number;
  error: ApiFault | null; products: Product[]; live?: string | null;
}

export type Kind = "stack" | "mosaic";
export type Theme = "dark" | "light" | "night";
export type Language = "en" | "fr";
export interface Settings {
  language?: Language | null; theme?: Theme | null; kind?: Kind; recipe?: Record<string, unknown>; preset?: string | null;
  view?: Record<string, unknown>;
}
export interface Engine { state: "starting" | "ready" | "dead"; restarts: number; pid?: number; message?: string }
export interface State {
  version: string; api: number; engine: Engine; roots: Folder[]; is_read_only: boolean;
  project: { folder: Folder; out: string } | null; session: Session | null; job: Job | null; tasks: Task[]; settings: Settings;
}

export interface FrameTable { revision: number; is_scored: boolean; columns: string[]; rows: unknown[][] }

export interface SchemaField {
  description?: string; default?: unknown; group?: string; type?: string; enum?: string[]; const?: unknown;
  anyOf?: SchemaField[]; items?: SchemaField; prefixItems?: SchemaField[];
  minimum?: number; maximum?: number; exclusiveMinimum?: number; exclusiveMaximum?: number;
}
export interface RecipeKind {
  schema: { properties: Record<string, SchemaField> }; groups: string[]; presets: Record<string, Record<string, unknown>>;
  defaults: Record<string, unknown>;
}
export type RecipeKinds = Record<Kind, RecipeKind>;
export interface FinishOperation {
  name: string; title: string; domain: "linear" | "picture" | "any"; channels: number[]; makes_picture: boolean;
  schema: { properties: Record<string, SchemaField> };
}
/** A step as a chain's file has it: its operation, any of its settings; `is_on` is the app's own. */
export interface FinishStep {
  operation: string; optional?: boolean; mask?: Record<string, unknown>; mask_inverted?: boolean; is_on?: boolean; [setting: string]: unknown;
}
export interface FinishPreset { name: string; title: string; steps: FinishStep[] }
export interface FinishOffer {
  operations: FinishOperation[]; mask: { schema: { properties: Record<string, SchemaField> } }; presets: FinishPreset[];
  chains: { id: string; name: string }[];
}
export interface FinishedStep { operation: string; facts: Record<string, unknown>; notes: string[]; skipped: string | null }
/** What a chain made: its image, and which part of the master it shows on how much coarser pixels. */
export interface FinishResult {
  image: string; steps: FinishedStep[]; is_picture: boolean; factor: number; box: [number, number, number, number]; files: string[];
}
export interface Plan {
  name: string; n_frames: number; width: number; height: number; peak_memory_bytes: number; scratch_bytes: number;
  output_bytes: number; seconds: number; schedule: string; lines: string[];
}

export interface LogLine { n: number; time: number; level: "info" | "notice" | "warning" | "error"; phase: string; text: string }
export interface Gauges {
  memory: { engine_bytes: number | null; total_bytes: number; available_bytes: number; limit_bytes: number | null };
  disk: { free_bytes: number; total_bytes: number; scratch_bytes: number };
}

export interface Stf { shadows: number[]; midtones: number[]; highlights: number[] }
export interface ChannelStatistics { median: number; madn: number; minimum: number; maximum: number; n_known: number; is_sampled: boolean }
export interface ImageInfo {
  handle: string; name: string; kind: "image" | "map" | "frame" | "live"; unit: string; width: number; height: number;
  channels: 1 | 3; channel_names: string[]; row_order: "TOP-DOWN" | "BOTTOM-UP"; tile: number; levels: number;
  level_sizes: [number, number][]; rough_from: number | null; revision: number; wcs: Record<string, unknown> | null;
  sky: { ra_deg: number; dec_deg: number; scale_arcsec: number; north_deg: number; is_mirrored: boolean } | null;
  header: [string, unknown, string][]; statistics: ChannelStatistics[]; stretch: { linked: Stf; unlinked: Stf };
  maps: { name: string; product: string }[]; overlays: OverlayName[];
}
export type OverlayName = "grid" | "stars" | "objects" | "footprints";
export interface OverlayLine { points: [number, number][]; label?: string; kind: string; id?: string | null }
export interface OverlayMark { x: number; y: number; radius: number; label: string; magnitude: number | null; kind: string }
export interface Overlay { lines: OverlayLine[]; marks: OverlayMark[] }
/** Bins equal in u = asinh((v - centre) / scale) from low to high, so that sky and stars both have bins enough. */
export interface HistogramChannel { centre: number; scale: number; low: number; high: number; below: number; above: number; counts: number[] }
export interface Histogram { channels: HistogramChannel[]; is_sampled: boolean }
export interface PixelValue { x: number; y: number; values: (number | null)[]; ra_deg: number | null; dec_deg: number | null }

export interface SkyGroup {
  name: string; solved: boolean; reason: string | null; ra_deg: number; dec_deg: number; outline: [number, number][];
  scale_arcsec: number | null;
  frames: { id: string | null; file: string; panel: string | null; status: string; outline: [number, number][] }[];
  coverage: string | null; covered_deg2: number | null; panels: { name: string; ra_deg: number; dec_deg: number; n_frames: number }[];
}

export interface LiveFigures {
  group: string; n_in: number; n_left_out: number; exposure_s: number; level_adu: number | null; noise_adu: number | null;
  expected_adu: number | null; delay_s: number | null; problem: string | null;
}
export interface LiveFrame {
  file: string; status: "stacked" | "left_out"; code?: string | null; reason?: string | null; date_obs?: string | null; fwhm_px?: number | null;
  n_stars?: number | null; background_adu?: number | null;
}
export interface LivePoint { n_in: number; exposure_s: number | null; noise_adu: number | null; expected_adu: number | null }
export interface LiveBoard { figures: LiveFigures | null; frames: LiveFrame[]; curve: LivePoint[]; excluded: string[] }
/** What is new of the live stack; all of it if `is_anew`. */
export interface LiveUpdate extends LiveBoard { is_anew: boolean }

export type AppEvent =
  | { type: "state"; state: State }
  | ({ type: "engine" } & Engine)
  | { type: "task"; task: Task }
  | { type: "job"; job: Job }
  | { type: "log"; lines: LogLine[] }
  | ({ type: "gauges" } & Gauges)
  | { type: "frames"; revision: number }
  | { type: "image"; handle: string; revision: number; rough_from: number | null }
  | ({ type: "live" } & LiveUpdate)
  | { type: "products" }
  | { type: "settings"; settings: Settings }
  | { type: "pong" };
