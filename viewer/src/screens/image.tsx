/** The Image screen: one picture or two, stretched at once, probed, drawn over and saved. */
import { batch, computed, signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { fetchJson } from "../api/client";
import type { OverlayName, PixelValue } from "../api/types";
import { Choice, Empty, IconButton, Panel, Slider, Toggle } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { TileCanvas } from "../parts/tilecanvas";
import { job, products } from "../state/app";
import {
  a, b, compareBy, comparePicture, comparison, hasTwo, map, mapOpacity, overlays, pictureOfProduct, placeIn, rememberPlace, restoreBeside, setAutoStretch, showMap, shownOverlays, showPicture,
  stretches, stretchOf, toggleOverlay, type Picture, type Source,
} from "../state/pictures";
import { rememberedView } from "../state/view";
import type { Camera } from "../tiles/camera";
import { cubehelix } from "../tiles/shaders";
import { MOST_TEXTURE_BYTES, type FrameFigures, type Pane, type TileView } from "../tiles/view";
import { formatBytes, formatDirection, formatNumber, formatValue, t, word } from "../words";
import { SaveDialog } from "./image_save";
import { StretchPanel } from "./image_stretch";

const probe = signal<PixelValue | null>(null);
const camera = signal<Camera>({ x: 0, y: 0, zoom: 1 });
const zoomShown = computed(() => camera.value.zoom);
const figures = signal<FrameFigures>({ scriptMs: 0, uploadMs: 0, draws: 0, textureBytes: 0, nWaiting: 0 });
const blinkShowsB = signal(false);
const blinkHz = signal(2);
const isSaving = signal(false);

/** Ask for the pixel under the pointer, one question at a time, the latest place wins. */
class Prober {
  private isAsking = false;
  private next: [number, number] | null = null;

  ask(point: [number, number] | null): void {
    this.next = point;
    if (!point) probe.value = null;
    if (!this.isAsking) void this.work();
  }

  private async work(): Promise<void> {
    this.isAsking = true;
    while (this.next && a.value) {
      const [x, y] = this.next;
      this.next = null;
      const { info } = blinkShowsB.value && b.value ? b.value : a.value;
      if (x < -0.5 || y < -0.5 || x >= info.width - 0.5 || y >= info.height - 0.5) { probe.value = null; continue; }
      try {
        probe.value = await fetchJson<PixelValue>(`/api/image/${info.handle}/pixel?x=${x.toFixed(2)}&y=${y.toFixed(2)}`);
      } catch {
        probe.value = null;
      }
    }
    this.isAsking = false;
  }
}
const prober = new Prober();

const layerOf = (picture: Picture) => ({
  image: picture.info, look: { stretch: stretchOf(picture), isColoured: picture.info.kind === "map", opacity: 1 },
});

function panesNow(): Pane[] {
  const [first, second, overlay] = [a.value, b.value, map.value];
  if (!first) return [];
  const above = overlay ? [{ ...layerOf(overlay), look: { ...layerOf(overlay).look, opacity: mapOpacity.value } }] : [];
  if (!second || comparison.value === "single") return [{ layers: [layerOf(first), ...above], ahead: [] }];
  if (comparison.value === "side") return [{ layers: [layerOf(first), ...above], ahead: [] }, { layers: [layerOf(second)], ahead: [] }];
  const [shown, other] = blinkShowsB.value ? [second, first] : [first, second];
  return [{ layers: [layerOf(shown), ...above], ahead: [layerOf(other)] }];
}

interface Choosable { source: Source; key: string; text: string; group: string }

function choosable(): Choosable[] {
  const all: Choosable[] = products.value.flatMap((group) =>
    group.products
      .filter((product) => product.kind === "image" || product.kind === "map")
      .map((product) => {
        const [source, key] = pictureOfProduct(group.name, product);
        return { source, key, text: product.name, group: group.name };
      }),
  );
  if (job.value?.live) all.unshift({ source: { live: true }, key: "live", text: t("image.live"), group: t("screen.run") });
  const frame = a.value && "frame" in a.value.source ? a.value : null;
  if (frame) all.push({ source: frame.source, key: frame.key, text: frame.info.name, group: t("screen.frames") });
  return all;
}

function PictureSelect({ label, value, empty, onChoose }: {
  label: string; value: string; empty?: string; onChoose: (choice: Choosable | null) => void;
}) {
  const choices = choosable();
  const groups = [...new Set(choices.map((choice) => choice.group))];
  return (
    <select class="compact" aria-label={label} value={value} onChange={(event) => onChoose(choices.find((choice) => choice.key === event.currentTarget.value) ?? null)}>
      {(empty !== undefined || !choices.some((choice) => choice.key === value)) && <option value="">{empty ?? label}</option>}
      {groups.map((group) => (
        <optgroup key={group} label={group}>
          {choices.filter((choice) => choice.group === group).map((choice) => <option key={choice.key} value={choice.key}>{choice.text}</option>)}
        </optgroup>
      ))}
    </select>
  );
}

function Toolbar({ view }: { view: () => TileView | null }) {
  const picture = a.value;
  return (
    <div class="toolbar" role="toolbar" aria-label={t("image.tools")}>
      <PictureSelect
        label={t("image.choose")} value={picture?.key ?? ""}
        onChoose={(choice) => { if (choice) showPicture(choice.source, choice.key).catch(tellFault); }}
      />
      <span class="divider" />
      <IconButton icon="minus" label={t("image.zoomOut")} onClick={() => view()?.zoom(1 / 1.4)} />
      <span class="figure" aria-live="off">{formatNumber(zoomShown.value * 100, zoomShown.value < 0.1 ? 1 : 0)} %</span>
      <IconButton icon="plus" label={t("image.zoomIn")} onClick={() => view()?.zoom(1.4)} />
      <IconButton icon="fit" label={t("image.fit")} onClick={() => view()?.fit()} />
      <button type="button" class="small" onClick={() => view()?.zoom(1 / (view()?.camera.zoom ?? 1))}>1:1</button>
      <span class="divider" />
      <PictureSelect
        label={t("image.compare")} empty={t("image.compareNone")} value={b.value?.key ?? ""}
        onChoose={(choice) => { comparePicture(choice?.source ?? null, choice?.key).catch(tellFault); }}
      />
      {hasTwo.value && (
        <Choice
          label={t("image.comparison")} value={comparison.value} onChange={compareBy}
          options={[
            { value: "single", text: t("image.single") }, { value: "side", text: t("image.side") }, { value: "blink", text: t("image.blink") },
          ]}
        />
      )}
      <span class="space" />
      <button type="button" onClick={() => { isSaving.value = true; }} disabled={!picture}><Icon name="save" size={16} /> {t("image.save")}</button>
    </div>
  );
}

/** Which colour of a map stands for which value. */
function MapScale({ picture }: { picture: Picture }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const colours = new Uint8ClampedArray(cubehelix());
    canvas.current?.getContext("2d")?.putImageData(new ImageData(colours, 256, 1), 0, 0);
  }, []);
  const { shadows, highlights } = stretchOf(picture).stf;
  return (
    <div class="map-scale media">
      <canvas ref={canvas} width={256} height={1} aria-hidden="true" />
      <span>{formatValue(Math.min(...shadows), 4)}</span>
      <span>{`${formatValue(Math.max(...highlights), 4)} ${picture.info.unit}`}</span>
    </div>
  );
}

