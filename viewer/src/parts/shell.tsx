/** The frame around every screen: navigation, what runs, engine, theme, language, keys. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Theme } from "../api/types";
import { engine, isConnected, isReadOnly, isRunning, job, refusedEntry, session, state, tasks } from "../state/app";
import { language, remember, screen, SCREENS, showScreen, theme, type Screen } from "../state/view";
import { formatDuration, t, word } from "../words";
import { Bar, Dialog } from "./controls";
import { Icon } from "./icons";
import { Notices } from "./notices";

const isHelpOpen = signal(false);
const THEMES: readonly Theme[] = ["dark", "light", "night"];

function isTyping(event: KeyboardEvent): boolean {
  return event.target instanceof HTMLElement && event.target.matches("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]");
}

function takeKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || document.querySelector("dialog[open]")) return;
  const name = SCREENS[Number(event.key) - 1];
  if (name) showScreen(name);
  else if (event.key === "?") isHelpOpen.value = true;
  else if (event.key === "t") nextTheme();
}

function nextTheme(): void {
  remember({ theme: THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]! });
}

function Navigation() {
  return (
    <nav class="rail" aria-label={t("shell.screens")}>
      <a class="mark" href="#open" title="skyquilt" aria-label="skyquilt"><span /></a>
      {SCREENS.map((name, i) => (
        <a key={name} href={`#${name}`} aria-current={screen.value === name ? "page" : undefined} title={`${t(`screen.${name}`)} (${i + 1})`}>
          <Icon name={name} size={22} />
          <span>{t(`screen.${name}`)}</span>
        </a>
      ))}
      <span class="space" />
      <button type="button" title={`${t("shell.help")} (?)`} onClick={() => { isHelpOpen.value = true; }}>
        <Icon name="help" size={22} />
        <span>{t("shell.help")}</span>
      </button>
    </nav>
  );
}

function Activity() {
  const running = job.value;
  if (running && (isRunning.value || running.state === "interrupted")) {
    return (
      <a class="activity" href={running.kind === "watch" ? "#live" : "#run"}>
        <span>{running.state === "running" ? word("phase", running.phase) : word("job", running.state)}</span>
        <Bar share={running.percent} label={t("run.progress")} />
        {running.eta_s !== null && <span class="muted">{formatDuration(running.eta_s)}</span>}
      </a>
    );
  }
  const task = [...tasks.value.values()].at(-1);
  if (!task) return null;
  return (
    <span class="activity">
      <span>{word("task", task.kind)}</span>
      <Bar share={task.percent > 0 ? task.percent : null} label={word("task", task.kind)} />
    </span>
  );
}

function EngineState() {
  const shown = !isConnected.value ? "away" : engine.value.state;
  return (
    <span class={`engine is-${shown}`} role="status" title={engine.value.message ?? ""}>
      <i aria-hidden="true" />
      {t(`engine.${shown}`)}
      {engine.value.restarts > 0 && <small> {t("engine.restarts", { n: engine.value.restarts })}</small>}
    </span>
  );
}

function TopBar() {
  return (
    <header class="top">
      <div class="where">
        <strong>{session.value?.name ?? "skyquilt"}</strong>
        {state.value?.project && <span class="muted">{t("shell.output", { folder: state.value.project.out })}</span>}
        {isReadOnly.value && <span class="badge is-warning">{t("shell.readOnly")}</span>}
      </div>
      <Activity />
      <EngineState />
      <select class="compact" aria-label={t("shell.theme")} value={theme.value} onChange={(event) => remember({ theme: event.currentTarget.value as Theme })}>
        {THEMES.map((name) => <option key={name} value={name}>{t(`theme.${name}`)}</option>)}
      </select>
      <select
        class="compact" aria-label={t("shell.language")} value={language.value}
        onChange={(event) => remember({ language: event.currentTarget.value as "en" | "fr" })}
      >
        <option value="en" lang="en">English</option>
        <option value="fr" lang="fr">Français</option>
      </select>
    </header>
  );
}

const KEYS = {
  "help.anywhere": [[`1 – ${SCREENS.length}`, "help.screens"], ["?", "help.this"], ["t", "help.theme"]],
  "help.picture": [
    ["← ↑ → ↓", "help.pan"], ["+ −", "help.zoom"], ["f / 0", "help.fit"], ["z", "help.one"], ["a", "help.auto"], ["b", "help.blink"], ["g", "help.grid"],
  ],
  "help.frames": [
    ["↑ ↓ PgUp PgDn", "help.rows"], ["x / i", "help.choose"], ["Space", "help.select"], ["p", "help.play"],
  ],
  "screen.finish": [
    ["Ctrl Z", "finish.undo"], ["Ctrl Shift Z", "finish.redo"], ["b", "help.before"], ["p", "finish.preview"], ["Alt ↑ ↓", "help.moveStep"],
    ["Delete", "help.removeStep"],
  ],
} as const;

function Help() {
  return (
    <Dialog title={t("help.title")} onClose={() => { isHelpOpen.value = false; }}>
      <div class="keys">
        {Object.entries(KEYS).map(([title, keys]) => (
          <section key={title}>
            <h3>{t(title as keyof typeof KEYS)}</h3>
            <dl>{keys.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{t(text)}</dd></div>)}</dl>
          </section>
        ))}
      </div>
      <p class="muted">{t("help.private")} {state.value && `skyquilt ${state.value.version}`}</p>
    </Dialog>
  );
}

export function Shell({ screens }: { screens: Record<Screen, ComponentType> }) {
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    addEventListener("keydown", takeKey);
    return () => removeEventListener("keydown", takeKey);
  }, []);
  useEffect(() => { document.title = `${t(`screen.${screen.value}`)} · skyquilt`; });
  if (refusedEntry.value) {
    return <main class="refused"><h1>skyquilt</h1><p>{t("fault.noEntry")}</p></main>;
  }
  const Content = screens[screen.value];
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>{t("shell.skip")}</a>
      <Navigation />
      <TopBar />
      <main ref={main} id="main" tabIndex={-1} class={`screen-${screen.value}`}>
        <h1 class="unseen">{t(`screen.${screen.value}`)}</h1>
        {state.value ? <Content /> : <p class="empty" role="status">{t("shell.connecting")}</p>}
      </main>
      <Notices />
      {isHelpOpen.value && <Help />}
    </>
  );
}

