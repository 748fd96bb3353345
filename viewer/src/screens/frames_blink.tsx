/** Looking at frames one after the other, up to ten a second, all with the curve of the first, fetched ahead. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { IconButton, Slider } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { choose, current, rows, selection, visibleRows, type FrameRow } from "../state/frametable";
import { showPicture } from "../state/pictures";
import { showScreen } from "../state/view";
import { formatNumber, t } from "../words";
import { reasonOf } from "../words/reasons";

const SIZE = 960;
const MOST_HELD = 60;
const AHEAD = 12;
const MOST_AT_ONCE = 4;

/** Previews by frame and curve: held up to a number, fetched a few at a time, a failed one may be asked for again. */
class Previews {
  private readonly held = new Map<string, ImageBitmap>();
  private readonly asked = new Set<string>();

  constructor(private readonly arrived: () => void) {}

  get(id: string, like: string | null): ImageBitmap | undefined {
    return this.held.get(`${id}/${like}`);
  }

  want(ids: string[], like: string | null): void {
    for (const id of ids) {
      if (this.asked.size >= MOST_AT_ONCE) return;
      const key = `${id}/${like}`;
      if (!this.held.has(key) && !this.asked.has(key)) void this.load(key, id, like);
    }
  }

  private async load(key: string, id: string, like: string | null): Promise<void> {
    this.asked.add(key);
    try {
      const response = await fetch(`/api/frame/${id}/preview?size=${SIZE}${like && like !== id ? `&like=${like}` : ""}`, { credentials: "same-origin" });
      if (!response.ok) return;
      this.held.set(key, await createImageBitmap(await response.blob()));
      for (const [old, bitmap] of this.held) {
        if (this.held.size <= MOST_HELD) break;
        bitmap.close();
        this.held.delete(old);
      }
    } catch {
      // an unreadable preview leaves the place empty
    } finally {
      this.asked.delete(key);
      this.arrived();
    }
  }
}

const isPlaying = signal(false);
const rate = signal(10);
const arrivals = signal(0);
const previews = new Previews(() => { arrivals.value += 1; });

/** What is walked through: the selected frames, or all that the table shows. */
function playlist(): FrameRow[] {
  const chosen = visibleRows.value.filter((row) => selection.value.has(row.id));
  return chosen.length > 1 ? chosen : visibleRows.value;
}

function step(by: number): void {
  const list = playlist();
  if (list.length === 0) return;
  const place = list.findIndex((row) => row.id === current.value);
  current.value = list[(place + by + list.length) % list.length]!.id;
}

function Figures({ row }: { row: FrameRow }) {
  const figures: [string, number | null, number][] = [
    ["FWHM", row.fwhm_px, 2], [t("frames.column.eccentricity"), row.eccentricity, 2], [t("frames.column.n_stars"), row.n_stars, 0],
    [t("frames.column.background_adu"), row.background_adu, 0], [t("frames.column.score"), row.score, 3],
  ];
  return (
    <dl class="figures">
      {figures.map(([name, value, digits]) => <div key={name}><dt>{name}</dt><dd>{value === null ? "–" : formatNumber(value, digits)}</dd></div>)}
    </dl>
  );
}

export function Blink() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const list = playlist();
  const row = rows.value.find((other) => other.id === current.value) ?? list[0] ?? null;
  const like = list[0]?.id ?? null;
  const bitmap = row ? previews.get(row.id, like) : undefined;

  useEffect(() => {
    void arrivals.value;
    if (!row) return;
    const place = list.findIndex((other) => other.id === row.id);
    const next = place < 0 ? [row] : Array.from({ length: Math.min(AHEAD, list.length) }, (_, i) => list[(place + i) % list.length]!);
    previews.want(isPlaying.value ? next.map((other) => other.id) : next.slice(0, 3).map((other) => other.id), like);
  }, [row?.id, like, arrivals.value, isPlaying.value]);

  useEffect(() => {
    const paper = canvas.current?.getContext("2d");
    if (!paper || !canvas.current || !bitmap) return;
    if (canvas.current.width !== bitmap.width) canvas.current.width = bitmap.width;
    if (canvas.current.height !== bitmap.height) canvas.current.height = bitmap.height;
    paper.drawImage(bitmap, 0, 0);
  }, [bitmap]);

  useEffect(() => {
    if (!isPlaying.value) return undefined;
    const timer = setInterval(() => {
      const all = playlist();
      const place = all.findIndex((other) => other.id === current.value);
      const next = all[(place + 1) % all.length];
      if (next && previews.get(next.id, all[0]?.id ?? null)) step(1); // waits for what is not here yet
      else if (next) previews.want([next.id], all[0]?.id ?? null);
    }, 1000 / rate.value);
    return () => clearInterval(timer);
  }, [isPlaying.value, rate.value]);

  useEffect(() => {
    const takeKey = (event: KeyboardEvent): void => {
      if (event.key !== "p" || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
      if (event.target instanceof HTMLElement && event.target.matches("input[type=search], input[type=text], select, textarea")) return;
      isPlaying.value = !isPlaying.value;
    };
    addEventListener("keydown", takeKey);
    return () => { removeEventListener("keydown", takeKey); isPlaying.value = false; };
  }, []);

  if (!row) return null;
  return (
    <section class="blink" aria-label={t("frames.blink")}>
      <div class="media screen"><canvas ref={canvas} role="img" aria-label={row.file} class={bitmap ? "" : "is-waiting"} /></div>
      <div class="controls">
        <IconButton icon="back" label={t("frames.previous")} onClick={() => step(-1)} />
        <IconButton icon={isPlaying.value ? "pause" : "play"} label={t(isPlaying.value ? "frames.pause" : "frames.play")} pressed={isPlaying.value} onClick={() => { isPlaying.value = !isPlaying.value; }} />
        <IconButton icon="next" label={t("frames.next")} onClick={() => step(1)} />
        <Slider label={t("frames.rate")} value={rate.value} min={1} max={10} step={1} shown={t("frames.perSecond", { n: rate.value })} onInput={(value) => { rate.value = value; }} />
        <span class="space" />
        <button type="button" class="small" onClick={() => { showPicture({ frame: row.id }, `frame:${row.file}`).then(() => showScreen("image"), tellFault); }}>
          <Icon name="eye" size={16} /> {t("frames.look")}
        </button>
      </div>
      <p class="file" title={row.file}>{row.file}</p>
      <Figures row={row} />
      {row.reason && <p class="warning"><Icon name="warning" size={16} /> {reasonOf(row)}{reasonOf(row) !== row.reason && <small lang="en"> {row.reason}</small>}</p>}
      <div class="buttons">
        {row.choice === "exclude"
          ? <button type="button" onClick={() => { choose([row.id], "include").catch(tellFault); }}>{t("frames.include")}</button>
          : <button type="button" onClick={() => { choose([row.id], "exclude").catch(tellFault); }}>{t("frames.exclude")}</button>}
      </div>
    </section>
  );
}
