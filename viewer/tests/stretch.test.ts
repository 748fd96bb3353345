import { describe, expect, it } from "vitest";
import type { Stf } from "../src/api/types";
import { columnsOf, moveHandle, valueOf, wholeAxis } from "../src/parts/histogram";
import { applyStretch, asinhCurve, autoStretch, givenOf, midtones, type Stretch } from "../src/stretch/stretch";

interface Case {
  statistics: { median: number; madn: number; maximum: number }[];
  linked: boolean; target: number; sigma: number; stf: Stf;
  values: number[][]; shown: number[][]; strength: number; asinh: number[];
}

// Written by tests/viewer/test_viewer_unit.py from steps/finish/stretch.py, the definition.
const cases = JSON.parse((import.meta.env.VITE_STRETCH_CASES as string | undefined) ?? "[]") as Case[];

describe("the stretch equals the Python definition", () => {
  it.skipIf(cases.length === 0)("auto stretch, midtones and asinh", () => {
    expect(cases.length).toBeGreaterThan(5);
    for (const one of cases) {
      const stf = autoStretch(one.statistics, one.linked, one.target, one.sigma);
      for (const part of ["shadows", "midtones", "highlights"] as const) {
        stf[part].forEach((value, c) => expect(value).toBeCloseTo(one.stf[part][c]!, 9));
      }
      one.values.forEach((values, c) => values.forEach((value, i) => {
        // The definition goes through a table of 65,536 steps: its answer lies between those one step below and above.
        const step = (stf.highlights[c]! - stf.shadows[c]!) / 65_535;
        const [below, above] = [-1, 1].map((sign) => 65_535 * applyStretch(value + sign * step, c, { curve: "mtf", strength: 1, stf }));
        expect(one.shown[c]![i]!).toBeGreaterThanOrEqual(below! - 1);
        expect(one.shown[c]![i]!).toBeLessThanOrEqual(above! + 1);
        expect(asinhCurve(i / values.length, one.strength)).toBeCloseTo(one.asinh[i]!, 6);
      }));
    }
  });
});

const stretch: Stretch = {
  curve: "mtf", linked: false, target: 0.25, sigma: -2.8, strength: 100, saturation: 1,
  stf: { shadows: [0.01, 0.02, 0.03], midtones: [0.1, 0.2, 0.3], highlights: [1, 1, 1] },
};

describe("the stretch that a file is asked for", () => {
  it("has the ends, saturation and the one curve that is shown", () => {
    const { stf: { shadows, highlights, midtones: balance } } = stretch;
    const hyperbola = { factor: 5, shape: 1, symmetry: 0.1, low: 0, high: 0.9 };
    const ends = { shadows, highlights, saturation: 1.5 };
    expect(givenOf({ ...stretch, saturation: 1.5 })).toEqual({ ...ends, midtones: balance });
    expect(givenOf({ ...stretch, saturation: 1.5, curve: "asinh" })).toEqual({ ...ends, asinh: 100 });
    expect(givenOf({ ...stretch, saturation: 1.5, curve: "hyperbolic", hyperbola })).toEqual({ ...ends, hyperbolic: hyperbola });
  });
});

describe("the midtones curve", () => {
  it("goes through 0, one half and 1", () => {
    expect(midtones(0, 0.02)).toBeCloseTo(0, 12);
    expect(midtones(0.02, 0.02)).toBeCloseTo(0.5, 12);
    expect(midtones(1, 0.02)).toBeCloseTo(1, 12);
  });
});

describe("the axis of the histogram", () => {
  it("puts the bins of a channel on its own axis where they are", () => {
    const counts = Array.from({ length: 100 }, (_, i) => i);
    const channel = { centre: 0.01, scale: 1e-4, low: -3, high: 8, below: 0, above: 0, counts };
    const axis = wholeAxis({ channels: [channel], is_sampled: false }, 0);
    expect(axis.low).toBeCloseTo(-3, 9);
    expect(axis.high).toBeCloseTo(8, 9);
    const columns = columnsOf(channel, axis, 50);
    columns.forEach((value, x) => expect(Math.abs(value - (2 * x + 1))).toBeLessThanOrEqual(1));
  });
});

describe("the handles of the histogram", () => {
  it("the black point moves below a grey point that stays", () => {
    const grey = valueOf("midtones", stretch, 0);
    const moved = { ...stretch, ...moveHandle(stretch, "shadows", 0, 0.005) };
    moved.stf.shadows.forEach((value, c) => expect(value).toBeCloseTo([0.005, 0.02, 0.03][c]!, 12));
    expect(valueOf("midtones", moved, 0)).toBeCloseTo(grey, 12);
  });
  it("the widths of all channels change by the factor of the first", () => {
    const moved = { ...stretch, ...moveHandle(stretch, "highlights", -1, 0.8) };
    const factor = (0.8 - 0.01) / (1 - 0.01);
    moved.stf.highlights.forEach((value, c) => expect(value).toBeCloseTo(stretch.stf.shadows[c]! + factor * (1 - stretch.stf.shadows[c]!), 12));
  });
  it("black never passes white", () => {
    const moved = { ...stretch, ...moveHandle(stretch, "shadows", 0, 5) };
    expect(moved.stf.shadows[0]!).toBeLessThan(moved.stf.highlights[0]!);
  });
});
