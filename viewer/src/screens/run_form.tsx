/** The settings of a run, made from the recipe's schema: presets, groups, plain help, what differs from the preset. */
import { Choice } from "../parts/controls";
import { FieldRow } from "../parts/field";
import { fields, kind, preset, recipe, setKind, setPreset, setValue, startOf, valueOf, values } from "../state/recipe";
import { t, word } from "../words";
import { fieldHelp, fieldLabel } from "../words/recipe";

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
            {own.map((field) => (
              <FieldRow
                key={field.name} field={field} label={fieldLabel(field.name)} help={fieldHelp(field.name, field.help)} value={valueOf(field)}
                isChanged={field.name in values.value} onChange={(value) => setValue(field, value)} onReset={() => setValue(field, startOf(field))}
              />
            ))}
          </details>
        );
      })}
    </form>
  );
}
