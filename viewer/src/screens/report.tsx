/** The Report screen: what the run did, as its report tells it. */
import { signal } from "@preact/signals";
import { Choice, Empty } from "../parts/controls";
import { Icon } from "../parts/icons";
import { products } from "../state/app";
import { language, theme } from "../state/view";
import { t } from "../words";

const chosen = signal(0);

export function ReportScreen() {
  const list = products.value.filter((group) => group.report !== null);
  const group = list[Math.min(chosen.value, list.length - 1)];
  if (!group) return <Empty icon="report" title={t("report.none")} text={t("report.noneText")}><a class="button" href="#run">{t("screen.run")}</a></Empty>;
  return (
    <div class="report-screen">
      <div class="toolbar">
        <Choice label={t("report.which")} value={String(list.indexOf(group))} onChange={(value) => { chosen.value = Number(value); }} options={list.map((item, i) => ({ value: String(i), text: item.name }))} />
        <span class="space" />
        <a class="button" href={`/report/${group.report}?language=${language.value}`} target="_blank" rel="noopener"><Icon name="eye" size={16} /> {t("report.tab")}</a>
        <a class="button" href={`/api/report/${group.report}`} download="report.json"><Icon name="save" size={16} /> JSON</a>
      </div>
      <iframe sandbox="" src={`/report/${group.report}?theme=${theme.value === "light" ? "light" : "dark"}&language=${language.value}`} title={t("report.title", { name: group.name })} />
    </div>
  );
}
