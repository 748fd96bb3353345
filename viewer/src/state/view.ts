/** What the person last chose, kept with the project by the server: theme, language, sorting, stretch, open screen. */
import { computed, effect, signal } from "@preact/signals";
import { postJson } from "../api/client";
import type { Language, Settings, Theme } from "../api/types";
import { settings } from "./app";

export const SCREENS = ["open", "frames", "run", "live", "image", "finish", "sky", "report"] as const;
export type Screen = (typeof SCREENS)[number];

function screenOfHash(): Screen | null {
  const name = location.hash.slice(1);
  return (SCREENS as readonly string[]).includes(name) ? (name as Screen) : null;
}

export const screen = signal<Screen>(screenOfHash() ?? "open");
export const theme = computed<Theme>(() => settings.value.theme ?? "dark");
export const language = computed<Language>(
  () => settings.value.language ?? (navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en"),
);

export function showScreen(name: Screen): void {
  screen.value = name;
  history.replaceState(null, "", `#${name}`);
}

const SOON_MS = 500;
/** For what changes while a slider moves: nothing is sent until the hand has long been still. */
export const LATER_MS = 5000;

let waiting: Settings = {};
let timer: ReturnType<typeof setTimeout> | undefined;

function send(): void {
  clearTimeout(timer);
  timer = undefined;
  const part = waiting;
  waiting = {};
  if (Object.keys(part).length > 0) postJson("/api/settings", part).catch(() => undefined);
}

/** Remember a part of the settings: shown at once, sent when it has been quiet for a while, or when the page goes away. */
export function remember(part: Settings, wait_ms = SOON_MS): void {
  settings.value = { ...settings.value, ...part };
  waiting = { ...waiting, ...part };
  clearTimeout(timer);
  timer = setTimeout(send, wait_ms);
}

/** Remember one thing of the viewer's own under its key. */
export function rememberView(key: string, value: unknown, wait_ms = SOON_MS): void {
  remember({ view: { ...settings.value.view, [key]: value } }, wait_ms);
}

export function rememberedView<T>(key: string, otherwise: T): T {
  const value = settings.value.view?.[key];
  return value === undefined || value === null ? otherwise : (value as T);
}

addEventListener("pagehide", send);
addEventListener("visibilitychange", send);
addEventListener("hashchange", () => {
  const name = screenOfHash();
  if (name) screen.value = name;
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  document.documentElement.lang = language.value;
});
