"""What a report tells of a mosaic: its canvas and pointings, how well they agree, and a map of the frames."""

from __future__ import annotations

from html import escape

import numpy as np

from skyquilt.core import SkyGrid, Wcs
from skyquilt.engine.manifest import FrameRecord, Manifest, MosaicRecord, OverlapRecord, PanelRecord
from skyquilt.engine.report.words import DASH, amount, duration, percent

__all__ = ["mosaic_rows", "mosaic_sentences", "overlap_table", "panel_table", "sky_map_svg"]

_MAP_PX = 720.0
_MOST_OUTLINES = 4000
_SHOWN_OVERLAPS = 60
_LEAST_STARS = 5

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def mosaic_sentences(mosaic: MosaicRecord, n_frames: int) -> str:
    """Return how the frames were laid on the sky, in sentences."""
    sentences = [f"The {n_frames} frames found their places on the sky by their stars, {len(mosaic.panels)} pointings."]
    if mosaic.tie_rms_px is not None:
        sentences.append(
            f"One solution for all of them makes the {mosaic.n_ties} stars that several frames show agree to "
            f"{amount(mosaic.tie_rms_px, 2)} px, and with the catalogue to "
            f"{amount(mosaic.catalogue_rms_arcsec, 2)} arcsec, per axis."
        )
    orders = sorted({order for order in mosaic.distortion_order.values() if order})
    if orders:
        sentences.append(f"The distortion of the optics was found to order {', '.join(map(str, orders))}.")
    return " ".join([*sentences, *(f"{note[:1].upper()}{note[1:]}." for note in mosaic.notes[:20])])


def mosaic_rows(mosaic: MosaicRecord) -> list[tuple[str, str]]:
    """Return the figures of a mosaic, as (figure, value)."""
    steps = [abs(one.sky_step_sigma) for one in _told(mosaic.overlaps) if one.sky_step_sigma is not None]
    before = [abs(one.sky_step_before_sigma) for one in mosaic.overlaps if one.sky_step_before_sigma is not None]
    ratios = [abs(one.flux_ratio - 1.0) for one in _told(mosaic.overlaps) if one.flux_ratio is not None]
    return [
        ("Sky covered", f"{amount(mosaic.covered_deg2, 3)} square degrees, {mosaic.projection} projection"),
        ("Holes", f"{mosaic.n_holes}, {amount(mosaic.holes_deg2, 4)} square degrees" if mosaic.n_holes else "none"),
        (
            "Exposure of a pixel, median / most",
            f"{_seconds(mosaic.coverage_median_s)} / {_seconds(mosaic.coverage_max_s)}",
        ),
        ("Frames agree to", f"{amount(mosaic.tie_rms_px, 3)} px ({mosaic.n_ties} stars in common)"),
        ("Catalogue agrees to", f"{amount(mosaic.catalogue_rms_arcsec, 3)} arcsec"),
        ("Fluxes of a star in several frames, scatter", percent(mosaic.flux_rms)),
        ("Fluxes between pointings, largest difference", percent(max(ratios)) if ratios else DASH),
        ("Sky between pointings, largest step", f"{amount(max(steps), 2)} sigma of a pixel" if steps else DASH),
        ("The same before the solution", f"{amount(max(before), 1)} sigma" if before else DASH),
    ]


def _told(overlaps: list[OverlapRecord]) -> list[OverlapRecord]:
    """Return the overlaps that are large enough to say more than noise."""
    return [one for one in overlaps if one.n_stars >= _LEAST_STARS] or overlaps


def _seconds(value: float | None) -> str:
    return duration(value) if value else DASH


def panel_table(panels: list[PanelRecord]) -> Table:
    """Return head and rows of the table of pointings."""
    rows: list[tuple[str, ...]] = [
        (
            panel.name,
            f"{panel.ra_deg:.4f}",
            f"{panel.dec_deg:+.4f}",
            str(panel.n_frames),
            _seconds(panel.exposure_s),
            amount(panel.transparency, 2),
        )
        for panel in panels
    ]
    return ("Pointing", "RA, degrees", "Dec, degrees", "Frames", "Exposure", "Transparency"), rows


def overlap_table(overlaps: list[OverlapRecord]) -> Table:
    """Return head and rows of the table of overlaps, those that agree worst first."""
    worst = sorted(overlaps, key=lambda one: (-abs(one.sky_step_sigma or 0.0), one.first, one.second))
    rows: list[tuple[str, ...]] = [
        (
            f"{one.first} and {one.second}",
            amount(one.area_deg2, 4),
            str(one.n_stars),
            amount(one.flux_ratio, 4),
            amount(one.sky_step_before_sigma, 2),
            amount(one.sky_step_sigma, 2),
        )
        for one in worst[:_SHOWN_OVERLAPS]
    ]
    return (
        "Pointings",
        "Square degrees",
        "Stars",
        "Flux ratio",
        "Sky step before, sigma",
        "Sky step after, sigma",
    ), rows


def sky_map_svg(manifest: Manifest) -> str:
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
        'aria-label="Map of the frames on the canvas">'
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
