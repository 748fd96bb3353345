/** Which tiles of which level a view needs. Level k has half the pixels of level k - 1 along each side. */
import { toImage, type Camera, type ImageSize, type ViewSize } from "./camera";

export interface Pyramid {
  levels: number;
  levelSizes: readonly (readonly [number, number])[];
  tile: number;
}

export interface TileId { level: number; x: number; y: number }

/** A box in image px, half open: from the outer edge of its first pixel to that of its last. */
export interface Bounds { x0: number; y0: number; x1: number; y1: number }

/** Return the level whose pixels are drawn at about their own size: between 0.6 and 1.2 screen px. */
export function levelOf(zoom: number, levels: number): number {
  return Math.min(levels - 1, Math.max(0, Math.floor(Math.log2(1 / zoom) + 0.26)));
}

/** Return how many tiles a level has along x and y. */
export function tileCounts(pyramid: Pyramid, level: number): [number, number] {
  const [width, height] = pyramid.levelSizes[level]!;
  return [Math.ceil(width / pyramid.tile), Math.ceil(height / pyramid.tile)];
}

/** Return what the tile covers, in image px of level 0. */
export function boundsOf(pyramid: Pyramid, { level, x, y }: TileId): Bounds {
  const [width, height] = pyramid.levelSizes[level]!;
  const scale = 2 ** level;
  return {
    x0: x * pyramid.tile * scale - 0.5,
    y0: y * pyramid.tile * scale - 0.5,
    x1: Math.min((x + 1) * pyramid.tile, width) * scale - 0.5,
    y1: Math.min((y + 1) * pyramid.tile, height) * scale - 0.5,
  };
}

/** Return the tiles of a level that the view touches, those nearest to its middle first. */
export function visibleTiles(pyramid: Pyramid, level: number, camera: Camera, view: ViewSize, image: ImageSize): TileId[] {
  const [ax, ay] = toImage(camera, view, image, 0, 0);
  const [bx, by] = toImage(camera, view, image, view.width, view.height);
  const side = pyramid.tile * 2 ** level;
  const [columns, rows] = tileCounts(pyramid, level);
  const first = (value: number, count: number): number => Math.min(count, Math.max(0, Math.floor((value + 0.5) / side)));
  const last = (value: number, count: number): number => Math.min(count - 1, Math.max(-1, Math.floor((value + 0.5) / side)));
  const tiles: TileId[] = [];
  for (let y = first(Math.min(ay, by), rows); y <= last(Math.max(ay, by), rows); y += 1) {
    for (let x = first(ax, columns); x <= last(bx, columns); x += 1) tiles.push({ level, x, y });
  }
  const [mx, my] = [camera.x / side - 0.5, camera.y / side - 0.5];
  return tiles.sort((a, b) => Math.hypot(a.x - mx, a.y - my) - Math.hypot(b.x - mx, b.y - my));
}

/** Return the tile one level up that holds this one, or null at the top. */
export function parentOf(pyramid: Pyramid, { level, x, y }: TileId): TileId | null {
  return level + 1 < pyramid.levels ? { level: level + 1, x: x >> 1, y: y >> 1 } : null;
}

export const tileKey = ({ level, x, y }: TileId): string => `${level}/${x}/${y}`;
