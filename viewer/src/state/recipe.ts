/** The form of a run: the recipe's schema read as fields, and the values that differ from the defaults. */
import { computed, signal } from "@preact/signals";
import { fetchJson } from "../api/client";
import type { Kind, RecipeKind, RecipeKinds } from "../api/types";
import { settings } from "./app";
import { fieldOf, type Field } from "./fields";
import { remember } from "./view";

export const kinds = signal<RecipeKinds | null>(null);
export const kind = computed<Kind>(() => settings.value.kind ?? "stack");
export const recipe = computed<RecipeKind | null>(() => kinds.value?.[kind.value] ?? null);
export const values = computed<Record<string, unknown>>(() => settings.value.recipe ?? {});
export const preset = computed<string | null>(() => settings.value.preset ?? null);

export async function loadRecipe(): Promise<void> {
  kinds.value ??= await fetchJson<RecipeKinds>("/api/recipe");
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