function OverlayPanel({ picture }: { picture: Picture }) {
  const names: OverlayName[] = ["grid", "objects", "stars", "footprints"];
  return (
    <Panel title={t("image.overlays")}>
      <div class="toggles">
        {names.map((name) => (
          <Toggle
            key={name} label={t(`overlay.${name}`)} isOn={shownOverlays.value.has(name) && picture.info.overlays.includes(name)}
            disabled={!picture.info.overlays.includes(name)}
            title={picture.info.overlays.includes(name) ? "" : t("overlay.notThere")} onChange={(isOn) => void toggleOverlay(name, isOn)}
          />
        ))}
      </div>
      {picture.info.maps.length > 0 && (
        <>
          <label class="row">
            <span>{t("image.map")}</span>
            <select
              value={picture.info.maps.find((item) => map.value && "product" in map.value.source && map.value.source.product === item.product)?.product ?? ""}
              onChange={(event) => {
                const item = picture.info.maps.find((other) => other.product === event.currentTarget.value);
                showMap(item?.product ?? null, item?.name).catch(tellFault);
              }}
            >
              <option value="">{t("image.mapNone")}</option>
              {picture.info.maps.map((item) => <option key={item.product} value={item.product}>{word("map", item.name)}</option>)}
            </select>
          </label>
          {map.value && (
            <>
              <MapScale picture={map.value} />
              <Slider
                label={t("image.opacity")} value={mapOpacity.value} min={0} max={1} step={0.01} shown={`${Math.round(mapOpacity.value * 100)} %`}
                onInput={(value) => { mapOpacity.value = value; }}
              />
            </>
          )}
        </>
      )}
    </Panel>
  );
}

