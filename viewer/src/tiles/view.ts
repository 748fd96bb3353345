/** One canvas that shows tiled pictures: panes side by side, layers above each other, one camera, tiles fetched as they are needed. */
import type { ImageInfo } from "../api/types";
import { TextureCache } from "./cache";
import { fitCamera, panBy, toImage, toScreen, zoomAt, type Camera, type ImageSize } from "./camera";
import type { DecodedTile } from "./format";
import { TileLoader } from "./loader";
import { boundsOf, levelOf, parentOf, tileKey, visibleTiles, type Bounds, type Pyramid, type TileId } from "./pyramid";
import { Renderer, type Look, type Port, type Texture } from "./renderer";

export const MOST_TEXTURE_BYTES = 256 * 2 ** 20;
const MOST_UPLOADS_A_FRAME = 2;
const SHARP_FROM_ZOOM = 2.5;

/** Where another image lies on the leading one: the place of its pixel (0, 0), and how many px of that one each of its takes. */
export interface Place { x: number; y: number; scale: number }

export interface Layer { image: ImageInfo; look: Look; place?: Place }

/** What lies above each other in one part of the canvas; `ahead` is fetched but not shown (the other picture of a blink). */
export interface Pane { layers: Layer[]; ahead: Layer[] }

/** What a frame took: script, upload of new tiles (two at most), draw calls, memory. */
export interface FrameFigures { scriptMs: number; uploadMs: number; draws: number; textureBytes: number; nWaiting: number }

interface Held { texture: Texture; revision: number }
interface Wanted { key: string; url: string; revision: number }

export const sizeOf = (image: ImageInfo): ImageSize => ({
  width: image.width, height: image.height, isBottomUp: image.row_order === "BOTTOM-UP",
});
const pyramidOf = (image: ImageInfo): Pyramid => ({ levels: image.levels, levelSizes: image.level_sizes, tile: image.tile });

/** Return the camera in the px of an image that lies at a place of the leading one. */
export function cameraAt(camera: Camera, place: Place | undefined): Camera {
  if (!place) return camera;
  return { x: (camera.x - place.x) / place.scale, y: (camera.y - place.y) / place.scale, zoom: camera.zoom * place.scale };
}

function clip(bounds: Bounds, image: ImageInfo): Bounds {
  return {
    x0: Math.max(bounds.x0, -0.5), y0: Math.max(bounds.y0, -0.5),
    x1: Math.min(bounds.x1, image.width - 0.5), y1: Math.min(bounds.y1, image.height - 0.5),
  };
}

