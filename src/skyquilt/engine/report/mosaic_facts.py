"""What a report tells of a mosaic: its canvas and pointings, how well they agree, and a map of the frames."""

from __future__ import annotations

from html import escape

import numpy as np

from skyquilt.core import SkyGrid, Wcs
from skyquilt.engine.manifest import FrameRecord, Manifest, MosaicRecord, OverlapRecord, PanelRecord
from skyquilt.engine.report.language import Language
from skyquilt.engine.report.words import DASH

__all__ = ["mosaic_rows", "mosaic_sentences", "overlap_table", "panel_table", "sky_map_svg"]

_MAP_PX = 720.0
_MOST_OUTLINES = 4000
_SHOWN_OVERLAPS = 60
_LEAST_STARS = 5

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def mosaic_sentences(mosaic: MosaicRecord, n_frames: int, language: Language) -> str:
    """Return how the frames were laid on the sky, in sentences."""
    placed = language.count(
        n_frames,
        "The {n} frame found its place on the sky by its stars",
        "The {n} frames found their places on the sky by their stars",
    )
    pointings = language.count(len(mosaic.panels), "{n} pointing", "{n} pointings")
    sentences = [language.say("{placed}, {pointings}.", placed=placed, pointings=pointings)]
    if mosaic.tie_rms_px is not None:
        sentences.append(
            language.count(
                mosaic.n_ties,
                "One solution for all of them makes the {n} star that several frames show agree to {tie} px, and with "
                "the catalogue to {catalogue} arcsec, per axis.",
                "One solution for all of them makes the {n} stars that several frames show agree to {tie} px, and with "
                "the catalogue to {catalogue} arcsec, per axis.",
                tie=language.amount(mosaic.tie_rms_px, 2),
                catalogue=language.amount(mosaic.catalogue_rms_arcsec, 2),
            )
        )
    orders = sorted({order for order in mosaic.distortion_order.values() if order})
    if orders:
        told = ", ".join(map(str, orders))
        sentences.append(language.say("The distortion of the optics was found to order {orders}.", orders=told))
    return " ".join([*sentences, *(f"{note[:1].upper()}{note[1:]}." for note in mosaic.notes[:20])])


def mosaic_rows(mosaic: MosaicRecord, language: Language) -> list[tuple[str, str]]:
    """Return the figures of a mosaic, as (figure, value)."""
    covered = language.say(
        "{area} square degrees, {projection} projection",
        area=language.amount(mosaic.covered_deg2, 3),
        projection=mosaic.projection,
    )
    exposure = f"{_seconds(mosaic.coverage_median_s, language)} / {_seconds(mosaic.coverage_max_s, language)}"
    ties = language.count(
        mosaic.n_ties,
        "{tie} px ({n} star in common)",
        "{tie} px ({n} stars in common)",
        tie=language.amount(mosaic.tie_rms_px, 3),
    )
    catalogue = language.say("{angle} arcsec", angle=language.amount(mosaic.catalogue_rms_arcsec, 3))
    return [
        (language.say("Sky covered"), covered),
        (language.say("Holes"), _holes(mosaic, language)),
        (language.say("Exposure of a pixel, median / most"), exposure),
        (language.say("Frames agree to"), ties),
        (language.say("Catalogue agrees to"), catalogue),
        (language.say("Fluxes of a star in several frames, scatter"), language.percent(mosaic.flux_rms)),
        *_seams(mosaic.overlaps, language),
    ]


def _holes(mosaic: MosaicRecord, language: Language) -> str:
    if not mosaic.n_holes:
        return language.say("none")
    area = language.amount(mosaic.holes_deg2, 4)
    return language.say("{n}, {area} square degrees", n=mosaic.n_holes, area=area)


def _seams(overlaps: list[OverlapRecord], language: Language) -> list[tuple[str, str]]:
    """Return how well pointings agree at the worst."""
    steps = [abs(one.sky_step_sigma) for one in _told(overlaps) if one.sky_step_sigma is not None]
    before = [abs(one.sky_step_before_sigma) for one in overlaps if one.sky_step_before_sigma is not None]
    ratios = [abs(one.flux_ratio - 1.0) for one in _told(overlaps) if one.flux_ratio is not None]
    step = language.say("{step} sigma of a pixel", step=language.amount(max(steps), 2)) if steps else DASH
    first = language.say("{step} sigma", step=language.amount(max(before), 1)) if before else DASH
    return [
        (
            language.say("Fluxes between pointings, largest difference"),
            language.percent(max(ratios)) if ratios else DASH,
        ),
        (language.say("Sky between pointings, largest step"), step),
        (language.say("The same before the solution"), first),
    ]


