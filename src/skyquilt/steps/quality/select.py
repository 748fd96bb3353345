"""Which frames take part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core import F64
from skyquilt.steps.quality.score import Quality

__all__ = ["SelectSettings", "Verdict", "select"]

_LEAST_FRAMES = 4  # a typical frame is known from here on
_LEAST_STARS = 4  # fewer cannot be registered with any certainty
_BLURRED = 2.5  # times the typical FWHM
_ELONGATED = 2.2  # times the typical elongation
_ELONGATED_ECCENTRICITY = 0.85
_CLOUDED = 0.1  # of the typical star count, with a score below the same share
_SKY = 8.0  # times the typical sky: dawn, a lamp, the Moon in the field
_SATURATED = 0.5


@dataclass(frozen=True, slots=True)
class SelectSettings:
    """
    What a frame must satisfy; None sets no limit.

    Attributes
    ----------
    keep : float, 0 < keep <= 1
        Share of the usable frames to keep, the best by score.
    max_fwhm_px, max_eccentricity, max_background_adu, max_noise_adu, max_gradient, max_saturated_share : float or None
    min_stars : int or None
    min_transparency, min_score : float or None
        Of the typical frame's.
    refuse_outliers : bool
        Also leave out frames that are far worse than the session's typical one (blurred, trailed, clouded, dawn);
        smaller differences are the business of the weights.
    """

    keep: float = 1.0
    max_fwhm_px: float | None = None
    max_eccentricity: float | None = None
    min_stars: int | None = None
    max_background_adu: float | None = None
    max_noise_adu: float | None = None
    max_gradient: float | None = None
    max_saturated_share: float | None = None
    min_transparency: float | None = None
    min_score: float | None = None
    refuse_outliers: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Whether a frame takes part, and why not.

    Attributes
    ----------
    index : int
        Position in the list that was judged.
    kept : bool
    code : str
        "kept", or a short stable word: "no_stars", "trailed", "blurred", "clouded", "bright_sky", "saturated",
        "noisy", "gradient", "few_stars", "not_transparent", "low_score", "not_among_best".
    reason : str
        One sentence with the figures that decided; "" where kept.
    figures : dict
        Those figures by name.
    """

    index: int
    kept: bool
    code: str
    reason: str
    figures: dict[str, float] = field(default_factory=dict)


def select(qualities: Sequence[Quality], settings: SelectSettings) -> list[Verdict]:
    """
    Return the verdict on every frame, in the order given.

    Raises
    ------
    ValueError
        If `settings.keep` is not in (0, 1].
    """
    if not 0.0 < settings.keep <= 1.0:
        raise ValueError(f"the share of frames to keep lies above 0 and up to 1, not {settings.keep}")
    usable = [q for q in qualities if q.n_stars >= _LEAST_STARS]
    typical = _Typical.of(usable) if settings.refuse_outliers and len(usable) >= _LEAST_FRAMES else None
    verdicts = [_judge(k, quality, settings, typical) for k, quality in enumerate(qualities)]
    left = [verdict.index for verdict in verdicts if verdict.kept]
    n_kept = math.ceil(settings.keep * len(left) - 1e-9)
    ranked = sorted(left, key=lambda k: (-qualities[k].score, qualities[k].name, k))
    for rank, k in enumerate(ranked[n_kept:], start=n_kept + 1):
        value = qualities[k].score
        verdicts[k] = Verdict(
            k,
            False,
            "not_among_best",
            f"not among the best: score {value:.2f} is rank {rank} of {len(left)}, the best {n_kept} are kept",
            {"score": value, "rank": float(rank), "n_kept": float(n_kept)},
        )
    return verdicts


@dataclass(frozen=True, slots=True)
class _Typical:
    """Medians of the session."""

    fwhm_px: float
    elongation: float
    n_stars: float
    background_adu: float

    @classmethod
    def of(cls, qualities: Sequence[Quality]) -> _Typical:
        return cls(
            _median([q.fwhm_px for q in qualities]),
            _median([_elongation(q.eccentricity) for q in qualities]),
            _median([float(q.n_stars) for q in qualities]),
            _median([q.background_adu for q in qualities]),
        )


