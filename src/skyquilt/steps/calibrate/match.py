"""
The choice of calibration frames for a group of lights, every choice and every refusal with its reason.

The frames of one kind are first gathered into sets that could make one master (same settings), each set is compared
with the lights, and the best one that fits is taken. A setting that neither header tells is accepted with a warning;
one that both tell and that differs is refused: there is no silent mismatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core import FrameFile, FrameKind, FrameMeta
from skyquilt.steps.calibrate.frameset import FrameSet, gather_sets

__all__ = ["CalibrationMatch", "MatchRow", "MatchRules", "match_calibration"]


@dataclass(frozen=True, slots=True)
class MatchRules:
    """
    How alike calibration frames and lights must be.

    Attributes
    ----------
    exposure_tolerance : float
        Relative difference of exposures that still count as equal.
    temperature_limit_c : float
        Darks farther away than this are refused.
    temperature_note_c : float
        Darks farther away than this are used with a warning.
    allow_dark_scaling : bool
        Use darks of another exposure, scaled, if there is a bias.
    allow_device_masters : bool
        Use the factory masters of the device.
    """

    exposure_tolerance: float = 0.02
    temperature_limit_c: float = 5.0
    temperature_note_c: float = 2.0
    allow_dark_scaling: bool = True
    allow_device_masters: bool = True


@dataclass(frozen=True, slots=True)
class MatchRow:
    """
    One line of the matching table: a set of calibration frames and what became of it.

    Attributes
    ----------
    kind : FrameKind
    n_frames : int
        Exposures in the set; for a master, what its header or name says it was made of.
    exposure_s, gain, temperature_c : float or None
    filter : str or None
    is_master : bool
    where : str
        Folder of the set, or the file name of a master.
    verdict : str
        "used", "scaled", "fits" (but another fits better) or "refused".
    reason : str
    """

    kind: FrameKind
    n_frames: int
    exposure_s: float | None
    gain: float | None
    temperature_c: float | None
    filter: str | None
    is_master: bool
    where: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class CalibrationMatch:
    """
    What calibrates a group of lights.

    Attributes
    ----------
    dark, flat, bias, flat_dark : tuple of FrameFile
        Frames of the chosen set (one file where it is a master), empty where nothing fits. `bias` is also chosen when
        a dark is: flats without flat darks and scaled darks need it.
    dark_scale : float or None
        None: the dark is subtracted as it is. Else: dark to subtract = bias + dark_scale * (dark - bias).
    dark_is_master, flat_is_master, bias_is_master, flat_dark_is_master : bool
    reasons : tuple of str
        One sentence a kind: why this set, or why none.
    warnings : tuple of str
    table : tuple of MatchRow
        Every set of every kind.
    """

    dark: tuple[FrameFile, ...] = ()
    flat: tuple[FrameFile, ...] = ()
    bias: tuple[FrameFile, ...] = ()
    flat_dark: tuple[FrameFile, ...] = ()
    dark_scale: float | None = None
    dark_is_master: bool = False
    flat_is_master: bool = False
    bias_is_master: bool = False
    flat_dark_is_master: bool = False
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    table: tuple[MatchRow, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.dark or self.flat or self.bias)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A set with the outcome of its comparison."""

    frames: FrameSet
    refusal: str = ""
    agreement: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rank: tuple[float, ...] = ()
    scale: float | None = None

    @property
    def fits(self) -> bool:
        return not self.refusal


def match_calibration(
    light_meta: FrameMeta,
    darks: Sequence[FrameFile],
    flats: Sequence[FrameFile],
    biases: Sequence[FrameFile],
    flat_darks: Sequence[FrameFile],
    masters: Sequence[FrameFile],
    rules: MatchRules | None = None,
) -> CalibrationMatch:
    """
    Return the calibration frames that fit lights of these settings.

    Parameters
    ----------
    light_meta : FrameMeta
        Of one light that stands for its group (its temperature: the group's median).
    darks, flats, biases, flat_darks : sequence of FrameFile
        Single exposures found, in any order.
    masters : sequence of FrameFile
        Masters found; ``meta.kind`` says of what.
    rules : MatchRules or None
    """
    limits = rules or MatchRules()
    offers = {
        kind: gather_sets(kind, frames, masters, light_meta)
        for kind, frames in (
            (FrameKind.BIAS, biases),
            (FrameKind.DARK, darks),
            (FrameKind.FLAT, flats),
            (FrameKind.FLAT_DARK, flat_darks),
        )
    }
    bias = _rank([_judge_bias(light_meta, frames, limits) for frames in offers[FrameKind.BIAS]])
    dark = _rank([_judge_dark(light_meta, frames, limits) for frames in offers[FrameKind.DARK]])
    if not (dark and dark[0].fits) and bias and bias[0].fits and limits.allow_dark_scaling:
        dark = _rank([_judge_scaled(light_meta, judged, limits) for judged in dark])
    flat = _rank([_judge_flat(light_meta, frames, limits) for frames in offers[FrameKind.FLAT]])
    chosen_flat = flat[0].frames if flat and flat[0].fits else None
    flat_dark = _rank([_judge_flat_dark(chosen_flat, frames, limits) for frames in offers[FrameKind.FLAT_DARK]])
    return _report(light_meta, dark, flat, bias, flat_dark)


