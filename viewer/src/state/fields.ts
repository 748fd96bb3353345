/** A setting of a form, read out of a schema; what its control shows and what a person writes into it. */
import type { SchemaField } from "../api/types";

export type Control = "choice" | "switch" | "number" | "whole" | "text" | "list" | "numbers" | "rows" | "bytes";

export interface Field {
  name: string;
  group: string;
  help: string;
  control: Control;
  options: string[];
  isOptional: boolean;
  minimum: number | null;
  maximum: number | null;
  byDefault: unknown;
}

function listControl(schema: SchemaField): Control {
  const item = schema.items ?? schema.prefixItems?.[0];
  if (item?.type === "array") return "rows";
  return item?.type === "number" || item?.type === "integer" ? "numbers" : "list";
}

function controlOf(name: string, schema: SchemaField): Control {
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "switch";
  if (schema.type === "array") return listControl(schema);
  if (name === "memory") return "bytes";
  if (schema.type === "integer") return "whole";
  return schema.type === "number" ? "number" : "text";
}

/** Return the field that a property of the schema stands for. */
export function fieldOf(name: string, property: SchemaField, byDefault: unknown): Field {
  const variants = property.anyOf ?? [];
  const real = variants.find((variant) => variant.type !== "null");
  const schema: SchemaField = real ? { ...property, ...real } : property;
  return {
    name,
    group: property.group ?? "",
    help: property.description ?? "",
    control: controlOf(name, schema),
    options: schema.enum ?? [],
    isOptional: variants.some((variant) => variant.type === "null"),
    minimum: schema.minimum ?? schema.exclusiveMinimum ?? null,
    maximum: schema.maximum ?? schema.exclusiveMaximum ?? null,
    byDefault,
  };
}

/** Return what a control shows of a value: lists with commas, rows with semicolons between them. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (!Array.isArray(value)) return String(value);
  return value.map((one) => (Array.isArray(one) ? one.join(", ") : String(one))).join(value.some(Array.isArray) ? "; " : ", ");
}

/** Return the number that a text is, or the text: the server says what is wrong with it. */
function numberOf(text: string): unknown {
  const value = Number(text.replace(",", "."));
  return text !== "" && Number.isFinite(value) ? value : text;
}

/** Return what a control's text means for its field: null for nothing, a number, a list; text that is no number stays text. */
export function parseText(field: Field, text: string): unknown {
  const trimmed = text.trim();
  if (field.control === "list") return trimmed === "" ? [] : trimmed.split(/\s*,\s*/);
  if (trimmed === "") return field.isOptional ? null : field.byDefault;
  if (field.control === "numbers") return trimmed.split(/[\s,;]+/).map(numberOf);
  if (field.control === "rows") return trimmed.split(";").map((row) => row.trim().split(/[\s,]+/).map(numberOf));
  return field.control === "number" || field.control === "whole" ? numberOf(trimmed) : trimmed;
}
