/** Small controls that several screens use. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { t } from "../words";
import { Icon, type IconName } from "./icons";

export function Slider(props: {
  label: string; value: number; min: number; max: number; step: number; shown?: string; onInput: (value: number) => void; disabled?: boolean;
}) {
  const id = useId();
  const share = (props.value - props.min) / (props.max - props.min);
  return (
    <div class="slider">
      <label for={id}>{props.label}</label>
      <output for={id}>{props.shown ?? String(props.value)}</output>
      <input
        id={id} type="range" min={props.min} max={props.max} step={props.step} value={props.value} disabled={props.disabled}
        style={{ "--share": `${100 * Math.min(1, Math.max(0, share))}%` }}
        onInput={(event) => props.onInput(event.currentTarget.valueAsNumber)}
      />
    </div>
  );
}

export function Toggle(props: { label: string; isOn: boolean; onChange: (isOn: boolean) => void; disabled?: boolean; title?: string }) {
  return (
    <label class={`toggle${props.disabled ? " is-disabled" : ""}`} title={props.title}>
      <input type="checkbox" role="switch" checked={props.isOn} disabled={props.disabled} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      <span class="track" aria-hidden="true" />
      <span>{props.label}</span>
    </label>
  );
}

/** One of a few: a row of radio buttons that look like a switch. */
export function Choice<T extends string>(props: {
  label: string; value: T; options: readonly { value: T; text: string; disabled?: boolean }[]; onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="unseen">{props.label}</legend>
      {props.options.map((option) => (
        <label key={option.value} class={option.disabled ? "is-disabled" : ""}>
          <input
            type="radio" name={name} value={option.value} checked={option.value === props.value} disabled={option.disabled}
            onChange={() => props.onChange(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function IconButton(props: { icon: IconName; label: string; onClick: () => void; pressed?: boolean; disabled?: boolean }) {
  return (
    <button
      type="button" class="icon-button" title={props.label} aria-label={props.label} aria-pressed={props.pressed} disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} size={18} />
    </button>
  );
}

export function Bar({ share, label, tone = "" }: { share: number | null; label: string; tone?: string }) {
  const percent = share === null ? undefined : Math.round(100 * Math.min(1, Math.max(0, share)));
  return (
    <div
      class={`bar ${tone}${share === null ? " is-busy" : ""}`} role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100}
      aria-valuenow={percent}
    >
      <span style={{ width: `${percent ?? 30}%` }} />
    </div>
  );
}

export function Panel(props: { title: string; children: ComponentChildren; actions?: ComponentChildren; class?: string }) {
  const id = useId();
  return (
    <section class={`panel ${props.class ?? ""}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.actions}
      </header>
      {props.children}
    </section>
  );
}

export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={props.onClose}>
      <header>
        <h2 id={id}>{props.title}</h2>
        <button type="button" class="plain" aria-label={t("common.close")} onClick={props.onClose}><Icon name="close" /></button>
      </header>
      {props.children}
    </dialog>
  );
}

export function Empty({ icon, title, text, children }: { icon: IconName; title: string; text?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={44} />
      <h2>{title}</h2>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}
