"""
The report as one page of HTML that needs nothing else: no script, no request, picture and plots inside.

Every text that comes from a file, a header or a setting passes `escape`. End tags of table cells and rows are left out,
as HTML allows, so that 10,000 frames stay a small file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from html import escape
from typing import Any

from skyquilt.engine.manifest import Manifest, Statistics
from skyquilt.engine.report.facts import (
    group_left_out,
    magnitude_rows,
    master_sentence,
    sky_sentence,
    story,
    table_columns,
)
from skyquilt.engine.report.frame_table import frame_table
from skyquilt.engine.report.mosaic_facts import mosaic_rows, overlap_table, panel_table, sky_map_svg
from skyquilt.engine.report.plots import FIGURES, plot_svg
from skyquilt.engine.report.style import STYLE
from skyquilt.engine.report.words import DASH, amount, bytes_text, duration, per_channel, percent

__all__ = ["report_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_FOLDED = 10**6


def report_html(manifest: Manifest, thumbnail_png: bytes | None) -> str:
    """Return the page of one stack; `thumbnail_png` is shown under the headline figures."""
    title = escape(manifest.target or manifest.group)
    sections = [
        ("stack", "The stack", _stack(manifest, thumbnail_png)),
        *([("mosaic", "The mosaic", _mosaic(manifest))] if manifest.mosaic else []),
        ("story", "What was done", _story(manifest)),
        ("left-out", "What was left out", _left_out(manifest)),
        ("plots", "The frames over time", _plots(manifest)),
        ("frames", "Every frame", frame_table(manifest.frames)),
        ("calibration", "Calibration", _calibration(manifest)),
        ("files", "Files", _outputs(manifest)),
        ("settings", "Settings and versions", _settings(manifest)),
    ]
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{heading}</h2>{text}</section>'
        for key, heading, text in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} - stacking report</title><style>{STYLE}</style></head><body>"
        '<a class="skip" href="#stack">Skip to the report</a>'
        f"<header><h1>{title}</h1><p class=soft>{_subtitle(manifest)}</p>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{_warnings(manifest)}</header>'
        f"<main>{body}</main><footer>Made by {escape(manifest.program)}. The raw frames were only read.</footer>"
        "</body></html>\n"
    )


def _subtitle(manifest: Manifest) -> str:
    nights = sorted({frame.date_obs[:10] for frame in manifest.frames if frame.date_obs})
    facts = [f"Session {manifest.session}", f"telescope {manifest.device}"]
    if manifest.filter:
        facts.append(f"filter {manifest.filter}")
    if nights:
        facts.append(nights[0] if len(nights) == 1 else f"{nights[0]} to {nights[-1]} (UTC)")
    return escape(", ".join(facts))


def _warnings(manifest: Manifest) -> str:
    if not manifest.warnings:
        return ""
    return f'<section class="warnings" role="note"><h2>Worth knowing</h2>{_bullets(manifest.warnings)}</section>'


def _stack(manifest: Manifest, thumbnail_png: bytes | None) -> str:
    parts = []
    if manifest.statistics:
        parts.append(_cards(manifest.statistics, manifest))
    if thumbnail_png:
        data = base64.b64encode(thumbnail_png).decode("ascii")
        name = escape(manifest.target or manifest.group, quote=True)
        parts.append(
            f'<figure class="picture"><img src="data:image/png;base64,{data}" alt="The stack of {name}, stretched for '
            'the eye"><figcaption>Stretched so that the faint parts show; the master itself is linear.</figcaption>'
            "</figure>"
        )
    return "".join(parts) or "<p>No figures were recorded.</p>"


def _mosaic(manifest: Manifest) -> str:
    mosaic = manifest.mosaic
    assert mosaic is not None
    parts = [_table("The mosaic in figures", ("Figure", "Value"), mosaic_rows(mosaic))]
    if picture := sky_map_svg(manifest):
        parts.append(f"<figure><h3>The frames on the canvas</h3>{picture}</figure>")
    head, rows = panel_table(mosaic.panels)
    parts.append(_folded("Pointings", _table("Pointings", head, rows), len(rows)))
    if mosaic.overlaps:
        head, rows = overlap_table(mosaic.overlaps)
        caption = "How pointings agree where they overlap, those that agree worst first"
        parts.append(_folded("Overlaps", _table(caption, head, rows), len(rows)))
    return "".join(parts)


def _cards(statistics: Statistics, manifest: Manifest) -> str:
    gain = _mean(statistics.snr_gain)
    sharper = (
        f"one frame, resampled likewise: {amount(statistics.reference_fwhm_px)} px; "
        f"as the sensor saw them, median: {amount(statistics.frames_fwhm_px)} px"
    )
    ideal = statistics.n_stacked**0.5
    cards = [
        ("Frames stacked", f"{statistics.n_stacked} of {statistics.n_found}", f"{statistics.n_left_out} left out"),
        (
            "Exposure",
            duration(statistics.exposure_s),
            f"effective: {duration(statistics.effective_exposure_s)}, weights and rejection counted",
        ),
        (
            "Signal to noise against one frame",
            f"× {amount(gain)}",
            f"{per_channel(statistics.snr_gain)}; equal frames would give √{statistics.n_stacked} = {amount(ideal)}",
        ),
        ("Noise", f"{amount(_mean(statistics.noise))} ADU", f"per pixel: {per_channel(statistics.noise)}"),
        ("Star size (FWHM)", f"{amount(statistics.fwhm_px)} px", sharper),
        (
            "Rejected samples",
            percent(statistics.rejected_low + statistics.rejected_high),
            f"too dark {percent(statistics.rejected_low)}, too bright {percent(statistics.rejected_high)}",
        ),
        ("Stars in the stack", amount(statistics.n_stars), f"sky {per_channel(statistics.background)} ADU"),
        (
            "Picture",
            f"{statistics.width} × {statistics.height} px",
            f"{statistics.n_channels} channel{'s' if statistics.n_channels != 1 else ''}, field turned by "
            f"{amount(statistics.rotation_range_deg)}°",
        ),
    ]
    if manifest.sky is not None and manifest.sky.solved:
        place = sky_sentence(manifest.sky)
        cards.append(("On the sky", f"{amount(manifest.sky.scale_arcsec)} arcsec/px", place))
    if manifest.photometry is not None:
        cards += [(name, values, manifest.photometry.catalogue) for name, values in magnitude_rows(manifest.photometry)]
    inner = "".join(
        f'<div class="card"><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="more">{escape(more)}</dd></div>'
        for name, value, more in cards
    )
    return f'<dl class="cards">{inner}</dl>'


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _story(manifest: Manifest) -> str:
    items = "".join(f"<li><strong>{step}.</strong> {escape(text)}</li>" for step, text in story(manifest))
    notes = f"<h3>Notes</h3>{_bullets(manifest.notes)}" if manifest.notes else ""
    return f'<ol class="story">{items}</ol>{notes}'


def _left_out(manifest: Manifest) -> str:
    groups = group_left_out(manifest.frames)
    parts = []
    if groups:
        rows = [(str(len(group.files)), group.title, group.example) for group in groups]
        parts.append(_table("Light frames that were left out, by reason", ("Frames", "Why", "For example"), rows))
    else:
        parts.append("<p>Every light frame was stacked.</p>")
    if manifest.other_files:
        rows_of = [dict(row) for row in manifest.other_files]
        parts.append(
            _folded(
                f"Other files below the folder that took no part: {len(rows_of)}",
                _records("Other files that took no part", rows_of),
                len(rows_of),
            )
        )
    return "".join(parts)


def _plots(manifest: Manifest) -> str:
    figures = []
    for figure in FIGURES:
        svg = plot_svg(manifest.frames, figure)
        if svg:
            unit = f", {figure.unit}" if figure.unit else ""
            figures.append(
                f"<figure><h3>{figure.title}{unit}</h3>{svg}<figcaption>{figure.meaning}</figcaption></figure>"
            )
    if not figures:
        return "<p>No frame was measured.</p>"
    key = (
        '<p class="key"><span><svg viewBox="0 0 10 10" aria-hidden="true"><path class="dots few" d="M5 5h0"/></svg>'
        'stacked</span><span><svg viewBox="0 0 10 10" aria-hidden="true"><path class="crosses" d="M2 2l6 6m0-6l-6 6"/>'
        "</svg>left out</span><span>Times are UTC. Frames stand side by side, gaps between nights are not shown.</span>"
        "</p>"
    )
    return f'{key}<div class="plots">{"".join(figures)}</div>'


def _calibration(manifest: Manifest) -> str:
    parts = []
    if manifest.calibration:
        parts.append(_bullets([f"Used: {master_sentence(master)}" for master in manifest.calibration]))
    else:
        parts.append("<p>No dark, flat or bias frames were used.</p>")
    if manifest.n_defects:
        parts.append(f"<p>{manifest.n_defects} defective pixels were replaced from their neighbours.</p>")
    if manifest.calibration_table:
        parts.append(_records("Calibration frames that were considered", manifest.calibration_table))
    refused = [
        (file, master.kind.replace("_", "-"), why)
        for master in manifest.calibration
        for file, why in master.left_out.items()
    ]
    if refused:
        parts.append(_table("Calibration files that were left out", ("File", "Kind", "Reason"), refused))
    return "".join(parts)


def _outputs(manifest: Manifest) -> str:
    if not manifest.outputs:
        return "<p>No products were recorded.</p>"
    rows = [(output.file, bytes_text(output.size_bytes), output.sha256) for output in manifest.outputs]
    text = "<p>Check them at any time with <code>skyquilt verify</code> and this folder.</p>"
    return text + _table("Products, with the checksum of each file", ("File", "Size", "SHA-256"), rows)


def _settings(manifest: Manifest) -> str:
    settings = [(key, _plain(value)) for key, value in sorted(manifest.recipe.items())]
    chosen = [
        ("rejection rule", manifest.rejection_rule),
        ("debayer method", manifest.debayer_method),
        ("kernel", manifest.kernel),
        ("schedule", manifest.schedule),
        ("unit", manifest.unit),
        ("canvas (x0, y0, x1, y1), px", ", ".join(map(str, manifest.canvas))),
        ("digest of the settings", manifest.recipe_sha256),
    ]
    versions = [("program", manifest.program), *((key, _plain(v)) for key, v in sorted(manifest.environment.items()))]
    return (
        _table("What the run chose where a setting says auto", ("Choice", "Value"), chosen)
        + _folded("All settings", _table("Settings of the run", ("Setting", "Value"), settings), _FOLDED)
        + _folded("Versions", _table("Versions and machine", ("Part", "Value"), versions), _FOLDED)
    )


def _bullets(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _table(caption: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of plain texts; the first column heads the rows."""
    columns = "".join(f'<th scope="col">{escape(name)}' for name in head)
    lines = "".join(
        f'<tr><th scope="row" class="f">{escape(row[0])}' + "".join(f"<td>{escape(cell)}" for cell in row[1:])
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>'
        f"{escape(caption)}</caption><thead><tr>{columns}</thead><tbody>{lines}</tbody></table></div>"
    )


def _records(caption: str, rows: list[dict[str, Any]]) -> str:
    columns = table_columns(rows)
    head = tuple(column.replace("_", " ") for column in columns)
    return _table(caption, head, [tuple(_plain(row.get(column)) for column in columns) for row in rows])


def _folded(summary: str, inner: str, n_rows: int) -> str:
    """Fold a long table away; a short one stays open."""
    state = " open" if n_rows <= 12 else ""
    return f"<details{state}><summary>{escape(summary)}</summary>{inner}</details>"


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return amount(value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value) or DASH
    return json.dumps(value, sort_keys=True, default=str)