def _rank(judged: Sequence[_Judged]) -> list[_Judged]:
    """Return fitting sets first, best first."""
    return sorted(judged, key=lambda j: (not j.fits, j.rank, j.frames.where))


def _refuse_by_sensor(lights: FrameMeta, frames: FrameSet) -> str:
    """Return why pixels of the set cannot lie on pixels of the lights, or ""."""
    meta = frames.meta
    if (meta.width, meta.height) != (lights.width, lights.height):
        return f"{meta.width}x{meta.height} px, the lights have {lights.width}x{lights.height}"
    if meta.n_planes != lights.n_planes:
        return f"{meta.n_planes} planes, the lights have {lights.n_planes}"
    if meta.binning != lights.binning:
        return f"binned {_binned(meta)}, the lights {_binned(lights)}"
    if _differ_text(meta.camera, lights.camera):
        return f"camera {meta.camera}, the lights are from {lights.camera}"
    if _differ_text(meta.row_order, lights.row_order):
        return f"rows stored {meta.row_order}, those of the lights {lights.row_order}: upside down"
    if meta.cfa is not None and lights.cfa is not None and meta.cfa != lights.cfa:
        return f"CFA {meta.cfa.name}, the lights have {lights.cfa.name}"
    return ""


def _binned(meta: FrameMeta) -> str:
    return f"{meta.binning[0]}x{meta.binning[1]}"


def _differ_text(one: str | None, other: str | None) -> bool:
    """Whether two facts are both known and not the same word."""
    return bool(one and other) and str(one).strip().casefold() != str(other).strip().casefold()


def _compare_gain(lights: FrameMeta, frames: FrameSet) -> tuple[str, str, str]:
    """Return (refusal, agreement, warning) about gain and offset."""
    meta = frames.meta
    if meta.offset is not None and lights.offset is not None and abs(meta.offset - lights.offset) > 1e-6:
        return f"offset {meta.offset:g}, the lights have {lights.offset:g}", "", ""
    if frames.is_device_master and meta.gain is None:
        return "", "factory master", "its name gives a gain index, not the gain, so the gain could not be compared"
    if meta.gain is None or lights.gain is None:
        return "", "", f"the gain of the {'set' if meta.gain is None else 'lights'} is not known"
    if abs(meta.gain - lights.gain) > 1e-6 * max(1.0, abs(lights.gain)):
        return f"gain {meta.gain:g}, the lights have {lights.gain:g}", "", ""
    return "", f"same gain {lights.gain:g}", ""


def _compare_temperature(lights: FrameMeta, frames: FrameSet, rules: MatchRules) -> tuple[str, str, str]:
    """Return (refusal, agreement, warning) about the sensor temperature."""
    if frames.temperature_c is None or lights.temperature_c is None:
        return "", "", f"the temperature of the {'set' if frames.temperature_c is None else 'lights'} is not known"
    apart = abs(frames.temperature_c - lights.temperature_c)
    words = f"{apart:.1f} C apart ({frames.temperature_c:.1f} against {lights.temperature_c:.1f})"
    if apart > rules.temperature_limit_c:
        return f"{words}: more than {rules.temperature_limit_c:g} C", "", ""
    return "", f"{apart:.1f} C apart", words if apart > rules.temperature_note_c else ""


def _compare_instrument(lights: FrameMeta, frames: FrameSet) -> str:
    """Return a warning if set and lights name different cameras."""
    if _differ_text(frames.meta.instrument, lights.instrument):
        return f"taken with {frames.meta.instrument}, the lights with {lights.instrument}"
    return ""


