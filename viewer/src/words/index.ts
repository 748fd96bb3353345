/** Words in the language of the person. A key that one language lacks is an error of types, so the build fails. */
import { language } from "../state/view";
import { en, type Key } from "./en";
import { fr } from "./fr";

export type { Key };
const dictionaries = { en, fr };

/** Return the text of `key`, with `{name}` replaced by `values.name`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text = dictionaries[language.value][key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** Return the text of a word that the server sent, such as a phase, or the word itself where it has none. */
export function word(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in en ? t(key as Key) : name.replaceAll("_", " ");
}

/** Return the sentence that the server sent as a code with its values, or the sentence itself where there is no other. */
export function phrase(prefix: string, code: string, otherwise: string, values: Record<string, string | number>): string {
  const key = `${prefix}.${code}`;
  return key in en ? t(key as Key, values) : otherwise;
}

const formats = new Map<string, Intl.NumberFormat>();

/** A format is made once: making one takes longer than the numbers of a row. */
export function formatNumber(value: number, digits = 0): string {
  const key = `${language.value} ${digits}`;
  let format = formats.get(key);
  if (!format) formats.set(key, format = new Intl.NumberFormat(language.value, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return format.format(value);
}

/** Return about `digits` significant figures, as a plain number where that is short and with an exponent otherwise. */
export function formatValue(value: number, digits = 5): string {
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(digits - 1);
  return String(Number(value.toPrecision(digits)));
}

export function formatBytes(bytes: number): string {
  const units = language.value === "fr" ? ["o", "ko", "Mo", "Go", "To"] : ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${formatNumber(value, value < 10 && unit > 0 ? 1 : 0)}\u00a0${units[unit]}`;
}

/** Return a duration such as "1 h 08 min", "3 min 20 s" or "12 s". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours > 0) return `${hours}\u00a0h ${String(minutes).padStart(2, "0")}\u00a0min`;
  if (minutes > 0) return `${minutes}\u00a0min ${String(rest).padStart(2, "0")}\u00a0s`;
  return `${rest}\u00a0s`;
}

/** Return a right ascension in hours and a declination in degrees, sexagesimal. */
export function formatDirection(ra_deg: number, dec_deg: number): string {
  const sexagesimal = (value: number, digits: number, turn: number): [string, string, string] => {
    const step = 10 ** digits;
    const whole = Math.round(value * 3600 * step) % (turn * 3600 * step);
    const seconds = (whole % (60 * step)) / step;
    const minutes = Math.floor(whole / (60 * step)) % 60;
    const first = Math.floor(whole / (3600 * step));
    return [String(first).padStart(2, "0"), String(minutes).padStart(2, "0"), seconds.toFixed(digits).padStart(digits > 0 ? digits + 3 : 2, "0")];
  };
  const [h, m, s] = sexagesimal((((ra_deg % 360) + 360) % 360) / 15, 2, 24);
  const [d, dm, ds] = sexagesimal(Math.abs(dec_deg), 1, 360);
  return `${h}h ${m}m ${s}s  ${dec_deg < 0 ? "\u2212" : "+"}${d}\u00b0 ${dm}\u2032 ${ds}\u2033`;
}
