/** The Open screen: find the folder, see what was found in it and whether a run can begin. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchJson, runTask } from "../api/client";
import type { Check, Folder, FolderList, Session } from "../api/types";
import { Bar, Panel } from "../parts/controls";
import { Icon } from "../parts/icons";
import { tellFault } from "../parts/notices";
import { isReadOnly, session, state, tasks } from "../state/app";
import { formatBytes, formatDuration, formatNumber, phrase, t, word } from "../words";
import { reasonOf } from "../words/reasons";

const listing = signal<FolderList | null>(null);
const chosen = signal<ReadonlySet<string>>(new Set());

function browse(folder: Folder | null): void {
  fetchJson<FolderList>(folder ? `/api/folders?folder=${folder.id}` : "/api/folders")
    .then((list) => { listing.value = list; chosen.value = new Set(); })
    .catch(tellFault);
}

/** Show the folders beside the one that is open, or the first place there is. */
async function browseFirst(): Promise<void> {
  const folder = state.value?.project?.folder ?? state.value?.roots[0] ?? null;
  const list = await fetchJson<FolderList>(folder ? `/api/folders?folder=${folder.id}` : "/api/folders");
  if (list.folders.length === 0 && list.parents.length > 0) browse(list.parents.at(-1)!);
  else listing.value = list;
}

function open(ids: string[]): void {
  runTask<Session>("/api/open", ids.length === 1 ? { folder: ids[0] } : { folders: ids }).catch(tellFault);
}

function FolderRow({ folder }: { folder: Folder }) {
  const toggle = (isOn: boolean): void => {
    const next = new Set(chosen.value);
    if (isOn) next.add(folder.id);
    else next.delete(folder.id);
    chosen.value = next;
  };
  return (
    <li class={state.value?.project?.folder.id === folder.id ? "is-open" : ""}>
      <input
        type="checkbox" checked={chosen.value.has(folder.id)} aria-label={t("open.chooseFolder", { name: folder.name })}
        onChange={(event) => toggle(event.currentTarget.checked)}
      />
      <button type="button" class="plain" onClick={() => browse(folder)}><Icon name="open" size={18} /> <span>{folder.name}</span></button>
      {folder.n_images !== null && folder.n_images > 0 && (
        <>
          <span class="badge">{t("open.nImages", { n: formatNumber(folder.n_images) })}</span>
          <button type="button" class="small" disabled={isReadOnly.value} aria-label={t("open.openNamed", { name: folder.name })} onClick={() => open([folder.id])}>{t("screen.open")}</button>
        </>
      )}
    </li>
  );
}

function Browser() {
  const list = listing.value;
  const opening = [...tasks.value.values()].find((task) => task.kind === "open");
  const ids = [...chosen.value];
  return (
    <Panel title={t("open.folders")} class="browser">
      <nav class="crumbs" aria-label={t("open.where")}>
        <button type="button" class="plain" onClick={() => browse(null)}>{t("open.roots")}</button>
        {[...(list?.parents ?? []), ...(list?.folder ? [list.folder] : [])].map((folder) => (
          <span key={folder.id}><span aria-hidden="true">›</span><button type="button" class="plain" onClick={() => browse(folder)}>{folder.name}</button></span>
        ))}
      </nav>
      <ul class="folders">
        {(list?.folders ?? []).map((folder) => <FolderRow key={folder.id} folder={folder} />)}
        {list?.folders.length === 0 && <li class="muted">{t("open.noFolders")}</li>}
      </ul>
      {list?.is_cut && <p class="muted">{t("open.isCut")}</p>}
      <footer>
        {list?.folder && ids.length === 0 && (list.n_files ?? 0) > 0 && (
          <span class="muted">{t("open.nFiles", { n: formatNumber(list.n_files ?? 0) })}</span>
        )}
        {opening && <Bar share={opening.percent || null} label={t("task.open")} />}
        <button
          type="button" class="primary" disabled={isReadOnly.value || opening !== undefined || (ids.length === 0 && !list?.folder)}
          onClick={() => open(ids.length > 0 ? ids : [list!.folder!.id])}
        >
          {ids.length > 1 ? t("open.openMany", { n: ids.length }) : t("open.openThis")}
        </button>
      </footer>
    </Panel>
  );
}