export class TileView {
  camera: Camera = { x: 0, y: 0, zoom: 1 };
  onDrawn: (figures: FrameFigures) => void = () => undefined;
  onCamera: () => void = () => undefined;
  private renderer: Renderer;
  private cache: TextureCache<Held>;
  private readonly loader: TileLoader;
  private readonly arrived: { key: string; tile: DecodedTile; revision: number }[] = [];
  private panes: Pane[] = [];
  /** null: panes stand side by side. 0 to 1: two lie above each other, the first left of that share of the width. */
  private split: number | null = null;
  private revisions = new Map<string, number>();
  private isScheduled = false;
  private frameNumber = 0;
  private isFitted = true;
  /** Tiles for which this view has no room; asked again once the camera moves. */
  private readonly refused = new Set<string>();
  private readonly resize: ResizeObserver;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new Renderer(canvas);
    this.cache = this.newCache();
    this.loader = new TileLoader((key, tile) => {
      this.arrived.push({ key, tile, revision: this.revisions.get(key) ?? 0 });
      this.draw();
    });
    this.resize = new ResizeObserver(() => this.fitCanvas());
    this.resize.observe(canvas);
    canvas.addEventListener("webglcontextlost", this.lost);
    canvas.addEventListener("webglcontextrestored", this.restored);
    this.fitCanvas();
  }

  private newCache(): TextureCache<Held> {
    return new TextureCache(MOST_TEXTURE_BYTES, (held) => this.renderer.release(held.texture));
  }

  private readonly lost = (event: Event): void => event.preventDefault();
  private readonly restored = (): void => {
    this.renderer = new Renderer(this.canvas);
    this.cache = this.newCache();
    this.draw();
  };

  /** The picture that the camera and the coordinates belong to. */
  get image(): ImageInfo | null {
    return this.panes[0]?.layers[0]?.image ?? null;
  }

  /** Parts of the canvas, one a pane, from left to right; with a split line, all of it for each. */
  get ports(): Port[] {
    const { width, height } = this.canvas;
    if (this.split !== null) return this.panes.map(() => ({ left: 0, top: 0, width, height }));
    const n = Math.max(1, this.panes.length);
    return Array.from({ length: n }, (_, i) => {
      const left = Math.round((i * width) / n);
      return { left, top: 0, width: Math.round(((i + 1) * width) / n) - left, height };
    });
  }

  /** What of the canvas each pane may draw on. */
  private get clips(): Port[] {
    if (this.split === null || this.panes.length < 2) return this.ports;
    const { width, height } = this.canvas;
    const at = Math.round(this.split * width);
    return [{ left: 0, top: 0, width: at, height }, { left: at, top: 0, width: width - at, height }];
  }

  show(panes: Pane[], split: number | null = null): void {
    const before = this.ports[0]!.width;
    this.panes = panes;
    this.split = split;
    if (before !== this.ports[0]?.width && this.isFitted) this.fit();
    this.draw();
  }

  fit(): void {
    const image = this.image;
    if (!image) return;
    this.camera = fitCamera(this.ports[0]!, sizeOf(image));
    this.isFitted = true;
    this.moved();
  }

  /** Where is looked at; null: the whole picture, whatever the window. */
  get place(): Camera | null {
    return this.isFitted ? null : this.camera;
  }

  look(camera: Camera): void {
    this.camera = camera;
    this.isFitted = false;
    this.moved();
  }

  /** Zoom about a point of the canvas (device px), or about the middle. */
  zoom(factor: number, sx?: number, sy?: number): void {
    const image = this.image;
    if (!image) return;
    const port = this.portAt(sx ?? 0);
    const [x, y] = [sx === undefined ? port.width / 2 : sx - port.left, sy ?? port.height / 2];
    this.look(zoomAt(this.camera, port, sizeOf(image), factor, x, y));
  }

  pan(dx: number, dy: number): void {
    const image = this.image;
    if (image) this.look(panBy(this.camera, sizeOf(image), dx, dy));
  }

  portAt(sx: number): Port {
    return this.ports.find((port) => sx < port.left + port.width) ?? this.ports[0]!;
  }

  /** Return the image px under a point of the canvas (device px). */
  imageAt(sx: number, sy: number): [number, number] | null {
    const image = this.image;
    if (!image) return null;
    const port = this.portAt(sx);
    return toImage(this.camera, port, sizeOf(image), sx - port.left, sy);
  }

  screenAt(port: Port, x: number, y: number): [number, number] {
    const [sx, sy] = toScreen(this.camera, port, sizeOf(this.image!), x, y);
    return [sx + port.left, sy];
  }

  private moved(): void {
    this.refused.clear();
    this.onCamera();
    this.draw();
  }

  private fitCanvas(): void {
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(this.canvas.clientWidth * ratio), Math.round(this.canvas.clientHeight * ratio)];
    if (width < 2 || height < 2 || (width === this.canvas.width && height === this.canvas.height)) return;
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.isFitted) this.fit();
    this.paint(); // at once: a resized canvas is empty
  }

  /** Draw soon: once, before the browser shows the next frame. */
  draw(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame(() => {
      this.isScheduled = false;
      this.paint();
    });
  }

  private paint(): void {
    if (this.renderer.gl.isContextLost()) return;
    this.frameNumber += 1;
    const uploadStart = performance.now();
    this.uploadArrived();
    const start = performance.now();
    const wanted: Wanted[] = [];
    this.renderer.clear();
    const { ports, clips } = this;
    this.panes.forEach((pane, i) => {
      for (const layer of pane.layers) this.paintLayer(layer, ports[i]!, clips[i]!, wanted);
    });
    this.panes.forEach((pane, i) => {
      for (const layer of pane.ahead) this.visit(layer, ports[i]!, wanted, null);
    });
    this.revisions = new Map(wanted.map(({ key, revision }) => [key, revision]));
    const known = new Set(this.arrived.map(({ key }) => key));
    this.loader.want(wanted.filter(({ key }) => !known.has(key)));
    this.onDrawn({
      scriptMs: performance.now() - start,
      uploadMs: start - uploadStart,
      draws: this.renderer.draws,
      textureBytes: this.cache.bytes,
      nWaiting: wanted.length,
    });
  }

  private uploadArrived(): void {
    for (let n = 0; n < MOST_UPLOADS_A_FRAME; n += 1) {
      const next = this.arrived.shift();
      if (!next) return;
      if (!this.cache.makeRoom(next.tile.payload.byteLength, this.frameNumber - 1)) {
        this.refused.add(next.key);
        continue;
      }
      const texture = this.renderer.upload(next.tile);
      this.cache.put(next.key, { texture, revision: next.revision }, texture.bytes, this.frameNumber);
    }
    this.draw();
  }

  private paintLayer(layer: Layer, port: Port, clip: Port, wanted: Wanted[]): void {
    const camera = cameraAt(this.camera, layer.place);
    this.renderer.begin(port, clip, camera, sizeOf(layer.image), layer.look);
    const isSharp = camera.zoom >= SHARP_FROM_ZOOM;
    this.visit(layer, port, wanted, (held, whole, part) => this.renderer.draw(held.texture, whole, part, isSharp));
  }

  /** Go over the visible tiles, the best held texture of each, and note what is lacking: the top of the pyramid first. */
  private visit(
    { image, place }: Layer, port: Port, wanted: Wanted[], draw: ((held: Held, whole: Bounds, part: Bounds) => void) | null,
  ): void {
    const pyramid = pyramidOf(image);
    const camera = cameraAt(this.camera, place);
    const level = levelOf(camera.zoom, image.levels);
    this.need(image, { level: image.levels - 1, x: 0, y: 0 }, wanted);
    for (const tile of visibleTiles(pyramid, level, camera, port, sizeOf(image))) {
      this.need(image, tile, wanted);
      if (!draw) continue;
      const part = clip(boundsOf(pyramid, tile), image);
      for (let other: TileId | null = tile; other; other = parentOf(pyramid, other)) {
        const held = this.cache.take(this.keyOf(image, other), this.frameNumber);
        if (!held) continue;
        draw(held, boundsOf(pyramid, other), part);
        break;
      }
    }
  }

  private keyOf(image: ImageInfo, tile: TileId): string {
    return `${image.handle}@${tileKey(tile)}`;
  }

  private need(image: ImageInfo, tile: TileId, wanted: Wanted[]): void {
    const key = this.keyOf(image, tile);
    if (this.cache.take(key, this.frameNumber)?.revision === image.revision) return;
    if (this.refused.has(key) || wanted.some((other) => other.key === key)) return;
    const url = `/api/image/${image.handle}/tile/${tile.level}/${tile.x}/${tile.y}?v=${image.revision}`;
    wanted.push({ key, url, revision: image.revision });
  }

  /** Forget the tiles of a picture that was closed. */
  forget(handle: string): void {
    this.cache.dropAll(`${handle}@`);
  }

  dispose(): void {
    this.resize.disconnect();
    this.loader.stop();
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.canvas.removeEventListener("webglcontextrestored", this.restored);
    this.cache.dropAll();
    this.renderer.dispose();
  }
}
