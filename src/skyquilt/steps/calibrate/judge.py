"""
The judgement of calibration frames: which ones would spoil a master, and why.

Everything rests on the profiles of the frames, so thousands can be judged without their pixels. Majority never decides
where physics can: in a real set three of five darks share a readout glitch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core import F64, FrameKind
from skyquilt.steps.calibrate.profile import FrameProfile, RowBand, find_row_bands

__all__ = ["JudgeRules", "Verdict", "judge_profiles"]


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """
    Limits of the judgement.

    Attributes
    ----------
    level_sigmas : float
        A dark or bias farther from the set's median level than so many pixel sigma is of another exposure, gain or
        saw light.
    smallest_band : float
        Bands of rows that differ by less than this many pixel sigma are left alone.
    flicker_single, flicker_master : float
        Row structure that changes from flat to flat: tolerated amplitude in one frame, and in the mean of the set.
    saturated_share : float
    faint_share : float
        A flat below this share of the saturation level (above bias, if known) holds too little light.
    """

    level_sigmas: float = 1.5
    smallest_band: float = 0.25
    flicker_single: float = 0.03
    flicker_master: float = 0.005
    saturated_share: float = 0.005
    faint_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What to do with one calibration frame.

    Attributes
    ----------
    name : str
    is_good : bool
        False: leave it out of the master.
    code : str
        "" (nothing to say), "glitch_rows", "row_step", "flicker", "saturated", "faint", "level", "empty".
        A good frame with a code deserves the sentence as a warning.
    reason : str
        One sentence with the figures, or "".
    figures : dict
    """

    name: str
    is_good: bool
    code: str = ""
    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def judge_profiles(
    kind: FrameKind,
    names: Sequence[str],
    profiles: Sequence[FrameProfile],
    *,
    bias_level_adu: float | None = None,
    saturation_adu: float = 65535.0,
    rules: JudgeRules | None = None,
) -> list[Verdict]:
    """
    Return one verdict per frame of a set that would make one master, in the order given.

    Parameters
    ----------
    kind : FrameKind
        DARK, FLAT_DARK, BIAS or FLAT.
    names : sequence of str
    profiles : sequence of FrameProfile
    bias_level_adu : float or None
        Median of the bias frames of that gain, if there are any: tells a glitch from a structure of the sensor.
    saturation_adu : float
    rules : JudgeRules or None

    Notes
    -----
    The first fault found is the reason, in this order: empty, glitch_rows, saturated, faint, flicker, level.
    The order of the frames does not matter to any verdict.
    """
    limits = rules or JudgeRules()
    verdicts = [_judge_emptiness(name, profile) for name, profile in zip(names, profiles, strict=True)]
    if kind is FrameKind.FLAT:
        _judge_light(verdicts, profiles, bias_level_adu, saturation_adu, limits)
        _judge_flicker(verdicts, profiles, limits)
    else:
        _judge_bands(verdicts, profiles, bias_level_adu, limits)
        _judge_levels(verdicts, profiles, limits)
    return verdicts


def _judge_emptiness(name: str, profile: FrameProfile) -> Verdict:
    if profile.finite_share < 0.99:
        share = 1.0 - profile.finite_share
        return Verdict(name, False, "empty", f"{share:.0%} of its pixels are no numbers", {"share": share})
    if profile.sigma == 0.0 and float(np.ptp(profile.row_medians)) == 0.0 and not profile.row_tails.any():
        return Verdict(name, False, "empty", f"all its pixels have the value {profile.median:.0f}: it holds no signal")
    return Verdict(name, True)


