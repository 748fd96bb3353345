/** The chain as a list: steps that are switched, ordered (by hand or by keys), added, removed, and set by a form each. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import type { FinishedStep, FinishOperation, SchemaField } from "../api/types";
import { IconButton, Toggle } from "../parts/controls";
import { FieldRow } from "../parts/field";
import { Icon } from "../parts/icons";
import type { Step } from "../state/chain";
import { fieldOf, type Field } from "../state/fields";
import {
  addStep, chain, faults, masters, moveStep, offer, openStep, operations, removeStep, result, setMask, setMaskInverted, setOn, setOptional, setValue,
} from "../state/finish";
import { formatValue, t } from "../words";
import { operationName, operationTitle, optionText, settingHelp, settingLabel } from "../words/finish";

/** The step that a hand drags, and the place where it would be let go. */
const dragged = signal<{ id: number; place: number } | null>(null);

const fieldsOf = (properties: Record<string, SchemaField>): Field[] =>
  Object.entries(properties).map(([name, property]) => fieldOf(name, property, property.default ?? null));

/** The setting that names another image: chosen among those of the project. */
function imageField(field: Field): Field {
  const options = masters.value.map(({ product }) => product);
  return { ...field, control: "choice", options: ["", ...options] };
}

function imageName(product: string): string {
  const found = masters.value.find((one) => one.product === product);
  return found ? `${found.group} / ${found.name}` : t("finish.chooseImage");
}

function SettingsForm({ step, operation }: { step: Step; operation: FinishOperation }) {
  return (
    <>
      {fieldsOf(operation.schema.properties).map((plain) => {
        const isImage = step.operation === "lrgb" && plain.name === "luminance";
        const field = isImage ? imageField(plain) : plain;
        const isChanged = field.name in step.values;
        return (
          <FieldRow
            key={field.name} field={field} hasSlider label={settingLabel(step.operation, field.name)} help={settingHelp(step.operation, field.name, field.help)}
            value={isChanged ? step.values[field.name] : field.byDefault} isChanged={isChanged} optionText={isImage ? imageName : optionText}
            onChange={(value) => setValue(step, field.name, value)} onReset={() => setValue(step, field.name, field.byDefault)}
          />
        );
      })}
    </>
  );
}

function MaskForm({ step }: { step: Step }) {
  const properties = offer.value?.mask.schema.properties ?? {};
  const { mask } = step;
  return (
    <details>
      <summary>{t("finish.where")} {mask && <span class="badge">{optionText(String(mask.kind ?? "star"))}</span>}</summary>
      <Toggle label={t("finish.masked")} isOn={mask !== null} onChange={(isOn) => setMask(step, isOn ? { kind: "object" } : null)} />
      {mask && (
        <>
          <Toggle label={t("finish.maskInverted")} isOn={step.isMaskInverted} onChange={(isOn) => setMaskInverted(step, isOn)} />
          {fieldsOf(properties).map((field) => {
            const isChanged = field.name in mask && mask[field.name] !== field.byDefault;
            return (
              <FieldRow
                key={field.name} field={field} label={settingLabel("mask", field.name)} help={settingHelp("mask", field.name, field.help)}
                value={mask[field.name] ?? field.byDefault} isChanged={isChanged} optionText={optionText}
                onChange={(value) => setMask(step, { ...mask, [field.name]: value }, `mask.${field.name}`)}
                onReset={() => setMask(step, { ...mask, [field.name]: field.byDefault })}
              />
            );
          })}
        </>
      )}
      <Toggle label={t("finish.optional")} title={t("finish.optionalHelp")} isOn={step.isOptional} onChange={(isOn) => setOptional(step, isOn)} />
    </details>
  );
}

function factText(value: unknown): string | null {
  if (typeof value === "number") return formatValue(value, 4);
  if (typeof value === "string" || typeof value === "boolean") return String(value);
  if (Array.isArray(value) && value.length > 0 && value.length <= 4 && value.every((one) => typeof one === "number")) return value.map((one) => formatValue(one as number, 3)).join("  ");
  return null;
}

function Found({ done }: { done: FinishedStep }) {
  const facts = Object.entries(done.facts).flatMap(([name, value]) => {
    const text = factText(value);
    return text === null ? [] : [[name, text] as const];
  });
  if (facts.length === 0) return null;
  return (
    <details>
      <summary>{t("finish.found")}</summary>
      <dl class="facts">{facts.map(([name, text]) => <div key={name}><dt>{name.replaceAll("_", " ")}</dt><dd>{text}</dd></div>)}</dl>
    </details>
  );
}

function Remarks({ step, done }: { step: Step; done: FinishedStep | null }) {
  const wrong = faults.value.get(step.id);
  const lines: ComponentChildren[] = [];
  if (wrong) lines.push(<p class="warning"><Icon name="warning" size={15} /> <span>{t(`finish.${wrong}`)}</span></p>);
  if (step.isOn && done?.skipped) lines.push(<p class="muted">{t("finish.skipped", { reason: done.skipped })}</p>);
  if (step.isOn) for (const note of done?.notes ?? []) lines.push(<p class="muted">{note}</p>);
  return lines.length > 0 ? <div class="remarks">{lines}</div> : null;
}

