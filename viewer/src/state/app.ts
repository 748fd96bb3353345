/** What the server says, as signals: the one place that every screen reads, kept by the events of one WebSocket. */
import { batch, computed, signal } from "@preact/signals";
import { fetchJson, settleTask } from "../api/client";
import type { AppEvent, Engine, FrameTable, Gauges, Job, LogLine, ProductGroup, Session, Settings, State, Task } from "../api/types";
import { takeLive } from "./livestack";

export const isConnected = signal(false);
export const refusedEntry = signal(false);
export const state = signal<State | null>(null);
export const engine = signal<Engine>({ state: "starting", restarts: 0 });
export const session = signal<Session | null>(null);
export const job = signal<Job | null>(null);
export const tasks = signal<ReadonlyMap<string, Task>>(new Map());
export const log = signal<LogLine[]>([]);
export const gauges = signal<Gauges | null>(null);
export const frames = signal<FrameTable | null>(null);
export const products = signal<ProductGroup[]>([]);
export const settings = signal<Settings>({});

/** A picture that grew, or whose levels have become exact; the image screen listens. */
export const imageChanged = signal<{ handle: string; revision: number; rough_from: number | null } | null>(null);

export const isReadOnly = computed(() => state.value?.is_read_only ?? false);
export const isRunning = computed(() => job.value?.state === "running" || job.value?.state === "stopping");

const MOST_LOG_LINES = 5000;

export async function loadFrames(): Promise<void> {
  frames.value = await fetchJson<FrameTable>("/api/frames");
}

export async function loadProducts(): Promise<void> {
  products.value = (await fetchJson<{ groups: ProductGroup[] }>("/api/products")).groups;
}

export async function loadLog(): Promise<void> {
  const after = log.value.at(-1)?.n ?? 0;
  addLines((await fetchJson<{ lines: LogLine[] }>(`/api/log?after=${after}`)).lines);
}

function addLines(lines: LogLine[]): void {
  const last = log.value.at(-1)?.n ?? 0;
  const fresh = lines.filter((line) => line.n > last);
  if (fresh.length > 0) log.value = [...log.value, ...fresh].slice(-MOST_LOG_LINES);
}

function takeState(next: State): void {
  const hadProject = state.value?.project?.folder.id;
  batch(() => {
    state.value = next;
    engine.value = next.engine;
    session.value = next.session;
    job.value = next.job;
    settings.value = next.settings;
    tasks.value = new Map(next.tasks.map((task) => [task.id, task]));
    if (hadProject !== next.project?.folder.id) {
      frames.value = null;
      products.value = [];
    }
  });
  if (next.project) {
    loadProducts().catch(() => undefined);
    loadFrames().catch(() => undefined);
    loadLog().catch(() => undefined);
  }
}

/** Fold one event of the server into the state. */
export function takeEvent(event: AppEvent): void {
  switch (event.type) {
    case "state":
      takeState(event.state);
      break;
    case "engine":
      engine.value = { state: event.state, restarts: event.restarts, ...(event.message ? { message: event.message } : {}) };
      break;
    case "task": {
      const next = new Map(tasks.value);
      if (event.task.state === "running") next.set(event.task.id, event.task);
      else next.delete(event.task.id);
      tasks.value = next;
      settleTask(event.task);
      break;
    }
    case "job":
      job.value = event.job;
      break;
    case "log":
      addLines(event.lines);
      break;
    case "gauges":
      gauges.value = { memory: event.memory, disk: event.disk };
      break;
    case "frames":
      loadFrames().catch(() => undefined);
      break;
    case "image":
      imageChanged.value = { handle: event.handle, revision: event.revision, rough_from: event.rough_from };
      break;
    case "live":
      takeLive(event);
      break;
    case "products":
      loadProducts().catch(() => undefined);
      break;
    case "settings":
      settings.value = event.settings;
      break;
    case "pong":
      break;
  }
}

/** Listen to the server for as long as the page lives. */
export function listen(): void {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/api/events`);
  socket.onopen = () => { isConnected.value = true; };
  socket.onmessage = (message: MessageEvent<string>) => takeEvent(JSON.parse(message.data) as AppEvent);
  socket.onclose = (event) => {
    isConnected.value = false;
    if (event.code === 4401) refusedEntry.value = true;
    else setTimeout(listen, 1000);
  };
}
