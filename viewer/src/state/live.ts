/** The picture of the job that runs, as it grows: its handle's figures are asked again with each revision. */
import { effect, signal } from "@preact/signals";
import { fetchJson } from "../api/client";
import type { ImageInfo } from "../api/types";
import { imageChanged, job } from "./app";

export const live = signal<ImageInfo | null>(null);
let isAsking = false;

async function refresh(handle: string): Promise<void> {
  if (isAsking) return;
  isAsking = true;
  try {
    const info = await fetchJson<ImageInfo>(`/api/image/${handle}`);
    if (job.peek()?.live === handle) live.value = info;
  } catch {
    // the job may just have ended: its products take the picture's place
  } finally {
    isAsking = false;
  }
}

/** Show the picture that the job has now, or none. */
export function followLive(): void {
  const handle = job.peek()?.live ?? null;
  if (!handle) live.value = null;
  else if (live.peek()?.handle !== handle) void refresh(handle);
}

effect(() => {
  const change = imageChanged.value;
  if (change && change.handle === job.peek()?.live) void refresh(change.handle);
});
