/** The settings of a run, made from the recipe's schema: presets, groups, plain help, what differs from the preset. */
import { useId } from "preact/hooks";
import { Choice } from "../parts/controls";
import { fields, kind, preset, recipe, setKind, setPreset, setValue, startOf, parseText, valueOf, values, type Field } from "../state/recipe";
import { formatBytes, t, word } from "../words";
import { fieldHelp, fieldLabel } from "../words/recipe";

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function Input({ field, id }: { field: Field; id: string }) {
  const value = valueOf(field);
  const help = `${id}-help`;
  if (field.control === "choice") {
    return (
      <select id={id} aria-describedby={help} value={textOf(value)} onChange={(event) => setValue(field, event.currentTarget.value)}>
        {field.options.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    );
  }
  if (field.control === "switch") {
    return (
      <span class="toggle">
        <input id={id} type="checkbox" role="switch" aria-describedby={help} checked={value === true} onChange={(event) => setValue(field, event.currentTarget.checked)} />
        <span class="track" aria-hidden="true" />
      </span>
    );
  }
  const isNumber = field.control === "number" || field.control === "whole";
  const shown = field.control === "bytes" && typeof value === "number" ? formatBytes(value).replace("\u00a0", "") : textOf(value);
  return (
    <input
      id={id} type="text" inputMode={isNumber ? "decimal" : "text"} aria-describedby={help} value={shown} spellcheck={false}
      placeholder={field.isOptional ? t("run.unset") : ""} onChange={(event) => setValue(field, parseText(field, event.currentTarget.value))}
    />
  );
}

function limits(field: Field): string {
  if (field.minimum === null && field.maximum === null) return "";
  return ` (${field.minimum ?? "…"} – ${field.maximum ?? "…"})`;
}

function FieldRow({ field }: { field: Field }) {
  const id = useId();
  const isChanged = field.name in values.value;
  return (
    <div class={`field${isChanged ? " is-changed" : ""}`}>
      <label for={id}>{fieldLabel(field.name)}</label>
      <Input field={field} id={id} />
      {isChanged && <button type="button" class="plain small" onClick={() => setValue(field, startOf(field))}>{t("run.undo")}</button>}
      <p id={`${id}-help`} class="muted">{fieldHelp(field.name, field.help)}{limits(field)}</p>
    </div>
  );
}

export function SettingsForm() {
  const now = recipe.value;
  if (!now) return <p class="muted" role="status">{t("shell.connecting")}</p>;
  return (
    <form class="settings" onSubmit={(event) => event.preventDefault()}>
      <Choice label={t("run.kind")} value={kind.value} onChange={setKind} options={[{ value: "stack", text: t("run.stack") }, { value: "mosaic", text: t("run.mosaic") }]} />
      <Choice
        label={t("run.preset")} value={preset.value ?? "default"} onChange={setPreset}
        options={Object.keys(now.presets).map((name) => ({ value: name, text: word("preset", name) }))}
      />
      <p class="muted">{word("presetHelp", preset.value ?? "default")}</p>
      {now.groups.map((group) => {
        const own = fields.value.filter((field) => field.group === group);
        const nChanged = own.filter((field) => field.name in values.value).length;
        if (own.length === 0) return null;
        return (
          <details key={group}>
            <summary>{word("group", group)} {nChanged > 0 && <span class="badge">{t("run.changed", { n: nChanged })}</span>}</summary>
            {own.map((field) => <FieldRow key={field.name} field={field} />)}
          </details>
        );
      })}
    </form>
  );
}
