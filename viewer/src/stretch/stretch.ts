/**
 * Stretches: the same definitions as `skyquilt/steps/finish/stretch.py`, which a test holds.
 *
 * MTF(m, x) = (m - 1) x / ((2 m - 1) x - m) (PixInsight reference documentation, HistogramTransformation);
 * asinh: asinh(a t) / asinh(a) (Lupton et al. 2004, PASP 116, 133); generalised hyperbolic: hyperbolic.ts.
 */
import type { ChannelStatistics, Stf } from "../api/types";
import { applyHyperbola, FIRST_HYPERBOLA, hyperbolicCurve, type Hyperbola } from "./hyperbolic";

export const CURVES = ["mtf", "asinh", "hyperbolic"] as const;
export type Curve = (typeof CURVES)[number];

/** How an image is shown. `target` and `sigma` are what the auto stretch was asked for. */
export interface Stretch {
  curve: Curve;
  linked: boolean;
  target: number;
  sigma: number;
  strength: number;
  /** Of the generalised hyperbolic curve; those that were remembered before there was one have none. */
  hyperbola?: Hyperbola;
  saturation: number;
  stf: Stf;
}

/** The same as a file is asked for: the ends, one curve with what belongs to it, saturation. */
export interface StretchGiven {
  shadows: number[]; highlights: number[]; saturation: number; midtones?: number[]; asinh?: number; hyperbolic?: Hyperbola;
}

export function givenOf({ curve, strength, hyperbola, saturation, stf: { shadows, midtones: balance, highlights } }: Stretch): StretchGiven {
  const ends = { shadows, highlights, saturation };
  if (curve === "mtf") return { ...ends, midtones: balance };
  return curve === "asinh" ? { ...ends, asinh: strength } : { ...ends, hyperbolic: hyperbola ?? FIRST_HYPERBOLA };
}

export const TARGET_BACKGROUND = 0.25;
export const SHADOWS_SIGMA = -2.8;

export function midtones(x: number, m: number): number {
  return ((m - 1) * x) / ((2 * m - 1) * x - m);
}

export function asinhCurve(t: number, strength: number): number {
  return Math.asinh(strength * t) / Math.asinh(strength);
}

/** Return what the shader shows of a value: 0 black, 1 white. */
export function applyStretch(value: number, channel: number, stretch: Pick<Stretch, "curve" | "strength" | "hyperbola" | "stf">): number {
  const { shadows, highlights, midtones: balance } = stretch.stf;
  const low = shadows[channel] ?? 0;
  const high = highlights[channel] ?? 1;
  const t = Math.min(1, Math.max(0, (value - low) / (high - low)));
  if (stretch.curve === "mtf") return midtones(t, balance[channel] ?? 0.5);
  if (stretch.curve === "asinh") return asinhCurve(t, stretch.strength);
  return applyHyperbola(t, hyperbolicCurve(stretch.hyperbola ?? FIRST_HYPERBOLA));
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function balanceOf(median: number, low: number, high: number, target: number): number {
  const t = Math.min(1, Math.max(1e-6, (median - low) / (high - low)));
  return midtones(t, target);
}

/** Return the stretch that puts the sky at `target` and black at `sigma` (below 0) times MADN from the sky. */
export function autoStretch(
  statistics: Pick<ChannelStatistics, "median" | "madn" | "maximum">[],
  linked: boolean,
  target = TARGET_BACKGROUND,
  sigma = SHADOWS_SIGMA,
): Stf {
  const limits = statistics.map(({ median, madn, maximum }) => {
    const low = median + sigma * madn;
    return maximum > low ? [low, maximum] as const : [median - 1, median + 1] as const;
  });
  if (linked) {
    const low = mean(limits.map(([value]) => value));
    const high = Math.max(...limits.map(([, value]) => value));
    const balance = balanceOf(mean(statistics.map(({ median }) => median)), low, high, target);
    return {
      shadows: limits.map(() => low),
      midtones: limits.map(() => balance),
      highlights: limits.map(() => high),
    };
  }
  return {
    shadows: limits.map(([low]) => low),
    midtones: statistics.map(({ median }, c) => balanceOf(median, limits[c]![0], limits[c]![1], target)),
    highlights: limits.map(([, high]) => high),
  };
}

/**
 * Return the ends of a stretch with white moved out until the sky lies at the same share of the range in every channel, and midtones
 * to match: curves of one shape for all channels then keep the sky neutral.
 */
export function evenEnds(statistics: Pick<ChannelStatistics, "median">[], { shadows, highlights }: Stf, target: number): Stf {
  const shares = statistics.map(({ median }, c) => (median - shadows[c]!) / (highlights[c]! - shadows[c]!));
  const least = Math.min(...shares);
  if (!(least > 0)) return { shadows, highlights, midtones: statistics.map(({ median }, c) => balanceOf(median, shadows[c]!, highlights[c]!, target)) };
  const ends = statistics.map(({ median }, c) => shadows[c]! + (median - shadows[c]!) / least);
  return { shadows, highlights: ends, midtones: statistics.map(({ median }, c) => balanceOf(median, shadows[c]!, ends[c]!, target)) };
}
