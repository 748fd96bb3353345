"""
Plots of the frames as inline SVG: one figure over the frames in the order of their exposure.

Frames stand side by side (a night may follow a gap of weeks), the axis is labelled with their times. A frame that was
left out is a cross, so that colour is not the only sign; where the figure is not known for it, the cross stands on the
axis. With many frames, marks that fall on the same pixel are drawn once, so the size of a plot stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.report.facts import rejected_share
from skyquilt.engine.report.language import Language, Phrase
from skyquilt.engine.report.recorded import reason_text

__all__ = ["FIGURES", "Figure", "plot_svg"]

_WIDTH, _HEIGHT = 560, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 548, 10, 152
_NAMED_FRAMES = 250
_TYPICAL_TIME = len("2025-03-26T21:20")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a frame: its title, its unit, what it means, and how it is read from the record."""

    key: str
    title: Phrase
    unit: str
    meaning: Phrase
    value: Callable[[FrameRecord], float | None]

    def label(self, language: Language) -> str:
        """Title and unit."""
        return f"{language.tell(self.title)}{f', {self.unit}' if self.unit else ''}"


def _field(key: str, title: Phrase, unit: str, meaning: Phrase) -> Figure:
    return Figure(key, title, unit, meaning, lambda frame: getattr(frame, key))


FIGURES = (
    _field("fwhm_px", Phrase("Star size (FWHM)"), "px", Phrase("Width of the stars: smaller is sharper.")),
    _field(
        "background_adu",
        Phrase("Sky background"),
        "ADU",
        Phrase("Brightness of the sky: moon, twilight, clouds raise it."),
    ),
    _field("n_stars", Phrase("Stars found"), "", Phrase("Clouds and haze lower it.")),
    _field("eccentricity", Phrase("Eccentricity"), "", Phrase("Elongation of the stars: 0 is round, 1 is a line.")),
    _field(
        "transparency",
        Phrase("Transparency"),
        "",
        Phrase("Star light that arrived, compared with the reference frame."),
    ),
    _field("weight", Phrase("Weight"), "", Phrase("How much the frame counts in the stack.")),
    _field(
        "residual_px",
        Phrase("Registration residual"),
        "px",
        Phrase("How well its stars fall on those of the reference."),
    ),
    Figure(
        "rejected",
        Phrase("Rejected samples"),
        "%",
        Phrase("Share of its pixels that were refused as strays."),
        lambda frame: None if (share := rejected_share(frame)) is None else 100 * share,
    ),
)


def plot_svg(frames: Sequence[FrameRecord], figure: Figure, language: Language) -> str:
    """
    Return the SVG of one figure over all frames, or "" if no frame has it.

    Parameters
    ----------
    frames : sequence of FrameRecord
        In the order of their exposure.
    figure : Figure
    language : Language
    """
    values = [_finite(figure.value(frame)) for frame in frames]
    kept = [v for v, frame in zip(values, frames, strict=True) if v is not None and frame.status == "stacked"]
    known = kept or [v for v in values if v is not None]
    if not known:
        return ""
    low, high = _range(known, [v for v in values if v is not None])
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    label = language.count(
        len(frames),
        "{figure} of {n} frame; stacked frames: {range}",
        "{figure} of {n} frames in the order of their exposure; stacked frames: {range}",
        figure=figure.label(language),
        range=_extremes(kept, language),
    )
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">',
        *_y_axis(ticks, low, high, language),
        *_x_axis(frames, language),
        *_marks(frames, values, low, high, figure, language),
        "</svg>",
    ]
    return "".join(parts)


def _extremes(values: list[float], language: Language) -> str:
    if not values:
        return language.say("no stacked frame")
    low, high = (language.number(f"{value:.6g}") for value in (min(values), max(values)))
    return language.say("{low} to {high}", low=low, high=high)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None


