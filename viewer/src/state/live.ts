/** The picture of the job that runs, as it grows: its handle's figures are asked again with each revision. */
import { effect, signal } from "@preact/signals";
import { fetchJson, postJson } from "../api/client";
import type { ImageInfo } from "../api/types";
import { imageChanged, job } from "./app";

export const live = signal<ImageInfo | null>(null);
let isAsking = false;
let wanted: string | null = null;

/** Ask for the picture's figures; what grows while an answer is on its way is asked for once more after it. */
async function refresh(handle: string): Promise<void> {
  wanted = handle;
  if (isAsking) return;
  isAsking = true;
  while (wanted) {
    const asked: string = wanted;
    wanted = null;
    try {
      const info = await fetchJson<ImageInfo>(`/api/image/${asked}`);
      if (job.peek()?.live === asked) live.value = info;
    } catch {
      // no pixel is known yet, or the job has just ended: its products take the picture's place
    }
  }
  isAsking = false;
}

/** Show the picture that the job has now: what grows, at its end the product, or none. */
export function followLive(): void {
  const now = job.peek();
  const handle = now?.live ?? null;
  const product = now?.state === "done" ? now.products.find(({ kind }) => kind === "image") : undefined;
  if (handle && live.peek()?.handle !== handle) void refresh(handle);
  else if (product) {
    postJson<ImageInfo>("/api/image", { product: product.id })
      .then((info) => { if (job.peek()?.state === "done") live.value = info; })
      .catch(() => undefined);
  } else if (!handle) live.value = null;
}

effect(() => {
  const change = imageChanged.value;
  if (change && change.handle === job.peek()?.live) void refresh(change.handle);
});