def _told(overlaps: list[OverlapRecord]) -> list[OverlapRecord]:
    """Return the overlaps that are large enough to say more than noise."""
    return [one for one in overlaps if one.n_stars >= _LEAST_STARS] or overlaps


def _seconds(value: float | None, language: Language) -> str:
    return language.duration(value) if value else DASH


def panel_table(panels: list[PanelRecord], language: Language) -> Table:
    """Return head and rows of the table of pointings."""
    rows: list[tuple[str, ...]] = [
        (
            panel.name,
            language.number(f"{panel.ra_deg:.4f}"),
            language.number(f"{panel.dec_deg:+.4f}"),
            str(panel.n_frames),
            _seconds(panel.exposure_s, language),
            language.amount(panel.transparency, 2),
        )
        for panel in panels
    ]
    return (
        language.say("Pointing"),
        language.say("RA, degrees"),
        language.say("Dec, degrees"),
        language.say("Frames"),
        language.say("Exposure"),
        language.say("Transparency"),
    ), rows


def overlap_table(overlaps: list[OverlapRecord], language: Language) -> Table:
    """Return head and rows of the table of overlaps, those that agree worst first."""
    worst = sorted(overlaps, key=lambda one: (-abs(one.sky_step_sigma or 0.0), one.first, one.second))
    rows: list[tuple[str, ...]] = [
        (
            language.say("{first} and {second}", first=one.first, second=one.second),
            language.amount(one.area_deg2, 4),
            str(one.n_stars),
            language.amount(one.flux_ratio, 4),
            language.amount(one.sky_step_before_sigma, 2),
            language.amount(one.sky_step_sigma, 2),
        )
        for one in worst[:_SHOWN_OVERLAPS]
    ]
    return (
        language.say("Pointings"),
        language.say("Square degrees"),
        language.say("Stars"),
        language.say("Flux ratio"),
        language.say("Sky step before, sigma"),
        language.say("Sky step after, sigma"),
    ), rows


def sky_map_svg(manifest: Manifest, language: Language) -> str:
    """Return a map of the canvas with the outline of every frame and the names of the pointings, or ""."""
    mosaic = manifest.mosaic
    if mosaic is None or not mosaic.canvas_wcs:
        return ""
    canvas = SkyGrid(Wcs.from_header(mosaic.canvas_wcs), manifest.canvas[2], manifest.canvas[3])
    scale = _MAP_PX / max(canvas.width, canvas.height)
    frames = [frame for frame in manifest.frames if frame.status == "stacked" and frame.wcs]
    step = max(1, len(frames) // _MOST_OUTLINES)
    outlines = "".join(_outline(frame, canvas, scale) for frame in frames[::step])
    names = "".join(_name(panel, canvas, scale) for panel in mosaic.panels)
    width, height = canvas.width * scale, canvas.height * scale
    return (
        f'<svg class="map" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(language.say("Map of the frames on the canvas"))}">'
        f'<rect class="frame" width="{width:.0f}" height="{height:.0f}"/><path class="outlines" d="{outlines}"/>'
        f"{names}</svg>"
    )


def _outline(frame: FrameRecord, canvas: SkyGrid, scale: float) -> str:
    assert frame.wcs is not None
    width, height = float(frame.wcs["NAXIS1"]), float(frame.wcs["NAXIS2"])
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    x, y = canvas.wcs.to_pixels(*Wcs.from_header(frame.wcs).to_sky(corners[:, 0], corners[:, 1]))
    if not np.isfinite(x + y).all():
        return ""
    points = " ".join(f"{a * scale:.1f},{b * scale:.1f}" for a, b in zip(x, y, strict=True))
    return f"M{points}z"


def _name(panel: PanelRecord, canvas: SkyGrid, scale: float) -> str:
    x, y = canvas.wcs.to_pixels(panel.ra_deg, panel.dec_deg)
    return f'<text x="{float(x) * scale:.0f}" y="{float(y) * scale:.0f}">{escape(panel.name)}</text>'