def _judge_bands(
    verdicts: list[Verdict], profiles: Sequence[FrameProfile], bias_level: float | None, rules: JudgeRules
) -> None:
    """Find bands of rows that were not exposed, and replace the verdicts of their frames."""
    bands = [
        find_row_bands(profile.row_medians, rules.smallest_band * profile.sigma) if verdict.is_good else []
        for verdict, profile in zip(verdicts, profiles, strict=True)
    ]
    others = [k for k, verdict in enumerate(verdicts) if verdict.is_good]
    for index in others:
        profile, name = profiles[index], verdicts[index].name
        strange = _find_strange(bands[index], rules.smallest_band * profile.sigma)
        by_tails = _judge_tails(verdicts[index], profile)
        if not strange:
            verdicts[index] = by_tails
            continue
        normal = _normal_level(bands[index], strange)
        worst = max(strange, key=lambda band: (band.n_rows, -band.y0))
        is_shared = all(_has_edge_like(bands[k], worst) for k in others)
        evidence = _missing_exposure(profile, worst, normal, bias_level)
        if not evidence and not by_tails.is_good:
            verdicts[index] = by_tails
            continue
        figures = {"first_row": worst.y0, "last_row": worst.y1 - 1, "level_adu": worst.level_adu, "normal_adu": normal}
        rows = f"rows {worst.y0} to {worst.y1 - 1} are at {worst.level_adu:.0f} ADU, the others at {normal:.0f}"
        if is_shared and not evidence:
            text = f"{rows}; every frame of the set shows it, so it is taken for a property of the sensor"
            verdicts[index] = Verdict(name, True, "row_step", text, figures)
        else:
            text = f"{rows}, with sharp edges{evidence}: a readout glitch"
            verdicts[index] = Verdict(name, False, "glitch_rows", text, figures)


def _judge_tails(verdict: Verdict, profile: FrameProfile) -> Verdict:
    """Find rows that lost their hot pixels: a sensor with little dark current shows a glitch in nothing else."""
    usual = float(np.median(profile.row_tails))
    if usual < 7.0 * profile.sigma:  # noise alone gives 2.3 sigma: too few hot pixels to tell
        return verdict
    bands = find_row_bands(profile.row_tails, 0.5 * usual)
    if len(bands) < 2:
        return verdict
    strange = _find_strange(bands, 0.5 * usual)
    lost = [band for band in strange if band.level_adu < 0.3 * _normal_level(bands, strange)]
    if not lost:
        return verdict
    worst = max(lost, key=lambda band: (band.n_rows, -band.y0))
    text = f"rows {worst.y0} to {worst.y1 - 1} have sharp edges and lost their hot pixels: a readout glitch"
    return Verdict(verdict.name, False, "glitch_rows", text, {"first_row": worst.y0, "last_row": worst.y1 - 1})


def _find_strange(bands: Sequence[RowBand], limit: float) -> list[RowBand]:
    """
    Return the bands that lie farther than `limit` from properly exposed rows.

    Those are the highest ones that are not just a stripe (15 % of the rows): a glitch loses signal, it adds none.
    """
    n_rows = sum(band.n_rows for band in bands)
    wide = [band for band in bands if band.n_rows >= 0.15 * n_rows] or list(bands)
    highest = max(band.offset_adu for band in wide)
    return [band for band in bands if abs(band.offset_adu - highest) > limit]


def _normal_level(bands: Sequence[RowBand], strange: Sequence[RowBand]) -> float:
    """Return the level of the rows outside of the strange bands, ADU."""
    usual = [band for band in bands if band not in strange]
    return float(np.average([band.level_adu for band in usual], weights=[band.n_rows for band in usual]))


def _has_edge_like(bands: Sequence[RowBand], like: RowBand) -> bool:
    """Whether a frame has a band with the same edges, within 4 rows."""
    return any(abs(band.y0 - like.y0) <= 4 and abs(band.y1 - like.y1) <= 4 for band in bands)


def _missing_exposure(profile: FrameProfile, band: RowBand, normal: float, bias_level: float | None) -> str:
    """Return words for the evidence that the rows were not exposed, or "" without any."""
    if bias_level is not None and abs(band.level_adu - bias_level) < 0.25 * (normal - bias_level):
        return f" and at the bias level ({bias_level:.0f} ADU)"
    inside = float(np.median(profile.row_tails[band.y0 : band.y1]))
    outside = float(np.median(np.delete(profile.row_tails, np.s_[band.y0 : band.y1])))
    if band.level_adu < normal and inside < 0.3 * outside:
        return " and without their hot pixels"
    return ""


def _judge_levels(verdicts: list[Verdict], profiles: Sequence[FrameProfile], rules: JudgeRules) -> None:
    """Find frames whose level does not belong to the set."""
    good = [index for index, verdict in enumerate(verdicts) if verdict.is_good]
    if len(good) < 2:
        return
    levels = np.array([profiles[index].median for index in good])
    sigma = float(np.median([profiles[index].sigma for index in good]))
    centre = float(np.median(levels))
    spread = 1.4826 * float(np.median(np.abs(levels - centre)))
    limit = max(rules.level_sigmas * sigma, 5.0 * spread if len(good) > 2 else 0.0, 1.0)
    for index, level in zip(good, levels, strict=True):
        name = verdicts[index].name
        figures = {"level_adu": float(level), "set_adu": centre}
        if len(good) == 2 and float(np.ptp(levels)) > limit:
            text = f"its level is {level:.0f} ADU and the mean of the two frames {centre:.0f}: one of them may be wrong"
            verdicts[index] = Verdict(name, True, "level", text, figures)
        elif abs(level - centre) > limit:
            text = f"its level is {level:.0f} ADU, that of the set {centre:.0f} +- {limit:.0f}: light or other settings"
            verdicts[index] = Verdict(name, False, "level", text, figures)