function FactsPanel({ picture }: { picture: Picture }) {
  const { info } = picture;
  return (
    <Panel title={t("image.facts")}>
      <dl class="facts">
        <div><dt>{t("image.size")}</dt><dd>{`${info.width} × ${info.height}`}</dd></div>
        {info.sky && <div><dt>{t("image.centre")}</dt><dd>{formatDirection(info.sky.ra_deg, info.sky.dec_deg)}</dd></div>}
        {info.sky && <div><dt>{t("image.scale")}</dt><dd>{`${formatNumber(info.sky.scale_arcsec, 3)}″/px`}</dd></div>}
        {info.sky && <div><dt>{t("image.north")}</dt><dd>{`${formatNumber(info.sky.north_deg, 1)}°${info.sky.is_mirrored ? ` · ${t("image.mirrored")}` : ""}`}</dd></div>}
        {info.statistics.map((statistics, c) => (
          <div key={info.channel_names[c]}>
            <dt>{info.channel_names[c]}</dt>
            <dd>{`${formatValue(statistics.median)} ± ${formatValue(statistics.madn, 3)} ${info.unit}`}</dd>
          </div>
        ))}
      </dl>
      <details>
        <summary>{t("image.header")}</summary>
        <div class="header-cards" tabIndex={0} role="region" aria-label={t("image.header")}>
          <table>
            <tbody>{info.header.map(([key, value, comment], i) => <tr key={i}><th scope="row">{key}</th><td>{String(value)}</td><td class="muted">{comment}</td></tr>)}</tbody>
          </table>
        </div>
      </details>
    </Panel>
  );
}

function StatusBar() {
  const value = probe.value;
  const info = (blinkShowsB.value && b.value ? b.value : a.value)?.info;
  const { scriptMs, draws, textureBytes, nWaiting } = figures.value;
  return (
    <div class="status" data-camera={`${camera.value.x},${camera.value.y},${camera.value.zoom}`} data-waiting={nWaiting} data-script-ms={scriptMs.toFixed(3)} data-draws={draws} data-texture-bytes={textureBytes} data-most-bytes={MOST_TEXTURE_BYTES}>
      {value && info ? (
        <>
          <span>x {formatNumber(value.x, 0)}  y {formatNumber(value.y, 0)}</span>
          {value.values.map((channel, c) => (
            <span key={c}><b>{info.channel_names[c]}</b> {channel === null ? "–" : formatValue(channel, 7)}</span>
          ))}
          {value.ra_deg !== null && value.dec_deg !== null && <span>{formatDirection(value.ra_deg, value.dec_deg)}</span>}
        </>
      ) : <span class="muted">{t("image.probeHint")}</span>}
      <span class="space" />
      {info?.rough_from !== null && info?.rough_from !== undefined && <span class="badge">{t("image.rough")}</span>}
      <span class="muted" title={t("image.figuresHelp")}>{`${draws} · ${formatBytes(textureBytes)} · ${formatNumber(scriptMs, 2)} ms`}</span>
    </div>
  );
}