def _median(values: list[float]) -> float:
    array: F64 = np.array(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    return float(np.median(known)) if len(known) else float("nan")


def _elongation(eccentricity: float) -> float:
    """Long axis over short axis."""
    return 1.0 / math.sqrt(max(1.0 - eccentricity**2, 1e-4)) if math.isfinite(eccentricity) else float("nan")


def _judge(index: int, quality: Quality, settings: SelectSettings, typical: _Typical | None) -> Verdict:
    for code, word, name, value, limit, is_bad, digits in _limits(quality, settings):
        if is_bad:
            sign = "<" if name in ("n_stars", "transparency", "score") else ">"
            reason = f"{word}: {_LABEL[name]} {value:.{digits}f} {sign} {limit:.{digits}f}{_UNIT.get(name, '')}"
            return Verdict(index, False, code, reason, {name: value, "limit": limit})
    if quality.n_stars < _LEAST_STARS:
        reason = f"no stars: {quality.n_stars} found, registration takes {_LEAST_STARS}"
        return Verdict(index, False, "no_stars", reason, {"n_stars": float(quality.n_stars)})
    if settings.refuse_outliers and quality.saturated_share > _SATURATED:
        reason = f"saturated: {100 * quality.saturated_share:.0f} % of the pixels are saturated"
        return Verdict(index, False, "saturated", reason, {"saturated_share": quality.saturated_share})
    if typical is not None:
        return _compare(index, quality, typical)
    return Verdict(index, True, "kept", "")


_LABEL = {
    "fwhm_px": "FWHM",
    "eccentricity": "eccentricity",
    "n_stars": "stars",
    "background_adu": "background",
    "noise_adu": "noise",
    "gradient": "gradient",
    "saturated_share": "saturated share",
    "transparency": "transparency",
    "score": "score",
}
_UNIT = {"fwhm_px": " px", "background_adu": " ADU", "noise_adu": " ADU"}


def _limits(q: Quality, s: SelectSettings) -> list[tuple[str, str, str, float, float, bool, int]]:
    """Every limit that was set: (code, word, figure, value, limit, is it broken, digits)."""
    rows: list[tuple[str, str, str, float, float | None, int]] = [
        ("few_stars", "few stars", "n_stars", float(q.n_stars), None if s.min_stars is None else float(s.min_stars), 0),
        ("trailed", "trailed", "eccentricity", q.eccentricity, s.max_eccentricity, 2),
        ("blurred", "blurred", "fwhm_px", q.fwhm_px, s.max_fwhm_px, 2),
        ("bright_sky", "bright sky", "background_adu", q.background_adu, s.max_background_adu, 0),
        ("noisy", "noisy", "noise_adu", q.noise_adu, s.max_noise_adu, 1),
        ("gradient", "gradient", "gradient", q.gradient, s.max_gradient, 2),
        ("saturated", "saturated", "saturated_share", q.saturated_share, s.max_saturated_share, 3),
        ("not_transparent", "not transparent", "transparency", q.transparency, s.min_transparency, 2),
        ("low_score", "low score", "score", q.score, s.min_score, 2),
    ]
    below = {"n_stars", "transparency", "score"}
    return [
        (code, word, name, value, limit, value < limit if name in below else value > limit, digits)
        for code, word, name, value, limit, digits in rows
        if limit is not None
    ]


def _compare(index: int, quality: Quality, typical: _Typical) -> Verdict:
    """Judge a frame against the session's typical one: only what is far off is left out."""
    stretch = _elongation(quality.eccentricity)
    if quality.eccentricity > _ELONGATED_ECCENTRICITY and stretch > _ELONGATED * typical.elongation:
        limit = math.sqrt(1.0 - 1.0 / max((_ELONGATED * typical.elongation) ** 2, 1.0))
        limit = max(limit, _ELONGATED_ECCENTRICITY)
        reason = f"trailed: eccentricity {quality.eccentricity:.2f} > {limit:.2f}"
        return Verdict(index, False, "trailed", reason, {"eccentricity": quality.eccentricity, "limit": limit})
    limit = _BLURRED * typical.fwhm_px
    if quality.fwhm_px > limit:
        reason = f"blurred: FWHM {quality.fwhm_px:.2f} > {limit:.2f} px, {_BLURRED} times the session's median"
        return Verdict(index, False, "blurred", reason, {"fwhm_px": quality.fwhm_px, "limit": limit})
    limit = _CLOUDED * typical.n_stars
    if quality.n_stars < limit and quality.score < _CLOUDED:
        reason = f"clouded: {quality.n_stars} stars < {limit:.0f}, a tenth of the session's median"
        return Verdict(index, False, "clouded", reason, {"n_stars": float(quality.n_stars), "limit": limit})
    limit = _SKY * typical.background_adu
    if typical.background_adu > 0 and quality.background_adu > limit:
        reason = f"bright sky: background {quality.background_adu:.0f} > {limit:.0f} ADU, {_SKY:.0f} times the median"
        return Verdict(index, False, "bright_sky", reason, {"background_adu": quality.background_adu, "limit": limit})
    return Verdict(index, True, "kept", "")