/** Return what a check says in the language of the page: its figures told as the page tells figures. */
function checkText({ code, text, values = {} }: Check): string {
  const shown = Object.entries(values).map(([name, value]) => {
    if (Array.isArray(value)) return [name, value.map((kind) => word("calibration", String(kind))).join(", ")];
    if (typeof value !== "number") return [name, String(value)];
    return [name, name.endsWith("_bytes") ? formatBytes(value) : formatNumber(value)];
  });
  return phrase("checkText", code ?? "", text, Object.fromEntries(shown));
}

const MARKS = { ok: "check", warning: "warning", blocked: "close" } as const;

function Preflight({ found }: { found: Session }) {
  const { verdict, checks } = found.preflight;
  return (
    <Panel title={t("open.preflight")} class={`preflight is-${verdict}`} actions={<strong class={`verdict is-${verdict}`}>{t(`open.${verdict}`)}</strong>}>
      <ul class="checks">
        {checks.map((check) => (
          <li key={check.name} class={`is-${check.verdict}`}>
            <Icon name={MARKS[check.verdict]} size={18} />
            <span><b>{word("check", check.name)}</b> {checkText(check)}</span>
          </li>
        ))}
      </ul>
      <footer>
        <a class="button" href="#frames">{t("open.toFrames")}</a>
        <a class="button primary" href="#run">{t("open.toRun")}</a>
      </footer>
    </Panel>
  );
}

function Found({ found }: { found: Session }) {
  return (
    <>
      <Preflight found={found} />
      <Panel title={t("open.found")} actions={<span class="badge">{found.device}</span>}>
        <table class="plain-table">
          <thead>
            <tr><th scope="col">{t("open.group")}</th><th scope="col">{t("open.filter")}</th><th scope="col" class="number">{t("open.frames")}</th><th scope="col" class="number">{t("open.exposure")}</th><th scope="col" class="number">{t("open.size")}</th></tr>
          </thead>
          <tbody>
            {found.groups.map((group) => (
              <tr key={group.name}>
                <th scope="row">{group.target ?? group.name}</th>
                <td>{group.filter ?? "–"}</td>
                <td class="number">{formatNumber(group.n_frames)}</td>
                <td class="number">{group.exposure_s === null ? "–" : formatDuration(group.exposure_s)}</td>
                <td class="number">{`${group.width} × ${group.height}`}{group.is_colour ? ` · ${t("open.colour")}` : ""}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Panel>
      <Panel title={t("open.calibration")}>
        <ul class="checks">
          {found.calibration.map((item) => (
            <li key={item.kind} class={item.verdict === "used" || item.verdict === "found" ? "is-ok" : "is-none"}>
              <Icon name={item.verdict === "used" || item.verdict === "found" ? "check" : "minus"} size={18} />
              <span><b>{word("calibration", item.kind)}</b> {item.n_files > 0 ? `${formatNumber(item.n_files)} · ` : ""}{word("verdict", item.verdict.replace(" ", "_"))}{item.verdict === "missing" ? ` · ${word("missing", item.kind)}` : item.reason ? ` · ${item.reason}` : ""}</span>
            </li>
          ))}
        </ul>
      </Panel>
      {found.left_out.length > 0 && (
        <Panel title={t("open.leftOut", { n: formatNumber(found.left_out.length) })}>
          <ul class="left-out" tabIndex={0} role="list" aria-label={t("open.leftOut", { n: found.left_out.length })}>
            {found.left_out.slice(0, 500).map((item) => <li key={item.file}><code>{item.file}</code> <span class="muted" title={item.reason}>{reasonOf(item)}</span></li>)}
          </ul>
        </Panel>
      )}
      {found.notes.length > 0 && <Panel title={t("open.notes")}><ul class="notes">{found.notes.map((note) => <li key={note}>{note}</li>)}</ul></Panel>}
    </>
  );
}

export function OpenScreen() {
  useEffect(() => { if (!listing.value) browseFirst().catch(tellFault); }, []);
  return (
    <div class="open-screen">
      <Browser />
      <div class="found">
        {session.value ? <Found found={session.value} /> : (
          <div class="welcome">
            <span class="mark" aria-hidden="true"><span /></span>
            <h2>{t("open.welcome")}</h2>
            <p>{t("open.welcomeText")}</p>
            <p class="muted">{t("help.private")}</p>
          </div>
        )}
      </div>
    </div>
  );
}