def _judge_light(
    verdicts: list[Verdict],
    profiles: Sequence[FrameProfile],
    bias_level: float | None,
    saturation_adu: float,
    rules: JudgeRules,
) -> None:
    """Find flats with too much or too little light."""
    for index, profile in enumerate(profiles):
        if not verdicts[index].is_good:
            continue
        name = verdicts[index].name
        light = profile.median - (bias_level or 0.0)
        if profile.saturated_share > rules.saturated_share:
            text = f"{profile.saturated_share:.1%} of the pixels of one colour are saturated"
            verdicts[index] = Verdict(name, False, "saturated", text, {"share": profile.saturated_share})
        elif light < 3.0 * profile.sigma or (
            np.isfinite(saturation_adu) and light < rules.faint_share * saturation_adu  # floats know no full scale
        ):
            text = f"it holds {light:.4g} ADU of light, less than {rules.faint_share:.0%} of full scale or 3 sigma"
            verdicts[index] = Verdict(name, False, "faint", text, {"light_adu": light})


def _judge_flicker(verdicts: list[Verdict], profiles: Sequence[FrameProfile], rules: JudgeRules) -> None:
    """Find flats with bands of rows that other flats do not share: a lamp that flickers with the mains."""
    good = [index for index, verdict in enumerate(verdicts) if verdict.is_good]
    if not good:
        return
    ripples = [_row_ripple(profiles[index].row_medians) for index in good]
    if len(good) == 1:
        # Nothing to compare with; but no lens, dust or vignetting ripples along y and not along x.
        across = _amplitude(_row_ripple(profiles[good[0]].column_medians))
        amplitudes = [_amplitude(ripples[0])]
        amplitudes = [a if a > 4.0 * across else 0.0 for a in amplitudes]
    else:
        common = np.median(np.stack(ripples), axis=0) if len(good) > 2 else 0.5 * (ripples[0] + ripples[1])
        # what a frame shares with the mean it helped to make does not show: n frames give sqrt(1 - 1/n) of it
        amplitudes = [_amplitude(ripple - common) / np.sqrt(1.0 - 1.0 / len(good)) for ripple in ripples]
    in_master = float(np.sqrt(np.mean(np.square(amplitudes)) / len(good)))
    is_steady = np.count_nonzero(np.array(amplitudes) <= rules.flicker_single) > len(good) / 2
    for index, amplitude in zip(good, amplitudes, strict=True):
        name = verdicts[index].name
        figures = {"amplitude": float(amplitude), "in_master": in_master}
        known_by = "that change from frame to frame" if len(good) > 1 else "but not along its columns"
        bands = f"bands of +-{amplitude:.1%} along its rows {known_by}: a lamp that flickers with the mains"
        if amplitude > rules.flicker_single and (is_steady or in_master > rules.flicker_master):
            verdicts[index] = Verdict(name, False, "flicker", bands, figures)
        elif amplitude > rules.flicker_single / 3.0:
            text = f"{bands}; +-{in_master:.2%} would be left in the mean of the set"
            verdicts[index] = Verdict(name, True, "flicker", text, figures)


def _row_ripple(rows: F64) -> F64:
    """Relative departure of a profile from its smooth course (pairs of rows, polynomial of degree 4)."""
    n_pairs = len(rows) // 2
    pairs = 0.5 * (rows[0 : 2 * n_pairs : 2] + rows[1 : 2 * n_pairs : 2])
    place = np.linspace(-1.0, 1.0, n_pairs)
    smooth = np.polynomial.chebyshev.chebval(place, np.polynomial.chebyshev.chebfit(place, pairs, 4))
    return np.asarray(pairs / np.maximum(smooth, 1.0) - 1.0)


def _amplitude(ripple: F64) -> float:
    """Half of the range that holds 90 % of the values."""
    low, high = np.percentile(ripple, [5.0, 95.0])
    return float(high - low) / 2.0
