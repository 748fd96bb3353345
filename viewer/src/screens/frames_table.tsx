/** The table of frames: a grid of any length, sorted by its heads, walked and chosen by keys. */
import { computed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { tellFault } from "../parts/notices";
import { useVirtualRows } from "../parts/virtual";
import { choose, current, isIn, rows, selection, sortBy, sorting, visibleRows, type Column, type FrameRow } from "../state/frametable";
import { formatNumber, t } from "../words";
import { reasonOf } from "../words/reasons";

const ROW_PX = 30;

interface Head { column: Column; digits?: number }
const HEADS: readonly Head[] = [
  { column: "choice" }, { column: "file" }, { column: "date_obs" }, { column: "reason" },
  { column: "fwhm_px", digits: 2 }, { column: "eccentricity", digits: 2 }, { column: "n_stars", digits: 0 },
  { column: "background_adu", digits: 0 }, { column: "noise_adu", digits: 1 }, { column: "transparency", digits: 2 }, { column: "score", digits: 3 },
  { column: "exposure_s", digits: 0 }, { column: "temperature_c", digits: 0 },
];

/** Return how many first letters all names share, so that the cell can begin with what tells them apart. */
export function sharedLength(names: string[]): number {
  const first = names[0];
  if (first === undefined || names.length < 2) return 0;
  let n = first.length;
  for (const name of names) {
    let i = 0;
    while (i < n && name[i] === first[i]) i += 1;
    n = i;
  }
  return n;
}

const nShared = computed(() => sharedLength(rows.value.map((row) => row.file)));

function cellText(row: FrameRow, { column, digits }: Head): string {
  const value = row[column];
  if (column === "file" && nShared.value > 6) return `…${row.file.slice(nShared.value - 2)}`;
  if (column === "reason") return reasonOf(row);
  if (value === null || value === undefined) return "–";
  if (digits !== undefined) return formatNumber(Number(value), digits);
  if (column === "date_obs") return String(value).slice(0, 19).replace("T", " ");
  return String(value);
}

function stateOf(row: FrameRow): "excluded" | "out" | "in" {
  if (row.choice === "exclude") return "excluded";
  return isIn(row) ? "in" : "out";
}

function Cell({ row, head }: { row: FrameRow; head: Head }) {
  if (head.column === "choice") {
    const shown = stateOf(row);
    return <span role="gridcell" class="state"><i class={`dot is-${shown}`} aria-hidden="true" /><span class="unseen">{t(`frames.state.${shown}`)}</span></span>;
  }
  const text = cellText(row, head);
  return <span role="gridcell" class={head.digits === undefined ? "" : "number"} title={head.column === "file" ? row.file : head.column === "reason" ? row.reason ?? undefined : undefined}>{text}</span>;
}

function select(event: MouseEvent, row: FrameRow, list: FrameRow[]): void {
  const next = new Set(event.ctrlKey || event.metaKey ? selection.value : []);
  if (event.shiftKey && current.value) {
    const [from, to] = [list.findIndex((other) => other.id === current.value), list.indexOf(row)].sort((p, q) => p - q);
    for (const other of list.slice(Math.max(0, from!), to! + 1)) next.add(other.id);
  } else if (next.has(row.id)) next.delete(row.id);
  else next.add(row.id);
  selection.value = next;
  current.value = row.id;
}

export function FrameGrid() {
  const scroller = useRef<HTMLDivElement>(null);
  const list = visibleRows.value;
  const virtual = useVirtualRows(scroller, list.length, ROW_PX);
  const place = list.findIndex((row) => row.id === current.value);

  useEffect(() => { if (place >= 0) virtual.scrollTo(place); }, [current.value]);

  const walk = (event: KeyboardEvent): void => {
    if (event.altKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 300) / ROW_PX) - 2);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -list.length, End: list.length };
    const chosen = selection.value.size > 0 ? selection.value : new Set(current.value ? [current.value] : []);
    if ((event.ctrlKey || event.metaKey) && event.key === "a") selection.value = new Set(list.map((row) => row.id));
    else if (event.ctrlKey || event.metaKey) return;
    else if (event.key in steps) {
      const next = list[Math.min(list.length - 1, Math.max(0, place + steps[event.key]!))];
      if (next) {
        if (event.shiftKey) selection.value = new Set([...selection.value, next.id, ...(current.value ? [current.value] : [])]);
        current.value = next.id;
      }
    } else if (event.key === " " && current.value) {
      const next = new Set(selection.value);
      if (!next.delete(current.value)) next.add(current.value);
      selection.value = next;
    } else if (event.key === "Escape") selection.value = new Set();
    else if (event.key === "x") choose(chosen, "exclude").catch(tellFault);
    else if (event.key === "i") choose(chosen, "include").catch(tellFault);
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={scroller} class="frame-grid" role="grid" tabIndex={0} aria-label={t("screen.frames")} aria-multiselectable="true"
      aria-rowcount={list.length + 1} aria-colcount={HEADS.length} aria-activedescendant={place >= 0 ? `frame-${list[place]!.id}` : undefined}
      onKeyDown={walk}
    >
      <div role="row" class="head" aria-rowindex={1}>
        {HEADS.map((head) => (
          <span
            key={head.column} role="columnheader" class={head.digits === undefined ? "" : "number"}
            aria-sort={sorting.value.column === head.column ? (sorting.value.isDescending ? "descending" : "ascending") : "none"}
          >
            <button type="button" class="plain" onClick={() => sortBy(head.column)} title={t(`frames.help.${head.column as "file"}`)}>
              {t(`frames.column.${head.column as "file"}`)}
            </button>
          </span>
        ))}
      </div>
      <div role="rowgroup" class="body" style={{ height: `${virtual.height}px` }}>
        {virtual.items.map((item) => {
          const row = list[item.index];
          if (!row) return null;
          return (
            <div
              key={row.id} id={`frame-${row.id}`} role="row" aria-rowindex={item.index + 2} aria-selected={selection.value.has(row.id)}
              class={`is-${stateOf(row)}${row.id === current.value ? " is-current" : ""}${item.index % 2 ? " is-odd" : ""}`}
              style={{ transform: `translateY(${item.start}px)` }}
              onClick={(event) => select(event, row, list)}
            >
              {HEADS.map((head) => <Cell key={head.column} row={row} head={head} />)}
            </div>
          );
        })}
      </div>
    </div>
  );
}