def _judge_dark(lights: FrameMeta, frames: FrameSet, rules: MatchRules) -> _Judged:
    """Compare darks: sensor, gain, exposure, temperature."""
    refusal = _refuse_by_sensor(lights, frames) or _refuse_master(frames, rules)
    gain_refusal, gain, gain_warning = _compare_gain(lights, frames)
    exposure_refusal, exposure, exposure_warning = "", "", ""
    wanted, found = lights.exposure_s, frames.exposure_s
    if wanted is None or found is None:
        exposure_warning = f"the exposure of the {'lights' if wanted is None else 'set'} is not known"
    elif abs(found - wanted) > rules.exposure_tolerance * wanted:
        exposure_refusal = f"{found:g} s, the lights have {wanted:g} s"
    else:
        exposure = f"{wanted:g} s"
    cold_refusal, cold, cold_warning = _compare_temperature(lights, frames, rules)
    return _Judged(
        frames,
        refusal or gain_refusal or exposure_refusal or cold_refusal,
        tuple(filter(None, (gain, exposure, cold))),
        tuple(filter(None, (gain_warning, exposure_warning, cold_warning, _compare_instrument(lights, frames)))),
        # what is unknown comes after what is known to fit; then the nearest temperature, then own frames, then many
        (float(bool(gain_warning)) + float(bool(exposure_warning)), *_rank_of(lights, frames)),
    )


def _refuse_master(frames: FrameSet, rules: MatchRules) -> str:
    if frames.is_device_master and not rules.allow_device_masters:
        return "factory masters of the device are switched off"
    return ""


def _rank_of(lights: FrameMeta, frames: FrameSet) -> tuple[float, ...]:
    """Return the order of preference among sets that fit: smaller is better."""
    apart = 99.0
    if frames.temperature_c is not None and lights.temperature_c is not None:
        apart = abs(frames.temperature_c - lights.temperature_c)
    # 2 C are as good as equal: within that the frames' origin and number decide, not a tenth of a degree
    return (np.floor(apart / 2.0), float(frames.is_device_master), -float(frames.n_exposures), apart)


def _judge_scaled(lights: FrameMeta, judged: _Judged, rules: MatchRules) -> _Judged:
    """Look again at a refused set of darks: does it fit if scaled to the exposure of the lights?"""
    frames, wanted = judged.frames, lights.exposure_s
    found = frames.exposure_s
    if judged.fits or wanted is None or found is None or found <= 0.0:
        return judged
    twin = _judge_dark(replace(lights, exposure_s=found), frames, rules)
    scale = wanted / found
    if not twin.fits or not 0.05 <= scale <= 5.0:
        return judged
    warnings = [*twin.warnings, f"those of {found:g} s are scaled by {scale:.3g} to {wanted:g} s; glow may not follow"]
    agreement = (*(a for a in twin.agreement if a != f"{found:g} s"), f"{found:g} s scaled by {scale:.3g}")
    # scaling down is better than up, little better than much
    rank = (float(scale > 1.0), abs(float(np.log(scale))), *twin.rank)
    return _Judged(frames, "", agreement, tuple(warnings), rank, scale)


def _judge_bias(lights: FrameMeta, frames: FrameSet, rules: MatchRules) -> _Judged:
    """Compare bias frames: sensor and gain; the temperature only matters as a preference."""
    refusal = _refuse_by_sensor(lights, frames) or _refuse_master(frames, rules)
    gain_refusal, gain, gain_warning = _compare_gain(lights, frames)
    return _Judged(
        frames,
        refusal or gain_refusal,
        tuple(filter(None, (gain, "same sensor settings"))),
        tuple(filter(None, (gain_warning, _compare_instrument(lights, frames)))),
        (float(bool(gain_warning)), *_rank_of(lights, frames)),
    )


def _judge_flat(lights: FrameMeta, frames: FrameSet, rules: MatchRules) -> _Judged:
    """Compare flats: sensor, filter, optics; of several nights the nearest one."""
    meta = frames.meta
    refusal = _refuse_by_sensor(lights, frames) or _refuse_master(frames, rules)
    warnings, agreement = [], []
    if _differ_text(meta.filter, lights.filter):
        refusal = refusal or f"filter {meta.filter}, the lights have {lights.filter}"
    elif bool(meta.filter) != bool(lights.filter):
        warnings.append(f"the filter of the {'lights' if meta.filter else 'set'} is not known")
    else:
        agreement.append(f"same filter {lights.filter}" if lights.filter else "no filter named")
    if meta.focal_mm and lights.focal_mm and abs(meta.focal_mm / lights.focal_mm - 1.0) > 0.02:
        refusal = refusal or f"focal length {meta.focal_mm:g} mm, the lights have {lights.focal_mm:g} mm"
    if _differ_text(meta.telescope, lights.telescope):
        warnings.append(f"taken with telescope {meta.telescope}, the lights with {lights.telescope}")
    instrument = _compare_instrument(lights, frames)
    if instrument:
        warnings.append(instrument)
    days = frames.days_from(lights.date_obs)
    if days is not None:
        agreement.append(f"{days:.0f} days apart" if days >= 1.0 else "same night")
    rank = (float(len(warnings)), float(frames.is_device_master), days if days is not None else 1e6)
    return _Judged(frames, refusal, tuple(agreement), tuple(warnings), (*rank, -float(frames.n_exposures)))


