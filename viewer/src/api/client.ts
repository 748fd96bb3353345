/** Requests to the server that sent this page, and to no other. */
import type { ApiFault, Task } from "./types";

/** What the server refused: one sentence, and what to do next. */
export class RequestRefused extends Error {
  constructor(readonly status: number, message: string, readonly hint: string) {
    super(message);
  }
}

async function refusal(response: Response): Promise<RequestRefused> {
  let fault: ApiFault = { message: `${response.status} ${response.statusText}`.trim(), hint: "" };
  try {
    const body = (await response.json()) as { error?: ApiFault };
    if (body.error) fault = body.error;
  } catch {
    // an answer without a body keeps the words of its status
  }
  return new RequestRefused(response.status, fault.message, fault.hint);
}

export async function fetchJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, { credentials: "same-origin", signal: signal ?? null });
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

export async function postJson<T>(path: string, body: unknown): Promise<T> {
  const response = await fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    keepalive: JSON.stringify(body).length < 60_000, // outlives the page: what is remembered is sent when it closes
  });
  if (!response.ok) throw await refusal(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export async function fetchBytes(path: string, signal: AbortSignal): Promise<ArrayBuffer> {
  const response = await fetch(path, { credentials: "same-origin", signal });
  if (!response.ok) throw await refusal(response);
  return response.arrayBuffer();
}

/** Take the token out of the address, clear it there, and exchange it for the cookie. */
export async function exchangeToken(): Promise<void> {
  const match = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (!match) return;
  history.replaceState(null, "", location.pathname);
  await postJson("/api/session", { token: match[1] });
}

type Waiter = { resolve: (value: unknown) => void; reject: (error: Error) => void };
const waiting = new Map<string, Waiter>();

/** Tell those who wait for this task that it has ended; called for each task event. */
export function settleTask(task: Task): void {
  const waiter = waiting.get(task.id);
  if (!waiter || task.state === "running") return;
  waiting.delete(task.id);
  if (task.state === "done") waiter.resolve(task.result);
  else waiter.reject(new RequestRefused(0, task.error?.message ?? task.state, task.error?.hint ?? ""));
}

/** Start a task and wait for its end: by events, and by a question every two seconds should an event be lost. */
export async function runTask<T>(path: string, body: unknown, started?: (task: Task) => void): Promise<T> {
  const { task } = await postJson<{ task: Task }>(path, body);
  started?.(task);
  return new Promise<T>((resolve, reject) => {
    const poll = setInterval(() => {
      fetchJson<Task>(`/api/task/${task.id}`).then(settleTask, (error: unknown) => {
        if (error instanceof RequestRefused && error.status === 404) settleTask({ ...task, state: "stopped" });
      });
    }, 2000);
    waiting.set(task.id, {
      resolve: (value) => { clearInterval(poll); resolve(value as T); },
      reject: (error) => { clearInterval(poll); reject(error); },
    });
    settleTask(task);
  });
}
