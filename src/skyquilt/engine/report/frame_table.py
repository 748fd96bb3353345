"""The table of every frame: figures with units, what was decided and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.report.facts import STAGES, rejected_share
from skyquilt.engine.report.words import amount, percent

__all__ = ["frame_table"]

_OPEN_ROWS = 150


def _number(key: str, digits: int = 3) -> Callable[[FrameRecord], str]:
    return lambda frame: amount(getattr(frame, key), digits)


# heading, unit, what it means, how a frame's cell is made
_COLUMNS: tuple[tuple[str, str, str, Callable[[FrameRecord], str]], ...] = (
    ("Time", "UTC", "Start of the exposure.", lambda frame: (frame.date_obs or "–")[:19].replace("T", " ")),
    ("Exposure", "s", "Exposure time.", _number("exposure_s")),
    ("Sensor", "°C", "Temperature of the sensor.", _number("temperature_c")),
    ("FWHM", "px", "Width of the stars at half their height: smaller is sharper.", _number("fwhm_px")),
    ("Eccentr.", "0-1", "Elongation of the stars: 0 is round, 1 is a line.", _number("eccentricity")),
    ("Stars", "", "Stars found.", _number("n_stars")),
    ("Sky", "ADU", "Brightness of the sky background.", _number("background_adu", 4)),
    ("Noise", "ADU", "Noise of the sky per pixel.", _number("noise_adu")),
    ("Saturated", "", "Share of pixels that are full.", lambda frame: percent(frame.saturated_share)),
    ("Transp.", "", "Star light that arrived, compared with the reference frame.", _number("transparency")),
    ("Score", "", "How good the frame is; --keep keeps the best.", _number("score")),
    ("Matched", "stars", "Stars that were matched with the reference frame.", _number("n_matched")),
    ("Residual", "px", "How well its stars fall on those of the reference (per axis).", _number("residual_px", 2)),
    ("Shift x", "px", "Where the frame lies on the reference.", _number("shift_x_px", 4)),
    ("Shift y", "px", "Where the frame lies on the reference.", _number("shift_y_px", 4)),
    ("Rotation", "°", "How far the frame is turned against the reference.", _number("rotation_deg")),
    ("Weight", "", "How much the frame counts in the stack.", _number("weight")),
    ("Rejected", "", "Share of its pixels refused as strays.", lambda frame: percent(rejected_share(frame))),
    ("Trails", "", "Satellite trails masked over their whole length.", _number("n_trails")),
)


def frame_table(frames: Sequence[FrameRecord]) -> str:
    """Return the table as HTML; folded away when it is long, with a legend of the columns."""
    if not frames:
        return "<p>No frames.</p>"
    head = "".join(
        f'<th scope="col" class="n" title="{escape(meaning)}">{name}' + (f"<small>{unit}</small>" if unit else "")
        for name, unit, meaning, _ in _COLUMNS
    )
    rows = "".join(_row(frame) for frame in frames)
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Every frame"><table class="frames">'
        "<caption>Every light frame in "
        "the order of exposure: what was measured, what was decided and why</caption><thead><tr>"
        f'<th scope="col">Frame<th scope="col">Decision{head}</thead><tbody>{rows}</tbody></table></div>'
    )
    legend = "".join(
        f"<dt>{name}{f', {unit}' if unit else ''}</dt><dd>{meaning}</dd>" for name, unit, meaning, _ in _COLUMNS
    )
    explained = f"<details><summary>What the columns mean</summary><dl>{legend}</dl></details>"
    if len(frames) <= _OPEN_ROWS:
        return explained + table
    return f"{explained}<details><summary>Show all {len(frames)} frames</summary>{table}</details>"


def _row(frame: FrameRecord) -> str:
    cells = "".join(f"<td>{escape(cell(frame))}" for *_, cell in _COLUMNS)
    return f"<tr><th scope=row>{escape(frame.file)}{_decision(frame)}{cells}"


def _decision(frame: FrameRecord) -> str:
    notes = f" ({'; '.join(frame.notes)})" if frame.notes else ""
    if frame.status == "left_out":
        stage = f" {STAGES[frame.stage]}" if frame.stage in STAGES else ""
        return f"<td class=x>✕ left out{stage}: {escape((frame.reason or frame.code or '') + notes)}"
    if frame.is_reference:
        return f"<td>stacked, the reference{escape(notes)}"
    return f"<td>stacked{escape(notes)}"