function takeKey(event: KeyboardEvent): void {
  const picture = a.value;
  if (!picture || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target instanceof HTMLElement && event.target.matches("input, select, textarea")) return;
  if (event.key === "a") setAutoStretch(picture);
  else if (event.key === "g") void toggleOverlay("grid", !shownOverlays.value.has("grid"));
  else if (event.key === "b" && hasTwo.value) compareBy(comparison.value === "blink" ? "side" : "blink");
}

let isOpening = false;

/** Open what was looked at last, or the first picture there is. */
function openFirst(): void {
  if (a.value || isOpening || products.value.length === 0) return;
  const last = rememberedView<{ key: string } | null>("picture", null);
  const choices = choosable();
  const choice = choices.find((item) => item.key === last?.key) ?? choices[0];
  const wanted = rememberedView<OverlayName[]>("overlays", []);
  if (wanted.length > 0) shownOverlays.value = new Set(wanted);
  if (!choice) return;
  isOpening = true;
  showPicture(choice.source, choice.key)
    .then(() => restoreBeside((key) => choices.find((item) => item.key === key)?.source ?? null))
    .catch(tellFault)
    .finally(() => { isOpening = false; });
}

export function ImageScreen() {
  const view = useRef<TileView | null>(null);
  useEffect(openFirst, [products.value]);
  useEffect(() => {
    addEventListener("keydown", takeKey);
    return () => removeEventListener("keydown", takeKey);
  }, []);
  useEffect(() => {
    if (comparison.value !== "blink") { blinkShowsB.value = false; return undefined; }
    const timer = setInterval(() => { blinkShowsB.value = !blinkShowsB.value; }, 1000 / blinkHz.value);
    return () => clearInterval(timer);
  }, [comparison.value, blinkHz.value]);

  const panes = useMemo(panesNow, [a.value, b.value, map.value, mapOpacity.value, comparison.value, blinkShowsB.value, stretches.value]);
  const drawn = useMemo(
    () => [...overlays.value].filter(([name]) => shownOverlays.value.has(name)).map(([, overlay]) => overlay),
    [overlays.value, shownOverlays.value],
  );
  const picture = a.value;
  if (!picture) {
    return choosable().length === 0
      ? <Empty icon="image" title={t("image.none")} text={t("image.noneText")}><a class="button" href="#run">{t("screen.run")}</a></Empty>
      : <Empty icon="image" title={t("image.opening")} />;
  }
  return (
    <div class="image-screen">
      <Toolbar view={() => view.current} />
      <div class="stage media">
        <TileCanvas
          panes={panes} overlays={drawn} label={t("image.canvas", { name: picture.info.name })}
          place={placeIn(picture)}
          onPlace={(place) => rememberPlace(picture, place)}
          onHover={(point) => prober.ask(point)}
          onView={(made) => { view.current = made; }}
          onFigures={(next, made) => batch(() => { figures.value = next; camera.value = made.camera; })}
        />
        {comparison.value === "blink" && <span class="tag">{blinkShowsB.value ? b.value?.info.name : picture.info.name}</span>}
        {comparison.value === "side" && hasTwo.value && <><span class="tag">{picture.info.name}</span><span class="tag is-right">{b.value?.info.name}</span></>}
      </div>
      <aside class="side" tabIndex={0} role="region" aria-label={t("image.panels")}>
        <StretchPanel />
        <OverlayPanel picture={picture} />
        {comparison.value === "blink" && (
          <Panel title={t("image.blink")}>
            <Slider label={t("image.blinkRate")} value={blinkHz.value} min={0.5} max={10} step={0.5} shown={`${blinkHz.value} Hz`} onInput={(value) => { blinkHz.value = value; }} />
          </Panel>
        )}
        <FactsPanel picture={picture} />
      </aside>
      <StatusBar />
      {isSaving.value && <SaveDialog picture={picture} onClose={() => { isSaving.value = false; }} />}
    </div>
  );
}
