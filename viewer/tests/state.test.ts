import { describe, expect, it } from "vitest";
import type { SchemaField } from "../src/api/types";
import { sharedLength } from "../src/screens/frames_table";
import { isIn, rowsOf, sortRows } from "../src/state/frametable";
import { fieldOf, parseText } from "../src/state/fields";
import { formatDirection } from "../src/words";
import { en } from "../src/words/en";
import { fr } from "../src/words/fr";

const columns = ["id", "file", "status", "choice", "date_obs", "fwhm_px"];
const rows = rowsOf(columns, [
  ["a", "x_10.fit", "stacked", null, "2025-03-26T21:20:46", 3.1],
  ["b", "x_9.fit", "left_out", null, "2025-03-26T21:20:56.5", null],
  ["c", "x_2.fit", "stacked", "exclude", null, 2.4],
]);

describe("the rows of frames", () => {
  it("take time as UTC", () => {
    expect(rows[0]!.time_s).toBe(Date.UTC(2025, 2, 26, 21, 20, 46) / 1000);
    expect(rows[2]!.time_s).toBeNull();
  });
  it("sort with the unknown last, both ways", () => {
    expect(sortRows(rows, { column: "fwhm_px", isDescending: false }).map((row) => row.id)).toEqual(["c", "a", "b"]);
    expect(sortRows(rows, { column: "fwhm_px", isDescending: true }).map((row) => row.id)).toEqual(["a", "c", "b"]);
  });
  it("sort names as people count", () => {
    expect(sortRows(rows, { column: "file", isDescending: false }).map((row) => row.id)).toEqual(["c", "b", "a"]);
  });
  it("know who takes part", () => {
    expect(rows.map(isIn)).toEqual([true, false, false]);
  });
  it("share the beginning of their names", () => {
    expect(sharedLength(rows.map((row) => row.file))).toBe(2);
    expect(sharedLength(["one"])).toBe(0);
  });
});

describe("the form of a run", () => {
  const optional: SchemaField = { anyOf: [{ type: "number", exclusiveMinimum: 0 }, { type: "null" }], description: "help", group: "selection" };
  it("reads optional numbers out of the schema", () => {
    const field = fieldOf("max_fwhm_px", optional, null);
    expect([field.control, field.isOptional, field.minimum]).toEqual(["number", true, 0]);
    expect(parseText(field, "")).toBeNull();
    expect(parseText(field, "2,5")).toBe(2.5);
    expect(parseText(field, "wide")).toBe("wide"); // the server says what is wrong with it
  });
  it("reads lists, choices and switches", () => {
    expect(fieldOf("exclude", { type: "array" }, []).control).toBe("list");
    expect(parseText(fieldOf("exclude", { type: "array" }, []), "*_bad.fit, x ")).toEqual(["*_bad.fit", "x"]);
    expect(fieldOf("unit", { enum: ["adu"], type: "string" }, "adu").control).toBe("choice");
    expect(fieldOf("trails", { type: "boolean" }, true).control).toBe("switch");
  });
});

describe("the words", () => {
  const names = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();
  it("have the same places for values in both languages", () => {
    for (const [key, text] of Object.entries(en)) expect(names(fr[key as keyof typeof en]), key).toEqual(names(text));
  });
  it("are not left empty", () => {
    for (const text of [...Object.values(en), ...Object.values(fr)]) expect(text.trim()).not.toBe("");
  });
  it("write directions without a sixtieth second", () => {
    expect(formatDirection(192.7213, 41.1203)).toBe("12h 50m 53.11s  +41° 07′ 13.1″");
    expect(formatDirection(359.99999999, -0.5)).toBe("00h 00m 00.00s  −00° 30′ 00.0″");
  });
});
