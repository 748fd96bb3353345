/** One setting of a form that is made from a schema: its label, its control, its help, and the way back. */
import { useId } from "preact/hooks";
import { parseText, textOf, type Field } from "../state/fields";
import { formatBytes, t } from "../words";

interface InputProps {
  field: Field; id: string; label: string; value: unknown; onChange: (value: unknown) => void; hasSlider: boolean; optionText: (option: string) => string;
}

/** A range that a hand can go over: the step is a hundredth of it, rounded to a plain number. */
function sliderStep(field: Field): number | null {
  const { minimum, maximum, control } = field;
  if (minimum === null || maximum === null || (control !== "number" && control !== "whole") || maximum - minimum > 200) return null;
  if (control === "whole") return 1;
  const share = (maximum - minimum) / 100;
  const power = 10 ** Math.floor(Math.log10(share));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= share * 0.999)!;
}

function ChoiceInput({ field, id, value, onChange, optionText }: InputProps) {
  const text = textOf(value);
  return (
    <select id={id} aria-describedby={`${id}-help`} value={text} onChange={(event) => onChange(event.currentTarget.value)}>
      {!field.options.includes(text) && <option value={text}>{text}</option>}
      {field.options.map((option) => <option key={option} value={option}>{optionText(option)}</option>)}
    </select>
  );
}

function TextInput({ field, id, label, value, onChange, hasSlider }: InputProps) {
  const isNumber = field.control === "number" || field.control === "whole";
  const shown = field.control === "bytes" && typeof value === "number" ? formatBytes(value).replace("\u00a0", "") : textOf(value);
  const step = hasSlider ? sliderStep(field) : null;
  const at = typeof value === "number" ? value : field.minimum ?? 0;
  const share = step === null ? 0 : (at - field.minimum!) / (field.maximum! - field.minimum!);
  return (
    <>
      <input
        id={id} type="text" inputMode={isNumber ? "decimal" : "text"} aria-describedby={`${id}-help`} value={shown} spellcheck={false}
        placeholder={field.isOptional ? t("run.unset") : ""} onChange={(event) => onChange(parseText(field, event.currentTarget.value))}
      />
      {step !== null && !field.isOptional && (
        <span class="slider">
          <input
            type="range" aria-label={label} aria-describedby={`${id}-help`} min={field.minimum!} max={field.maximum!} step={step} value={at}
            style={{ "--share": `${100 * Math.min(1, Math.max(0, share))}%` }}
            onInput={(event) => onChange(Number(event.currentTarget.valueAsNumber.toPrecision(6)))}
          />
        </span>
      )}
    </>
  );
}

function FieldInput(props: InputProps) {
  const { field, id, value, onChange } = props;
  if (field.control === "choice") return <ChoiceInput {...props} />;
  if (field.control !== "switch") return <TextInput {...props} />;
  return (
    <span class="toggle">
      <input id={id} type="checkbox" role="switch" aria-describedby={`${id}-help`} checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span class="track" aria-hidden="true" />
    </span>
  );
}

function limits(field: Field): string {
  if (field.minimum === null && field.maximum === null) return "";
  return ` (${field.minimum ?? "…"} – ${field.maximum ?? "…"})`;
}

export function FieldRow({ field, label, help, value, isChanged, onChange, onReset, hasSlider = false, optionText = (option) => option }: {
  field: Field; label: string; help: string; value: unknown; isChanged: boolean; onChange: (value: unknown) => void; onReset: () => void;
  hasSlider?: boolean; optionText?: (option: string) => string;
}) {
  const id = useId();
  return (
    <div class={`field${isChanged ? " is-changed" : ""}`}>
      <label for={id}>{label}</label>
      <FieldInput {...{ field, id, label, value, onChange, hasSlider, optionText }} />
      {isChanged && <button type="button" class="plain small" onClick={onReset}>{t("run.undo")}</button>}
      <p id={`${id}-help`} class="muted">{help}{limits(field)}</p>
    </div>
  );
}
