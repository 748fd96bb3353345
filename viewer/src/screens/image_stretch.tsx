/** How the picture is shown: histogram with its handles, auto stretch, curve, colour. No control here makes a request. */
import { signal } from "@preact/signals";
import { Choice, Panel, Slider, Toggle } from "../parts/controls";
import { HistogramPlot } from "../parts/histogram";
import { a, b, comparison, firstStretch, setAutoHyperbola, setAutoStretch, setStretch, stretchOf, type Picture } from "../state/pictures";
import { FIRST_HYPERBOLA, MOST_FACTOR, type Hyperbola } from "../stretch/hyperbolic";
import type { Curve, Stretch } from "../stretch/stretch";
import { t, type Key } from "../words";

const channelShown = signal("all");
const isLog = signal(true);
const edits = signal<"a" | "b">("a");

/** A hyperbolic curve begins with the sky as bright as it is asked to be. */
function chooseCurve(picture: Picture, curve: Curve): void {
  if (curve === "hyperbolic" && !stretchOf(picture).hyperbola) setAutoHyperbola(picture);
  else setStretch(picture, { curve });
}

function HyperbolaSliders({ picture }: { picture: Picture }) {
  const stretch = stretchOf(picture);
  const hyperbola = stretch.hyperbola ?? FIRST_HYPERBOLA;
  const change = (part: Partial<Hyperbola>): void => setStretch(picture, { hyperbola: { ...hyperbola, ...part } });
  const sliders: [keyof Hyperbola, Key, number, number, number, number][] = [
    ["factor", "image.ghsFactor", 0, MOST_FACTOR, 0.05, 2], ["shape", "image.ghsShape", -5, 15, 0.1, 1],
    ["symmetry", "image.ghsSymmetry", 0, 1, 0.0005, 4], ["low", "image.ghsLow", 0, 1, 0.0005, 4], ["high", "image.ghsHigh", 0, 1, 0.001, 3],
  ];
  return (
    <>
      <Slider
        label={t("image.target")} value={stretch.target} min={0.02} max={0.6} step={0.01} shown={`${Math.round(stretch.target * 100)} %`}
        onInput={(target) => setAutoHyperbola(picture, { target })}
      />
      {sliders.map(([name, key, min, max, step, digits]) => (
        <Slider key={name} label={t(key)} value={hyperbola[name]} min={min} max={max} step={step} shown={hyperbola[name].toFixed(digits)} onInput={(value) => change({ [name]: value })} />
      ))}
    </>
  );
}

export function StretchPanel() {
  const second = b.value && comparison.value !== "single" ? b.value : null;
  const picture = second && edits.value === "b" ? second : a.value;
  if (!picture) return null;
  const stretch = stretchOf(picture);
  const { channels, channel_names: names } = picture.info;
  const channel = channelShown.value === "all" || channels === 1 ? -1 : Number(channelShown.value);
  const change = (part: Partial<Stretch>): void => setStretch(picture, part);
  return (
    <Panel
      title={t("image.stretch")}
      actions={<button type="button" class="small" title="a" onClick={() => setAutoStretch(picture)}>{t("image.auto")}</button>}
    >
      {second && (
        <Choice
          label={t("image.edits")} value={edits.value} onChange={(value) => { edits.value = value; }}
          options={[{ value: "a", text: t("image.left") }, { value: "b", text: t("image.right") }]}
        />
      )}
      {picture.histogram
        ? <HistogramPlot histogram={picture.histogram} stretch={stretch} channel={channel} isLog={isLog.value} onChange={change} />
        : <div class="histogram is-waiting" />}
      <div class="row">
        {channels === 3 && (
          <Choice
            label={t("image.channel")} value={channelShown.value} onChange={(value) => { channelShown.value = value; }}
            options={[{ value: "all", text: names.join("") }, ...names.map((name, c) => ({ value: String(c), text: name, disabled: stretch.linked }))]}
          />
        )}
        <Toggle label={t("image.log")} isOn={isLog.value} onChange={(isOn) => { isLog.value = isOn; }} />
      </div>
      <Choice
        label={t("image.curve")} value={stretch.curve} onChange={(curve) => chooseCurve(picture, curve)}
        options={[
          { value: "mtf", text: t("image.curveMtf") }, { value: "asinh", text: "asinh" }, { value: "hyperbolic", text: t("image.curveHyperbolic") },
        ]}
      />
      {stretch.curve === "hyperbolic" && <HyperbolaSliders picture={picture} />}
      {stretch.curve === "mtf" && (
        <Slider
          label={t("image.target")} value={stretch.target} min={0.02} max={0.6} step={0.01} shown={`${Math.round(stretch.target * 100)} %`}
          onInput={(target) => setAutoStretch(picture, { target })}
        />
      )}
      {stretch.curve === "asinh" && (
        <Slider
          label={t("image.strength")} value={Math.log10(stretch.strength)} min={0} max={5} step={0.05} shown={stretch.strength.toPrecision(2)}
          onInput={(value) => change({ strength: 10 ** value })}
        />
      )}
      <Slider
        label={t("image.sigma")} value={stretch.sigma} min={-8} max={2} step={0.1} shown={`${stretch.sigma.toFixed(1)} σ`}
        onInput={(sigma) => {
          const { curve } = stretch;
          if (curve === "hyperbolic") setAutoHyperbola(picture, { sigma });
          else setAutoStretch(picture, { sigma });
          if (curve === "asinh") setStretch(picture, { curve });
        }}
      />
      {channels === 3 && (
        <>
          <Slider
            label={t("image.saturation")} value={stretch.saturation} min={0} max={3} step={0.05} shown={`${Math.round(stretch.saturation * 100)} %`}
            onInput={(saturation) => change({ saturation })}
          />
          <Toggle label={t("image.linked")} isOn={stretch.linked} onChange={(linked) => { if (linked) channelShown.value = "all"; (stretch.curve === "hyperbolic" ? setAutoHyperbola : setAutoStretch)(picture, { linked }); }} />
        </>
      )}
      <button type="button" class="plain small" onClick={() => change(firstStretch(picture.info))}>{t("image.reset")}</button>
    </Panel>
  );
}