def _judge_flat_dark(flat: FrameSet | None, frames: FrameSet, rules: MatchRules) -> _Judged:
    """Compare flat darks with the chosen flats, as darks are with lights."""
    if flat is None:
        return _Judged(frames, "no flat to use it with")
    lights = replace(flat.meta, exposure_s=flat.exposure_s, temperature_c=flat.temperature_c)
    # a flat is exposed for seconds at most: its dark current does not depend on a few degrees
    return _judge_dark(lights, frames, replace(rules, temperature_limit_c=3.0 * rules.temperature_limit_c))


_NOUNS = {
    FrameKind.DARK: "darks",
    FrameKind.FLAT: "flats",
    FrameKind.BIAS: "bias frames",
    FrameKind.FLAT_DARK: "flat darks",
}


def _report(
    lights: FrameMeta,
    dark: Sequence[_Judged],
    flat: Sequence[_Judged],
    bias: Sequence[_Judged],
    flat_dark: Sequence[_Judged],
) -> CalibrationMatch:
    """Put the outcome into words and a table."""
    rows: list[MatchRow] = []
    reasons: list[str] = []
    warnings: list[str] = []
    used: dict[FrameKind, _Judged] = {}
    for kind, judged in zip(_NOUNS, (dark, flat, bias, flat_dark), strict=True):
        for place, one in enumerate(judged):
            is_used = place == 0 and one.fits
            if is_used:
                used[kind] = one
            rows.append(_row(kind, one, is_used))
        reasons.append(_sentence(kind, judged))
        if kind in used:
            warnings += [f"{_NOUNS[kind]}: {warning}" for warning in used[kind].warnings]
    if lights.device == "seestar" and FrameKind.DARK not in used:
        reasons.append("a Seestar subtracts its own dark before it saves a frame, so none is needed")
    elif FrameKind.DARK not in used and FrameKind.BIAS in used:
        reasons.append("without darks only the bias is subtracted; hot pixels are looked for in the lights")
    chosen = {kind: one.frames for kind, one in used.items()}

    def files(kind: FrameKind) -> tuple[FrameFile, ...]:
        return chosen[kind].files if kind in chosen else ()

    def is_master(kind: FrameKind) -> bool:
        return kind in chosen and chosen[kind].is_master

    return CalibrationMatch(
        dark=files(FrameKind.DARK),
        flat=files(FrameKind.FLAT),
        bias=files(FrameKind.BIAS),
        flat_dark=files(FrameKind.FLAT_DARK),
        dark_scale=used[FrameKind.DARK].scale if FrameKind.DARK in used else None,
        dark_is_master=is_master(FrameKind.DARK),
        flat_is_master=is_master(FrameKind.FLAT),
        bias_is_master=is_master(FrameKind.BIAS),
        flat_dark_is_master=is_master(FrameKind.FLAT_DARK),
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        table=tuple(rows),
    )


def _row(kind: FrameKind, one: _Judged, is_used: bool) -> MatchRow:
    frames = one.frames
    if one.refusal:
        verdict, reason = "refused", one.refusal
    else:
        verdict = ("scaled" if one.scale is not None else "used") if is_used else "fits"
        reason = ", ".join((*one.agreement, *one.warnings)) or "nothing speaks against it"
    return MatchRow(
        kind=kind,
        n_frames=frames.n_exposures,
        exposure_s=frames.exposure_s,
        gain=frames.meta.gain,
        temperature_c=frames.temperature_c,
        filter=frames.meta.filter,
        is_master=frames.is_master,
        where=frames.where,
        verdict=verdict,
        reason=reason if is_used or one.refusal else f"{reason}; another set fits better",
    )


def _sentence(kind: FrameKind, judged: Sequence[_Judged]) -> str:
    """One sentence: which set of this kind is used, or why none."""
    noun = _NOUNS[kind]
    if not judged:
        return f"no {noun} found"
    best = judged[0]
    if best.fits:
        what = (
            f"1 master of {best.frames.n_exposures}" if best.frames.is_master else f"{best.frames.n_exposures} frames"
        )
        return f"{noun}: {what} from {best.frames.where}: {', '.join(best.agreement) or 'nothing speaks against them'}"
    why = "; ".join(dict.fromkeys(one.refusal for one in judged))
    return f"no {noun} used: {why}"
