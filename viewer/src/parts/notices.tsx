/** Short words at the edge of the window: what failed and what to do, read out to those who listen. */
import { signal } from "@preact/signals";
import { RequestRefused } from "../api/client";
import { t } from "../words";
import { Icon } from "./icons";

interface Notice { id: number; kind: "info" | "error"; text: string; hint: string; link?: { text: string; address: string } }

const notices = signal<Notice[]>([]);
let count = 0;

function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function tell(text: string, link?: Notice["link"]): void {
  add({ kind: "info", text, hint: "", ...(link ? { link } : {}) });
}

function add(notice: Omit<Notice, "id">): void {
  count += 1;
  const id = count;
  notices.value = [...notices.value.slice(-3), { ...notice, id }];
  if (notice.kind === "info") setTimeout(() => dismiss(id), 12_000);
}

/** Show what was refused; for the end of a promise: `.catch(tellFault)`. */
export function tellFault(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const refused = error instanceof RequestRefused ? error : null;
  const text = error instanceof TypeError ? t("fault.noServer") : error instanceof Error ? error.message : String(error);
  add({ kind: "error", text, hint: refused?.hint ?? "" });
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice is-${notice.kind}`}>
          <Icon name={notice.kind === "error" ? "warning" : "check"} />
          <div>
            <p>{notice.text}</p>
            {notice.hint && <p class="muted">{notice.hint}</p>}
            {notice.link && <a href={notice.link.address} download>{notice.link.text}</a>}
          </div>
          <button type="button" class="plain" aria-label={t("common.close")} onClick={() => dismiss(notice.id)}>
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
