/** Tiles as the server sends them: "SQT1", offset and scale of each channel, then halves or floats, known pixels marked by 1. */
export interface DecodedTile {
  isHalf: boolean;
  channels: 1 | 3;
  hasUnknown: boolean;
  isRough: boolean;
  gutter: number;
  /** Of the payload, gutter included. */
  width: number;
  height: number;
  offset: readonly [number, number, number];
  scale: readonly [number, number, number];
  payload: Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
}

export class BadTile extends Error {}

const MAGIC = 0x31545153; // "SQT1", little-endian

export function decodeTile(bytes: ArrayBuffer): DecodedTile {
  if (bytes.byteLength < 24) throw new BadTile("the tile is cut short");
  const view = new DataView(bytes);
  if (view.getUint32(0, true) !== MAGIC) throw new BadTile("not a tile");
  const format = view.getUint8(4);
  const channels = view.getUint8(5);
  if ((format !== 1 && format !== 2) || (channels !== 1 && channels !== 3)) throw new BadTile("a tile of an unknown kind");
  const flags = view.getUint8(6);
  const [width, height] = [view.getUint16(8, true), view.getUint16(10, true)];
  const start = 16 + 8 * channels;
  const count = width * height * (channels + 1);
  if (bytes.byteLength !== start + count * (format === 1 ? 2 : 4)) throw new BadTile("the tile has another size than it says");
  const read = (index: number, otherwise: number): number => (index < channels * 2 ? view.getFloat32(16 + 4 * index, true) : otherwise);
  const offset = [read(0, 0), read(2, read(0, 0)), read(4, read(0, 0))] as const;
  const scale = [read(1, 1), read(3, read(1, 1)), read(5, read(1, 1))] as const;
  return {
    isHalf: format === 1,
    channels,
    hasUnknown: (flags & 1) !== 0,
    isRough: (flags & 2) !== 0,
    gutter: view.getUint8(7),
    width,
    height,
    offset,
    scale,
    payload: format === 1 ? new Uint16Array(bytes, start, count) : new Float32Array(bytes, start, count),
  };
}
