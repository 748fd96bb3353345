import { describe, expect, it } from "vitest";
import { TextureCache } from "../src/tiles/cache";
import { fitCamera, panBy, toImage, toScreen, zoomAt, type ImageSize } from "../src/tiles/camera";
import { BadTile, decodeTile } from "../src/tiles/format";
import { boundsOf, levelOf, parentOf, visibleTiles, type Pyramid } from "../src/tiles/pyramid";
import { isInside, linesOfGrid, project } from "../src/tiles/sky";

const view = { width: 1600, height: 900 };
const image: ImageSize = { width: 20_000, height: 20_000, isBottomUp: false };
const sizes: [number, number][] = [[20_000, 20_000]];
while (sizes.at(-1)![0] > 512) sizes.push([Math.ceil(sizes.at(-1)![0] / 2), Math.ceil(sizes.at(-1)![1] / 2)]);
const pyramid: Pyramid = { levels: sizes.length, levelSizes: sizes, tile: 512 };

describe("the camera", () => {
  for (const isBottomUp of [false, true]) {
    const one = { ...image, isBottomUp };
    it(`goes to the screen and back (bottom up: ${isBottomUp})`, () => {
      const camera = { x: 5000, y: 7000, zoom: 0.37 };
      const [sx, sy] = toScreen(camera, view, one, 4321, 6789);
      const [x, y] = toImage(camera, view, one, sx, sy);
      expect(x).toBeCloseTo(4321, 8);
      expect(y).toBeCloseTo(6789, 8);
      expect(Math.sign(sy - view.height / 2)).toBe(isBottomUp ? 1 : -1);
    });
    it(`keeps the point under the pointer while zooming (bottom up: ${isBottomUp})`, () => {
      const camera = fitCamera(view, one);
      const before = toImage(camera, view, one, 300, 200);
      const after = toImage(zoomAt(camera, view, one, 3.3, 300, 200), view, one, 300, 200);
      expect(after[0]).toBeCloseTo(before[0], 6);
      expect(after[1]).toBeCloseTo(before[1], 6);
    });
  }
  it("never loses the image", () => {
    const camera = panBy({ x: 10, y: 10, zoom: 1 }, image, 1e9, -1e9);
    expect(camera.x).toBe(-0.5);
    expect(camera.y).toBe(19_999.5);
  });
});

describe("the pyramid", () => {
  it("draws pixels at about their size", () => {
    for (let zoom = 1 / 40; zoom < 4; zoom *= 1.07) {
      const size = zoom * 2 ** levelOf(zoom, 20);
      if (zoom < 1) expect(size).toBeGreaterThan(0.59);
      if (zoom < 1) expect(size).toBeLessThan(1.21);
    }
  });
  it("asks for few tiles of a large image, and for its middle first", () => {
    for (const zoom of [0.03, 0.045, 0.1, 0.3, 1, 4]) {
      const level = levelOf(zoom, pyramid.levels);
      const camera = { x: 9000, y: 9000, zoom };
      const tiles = visibleTiles(pyramid, level, camera, view, image);
      expect(tiles.length).toBeLessThanOrEqual(48);
      const inside = boundsOf(pyramid, tiles[0]!);
      expect(inside.x0).toBeLessThanOrEqual(9000 + 512 * 2 ** level);
      expect(inside.x1).toBeGreaterThanOrEqual(9000 - 512 * 2 ** level);
    }
  });
  it("covers each level without gap or overlap", () => {
    const odd: Pyramid = { levels: 3, levelSizes: [[1281, 700], [641, 350], [321, 175]], tile: 512 };
    const whole = { x: 640, y: 350, zoom: 0.1 };
    const tiles = visibleTiles(odd, 0, whole, view, { width: 1281, height: 700, isBottomUp: false });
    const area = tiles.map((tile) => boundsOf(odd, tile)).reduce((sum, box) => sum + (box.x1 - box.x0) * (box.y1 - box.y0), 0);
    expect(tiles.length).toBe(6);
    expect(area).toBe(1281 * 700);
  });
  it("finds the tile above", () => {
    expect(parentOf(pyramid, { level: 0, x: 5, y: 8 })).toEqual({ level: 1, x: 2, y: 4 });
    expect(parentOf(pyramid, { level: pyramid.levels - 1, x: 0, y: 0 })).toBeNull();
  });
});

describe("the texture cache", () => {
  it("drops what was drawn longest ago, never what this frame draws", () => {
    const dropped: string[] = [];
    const cache = new TextureCache<string>(100, (value) => dropped.push(value));
    for (const name of ["a", "b", "c", "d"]) cache.put(name, name, 25, 1);
    cache.take("a", 2);
    expect(cache.makeRoom(25, 2)).toBe(true);
    expect(dropped).toEqual(["b"]);
    for (const name of ["a", "c", "d"]) cache.take(name, 3);
    cache.put("e", "e", 25, 3);
    expect(cache.makeRoom(25, 3)).toBe(false);
    expect(cache.bytes).toBe(100);
  });
});

function tileBytes(channels: number, format: number, width: number, height: number, cut = 0): ArrayBuffer {
  const start = 16 + 8 * channels;
  const bytes = new ArrayBuffer(start + width * height * (channels + 1) * (format === 1 ? 2 : 4) - cut);
  const data = new DataView(bytes);
  [0x53, 0x51, 0x54, 0x31, format, channels, 3, 1].forEach((value, i) => data.setUint8(i, value));
  data.setUint16(8, width, true);
  data.setUint16(10, height, true);
  for (let i = 0; i < 2 * channels; i += 1) data.setFloat32(16 + 4 * i, i + 0.5, true);
  return bytes;
}

describe("the tile format", () => {
  it("reads the head", () => {
    const tile = decodeTile(tileBytes(3, 1, 7, 5));
    expect([tile.width, tile.height, tile.channels, tile.isHalf, tile.hasUnknown, tile.isRough]).toEqual([7, 5, 3, true, true, true]);
    expect(tile.offset).toEqual([0.5, 2.5, 4.5]);
    expect(tile.scale).toEqual([1.5, 3.5, 5.5]);
    expect(tile.payload.length).toBe(7 * 5 * 4);
    expect(decodeTile(tileBytes(1, 2, 4, 4)).payload).toBeInstanceOf(Float32Array);
  });
  it("refuses what is cut or something else", () => {
    expect(() => decodeTile(tileBytes(3, 1, 7, 5, 2))).toThrow(BadTile);
    expect(() => decodeTile(new ArrayBuffer(64))).toThrow(BadTile);
    expect(() => decodeTile(new ArrayBuffer(3))).toThrow(BadTile);
  });
});

describe("the plane of the sky", () => {
  it("projects by the tangent", () => {
    expect(project(10, 20, 10, 20)).toEqual([0, 0]);
    const [x, y] = project(10, 21, 10, 20);
    expect(x).toBeCloseTo(0, 12);
    expect(y).toBeCloseTo((180 / Math.PI) * Math.tan(Math.PI / 180), 9);
    expect(project(11, 0, 10, 0)[0]).toBeGreaterThan(0); // east grows
  });
  it("draws a grid near the pole too", () => {
    for (const dec of [0, 41, 89.5, -90]) {
      const lines = linesOfGrid(192, dec, 3);
      expect(lines.length).toBeGreaterThan(4);
      expect(lines.length).toBeLessThan(400);
    }
  });
  it("knows inside from outside", () => {
    const square: [number, number][] = [[0, 0], [1, 0], [1, 1], [0, 1]];
    expect(isInside([0.5, 0.5], square)).toBe(true);
    expect(isInside([1.5, 0.5], square)).toBe(false);
  });
});
