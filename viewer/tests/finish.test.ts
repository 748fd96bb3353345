import { describe, expect, it } from "vitest";
import type { FinishOperation, Stf } from "../src/api/types";
import { add, chainOf, edit, editValue, makesPicture, moveTo, orderFaults, remove, stepsKept, stepsOn, type Chain } from "../src/state/chain";
import { fieldOf, parseText, textOf } from "../src/state/fields";
import { placeOf } from "../src/state/finish";
import { beginHistory, change, redo, undo } from "../src/state/history";
import { applyHyperbola, autoHyperbola, hyperbolicCurve, type Hyperbola } from "../src/stretch/hyperbolic";
import { applyStretch, autoStretch, evenEnds } from "../src/stretch/stretch";
import { toImage } from "../src/tiles/camera";
import { cameraAt } from "../src/tiles/view";

describe("the past of a value", () => {
  it("goes back and forth, change by change", () => {
    let history = change(change(beginHistory("a"), "b"), "c");
    history = undo(undo(history));
    expect(history.now).toBe("a");
    expect(undo(history)).toBe(history);
    history = redo(redo(history));
    expect(history.now).toBe("c");
    expect(redo(history)).toBe(history);
  });
  it("forgets what was undone as soon as something else is done", () => {
    const history = change(undo(change(beginHistory("a"), "b")), "x");
    expect(redo(history).now).toBe("x");
    expect(undo(history).now).toBe("a");
  });
  it("takes the way of one slider as one change, and two sliders as two", () => {
    let history = beginHistory(0);
    for (const value of [1, 2, 3]) history = change(history, value, "one");
    for (const value of [4, 5]) history = change(history, value, "other");
    expect(undo(history).now).toBe(3);
    expect(undo(undo(history)).now).toBe(0);
  });
  it("does not join the same slider over an undo", () => {
    const history = change(undo(change(change(beginHistory(0), 1, "one"), 2)), 5, "one");
    expect(history.now).toBe(5);
    expect(undo(history).now).toBe(1);
  });
  it("keeps no change that changes nothing", () => {
    const history = beginHistory("a");
    expect(change(history, "a")).toBe(history);
  });
  it("has no past of more than 200 changes", () => {
    let history = beginHistory(0);
    for (let i = 1; i <= 300; i += 1) history = change(history, i);
    expect(history.past.length).toBe(200);
    expect(history.past[0]).toBe(100);
  });
});

const operation = (name: string, domain: FinishOperation["domain"], properties: FinishOperation["schema"]["properties"], makes_picture = false): FinishOperation => ({
  name, title: name, domain, channels: [], makes_picture, schema: { properties },
});
const operations = Object.fromEntries([
  operation("gradient", "linear", { order: { type: "integer", default: null }, keep_level: { type: "boolean", default: true } }),
  operation("stars", "linear", { "stars.kappa": { type: "number", default: 5 }, seed: { type: "integer", default: 0 } }),
  operation("auto_stretch", "linear", { target: { type: "number", default: 0.25 } }, true),
  operation("saturation", "any", { factor: { type: "number", default: 1 } }),
  operation("colourmap", "picture", { name: { type: "string", default: "grayscale" } }),
].map((one) => [one.name, one]));

const names = (chain: Chain): string[] => chain.map((step) => step.operation);
const start = (): Chain => chainOf([{ operation: "gradient", order: 2, keep_level: true, optional: true }, { operation: "auto_stretch", target: 0.25 }], operations);

describe("a chain of steps", () => {
  it("keeps of a file what differs from the defaults, and writes it again", () => {
    const chain = chainOf([{ operation: "stars", stars: { kappa: 7 }, seed: 0, mask: { kind: "object" }, mask_inverted: true }], operations);
    expect(chain[0]!.values).toEqual({ "stars.kappa": 7 });
    expect(stepsOn(chain)).toEqual([{ operation: "stars", stars: { kappa: 7 }, mask: { kind: "object" }, mask_inverted: true }]);
  });
  it("leaves switched-off steps out of what runs, and remembers them", () => {
    const chain = start();
    const off = edit(chain, chain[0]!.id, { isOn: false });
    expect(stepsOn(off)).toEqual([{ operation: "auto_stretch" }]);
    expect(stepsKept(off)[0]).toEqual({ operation: "gradient", optional: true, order: 2, is_on: false });
    expect(chainOf(stepsKept(off), operations).map(({ isOn }) => isOn)).toEqual([false, true]);
  });
  it("forgets a value that is the default again", () => {
    const chain = start();
    const changed = editValue(chain, chain[1]!.id, "target", 0.1, operations);
    expect(changed[1]!.values).toEqual({ target: 0.1 });
    expect(editValue(changed, chain[1]!.id, "target", 0.25, operations)[1]!.values).toEqual({});
  });
  it("puts a new step where it usually stands", () => {
    expect(names(add(start(), "stars", operations).chain)).toEqual(["gradient", "stars", "auto_stretch"]);
    expect(names(add(start(), "saturation", operations).chain)).toEqual(["gradient", "auto_stretch", "saturation"]);
    expect(names(add([], "gradient", operations).chain)).toEqual(["gradient"]);
  });
  it("moves and removes steps, within its ends", () => {
    const chain = add(start(), "saturation", operations).chain;
    expect(names(moveTo(chain, chain[2]!.id, 0))).toEqual(["saturation", "gradient", "auto_stretch"]);
    expect(names(moveTo(chain, chain[0]!.id, 99))).toEqual(["auto_stretch", "saturation", "gradient"]);
    expect(moveTo(chain, chain[0]!.id, -1)).toBe(chain);
    expect(names(remove(chain, chain[1]!.id))).toEqual(["gradient", "saturation"]);
  });
  it("knows which step asks for light after a stretch, or for a picture before one", () => {
    const chain = chainOf([{ operation: "colourmap" }, { operation: "auto_stretch" }, { operation: "saturation" }, { operation: "gradient" }], operations);
    expect([...orderFaults(chain, operations)]).toEqual([[chain[0]!.id, "needsPicture"], [chain[3]!.id, "needsLight"]]);
    expect(makesPicture(chain, operations)).toBe(true);
    const off = edit(chain, chain[1]!.id, { isOn: false });
    expect([...orderFaults(off, operations)]).toEqual([[chain[0]!.id, "needsPicture"]]);
    expect(makesPicture(off, operations)).toBe(false);
  });
  it("leaves out of a file what this program does not know", () => {
    expect(names(chainOf([{ operation: "unknown" }, { operation: "gradient" }], operations))).toEqual(["gradient"]);
  });
});

