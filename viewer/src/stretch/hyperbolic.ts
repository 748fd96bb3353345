/**
 * The generalised hyperbolic stretch, the same definition as `HyperbolicCurve` of `skyquilt/steps/finish/tone/curves.py`, which a
 * test holds (Payne & Cranfield, ghsastro.co.uk). The shader has it as well; what does not change from pixel to pixel is made here.
 */
import type { ChannelStatistics, Stf } from "../api/types";

export interface Hyperbola {
  /** ln(D + 1): 0 changes nothing. */
  factor: number;
  /** b: -1 logarithmic, below 0 integral, 0 exponential, above 0 hyperbolic. */
  shape: number;
  /** SP, 0 to 1: where the contrast grows most. */
  symmetry: number;
  /** LP and HP, 0 to 1: below and above the curve is straight. */
  low: number;
  high: number;
}

export const FIRST_HYPERBOLA: Hyperbola = { factor: 6, shape: 4, symmetry: 0, low: 0, high: 1 };
export const MOST_FACTOR = 15;
const LEAST_FACTOR = 1e-3;
const HALVINGS = 60;
const FOOT_SIGMA = 2;

/** The curve with what belongs to it: D, limits within reach of SP, slopes of its straight parts, raw values at 0 and 1. */
export interface HyperbolicCurve {
  amount: number; shape: number; symmetry: number; low: number; high: number; slopeLow: number; slopeHigh: number; start: number; end: number;
}

function base(d: number, b: number, x: number): number {
  if (b === -1) return Math.log1p(d * x);
  if (b < 0) return (1 - (1 - b * d * x) ** ((b + 1) / b)) / (d * (b + 1));
  return b === 0 ? -Math.expm1(-d * x) : 1 - (1 + b * d * x) ** (-1 / b);
}

function slope(d: number, b: number, x: number): number {
  if (b === -1) return d / (1 + d * x);
  if (b < 0) return (1 - b * d * x) ** (1 / b);
  return b === 0 ? d * Math.exp(-d * x) : d * (1 + b * d * x) ** (-(1 + b) / b);
}

function raw(curve: Omit<HyperbolicCurve, "start" | "end">, t: number): number {
  const { amount, shape, symmetry, low, high } = curve;
  const inside = Math.min(high, Math.max(low, t)) - symmetry;
  return Math.sign(inside) * base(amount, shape, Math.abs(inside))
    + Math.min(t - low, 0) * curve.slopeLow + Math.max(t - high, 0) * curve.slopeHigh;
}

export function hyperbolicCurve({ factor, shape, symmetry, low, high }: Hyperbola): HyperbolicCurve {
  const amount = Math.expm1(Math.max(LEAST_FACTOR, factor));
  const [lower, upper] = [Math.min(low, symmetry), Math.max(high, symmetry)];
  const slopeLow = slope(amount, shape, symmetry - lower);
  const slopeHigh = slope(amount, shape, upper - symmetry);
  const curve = { amount, shape, symmetry, low: lower, high: upper, slopeLow, slopeHigh };
  return { ...curve, start: raw(curve, 0), end: raw(curve, 1) };
}

/** Return what becomes of t, 0 to 1. */
export function applyHyperbola(t: number, curve: HyperbolicCurve): number {
  return Math.min(1, Math.max(0, (raw(curve, t) - curve.start) / (curve.end - curve.start)));
}

/**
 * Return the curve that puts the sky at `target`, with its symmetry at the foot of the sky, 2 sigma below its level: what
 * `hyperbolic_stretch` of a chain chooses when nothing is given.
 */
export function autoHyperbola(
  statistics: readonly Pick<ChannelStatistics, "median" | "madn">[], stf: Stf, target: number, shape = FIRST_HYPERBOLA.shape,
): Hyperbola {
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const at = (value: number, c: number): number => Math.min(1, Math.max(0, (value - stf.shadows[c]!) / (stf.highlights[c]! - stf.shadows[c]!)));
  const level = mean(statistics.map(({ median }, c) => at(median, c)));
  const foot = mean(statistics.map(({ median, madn }, c) => at(median - FOOT_SIGMA * madn, c)));
  const made = { ...FIRST_HYPERBOLA, shape, symmetry: foot };
  let [low, high] = [Math.log(LEAST_FACTOR), Math.log(MOST_FACTOR)];
  for (let i = 0; i < HALVINGS; i += 1) {
    const middle = (low + high) / 2;
    if (applyHyperbola(level, hyperbolicCurve({ ...made, factor: Math.exp(middle) })) < target) low = middle;
    else high = middle;
  }
  return { ...made, factor: Math.exp(high) };
}