def _range(known: list[float], everything: list[float]) -> tuple[float, float]:
    """The range of the stacked frames, with room for left-out frames up to as much again on each side."""
    low, high = min(known), max(known)
    room = (high - low) or abs(high) * 0.1 or 1.0
    low, high = max(min(everything), low - room), min(max(everything), high + room)
    margin = 0.06 * (high - low) or room
    return (max(0.0, low - margin) if low >= 0 else low - margin), high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values that lie within the range."""
    rough = (high - low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * k for k in range(ceil(low / step), floor(high / step) + 1)] or [low]


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low)
    return _BOTTOM - min(1.0, max(0.0, share)) * (_BOTTOM - _TOP)


def _x(index: int, n_frames: int) -> float:
    return _LEFT + 8 + (_RIGHT - _LEFT - 12) * (index / (n_frames - 1) if n_frames > 1 else 0.5)


def _y_axis(ticks: list[float], low: float, high: float, language: Language) -> list[str]:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -floor(log10(step) + 1e-9) + (1 if f"{step:e}".startswith("2.5") else 0))
    parts = []
    for tick in ticks:
        y = _y(tick, low, high)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        text = language.number(f"{tick:.{decimals}f}")
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
    return parts


def _x_axis(frames: Sequence[FrameRecord], language: Language) -> list[str]:
    n = len(frames)
    parts = [f'<path class="axis" d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>']
    previous = ""
    timed = any(_time(frame)[0] for frame in frames)
    shown = sorted({round(k * (n - 1) / 4) for k in range(5)}) if n > 5 else range(n)
    for position, index in enumerate(shown):
        x = _x(index, n)
        day, clock = _time(frames[index])
        anchor = "end" if position == len(shown) - 1 and n > 1 else "start" if position == 0 and n > 1 else "middle"
        parts.append(f'<path class="axis" d="M{x:.1f} {_BOTTOM}v4"/>')
        text = clock if timed else language.say("frame {number}", number=index + 1)
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 17}" text-anchor="{anchor}">{text}</text>')
        if day and day != previous:
            parts.append(f'<text class="day" x="{x:.1f}" y="{_BOTTOM + 31}" text-anchor="{anchor}">{day}</text>')
            previous = day
    return parts


def _time(frame: FrameRecord) -> tuple[str, str]:
    """Day and time of day (UTC) of an exposure, ("", "") if it is not known."""
    text = frame.date_obs or ""
    if len(text) < _TYPICAL_TIME or text[10] not in "T ":
        return "", ""
    return escape(text[:10]), escape(text[11:16])


def _marks(
    frames: Sequence[FrameRecord],
    values: list[float | None],
    low: float,
    high: float,
    figure: Figure,
    language: Language,
) -> list[str]:
    """Dots for the frames that were stacked, crosses for those left out; each with its name if there are not many."""
    n = len(frames)
    grid = 2 if n <= 2000 else 1
    dots: dict[str, None] = {}
    crosses: dict[str, None] = {}
    named: list[str] = []
    for index, (frame, value) in enumerate(zip(frames, values, strict=True)):
        is_in = frame.status == "stacked"
        if value is None and is_in:
            continue
        x, y = _x(index, n), _y(low if value is None else value, low, high)
        x, y = round(grid * x) / grid, round(grid * y) / grid
        (dots if is_in else crosses)[f"M{x:g} {y:g}h0" if is_in else f"M{x - 3:g} {y - 3:g}l6 6m0-6l-6 6"] = None
        if n <= _NAMED_FRAMES:
            title = _title(frame, language.measure(value, figure.unit, 4), language)
            named.append(f'<circle cx="{x:g}" cy="{y:g}" r="6"><title>{escape(title)}</title></circle>')
    size = "few" if n <= _NAMED_FRAMES else "many"
    parts = [f'<path class="dots {size}" d="{"".join(dots)}"/>'] if dots else []
    parts += [f'<path class="crosses {size}" d="{"".join(crosses)}"/>'] if crosses else []
    return [*parts, '<g class="named">', *named, "</g>"] if named else parts


def _title(frame: FrameRecord, value: str, language: Language) -> str:
    """Name and value of a frame, and why it is left out where it is."""
    if frame.status == "stacked":
        return language.say("{file}: {value}", file=frame.file, value=value)
    reason = reason_text(frame, language)
    return language.say("{file}: {value}, left out: {reason}", file=frame.file, value=value, reason=reason)