function StepRow({ step, place, done, list }: { step: Step; place: number; done: FinishedStep | null; list: () => HTMLElement | null }) {
  const operation = operations.value[step.operation]!;
  const isOpen = openStep.value === step.id;
  const name = operationName(step.operation);
  const nChanged = Object.keys(step.values).length;
  const form = `step-${step.id}-form`;
  const held = dragged.value;

  /** Keep the focus on the button that moved its step. */
  const move = (to: number): void => moveStep(step, to);
  const takeKey = (event: KeyboardEvent): void => {
    const sign = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.altKey && sign) {
      event.preventDefault();
      event.stopPropagation();
      move(place + sign);
    } else if (event.key === "Delete" && !(event.target as HTMLElement).matches("input[type=text]")) {
      event.preventDefault();
      removeStep(step);
    }
  };

  const placeAt = (clientY: number): number => {
    const rows = [...(list()?.querySelectorAll(":scope > li") ?? [])].filter((row) => row.getAttribute("data-step") !== String(step.id));
    return rows.filter((row) => { const box = row.getBoundingClientRect(); return box.top + Math.min(box.height, 40) / 2 < clientY; }).length;
  };
  const grab = (event: PointerEvent): void => {
    event.preventDefault();
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    dragged.value = { id: step.id, place };
  };
  const drag = (event: PointerEvent): void => { if (held?.id === step.id) dragged.value = { id: step.id, place: placeAt(event.clientY) }; };
  const drop = (): void => {
    if (held?.id === step.id) moveStep(step, held.place);
    dragged.value = null;
  };

  const others = chain.value.filter(({ id }) => id !== held?.id);
  const isAbove = held !== null && held.id !== step.id && others[held.place]?.id === step.id;
  const isBelow = held !== null && held.id !== step.id && held.place === others.length && others.at(-1)?.id === step.id;
  const classes = ["step", step.isOn ? "" : "is-off", isOpen ? "is-open" : "", held?.id === step.id ? "is-dragged" : "", isAbove ? "is-above" : "", isBelow ? "is-below" : ""];
  return (
    <li class={classes.filter(Boolean).join(" ")} data-step={step.id} onKeyDown={takeKey}>
      <div class="head">
        <span class="grip" title={t("finish.drag")} onPointerDown={grab} onPointerMove={drag} onPointerUp={drop} onPointerCancel={() => { dragged.value = null; }}>
          <Icon name="grip" size={16} />
        </span>
        <span class="toggle">
          <input type="checkbox" role="switch" checked={step.isOn} aria-label={t("finish.stepOn", { name })} onChange={(event) => setOn(step, event.currentTarget.checked)} />
          <span class="track" aria-hidden="true" />
        </span>
        <button type="button" class="plain name" title={operationTitle(step.operation, operation.title)} aria-expanded={isOpen} aria-controls={form} onClick={() => { openStep.value = isOpen ? null : step.id; }}>
          <span>{name}</span>
          {nChanged > 0 && <i class="is-set" title={t("run.changed", { n: nChanged })} />}
          {step.mask && <Icon name="mask" size={15} />}
          {step.isOn && (faults.value.has(step.id) || (done?.notes.length ?? 0) > 0) && <Icon name="warning" size={15} />}
        </button>
        <IconButton icon="raise" label={t("finish.up", { name })} disabled={place === 0} onClick={() => move(place - 1)} />
        <IconButton icon="lower" label={t("finish.down", { name })} disabled={place === chain.value.length - 1} onClick={() => move(place + 1)} />
        <IconButton icon="close" label={t("finish.remove", { name })} onClick={() => removeStep(step)} />
      </div>
      {isOpen && (
        <div class="form" id={form}>
          <p class="muted">{operationTitle(step.operation, operation.title)}</p>
          <Remarks step={step} done={done} />
          <SettingsForm step={step} operation={operation} />
          <MaskForm step={step} />
          {step.isOn && done && !done.skipped && <Found done={done} />}
        </div>
      )}
      {!isOpen && <Remarks step={step} done={done && { ...done, notes: [] }} />}
    </li>
  );
}

function AddStep() {
  const all = Object.values(operations.value);
  const groups = [
    ["finish.onLight", all.filter(({ domain, makes_picture }) => domain === "linear" && !makes_picture)],
    ["finish.stretches", all.filter(({ makes_picture }) => makes_picture)],
    ["finish.onEither", all.filter(({ domain }) => domain !== "linear")],
  ] as const;
  return (
    <label class="add-step">
      <Icon name="plus" size={16} />
      <select aria-label={t("finish.add")} value="" onChange={(event) => { addStep(event.currentTarget.value); event.currentTarget.value = ""; }}>
        <option value="" disabled>{t("finish.add")}</option>
        {groups.map(([key, list]) => (
          <optgroup key={key} label={t(key)}>
            {list.map(({ name }) => <option key={name} value={name}>{operationName(name)}</option>)}
          </optgroup>
        ))}
      </select>
    </label>
  );
}

export function StepList() {
  const list = useRef<HTMLOListElement>(null);
  const done = new Map<number, FinishedStep>();
  const ran = result.value?.steps ?? [];
  const on = chain.value.filter(({ isOn }) => isOn);
  // what was found belongs to the steps as long as they are the same ones in the same order
  if (ran.length === on.length && ran.every(({ operation }, i) => on[i]!.operation === operation)) on.forEach((step, i) => done.set(step.id, ran[i]!));
  return (
    <>
      {chain.value.length === 0 && <p class="muted">{t("finish.noSteps")}</p>}
      <ol class="steps" ref={list}>
        {chain.value.map((step, place) => <StepRow key={step.id} step={step} place={place} done={done.get(step.id) ?? null} list={() => list.current} />)}
      </ol>
      <AddStep />
    </>
  );
}
