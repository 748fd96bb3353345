/** A chain of finishing steps as a value: edits give another one; what the server reads and writes of it. */
import type { FinishOperation, FinishStep } from "../api/types";

export type Values = Readonly<Record<string, unknown>>;

export interface Step {
  /** Tells steps apart while they are moved; means nothing elsewhere. */
  readonly id: number;
  readonly operation: string;
  readonly isOn: boolean;
  /** Passed over, with a note, where an image does not allow it. */
  readonly isOptional: boolean;
  /** Settings that differ from their defaults; a setting of settings as "stars.kappa". */
  readonly values: Values;
  /** Where it is done: settings of a mask, or null: everywhere. */
  readonly mask: Values | null;
  readonly isMaskInverted: boolean;
}

export type Chain = readonly Step[];
export type Operations = Readonly<Record<string, FinishOperation>>;

let count = 0;
const nextId = (): number => { count += 1; return count; };

const isSame = (p: unknown, q: unknown): boolean => JSON.stringify(p) === JSON.stringify(q);
const isTable = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function flat(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).flatMap(([name, value]) =>
    isTable(value) ? Object.entries(value).map(([inner, one]) => [`${name}.${inner}`, one]) : [[name, value]]));
}

function nested(values: Values): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const [outer, inner] = name.split(".") as [string, string | undefined];
    if (inner === undefined) made[outer] = value;
    else made[outer] = { ...(made[outer] as object | undefined), [inner]: value };
  }
  return made;
}

/** Return the settings without those that are as the schema has them anyway. */
export function withoutDefaults(values: Values, schema: FinishOperation["schema"]): Values {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => !isSame(value, schema.properties[name]?.default ?? null)));
}

/** Return the chain that the steps of a file or of the server mean; `is_on` is the app's own. */
export function chainOf(steps: readonly FinishStep[], operations: Operations): Chain {
  return steps.filter((step) => step.operation in operations).map(({ operation, optional, mask, mask_inverted, is_on, ...values }) => ({
    id: nextId(),
    operation,
    isOn: is_on !== false,
    isOptional: optional === true,
    values: withoutDefaults(flat(values), operations[operation]!.schema),
    mask: mask ?? null,
    isMaskInverted: mask_inverted === true,
  }));
}

/** Return a step as a chain's file has it. */
export function stepValues(step: Step): FinishStep {
  return {
    operation: step.operation,
    ...(step.isOptional ? { optional: true } : {}),
    ...(step.mask ? { mask: { ...step.mask }, mask_inverted: step.isMaskInverted } : {}),
    ...nested(step.values),
  };
}

/** Return the steps that are switched on: what runs, and what a file keeps. */
export const stepsOn = (chain: Chain): FinishStep[] => chain.filter(({ isOn }) => isOn).map(stepValues);

/** Return all steps, with those that are switched off marked: what the project remembers. */
export const stepsKept = (chain: Chain): FinishStep[] => chain.map((step) => ({ ...stepValues(step), ...(step.isOn ? {} : { is_on: false }) }));

export const edit = (chain: Chain, id: number, part: Partial<Omit<Step, "id" | "operation">>): Chain =>
  chain.map((step) => (step.id === id ? { ...step, ...part } : step));

/** Return the chain with one setting of a step changed; a default is left out. */
export function editValue(chain: Chain, id: number, name: string, value: unknown, operations: Operations): Chain {
  return chain.map((step) => {
    if (step.id !== id) return step;
    return { ...step, values: withoutDefaults({ ...step.values, [name]: value }, operations[step.operation]!.schema) };
  });
}

export const remove = (chain: Chain, id: number): Chain => chain.filter((step) => step.id !== id);

/** Return the chain with a step moved to a place, counted from 0. */
export function moveTo(chain: Chain, id: number, place: number): Chain {
  const from = chain.findIndex((step) => step.id === id);
  const to = Math.max(0, Math.min(chain.length - 1, place));
  if (from < 0 || from === to) return chain;
  const rest = chain.filter((step) => step.id !== id);
  return [...rest.slice(0, to), chain[from]!, ...rest.slice(to)];
}

/** Return the chain with a step more, where such a step usually stands: before the first one that usually comes later. */
export function add(chain: Chain, operation: string, operations: Operations): { chain: Chain; id: number } {
  const rank = (name: string): number => Object.keys(operations).indexOf(name);
  const step: Step = { id: nextId(), operation, isOn: true, isOptional: false, values: {}, mask: null, isMaskInverted: false };
  const found = chain.findIndex((other) => rank(other.operation) > rank(operation));
  const at = found < 0 ? chain.length : found;
  return { chain: [...chain.slice(0, at), step, ...chain.slice(at)], id: step.id };
}

export type OrderFault = "needsLight" | "needsPicture";

/** Return for each step by id what stands in its way: light is asked for after a stretch, or a picture before one. */
export function orderFaults(chain: Chain, operations: Operations): ReadonlyMap<number, OrderFault> {
  const faults = new Map<number, OrderFault>();
  let isPicture = false;
  for (const step of chain) {
    const operation = operations[step.operation];
    if (!step.isOn || !operation) continue;
    if (operation.domain === "linear" && isPicture) faults.set(step.id, "needsLight");
    if (operation.domain === "picture" && !isPicture) faults.set(step.id, "needsPicture");
    isPicture ||= operation.makes_picture;
  }
  return faults;
}

export const makesPicture = (chain: Chain, operations: Operations): boolean =>
  chain.some((step) => step.isOn && operations[step.operation]?.makes_picture === true);
