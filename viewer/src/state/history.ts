/** A value with its past: every change can be undone and done again. */
export interface History<T> {
  readonly past: readonly T[];
  readonly now: T;
  readonly future: readonly T[];
  /** What the last change was of: changes of one thing in a row (a slider on its way) are one step back. */
  readonly tag: string;
}

const MOST_STEPS = 200;

export const beginHistory = <T>(now: T): History<T> => ({ past: [], now, future: [], tag: "" });

/** Return the history after a change. With a tag that the change before had as well, both are one; "" stands alone. */
export function change<T>(history: History<T>, now: T, tag = ""): History<T> {
  if (now === history.now) return history;
  const isSame = tag !== "" && tag === history.tag && history.past.length > 0;
  return { past: isSame ? history.past : [...history.past, history.now].slice(-MOST_STEPS), now, future: [], tag };
}

export function undo<T>(history: History<T>): History<T> {
  const before = history.past.at(-1);
  if (before === undefined) return history;
  return { past: history.past.slice(0, -1), now: before, future: [history.now, ...history.future], tag: "" };
}

export function redo<T>(history: History<T>): History<T> {
  const [after, ...future] = history.future;
  if (after === undefined) return history;
  return { past: [...history.past, history.now], now: after, future, tag: "" };
}
