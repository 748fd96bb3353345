/** The log of the run, live: by level, and saved as a text file by the browser. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { LogLine } from "../api/types";
import { Choice, Panel } from "../parts/controls";
import { useVirtualRows } from "../parts/virtual";
import { log } from "../state/app";
import { t, word } from "../words";

const LEVELS = ["info", "notice", "warning", "error"] as const;
type Level = (typeof LEVELS)[number];
const least = signal<Level>("info");
const ROW_PX = 22;

const timeOf = (line: LogLine): string => new Date(line.time * 1000).toISOString().slice(11, 19);

function save(lines: LogLine[]): void {
  const text = lines.map((line) => `${new Date(line.time * 1000).toISOString()} ${line.level} ${line.phase}: ${line.text}\n`).join("");
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "skyquilt.log";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

export function LogPanel() {
  const scroller = useRef<HTMLDivElement>(null);
  const lines = log.value.filter((line) => LEVELS.indexOf(line.level) >= LEVELS.indexOf(least.value));
  const virtual = useVirtualRows(scroller, lines.length, ROW_PX);
  const isAtEnd = useRef(true);
  useEffect(() => { if (isAtEnd.current && lines.length > 0) virtual.scrollTo(lines.length - 1); }, [lines.length]);
  const watch = (): void => {
    const box = scroller.current;
    if (box) isAtEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < 2 * ROW_PX;
  };
  return (
    <Panel
      title={t("run.log")} class="log"
      actions={(
        <>
          <Choice label={t("run.level")} value={least.value} onChange={(level) => { least.value = level; }} options={LEVELS.map((level) => ({ value: level, text: t(`level.${level}`) }))} />
          <button type="button" class="small" disabled={lines.length === 0} onClick={() => save(log.value)}>{t("common.save")}</button>
        </>
      )}
    >
      <div ref={scroller} class="lines" tabIndex={0} role="log" aria-label={t("run.log")} aria-live="off" onScroll={watch}>
        <div style={{ height: `${virtual.height}px` }}>
          {virtual.items.map((item) => {
            const line = lines[item.index];
            return line && (
              <p key={line.n} class={`is-${line.level}`} style={{ transform: `translateY(${item.start}px)` }}>
                <time>{timeOf(line)}</time><b>{word("phase", line.phase)}</b><span title={line.text}>{line.text}</span>
              </p>
            );
          })}
        </div>
      </div>
    </Panel>
  );
}
