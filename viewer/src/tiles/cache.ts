/** What the graphics card holds: least recently drawn goes first once `mostBytes` is passed; what this frame drew stays. */
export class TextureCache<T> {
  private readonly entries = new Map<string, { value: T; bytes: number; drawn: number }>();
  private total = 0;

  constructor(readonly mostBytes: number, private readonly release: (value: T) => void) {}

  get bytes(): number {
    return this.total;
  }

  get size(): number {
    return this.entries.size;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  /** Return the entry and mark it as drawn in this frame. */
  take(key: string, frame: number): T | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    entry.drawn = frame;
    this.entries.delete(key);
    this.entries.set(key, entry); // last in the order of a Map: most recently drawn
    return entry.value;
  }

  /** Make room for `bytes`; false where what this frame draws already fills the memory. */
  makeRoom(bytes: number, frame: number): boolean {
    for (const [key, entry] of this.entries) {
      if (this.total + bytes <= this.mostBytes) break;
      if (entry.drawn < frame) this.drop(key);
    }
    return this.total + bytes <= this.mostBytes;
  }

  put(key: string, value: T, bytes: number, frame: number): void {
    this.drop(key);
    this.entries.set(key, { value, bytes, drawn: frame });
    this.total += bytes;
  }

  drop(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.total -= entry.bytes;
    this.release(entry.value);
  }

  /** Drop all whose key starts so: an image that was closed. */
  dropAll(prefix = ""): void {
    for (const key of [...this.entries.keys()]) if (key.startsWith(prefix)) this.drop(key);
  }
}
