/** Fetches tiles, few at a time, the wanted ones in the order they are wanted; what is no longer wanted is given up. */
import { fetchBytes } from "../api/client";
import { decodeTile, type DecodedTile } from "./format";

const MOST_AT_ONCE = 6;
const WAIT_AFTER_FAULT_MS = 1500;

export class TileLoader {
  private readonly running = new Map<string, AbortController>();
  private readonly failed = new Map<string, number>();
  private wanted: { key: string; url: string }[] = [];

  constructor(private readonly arrived: (key: string, tile: DecodedTile) => void) {}

  /** Say what the present view lacks, most wanted first. */
  want(tiles: { key: string; url: string }[]): void {
    this.wanted = tiles;
    const keys = new Set(tiles.map((tile) => tile.key));
    for (const [key, control] of this.running) if (!keys.has(key)) control.abort();
    this.start();
  }

  stop(): void {
    this.want([]);
  }

  private start(): void {
    for (const { key, url } of this.wanted) {
      if (this.running.size >= MOST_AT_ONCE) return;
      if (this.running.has(key) || (this.failed.get(key) ?? 0) > performance.now()) continue;
      void this.load(key, url);
    }
  }

  private async load(key: string, url: string): Promise<void> {
    const control = new AbortController();
    this.running.set(key, control);
    try {
      const tile = decodeTile(await fetchBytes(url, control.signal));
      this.wanted = this.wanted.filter((other) => other.key !== key);
      this.failed.delete(key);
      this.arrived(key, tile);
    } catch {
      if (!control.signal.aborted) {
        this.failed.set(key, performance.now() + WAIT_AFTER_FAULT_MS);
        setTimeout(() => this.start(), WAIT_AFTER_FAULT_MS + 10);
      }
    } finally {
      this.running.delete(key);
      this.start();
    }
  }
}
