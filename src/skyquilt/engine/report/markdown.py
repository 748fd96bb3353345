"""The report as Markdown: tables that also read well as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
from skyquilt.engine.report.facts import (
    best_and_worst,
    group_left_out,
    magnitude_rows,
    master_sentence,
    rejected_share,
    sky_sentence,
    story,
    table_columns,
)
from skyquilt.engine.report.language import ENGLISH
from skyquilt.engine.report.mosaic_facts import mosaic_rows, overlap_table, panel_table
from skyquilt.engine.report.words import DASH, amount, bytes_text, duration, per_channel, percent

__all__ = ["report_markdown"]

_SHOWN_FILES = 200


def report_markdown(manifest: Manifest) -> str:
    """Return the report in Markdown."""
    title = manifest.target or manifest.group
    parts = [f"# {_safe(title)}", _intro(manifest)]
    if manifest.statistics:
        parts += ["## The stack", _table(("Figure", "Value"), _headline(manifest.statistics))]
    parts += _sky(manifest)
    parts += _mosaic(manifest)
    parts += ["## What was done", "\n".join(f"1. **{step}.** {_safe(text)}" for step, text in story(manifest, ENGLISH))]
    parts += _warnings(manifest)
    parts += _left_out(manifest)
    parts += _ranking(manifest)
    parts += _calibration(manifest)
    if manifest.outputs:
        rows = [(f"`{_safe(output.file)}`", bytes_text(output.size_bytes)) for output in manifest.outputs]
        parts += ["## Files", _table(("File", "Size"), rows)]
    settings = [(_safe(key), _safe(_plain(value))) for key, value in sorted(manifest.recipe.items())]
    parts += ["## Settings", _table(("Setting", "Value"), settings)]
    return "\n\n".join(parts) + "\n"


def _intro(manifest: Manifest) -> str:
    facts = [f"Session `{_safe(manifest.session)}`", f"device {_safe(manifest.device)}"]
    if manifest.filter:
        facts.append(f"filter {_safe(manifest.filter)}")
    return f"{', '.join(facts)}. Made by {_safe(manifest.program)}."


def _sky(manifest: Manifest) -> list[str]:
    if manifest.sky is None or not manifest.sky.solved:
        return []
    rows = [("Place", _safe(sky_sentence(manifest.sky, ENGLISH)))]
    if manifest.photometry is not None:
        rows += magnitude_rows(manifest.photometry, ENGLISH)
    return ["## On the sky", _table(("Figure", "Value"), rows)]


def _mosaic(manifest: Manifest) -> list[str]:
    mosaic = manifest.mosaic
    if mosaic is None:
        return []
    parts = ["## The mosaic", _table(("Figure", "Value"), mosaic_rows(mosaic, ENGLISH)), "### Pointings"]
    parts.append(_table(*panel_table(mosaic.panels, ENGLISH)))
    return [*parts, "### Overlaps", _table(*overlap_table(mosaic.overlaps, ENGLISH))] if mosaic.overlaps else parts


def _headline(statistics: Statistics) -> list[tuple[str, str]]:
    return [
        ("Frames stacked", f"{statistics.n_stacked} of {statistics.n_found}"),
        ("Exposure", duration(statistics.exposure_s)),
        ("Effective exposure", duration(statistics.effective_exposure_s)),
        ("Size", f"{statistics.width} x {statistics.height} px, {statistics.n_channels} channel(s)"),
        ("Sky background, ADU", per_channel(statistics.background)),
        ("Noise per pixel, ADU", per_channel(statistics.noise)),
        ("Noise of 8 x 8 px means times 8, ADU", per_channel(statistics.noise_8x8)),
        ("SNR gain against one frame", per_channel(statistics.snr_gain)),
        ("FWHM of the stack, px", amount(statistics.fwhm_px)),
        ("FWHM of the reference alone, resampled likewise, px", amount(statistics.reference_fwhm_px)),
        ("Median FWHM of the frames on the sensor, px", amount(statistics.frames_fwhm_px)),
        ("Stars in the stack", amount(statistics.n_stars)),
        ("Rejected low / high", f"{percent(statistics.rejected_low)} / {percent(statistics.rejected_high)}"),
        ("Field rotation", f"{amount(statistics.rotation_range_deg)} degrees"),
    ]


def _warnings(manifest: Manifest) -> list[str]:
    parts = []
    if manifest.warnings:
        parts += ["## Warnings", "\n".join(f"- {_safe(text)}" for text in manifest.warnings)]
    if manifest.notes:
        parts += ["## Notes", "\n".join(f"- {_safe(text)}" for text in manifest.notes)]
    return parts


def _left_out(manifest: Manifest) -> list[str]:
    groups = group_left_out(manifest.frames)
    if not groups and not manifest.other_files:
        return ["## What was left out", "Nothing: every frame was stacked."]
    parts = ["## What was left out"]
    if groups:
        parts.append(
            _table(
                ("Frames", "Why", "For example"),
                [(str(len(group.files)), _safe(group.title), _safe(group.example)) for group in groups],
            )
        )
        left_out = [frame for frame in manifest.frames if frame.status == "left_out"]
        rows = [(f"`{_safe(frame.file)}`", _safe(frame.reason or DASH)) for frame in left_out[:_SHOWN_FILES]]
        parts.append(_table(("Frame", "Reason"), rows))
        if len(left_out) > _SHOWN_FILES:
            parts.append(f"and {len(left_out) - _SHOWN_FILES} more: see report.html or run_manifest.json.")
    if manifest.other_files:
        parts += ["### Other files", _rows_table([dict(row) for row in manifest.other_files[:_SHOWN_FILES]])]
        if len(manifest.other_files) > _SHOWN_FILES:
            parts.append(f"and {len(manifest.other_files) - _SHOWN_FILES} more.")
    return parts


def _ranking(manifest: Manifest) -> list[str]:
    best, worst = best_and_worst(manifest.frames)
    if not best:
        return []
    parts = ["## Best frames", _frames_table(best)]
    return [*parts, "## Weakest frames that were stacked", _frames_table(worst)] if worst else parts


def _frames_table(frames: list[FrameRecord]) -> str:
    head = ("Frame", "Score", "FWHM px", "Eccentricity", "Stars", "Background ADU", "Weight", "Rejected")
    return _table(
        head,
        [
            (
                f"`{_safe(frame.file)}`",
                amount(frame.score),
                amount(frame.fwhm_px),
                amount(frame.eccentricity),
                amount(frame.n_stars),
                amount(frame.background_adu),
                amount(frame.weight),
                percent(rejected_share(frame)),
            )
            for frame in frames
        ],
    )


def _calibration(manifest: Manifest) -> list[str]:
    parts = ["## Calibration"]
    if manifest.calibration:
        parts.append("\n".join(f"- {_safe(master_sentence(master, ENGLISH))}" for master in manifest.calibration))
    else:
        parts.append("No calibration frames were used.")
    if manifest.calibration_table:
        parts.append(_rows_table(manifest.calibration_table))
    refused = [(f"`{_safe(file)}`", _safe(why)) for m in manifest.calibration for file, why in m.left_out.items()]
    if refused:
        parts += ["Calibration files that were left out:", _table(("File", "Reason"), refused)]
    return parts


def _rows_table(rows: list[dict[str, Any]]) -> str:
    columns = table_columns(rows)
    head = tuple(_safe(column.replace("_", " ")) for column in columns)
    return _table(head, [tuple(_safe(_plain(row.get(column))) for column in columns) for row in rows])


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    return amount(value) if isinstance(value, float) else str(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Keep a name from being read as markup: no line breaks, no table bars, no tags, no code ticks."""
    text = " ".join(text.split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")
