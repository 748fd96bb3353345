/** The dialogs of the Finish screen: a whole run into files, a chain kept as a file, a chain taken from one. */
import { useState } from "preact/hooks";
import { postJson } from "../api/client";
import type { FinishStep } from "../api/types";
import { Dialog } from "../parts/controls";
import { tell, tellFault } from "../parts/notices";
import { isReadOnly } from "../state/app";
import { chain, isPictureMade, loadOffer, master, offer, preset, runWhole, takeSteps, type Format } from "../state/finish";
import { stepsOn } from "../state/chain";
import { rememberedView, rememberView } from "../state/view";
import { formatBytes, t } from "../words";

const plainName = (text: string): string => text.replace(/[/\\:*?"<>|]/g, " ").trim();

function NameField({ name, setName }: { name: string; setName: (name: string) => void }) {
  return (
    <label class="row">
      <span>{t("save.name")}</span>
      <input type="text" value={name} maxLength={100} required pattern="[^\/\\]+" onInput={(event) => setName(event.currentTarget.value)} />
    </label>
  );
}

export function RunDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState(plainName(`${master.value?.group ?? ""} ${preset.value}`));
  const [formats, setFormats] = useState(new Set(rememberedView<Format[]>("finishFormats", ["png"])));
  const offered: { value: Format; text: string; needsPicture: boolean }[] = [
    { value: "png", text: "PNG", needsPicture: true }, { value: "jpeg", text: "JPEG", needsPicture: true },
    { value: "tiff", text: "TIFF", needsPicture: true }, { value: "xisf", text: "XISF", needsPicture: false },
  ];
  const chosen = offered.filter(({ value, needsPicture }) => formats.has(value) && (isPictureMade.value || !needsPicture)).map(({ value }) => value);

  const run = (event: Event): void => {
    event.preventDefault();
    rememberView("finishFormats", [...formats]);
    onClose();
    void runWhole(plainName(name), chosen).then((done) => { if (done) tell(t("finish.written", { files: done.files.join(", ") })); });
  };

  return (
    <Dialog title={t("finish.whole")} onClose={onClose}>
      <form onSubmit={run}>
        <p class="muted">{t("finish.wholeHelp")}</p>
        <NameField name={name} setName={setName} />
        <fieldset class="formats">
          <legend>{t("finish.formats")}</legend>
          <label><input type="checkbox" checked disabled /> FITS</label>
          {offered.map(({ value, text, needsPicture }) => (
            <label key={value} class={needsPicture && !isPictureMade.value ? "is-disabled" : ""}>
              <input
                type="checkbox" checked={chosen.includes(value)} disabled={needsPicture && !isPictureMade.value}
                onChange={(event) => {
                  const next = new Set(formats);
                  if (event.currentTarget.checked) next.add(value);
                  else next.delete(value);
                  setFormats(next);
                }}
              /> {text}
            </label>
          ))}
        </fieldset>
        {!isPictureMade.value && <p class="warning">{t("finish.staysLinear")}</p>}
        <footer>
          <button type="button" class="plain" onClick={onClose}>{t("common.cancel")}</button>
          <button type="submit" class="primary" disabled={plainName(name) === "" || isReadOnly.value}>{t("finish.runWhole")}</button>
        </footer>
      </form>
    </Dialog>
  );
}

export function SaveChainDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState(plainName(preset.value));
  const nOff = chain.value.filter(({ isOn }) => !isOn).length;
  const save = (event: Event): void => {
    event.preventDefault();
    postJson<{ file: string; saved: string; size_bytes: number }>("/api/finish/chain/save", { name: plainName(name), steps: stepsOn(chain.value) })
      .then((saved) => {
        tell(t("save.done", { file: saved.file, size: formatBytes(saved.size_bytes) }), { text: t("save.download"), address: `/api/saved/${saved.saved}` });
        onClose();
        return loadOffer();
      })
      .catch(tellFault);
  };
  return (
    <Dialog title={t("finish.saveChain")} onClose={onClose}>
      <form onSubmit={save}>
        <p class="muted">{t("finish.saveHelp")} <code>skyquilt finish master_linear.fits --chain {plainName(name)}.toml</code></p>
        {nOff > 0 && <p class="muted">{t("finish.saveOn", { n: nOff })}</p>}
        <NameField name={name} setName={setName} />
        <footer>
          <button type="button" class="plain" onClick={onClose}>{t("common.cancel")}</button>
          <button type="submit" class="primary" disabled={plainName(name) === "" || isReadOnly.value}>{t("common.save")}</button>
        </footer>
      </form>
    </Dialog>
  );
}

export function LoadChainDialog({ onClose }: { onClose: () => void }) {
  const kept = offer.value?.chains ?? [];
  const load = (body: Record<string, unknown>): void => {
    postJson<{ steps: FinishStep[] }>("/api/finish/chain", body).then(({ steps }) => { takeSteps(steps); onClose(); }, tellFault);
  };
  const read = (file: File | undefined): void => {
    if (file) file.text().then((text) => load({ text, format: file.name.toLowerCase().endsWith(".json") ? "json" : "toml" }), tellFault);
  };
  return (
    <Dialog title={t("finish.loadChain")} onClose={onClose}>
      <div class="load-chain">
        {kept.length === 0 ? <p class="muted">{t("finish.noChains")}</p> : (
          <ul class="folders">
            {kept.map(({ id, name }) => <li key={id}><button type="button" class="plain" onClick={() => load({ kept: id })}><span>{name}</span></button></li>)}
          </ul>
        )}
        <label class="row">
          <span>{t("finish.fromFile")}</span>
          <input type="file" accept=".toml,.json" onChange={(event) => read(event.currentTarget.files?.[0])} />
        </label>
      </div>
    </Dialog>
  );
}
