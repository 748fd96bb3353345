/** The form of a run: the recipe's schema read as fields, and the values that differ from the defaults. */
import { computed, signal } from "@preact/signals";
import { fetchJson } from "../api/client";
import type { Kind, RecipeKind, RecipeKinds, SchemaField } from "../api/types";
import { settings } from "./app";
import { remember } from "./view";

export type Control = "choice" | "switch" | "number" | "whole" | "text" | "list" | "bytes";

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

export const kinds = signal<RecipeKinds | null>(null);
export const kind = computed<Kind>(() => settings.value.kind ?? "stack");
export const recipe = computed<RecipeKind | null>(() => kinds.value?.[kind.value] ?? null);
export const values = computed<Record<string, unknown>>(() => settings.value.recipe ?? {});
export const preset = computed<string | null>(() => settings.value.preset ?? null);

export async function loadRecipe(): Promise<void> {
  kinds.value ??= await fetchJson<RecipeKinds>("/api/recipe");
}

function controlOf(name: string, schema: SchemaField): Control {
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "switch";
  if (schema.type === "array") return "list";
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

export const fields = computed<Field[]>(() => {
  const now = recipe.value;
  if (!now) return [];
  return Object.entries(now.schema.properties).map(([name, property]) => fieldOf(name, property, now.defaults[name] ?? property.default ?? null));
});

/** What the preset says of a field, else the default. */
export function startOf(field: Field): unknown {
  const chosen = recipe.value?.presets[preset.value ?? "default"] ?? {};
  return field.name in chosen ? chosen[field.name] : field.byDefault;
}

export function valueOf(field: Field): unknown {
  return field.name in values.value ? values.value[field.name] : startOf(field);
}

const isSame = (p: unknown, q: unknown): boolean => JSON.stringify(p) === JSON.stringify(q);

/** Return the settings with one changed; what equals its start is left out, so that the request tells what the person chose. */
export function setValue(field: Field, value: unknown): void {
  const next = { ...values.value };
  if (isSame(value, startOf(field))) delete next[field.name];
  else next[field.name] = value;
  remember({ recipe: next });
}

export function setPreset(name: string): void {
  remember({ preset: name === "default" ? null : name, recipe: {} });
}

export function setKind(next: Kind): void {
  const known = kinds.value?.[next].schema.properties ?? {};
  const kept = Object.fromEntries(Object.entries(values.value).filter(([name]) => name in known));
  remember({ kind: next, recipe: kept });
}

/** Return what a control's text means for its field: null for nothing, a number, a list; text that is no number stays text. */
export function parseText(field: Field, text: string): unknown {
  const trimmed = text.trim();
  if (field.control === "list") return trimmed === "" ? [] : trimmed.split(/\s*,\s*/);
  if (trimmed === "") return field.isOptional ? null : field.byDefault;
  if (field.control === "number" || field.control === "whole") {
    const value = Number(trimmed.replace(",", "."));
    return Number.isFinite(value) ? value : trimmed;
  }
  return trimmed;
}
