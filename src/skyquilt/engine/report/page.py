"""
The report as one page of HTML that needs nothing else: no script, no request, picture and plots inside.

Every text that comes from a file, a header or a setting passes `escape`. End tags of table cells and rows are left out,
as HTML allows, so that 10,000 frames stay a small file. What the page says itself it says in a language; what the run
recorded stays as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any

from skyquilt.engine.manifest import Manifest, Statistics
from skyquilt.engine.report.facts import (
    KINDS,
    group_left_out,
    magnitude_rows,
    master_sentence,
    sky_sentence,
    story,
    table_columns,
)
from skyquilt.engine.report.frame_table import frame_table
from skyquilt.engine.report.language import Language
from skyquilt.engine.report.mosaic_facts import mosaic_rows, overlap_table, panel_table, sky_map_svg
from skyquilt.engine.report.plots import FIGURES, plot_svg
from skyquilt.engine.report.recorded import column_name, english, plain
from skyquilt.engine.report.style import STYLE

__all__ = ["report_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_FOLDED = 10**6

Card = tuple[str, str, str]


def report_html(manifest: Manifest, thumbnail_png: bytes | None, language: Language) -> str:
    """Return the page of one stack; `thumbnail_png` is shown under the headline figures."""
    title = escape(manifest.target or manifest.group)
    sections = _sections(manifest, thumbnail_png, language)
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{heading}</h2>{text}</section>'
        for key, heading, text in sections
    )
    made_by = language.say("Made by {program}. The raw frames were only read.", program=escape(manifest.program))
    return (
        f'<!DOCTYPE html>\n<html lang="{language.code}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{language.say('{name} - stacking report', name=title)}</title><style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#stack">{language.say("Skip to the report")}</a>'
        f"<header><h1>{title}</h1><p class=soft>{_subtitle(manifest, language)}</p>"
        f'<nav aria-label="{language.say("Sections")}"><ul>{links}</ul></nav>{_warnings(manifest, language)}</header>'
        f"<main>{body}</main><footer>{made_by}</footer>"
        "</body></html>\n"
    )


def _sections(manifest: Manifest, thumbnail_png: bytes | None, language: Language) -> list[tuple[str, str, str]]:
    """Return the parts of the page, as (key, heading, HTML)."""
    mosaic = [("mosaic", language.say("The mosaic"), _mosaic(manifest, language))] if manifest.mosaic else []
    return [
        ("stack", language.say("The stack"), _stack(manifest, thumbnail_png, language)),
        *mosaic,
        ("story", language.say("What was done"), _story(manifest, language)),
        ("left-out", language.say("What was left out"), _left_out(manifest, language)),
        ("plots", language.say("The frames over time"), _plots(manifest, language)),
        ("frames", language.say("Every frame"), frame_table(manifest.frames, language)),
        ("calibration", language.say("Calibration"), _calibration(manifest, language)),
        ("files", language.say("Files"), _outputs(manifest, language)),
        ("settings", language.say("Settings and versions"), _settings(manifest, language)),
    ]


def _subtitle(manifest: Manifest, language: Language) -> str:
    nights = sorted({frame.date_obs[:10] for frame in manifest.frames if frame.date_obs})
    facts = [
        language.say("Session {name}", name=manifest.session),
        language.say("telescope {name}", name=manifest.device),
    ]
    if manifest.filter:
        facts.append(language.say("filter {name}", name=manifest.filter))
    if len(nights) == 1:
        facts.append(nights[0])
    elif nights:
        facts.append(language.say("{first} to {last} (UTC)", first=nights[0], last=nights[-1]))
    return escape(", ".join(facts))


def _warnings(manifest: Manifest, language: Language) -> str:
    if not manifest.warnings:
        return ""
    texts = _bullets(manifest.warnings, english(language))
    return f'<section class="warnings" role="note"><h2>{language.say("Worth knowing")}</h2>{texts}</section>'


def _stack(manifest: Manifest, thumbnail_png: bytes | None, language: Language) -> str:
    parts = []
    if manifest.statistics:
        parts.append(_cards(manifest.statistics, manifest, language))
    if thumbnail_png:
        data = base64.b64encode(thumbnail_png).decode("ascii")
        name = escape(manifest.target or manifest.group, quote=True)
        told = language.say("The stack of {name}, stretched for the eye", name=name)
        caption = language.say("Stretched so that the faint parts show; the master itself is linear.")
        parts.append(
            f'<figure class="picture"><img src="data:image/png;base64,{data}" alt="{told}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return "".join(parts) or f"<p>{language.say('No figures were recorded.')}</p>"


def _mosaic(manifest: Manifest, language: Language) -> str:
    mosaic = manifest.mosaic
    assert mosaic is not None
    head: tuple[str, ...] = (language.say("Figure"), language.say("Value"))
    parts = [_table(language.say("The mosaic in figures"), head, mosaic_rows(mosaic, language))]
    if picture := sky_map_svg(manifest, language):
        parts.append(f"<figure><h3>{language.say('The frames on the canvas')}</h3>{picture}</figure>")
    head, rows = panel_table(mosaic.panels, language)
    name = language.say("Pointings")
    parts.append(_folded(name, _table(name, head, rows), len(rows)))
    if mosaic.overlaps:
        head, rows = overlap_table(mosaic.overlaps, language)
        caption = language.say("How pointings agree where they overlap, those that agree worst first")
        parts.append(_folded(language.say("Overlaps"), _table(caption, head, rows), len(rows)))
    return "".join(parts)


def _cards(statistics: Statistics, manifest: Manifest, language: Language) -> str:
    cards = [*_figure_cards(statistics, language), *_picture_cards(statistics, language)]
    if manifest.sky is not None and manifest.sky.solved:
        scale = language.say("{scale} arcsec/px", scale=language.amount(manifest.sky.scale_arcsec))
        cards.append((language.say("On the sky"), scale, sky_sentence(manifest.sky, language)))
    if manifest.photometry is not None:
        catalogue = manifest.photometry.catalogue
        cards += [(name, values, catalogue) for name, values in magnitude_rows(manifest.photometry, language)]
    inner = "".join(
        f'<div class="card"><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="more">{escape(more)}</dd></div>'
        for name, value, more in cards
    )
    return f'<dl class="cards">{inner}</dl>'


def _figure_cards(statistics: Statistics, language: Language) -> list[Card]:
    """Return what the frames gave: how many, how deep, how clean."""
    stacked = language.say("{n} of {total}", n=statistics.n_stacked, total=statistics.n_found)
    left_out = language.count(statistics.n_left_out, "{n} left out", "{n} left out")
    effective = language.say(
        "effective: {duration}, weights and rejection counted",
        duration=language.duration(statistics.effective_exposure_s),
    )
    gain = language.say(
        "{channels}; equal frames would give √{n} = {ideal}",
        channels=language.per_channel(statistics.snr_gain),
        n=statistics.n_stacked,
        ideal=language.amount(statistics.n_stacked**0.5),
    )
    noise = language.say("per pixel: {channels}", channels=language.per_channel(statistics.noise))
    return [
        (language.say("Frames stacked"), stacked, left_out),
        (language.say("Exposure"), language.duration(statistics.exposure_s), effective),
        (
            language.say("Signal to noise against one frame"),
            f"× {language.amount(_mean(statistics.snr_gain))}",
            gain,
        ),
        (language.say("Noise"), language.measure(_mean(statistics.noise), "ADU"), noise),
    ]


def _picture_cards(statistics: Statistics, language: Language) -> list[Card]:
    """Return what the stack is like: its stars, what was rejected, its size."""
    sharper = language.say(
        "one frame, resampled likewise: {reference} px; as the sensor saw them, median: {frames} px",
        reference=language.amount(statistics.reference_fwhm_px),
        frames=language.amount(statistics.frames_fwhm_px),
    )
    rejected = language.say(
        "too dark {low}, too bright {high}",
        low=language.percent(statistics.rejected_low),
        high=language.percent(statistics.rejected_high),
    )
    sky = language.say("sky {channels} ADU", channels=language.per_channel(statistics.background))
    turned = language.count(
        statistics.n_channels,
        "{n} channel, field turned by {angle}°",
        "{n} channels, field turned by {angle}°",
        angle=language.amount(statistics.rotation_range_deg),
    )
    return [
        (language.say("Star size (FWHM)"), language.measure(statistics.fwhm_px, "px"), sharper),
        (
            language.say("Rejected samples"),
            language.percent(statistics.rejected_low + statistics.rejected_high),
            rejected,
        ),
        (language.say("Stars in the stack"), language.amount(statistics.n_stars), sky),
        (language.say("Picture"), f"{statistics.width} × {statistics.height} px", turned),
    ]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _story(manifest: Manifest, language: Language) -> str:
    items = "".join(f"<li><strong>{step}.</strong> {escape(text)}</li>" for step, text in story(manifest, language))
    told = f'<ol class="story">{items}</ol>'
    if not manifest.notes:
        return told
    return f"{told}<h3>{language.say('Notes')}</h3>{_bullets(manifest.notes, english(language))}"


def _left_out(manifest: Manifest, language: Language) -> str:
    groups = group_left_out(manifest.frames)
    parts = []
    if groups:
        rows = [(str(len(group.files)), group.told(language), group.example) for group in groups]
        head = (language.say("Frames"), language.say("Why"), language.say("For example"))
        parts.append(_table(language.say("Light frames that were left out, by reason"), head, rows))
    else:
        parts.append(f"<p>{language.say('Every light frame was stacked.')}</p>")
    if manifest.other_files:
        rows_of = [_with_code_told(row, language) for row in manifest.other_files]
        parts.append(
            _folded(
                language.say("Other files below the folder that took no part: {n}", n=len(rows_of)),
                _records(language.say("Other files that took no part"), rows_of, language),
                len(rows_of),
            )
        )
    return "".join(parts)


def _with_code_told(row: dict[str, str], language: Language) -> dict[str, Any]:
    return {**row, "code": language.reasons.get(row["code"], row["code"])} if "code" in row else dict(row)


def _plots(manifest: Manifest, language: Language) -> str:
    figures = "".join(
        f"<figure><h3>{figure.label(language)}</h3>{svg}<figcaption>{language.tell(figure.meaning)}</figcaption>"
        "</figure>"
        for figure in FIGURES
        if (svg := plot_svg(manifest.frames, figure, language))
    )
    if not figures:
        return f"<p>{language.say('No frame was measured.')}</p>"
    axis = language.say("Times are UTC. Frames stand side by side, gaps between nights are not shown.")
    key = (
        '<p class="key"><span><svg viewBox="0 0 10 10" aria-hidden="true"><path class="dots few" d="M5 5h0"/></svg>'
        f'{language.say("stacked")}</span><span><svg viewBox="0 0 10 10" aria-hidden="true">'
        f'<path class="crosses" d="M2 2l6 6m0-6l-6 6"/></svg>{language.say("left out")}</span><span>{axis}</span></p>'
    )
    return f'{key}<div class="plots">{figures}</div>'


def _calibration(manifest: Manifest, language: Language) -> str:
    parts = []
    if manifest.calibration:
        masters = [master_sentence(master, language) for master in manifest.calibration]
        parts.append(_bullets([language.say("Used: {master}", master=master) for master in masters]))
    else:
        parts.append(f"<p>{language.say('No dark, flat or bias frames were used.')}</p>")
    if manifest.n_defects:
        replaced = language.count(
            manifest.n_defects,
            "{n} defective pixel was replaced from its neighbours.",
            "{n} defective pixels were replaced from their neighbours.",
        )
        parts.append(f"<p>{replaced}</p>")
    if manifest.calibration_table:
        caption = language.say("Calibration frames that were considered")
        parts.append(_records(caption, manifest.calibration_table, language))
    refused = [
        (file, language.tell(KINDS[master.kind]), why)
        for master in manifest.calibration
        for file, why in master.left_out.items()
    ]
    if refused:
        head = (language.say("File"), language.say("Kind"), language.say("Reason"))
        parts.append(_table(language.say("Calibration files that were left out"), head, refused))
    return "".join(parts)


def _outputs(manifest: Manifest, language: Language) -> str:
    if not manifest.outputs:
        return f"<p>{language.say('No products were recorded.')}</p>"
    rows = [(output.file, language.bytes_text(output.size_bytes), output.sha256) for output in manifest.outputs]
    check = language.say(
        "Check them at any time with {command} and this folder.", command="<code>skyquilt verify</code>"
    )
    head = (language.say("File"), language.say("Size"), "SHA-256")
    return f"<p>{check}</p>{_table(language.say('Products, with the checksum of each file'), head, rows)}"


def _settings(manifest: Manifest, language: Language) -> str:
    settings = [(key, plain(value, language)) for key, value in sorted(manifest.recipe.items())]
    chosen = [
        (language.say("rejection rule"), manifest.rejection_rule),
        (language.say("debayer method"), manifest.debayer_method),
        (language.say("kernel"), manifest.kernel),
        (language.say("schedule"), manifest.schedule),
        (language.say("unit"), manifest.unit),
        (language.say("canvas (x0, y0, x1, y1), px"), ", ".join(map(str, manifest.canvas))),
        (language.say("digest of the settings"), manifest.recipe_sha256),
    ]
    environment = sorted(manifest.environment.items())
    versions = [(language.say("program"), manifest.program), *((key, plain(v, language)) for key, v in environment)]
    value = language.say("Value")
    return (
        _table(language.say("What the run chose where a setting says auto"), (language.say("Choice"), value), chosen)
        + _folded(
            language.say("All settings"),
            _table(language.say("Settings of the run"), (language.say("Setting"), value), settings),
            _FOLDED,
        )
        + _folded(
            language.say("Versions"),
            _table(language.say("Versions and machine"), (language.say("Part"), value), versions),
            _FOLDED,
        )
    )


def _bullets(texts: Iterable[str], attributes: str = "") -> str:
    return f"<ul{attributes}>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


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


def _records(caption: str, rows: list[dict[str, Any]], language: Language) -> str:
    columns = table_columns(rows)
    head = tuple(column_name(column, language) for column in columns)
    return _table(caption, head, [tuple(plain(row.get(column), language) for column in columns) for row in rows])


def _folded(summary: str, inner: str, n_rows: int) -> str:
    """Fold a long table away; a short one stays open."""
    state = " open" if n_rows <= 12 else ""
    return f"<details{state}><summary>{escape(summary)}</summary>{inner}</details>"
