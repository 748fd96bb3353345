/** The Sky screen: where on the sky every frame lies, the panels of a mosaic, and what the picture covers. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { fetchJson } from "../api/client";
import type { SkyGroup } from "../api/types";
import { Choice, Empty, IconButton, Panel } from "../parts/controls";
import { tellFault } from "../parts/notices";
import { products } from "../state/app";
import { current } from "../state/frametable";
import { pictureOfProduct, showMap, showPicture } from "../state/pictures";
import { showScreen, theme } from "../state/view";
import { formatDirection, formatNumber, t } from "../words";
import { fitSky, isInside, linesOfGrid, project, type SkyCamera } from "../tiles/sky";

const groups = signal<SkyGroup[] | null>(null);
const chosen = signal(0);
const hovered = signal<string | null>(null);

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

class SkyMap {
  camera: SkyCamera;
  private readonly outlines: { file: string; id: string | null; isIn: boolean; points: [number, number][] }[];
  private readonly outline: [number, number][];

  constructor(private readonly canvas: HTMLCanvasElement, private readonly group: SkyGroup) {
    const place = ([ra, dec]: [number, number]): [number, number] => project(ra, dec, group.ra_deg, group.dec_deg);
    this.outline = group.outline.map(place);
    this.outlines = group.frames.map((frame) => ({ file: frame.file, id: frame.id, isIn: frame.status === "stacked", points: frame.outline.map(place) }));
    this.camera = fitSky([this.outline, ...this.outlines.map(({ points }) => points)], canvas.clientWidth, canvas.clientHeight);
  }

  fit(): void {
    this.camera = fitSky([this.outline, ...this.outlines.map(({ points }) => points)], this.canvas.clientWidth, this.canvas.clientHeight);
    this.draw();
  }

  toScreen([x, y]: [number, number]): [number, number] {
    return [this.canvas.clientWidth / 2 - (x - this.camera.x) * this.camera.zoom, this.canvas.clientHeight / 2 - (y - this.camera.y) * this.camera.zoom];
  }

  toSky(sx: number, sy: number): [number, number] {
    return [this.camera.x - (sx - this.canvas.clientWidth / 2) / this.camera.zoom, this.camera.y - (sy - this.canvas.clientHeight / 2) / this.camera.zoom];
  }

  zoom(factor: number, sx = this.canvas.clientWidth / 2, sy = this.canvas.clientHeight / 2): void {
    const [x, y] = this.toSky(sx, sy);
    const zoom = this.camera.zoom * factor;
    this.camera = { x: x + (sx - this.canvas.clientWidth / 2) / zoom, y: y + (sy - this.canvas.clientHeight / 2) / zoom, zoom };
    this.draw();
  }

  pan(dx: number, dy: number): void {
    this.camera = { ...this.camera, x: this.camera.x + dx / this.camera.zoom, y: this.camera.y + dy / this.camera.zoom };
    this.draw();
  }

  at(sx: number, sy: number): { file: string; id: string | null } | null {
    const point = this.toSky(sx, sy);
    return [...this.outlines].reverse().find(({ points }) => isInside(point, points)) ?? null;
  }

  draw(): void {
    const { canvas } = this;
    const ratio = devicePixelRatio;
    [canvas.width, canvas.height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    const paper = canvas.getContext("2d");
    if (!paper) return;
    paper.scale(ratio, ratio);
    this.drawGrid(paper);
    const alpha = 1 - 0.5 ** (1 / Math.max(1, this.outlines.length / Math.max(1, this.group.panels.length)));
    for (const { points, isIn, file } of this.outlines) {
      this.path(paper, points);
      const tone = file === hovered.value ? colour("--warm") : colour(isIn ? "--accent" : "--bad");
      paper.fillStyle = tone;
      paper.globalAlpha = file === hovered.value ? 0.35 : alpha;
      paper.fill();
      paper.globalAlpha = file === hovered.value ? 1 : Math.min(0.5, alpha * 8);
      paper.strokeStyle = tone;
      paper.lineWidth = 1;
      paper.stroke();
    }
    paper.globalAlpha = 1;
    this.path(paper, this.outline);
    paper.strokeStyle = colour("--text");
    paper.lineWidth = 2;
    paper.stroke();
    paper.font = "600 12px system-ui, sans-serif";
    paper.fillStyle = colour("--text");
    for (const panel of this.group.panels) {
      const [sx, sy] = this.toScreen(project(panel.ra_deg, panel.dec_deg, this.group.ra_deg, this.group.dec_deg));
      paper.fillText(`${panel.name} · ${panel.n_frames}`, sx - 20, sy);
    }
  }

  private drawGrid(paper: CanvasRenderingContext2D): void {
    const { clientWidth, clientHeight } = this.canvas;
    paper.strokeStyle = colour("--line");
    paper.fillStyle = colour("--muted");
    paper.font = "11px system-ui, sans-serif";
    const span = Math.max(clientWidth, clientHeight) / this.camera.zoom;
    for (const line of linesOfGrid(this.group.ra_deg, this.group.dec_deg, span)) {
      paper.beginPath();
      line.points.forEach((point, i) => {
        const [sx, sy] = this.toScreen(point);
        if (i === 0) paper.moveTo(sx, sy);
        else paper.lineTo(sx, sy);
      });
      paper.stroke();
      const edge = line.points.map((point) => this.toScreen(point)).find(([sx, sy]) => (line.isMeridian ? sx > 0 && sy > clientHeight - 30 && sy < clientHeight - 6 : sx > 6 && sx < 40));
      if (edge) paper.fillText(line.label, edge[0] + 3, edge[1] - 3);
    }
  }

  private path(paper: CanvasRenderingContext2D, points: [number, number][]): void {
    paper.beginPath();
    points.forEach((point, i) => {
      const [sx, sy] = this.toScreen(point);
      if (i === 0) paper.moveTo(sx, sy);
      else paper.lineTo(sx, sy);
    });
    paper.closePath();
  }
}

function Map({ group }: { group: SkyGroup }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawn = useRef<SkyMap | null>(null);
  useEffect(() => {
    const element = canvas.current!;
    const made = new SkyMap(element, group);
    drawn.current = made;
    const control = new AbortController();
    const options = { signal: control.signal };
    const at = (event: MouseEvent): [number, number] => {
      const box = element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    element.addEventListener("wheel", (event) => { event.preventDefault(); made.zoom(Math.exp(-event.deltaY * 0.0018), ...at(event)); }, { ...options, passive: false });
    element.addEventListener("pointerdown", (event) => element.setPointerCapture(event.pointerId), options);
    element.addEventListener("pointermove", (event) => {
      if (event.buttons) made.pan(event.movementX, event.movementY);
      const file = made.at(...at(event))?.file ?? null;
      if (file !== hovered.value) { hovered.value = file; made.draw(); }
    }, options);
    element.addEventListener("dblclick", (event) => {
      const frame = made.at(...at(event));
      if (frame?.id) { current.value = frame.id; showScreen("frames"); }
    }, options);
    element.addEventListener("keydown", (event) => {
      const actions: Record<string, () => void> = {
        ArrowLeft: () => made.pan(60, 0), ArrowRight: () => made.pan(-60, 0), ArrowUp: () => made.pan(0, 60), ArrowDown: () => made.pan(0, -60),
        "+": () => made.zoom(1.4), "-": () => made.zoom(1 / 1.4), f: () => made.fit(),
      };
      const action = actions[event.key];
      if (action && !event.ctrlKey && !event.metaKey) { event.preventDefault(); action(); }
    }, options);
    const observer = new ResizeObserver(() => made.draw());
    observer.observe(element);
    made.fit();
    return () => { control.abort(); observer.disconnect(); };
  }, [group, theme.value]);
  return (
    <div class="sky-map">
      <canvas ref={canvas} tabIndex={0} role="application" aria-label={t("sky.map", { name: group.name, n: group.frames.length })} />
      <div class="over-buttons">
        <IconButton icon="plus" label={t("image.zoomIn")} onClick={() => drawn.current?.zoom(1.4)} />
        <IconButton icon="minus" label={t("image.zoomOut")} onClick={() => drawn.current?.zoom(1 / 1.4)} />
        <IconButton icon="fit" label={t("image.fit")} onClick={() => drawn.current?.fit()} />
      </div>
      {hovered.value && <span class="tag">{hovered.value}</span>}
    </div>
  );
}

function showCoverage(id: string): void {
  const owner = products.value.find((group) => group.products.some((product) => product.id === id));
  const master = owner?.products.find((product) => product.kind === "image");
  const open = owner && master ? showPicture(...pictureOfProduct(owner.name, master)).then(() => showMap(id, "coverage")) : showPicture({ product: id }, "coverage");
  open.then(() => showScreen("image"), tellFault);
}

export function SkyScreen() {
  useEffect(() => {
    fetchJson<{ groups: SkyGroup[] }>("/api/sky").then((answer) => { groups.value = answer.groups; }, tellFault);
  }, [products.value]);
  const list = groups.value ?? [];
  const group = list[Math.min(chosen.value, list.length - 1)];
  if (!group) return <Empty icon="sky" title={t("sky.none")} text={t("sky.noneText")}><a class="button" href="#run">{t("screen.run")}</a></Empty>;
  return (
    <div class="sky-screen">
      {group.solved ? <Map group={group} /> : <Empty icon="sky" title={t("sky.unsolved")} text={group.reason ?? ""} />}
      <aside class="side" tabIndex={0} role="region" aria-label={t("sky.facts")}>
        {list.length > 1 && (
          <Choice label={t("sky.group")} value={String(chosen.value)} onChange={(value) => { chosen.value = Number(value); }} options={list.map((item, i) => ({ value: String(i), text: item.name }))} />
        )}
        {group.solved && (
          <Panel title={group.name}>
            <dl class="facts">
              <div><dt>{t("image.centre")}</dt><dd>{formatDirection(group.ra_deg, group.dec_deg)}</dd></div>
              {group.scale_arcsec !== null && <div><dt>{t("image.scale")}</dt><dd>{`${formatNumber(group.scale_arcsec, 3)}″/px`}</dd></div>}
              {group.covered_deg2 !== null && <div><dt>{t("sky.covered")}</dt><dd>{`${formatNumber(group.covered_deg2, 3)} deg²`}</dd></div>}
              <div><dt>{t("open.frames")}</dt><dd>{formatNumber(group.frames.length)}</dd></div>
            </dl>
            {group.coverage && <button type="button" onClick={() => showCoverage(group.coverage!)}>{t("sky.coverage")}</button>}
          </Panel>
        )}
        {group.panels.length > 0 && (
          <Panel title={t("sky.panels")}>
            <table class="plain-table">
              <thead><tr><th scope="col">{t("sky.panel")}</th><th scope="col">{t("image.centre")}</th><th scope="col" class="number">{t("open.frames")}</th></tr></thead>
              <tbody>{group.panels.map((panel) => <tr key={panel.name}><th scope="row">{panel.name}</th><td>{formatDirection(panel.ra_deg, panel.dec_deg)}</td><td class="number">{formatNumber(panel.n_frames)}</td></tr>)}</tbody>
            </table>
          </Panel>
        )}
        <p class="muted">{t("sky.hint")}</p>
      </aside>
    </div>
  );
}
