/** Saving the picture: FITS as it is, TIFF, PNG and JPEG as it is shown. */
import { useState } from "preact/hooks";
import { runTask } from "../api/client";
import { Choice, Dialog, Toggle } from "../parts/controls";
import { tell, tellFault } from "../parts/notices";
import { isReadOnly } from "../state/app";
import { stretchOf, type Picture } from "../state/pictures";
import { givenOf } from "../stretch/stretch";
import { formatBytes, t } from "../words";

type Format = "fits" | "tiff" | "png" | "jpeg";

export function SaveDialog({ picture, onClose }: { picture: Picture; onClose: () => void }) {
  const [format, setFormat] = useState<Format>("png");
  const [name, setName] = useState(picture.info.name.replace(/[/\\:]/g, " "));
  const [isStretched, setStretched] = useState(true);
  const [isBusy, setBusy] = useState(false);
  const carries = format === "fits" ? false : format === "tiff" ? isStretched : true;

  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      const body = { format, name: name.trim(), stretch: carries ? givenOf(stretchOf(picture)) : null };
      const saved = await runTask<{ file: string; saved: string; size_bytes: number }>(`/api/image/${picture.info.handle}/save`, body);
      tell(t("save.done", { file: saved.file, size: formatBytes(saved.size_bytes) }), { text: t("save.download"), address: `/api/saved/${saved.saved}` });
      onClose();
    } catch (error) {
      tellFault(error);
      setBusy(false);
    }
  };

  return (
    <Dialog title={t("image.save")} onClose={onClose}>
      <form onSubmit={(event) => void save(event)}>
        <Choice
          label={t("save.format")} value={format} onChange={setFormat}
          options={[{ value: "png", text: "PNG" }, { value: "jpeg", text: "JPEG" }, { value: "tiff", text: "TIFF" }, { value: "fits", text: "FITS" }]}
        />
        <p class="muted">{t(`save.${format}`)}</p>
        {format === "tiff" && <Toggle label={t("save.stretched")} isOn={isStretched} onChange={setStretched} />}
        <label class="row">
          <span>{t("save.name")}</span>
          <input type="text" value={name} maxLength={100} required pattern="[^\/\\]+" onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <footer>
          <button type="button" class="plain" onClick={onClose}>{t("common.cancel")}</button>
          <button type="submit" class="primary" disabled={isBusy || name.trim() === "" || isReadOnly.value}>{isBusy ? t("save.busy") : t("common.save")}</button>
        </footer>
      </form>
    </Dialog>
  );
}