describe("lists and rows in a form", () => {
  const rows = fieldOf("response", { type: "array", items: { type: "array", items: { type: "number" } } }, [[1, 0.04], [0.08, 0.9]]);
  const box = fieldOf("box", { anyOf: [{ type: "array", prefixItems: [{ type: "integer" }] }, { type: "null" }] }, null);
  it("are read as they are shown", () => {
    expect(rows.control).toBe("rows");
    expect(textOf(rows.byDefault)).toBe("1, 0.04; 0.08, 0.9");
    expect(parseText(rows, textOf(rows.byDefault))).toEqual(rows.byDefault);
    expect([box.control, box.isOptional]).toEqual(["numbers", true]);
    expect(parseText(box, "1, 2 3;4")).toEqual([1, 2, 3, 4]);
    expect(parseText(box, " ")).toBeNull();
    expect(parseText(box, "1, x")).toEqual([1, "x"]); // the server says what is wrong with it
  });
});

describe("an image that lies on another one", () => {
  it("is seen at its place: the middle of a cell of three pixels is that of its middle pixel", () => {
    const place = placeOf({ box: [60, 30, 660, 330], factor: 3 });
    expect(place).toEqual({ x: 61, y: 31, scale: 3 });
    const size = { width: 200, height: 100, isBottomUp: false };
    const [view, camera] = [{ width: 800, height: 600 }, { x: 300, y: 200, zoom: 0.5 }];
    const [x, y] = toImage(camera, view, { ...size, width: 1800, height: 1200 }, 123, 77);
    const [u, v] = toImage(cameraAt(camera, place), view, size, 123, 77);
    expect(60 + 3 * u + 1).toBeCloseTo(x, 9);
    expect(30 + 3 * v + 1).toBeCloseTo(y, 9);
  });
});

interface Cases {
  curves: { hyperbola: Hyperbola; t: number[]; shown: number[] }[];
  automatic: { statistics: { median: number; madn: number }[]; stf: Stf; target: number; factor: number; symmetry: number };
}
// Written by tests/viewer/test_viewer_unit.py from steps/finish/tone, the definition.
const cases = JSON.parse((import.meta.env.VITE_HYPERBOLIC_CASES as string | undefined) ?? "null") as Cases | null;

describe("the generalised hyperbolic stretch equals the Python definition", () => {
  it.skipIf(!cases)("for every kind of shape", () => {
    expect(cases!.curves.length).toBeGreaterThan(50);
    for (const { hyperbola, t, shown } of cases!.curves) {
      const curve = hyperbolicCurve(hyperbola);
      const stretch = { curve: "hyperbolic" as const, strength: 1, hyperbola, stf: { shadows: [10], midtones: [0.5], highlights: [12] } };
      t.forEach((value, i) => {
        expect(applyHyperbola(value, curve), JSON.stringify(hyperbola)).toBeCloseTo(shown[i]!, 9);
        expect(applyStretch(10 + 2 * value, 0, stretch)).toBeCloseTo(shown[i]!, 9);
      });
    }
  });
  it.skipIf(!cases)("and chooses by itself what the step of a chain chooses", () => {
    const { statistics, stf, target, factor, symmetry } = cases!.automatic;
    const found = autoHyperbola(statistics, stf, target);
    expect(found.symmetry).toBeCloseTo(symmetry, 6);
    expect(found.factor).toBeCloseTo(factor, 4);
    const { median } = statistics[0]!;
    expect(applyStretch(median, 0, { curve: "hyperbolic", strength: 1, hyperbola: found, stf })).toBeCloseTo(target, 6);
  });
  it("shows the sky alike in channels of different noise and light", () => {
    const statistics = [{ median: 0.01, madn: 2e-4, maximum: 0.9 }, { median: 0.02, madn: 1e-4, maximum: 1 }, { median: 0.015, madn: 3e-4, maximum: 0.4 }];
    const plain = autoStretch(statistics, false);
    const stf = evenEnds(statistics, plain, 0.25);
    const hyperbola = autoHyperbola(statistics, stf, 0.25);
    statistics.forEach(({ median, maximum }, c) => {
      expect(stf.highlights[c]!).toBeGreaterThanOrEqual(maximum - 1e-12); // nothing is clipped that was not
      expect(applyStretch(median, c, { curve: "hyperbolic", strength: 1, hyperbola, stf })).toBeCloseTo(0.25, 6);
      expect(applyStretch(median, c, { curve: "mtf", strength: 1, stf })).toBeCloseTo(0.25, 9);
    });
  });
  it("leaves everything as it is at a factor of 0", () => {
    const curve = hyperbolicCurve({ factor: 0, shape: 2, symmetry: 0.1, low: 0, high: 1 });
    for (const t of [0, 0.25, 0.5, 1]) expect(applyHyperbola(t, curve)).toBeCloseTo(t, 3);
  });
});
