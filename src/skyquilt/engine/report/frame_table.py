"""The table of every frame: figures with units, what was decided and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.report.facts import STAGES, rejected_share
from skyquilt.engine.report.language import Language, Phrase
from skyquilt.engine.report.recorded import reason_html

__all__ = ["frame_table"]

_OPEN_ROWS = 150

Cell = Callable[[FrameRecord, Language], str]


def _number(key: str, digits: int = 3) -> Cell:
    return lambda frame, language: language.amount(getattr(frame, key), digits)


def _time(frame: FrameRecord, _: Language) -> str:
    return (frame.date_obs or "–")[:19].replace("T", " ")


# heading, unit, what it means, how a frame's cell is made
_COLUMNS: tuple[tuple[Phrase, Phrase | None, Phrase, Cell], ...] = (
    (Phrase("Time"), Phrase("UTC"), Phrase("Start of the exposure."), _time),
    (Phrase("Exposure"), Phrase("s"), Phrase("Exposure time."), _number("exposure_s")),
    (Phrase("Sensor"), Phrase("°C"), Phrase("Temperature of the sensor."), _number("temperature_c")),
    (
        Phrase("FWHM"),
        Phrase("px"),
        Phrase("Width of the stars at half their height: smaller is sharper."),
        _number("fwhm_px"),
    ),
    (
        Phrase("Eccentr."),
        Phrase("0-1"),
        Phrase("Elongation of the stars: 0 is round, 1 is a line."),
        _number("eccentricity"),
    ),
    (Phrase("Stars"), None, Phrase("Stars found."), _number("n_stars")),
    (Phrase("Sky"), Phrase("ADU"), Phrase("Brightness of the sky background."), _number("background_adu", 4)),
    (Phrase("Noise"), Phrase("ADU"), Phrase("Noise of the sky per pixel."), _number("noise_adu")),
    (
        Phrase("Saturated"),
        None,
        Phrase("Share of pixels that are full."),
        lambda frame, language: language.percent(frame.saturated_share),
    ),
    (
        Phrase("Transp."),
        None,
        Phrase("Star light that arrived, compared with the reference frame."),
        _number("transparency"),
    ),
    (Phrase("Score"), None, Phrase("How good the frame is; --keep keeps the best."), _number("score")),
    (
        Phrase("Matched"),
        Phrase("stars"),
        Phrase("Stars that were matched with the reference frame."),
        _number("n_matched"),
    ),
    (
        Phrase("Residual"),
        Phrase("px"),
        Phrase("How well its stars fall on those of the reference (per axis)."),
        _number("residual_px", 2),
    ),
    (Phrase("Shift x"), Phrase("px"), Phrase("Where the frame lies on the reference."), _number("shift_x_px", 4)),
    (Phrase("Shift y"), Phrase("px"), Phrase("Where the frame lies on the reference."), _number("shift_y_px", 4)),
    (
        Phrase("Rotation"),
        Phrase("°"),
        Phrase("How far the frame is turned against the reference."),
        _number("rotation_deg"),
    ),
    (Phrase("Weight"), None, Phrase("How much the frame counts in the stack."), _number("weight")),
    (
        Phrase("Rejected"),
        None,
        Phrase("Share of its pixels refused as strays."),
        lambda frame, language: language.percent(rejected_share(frame)),
    ),
    (Phrase("Trails"), None, Phrase("Satellite trails masked over their whole length."), _number("n_trails")),
)


def frame_table(frames: Sequence[FrameRecord], language: Language) -> str:
    """Return the table as HTML; folded away when it is long, with a legend of the columns."""
    if not frames:
        return f"<p>{language.say('No frames.')}</p>"
    columns = [
        (language.tell(name), language.tell(unit) if unit else "", language.tell(meaning))
        for name, unit, meaning, _ in _COLUMNS
    ]
    head = "".join(
        f'<th scope="col" class="n" title="{escape(meaning)}">{name}' + (f"<small>{unit}</small>" if unit else "")
        for name, unit, meaning in columns
    )
    rows = "".join(_row(frame, language) for frame in frames)
    caption = language.say("Every light frame in the order of exposure: what was measured, what was decided and why")
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{language.say("Table of the frames")}">'
        f'<table class="frames"><caption>{caption}</caption><thead><tr>'
        f'<th scope="col">{language.say("Frame")}<th scope="col">{language.say("Decision")}{head}</thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    legend = "".join(
        f"<dt>{name}{f', {unit}' if unit else ''}</dt><dd>{meaning}</dd>" for name, unit, meaning in columns
    )
    explained = f"<details><summary>{language.say('What the columns mean')}</summary><dl>{legend}</dl></details>"
    if len(frames) <= _OPEN_ROWS:
        return explained + table
    summary = language.say("Show all {n} frames", n=len(frames))
    return f"{explained}<details><summary>{summary}</summary>{table}</details>"


def _row(frame: FrameRecord, language: Language) -> str:
    cells = "".join(f"<td>{escape(cell(frame, language))}" for *_, cell in _COLUMNS)
    return f"<tr><th scope=row>{escape(frame.file)}{_decision(frame, language)}{cells}"


def _decision(frame: FrameRecord, language: Language) -> str:
    notes = escape(f" ({'; '.join(frame.notes)})") if frame.notes else ""
    if frame.status == "left_out":
        reason = reason_html(frame, language)
        if frame.stage in STAGES:
            return f"<td class=x>{language.tell(STAGES[frame.stage], reason=reason)}{notes}"
        return f"<td class=x>{language.say('✕ left out: {reason}', reason=reason)}{notes}"
    if frame.is_reference:
        return f"<td>{language.say('stacked, the reference')}{notes}"
    return f"<td>{language.say('stacked')}{notes}"
