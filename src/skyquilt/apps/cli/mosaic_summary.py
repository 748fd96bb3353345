"""What came out of a mosaic run, in a few lines for people and as one document for programs; the map of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.engine.mosaic import MosaicPlan, MosaicResult, MosaicRunResult
from skyquilt.engine.report import ENGLISH, amount, duration, group_left_out, per_channel, percent, sky_sentence

__all__ = ["map_lines", "mosaic_document", "mosaic_lines"]

_MAP_COLUMNS = 60
_MOST_PANELS = 40
_SIGNS = " .:-=+*#%@"
_SHOWN_OUTPUTS = ("mosaic_quicklook", "mosaic_linear", "report_html")


def map_lines(plan: MosaicPlan) -> list[str]:
    """Return the canvas as a map of characters: how many pointings cover each place; then a line each."""
    width, height = plan.grid.width, plan.grid.height
    columns = min(_MAP_COLUMNS, max(8, width // 16))
    rows = max(1, round(columns * height / width / 2))
    depth = plan.coverage_map(columns, rows)
    most = max(1, int(depth.max()))
    signs = np.minimum(len(_SIGNS) - 1, np.ceil(depth * (len(_SIGNS) - 1) / most)).astype(int)
    lines = ["", *("|" + "".join(_SIGNS[k] for k in row) + "|" for row in signs)]
    lines.append(f"east left; blank to {_SIGNS[-1]}: 0 to {most} frames")
    lines += [
        f"{panel['name']}  RA {panel['ra_deg']:8.3f}  Dec {panel['dec_deg']:+8.3f}  {panel['n_frames']} frames, "
        f"{duration(panel['exposure_s']) if panel['exposure_s'] else 'exposure not known'}"
        for panel in plan.panels[:_MOST_PANELS]
    ]
    if len(plan.panels) > _MOST_PANELS:
        lines.append(f"and {len(plan.panels) - _MOST_PANELS} more pointings")
    return lines


def mosaic_lines(made: MosaicResult) -> list[str]:
    """Return what a finished mosaic is, in a few lines."""
    manifest = made.manifest
    figures, mosaic = manifest.statistics, manifest.mosaic
    lines = []
    if figures:
        told = f"{duration(figures.exposure_s)} of exposure" if figures.exposure_s else "exposure not in the headers"
        lines.append(f"sewn       {figures.n_stacked} of {figures.n_found} frames, {told}")
    groups = group_left_out(manifest.frames)
    if groups:
        lines.append(f"left out   {', '.join(f'{len(group.files)} {group.title}' for group in groups)}")
    if mosaic:
        lines.append(
            f"canvas     {manifest.canvas[2]} x {manifest.canvas[3]} px, {mosaic.projection}, "
            f"{mosaic.covered_deg2:.3g} square degrees in {len(mosaic.panels)} pointings"
        )
        lines.append(
            f"places     frames agree to {amount(mosaic.tie_rms_px, 2)} px, the catalogue to "
            f"{amount(mosaic.catalogue_rms_arcsec, 2)} arcsec ({mosaic.n_ties} stars in common)"
        )
        worst = max(
            (abs(one.sky_step_sigma) for one in mosaic.overlaps if one.sky_step_sigma is not None), default=None
        )
        lines.append(
            f"seams      fluxes agree to {percent(mosaic.flux_rms)}, the sky to {amount(worst, 2)} sigma at the worst"
        )
    if figures:
        lines.append(f"noise      {per_channel(figures.noise)} ADU per pixel")
        lines.append(f"stars      FWHM {amount(figures.fwhm_px)} px, {amount(figures.n_stars)} stars in the middle")
        lines.append(
            f"rejected   {percent(figures.rejected_low)} too dark, {percent(figures.rejected_high)} too bright"
        )
    if manifest.sky is not None:
        lines.append(f"sky        {sky_sentence(manifest.sky, ENGLISH)}")
    lines += [f"warning    {text}" for text in manifest.warnings]
    labels = ("picture", "mosaic", "report")
    for label, name in zip(labels, _SHOWN_OUTPUTS, strict=True):
        if name in made.outputs:
            lines.append(f"{label:<10} {made.outputs[name]}")
    return lines


def mosaic_document(result: MosaicRunResult) -> dict[str, Any]:
    """Return a run as JSON values; the frames themselves are in the manifests that it names."""
    return {
        "sessions": [session.root.name for session in result.sessions],
        "plans": [_plan(plan) for plan in result.plans],
        "mosaics": [_mosaic(made) for made in result.mosaics],
    }


def _plan(plan: MosaicPlan) -> dict[str, Any]:
    ra, dec = plan.grid.centre_deg
    return {
        "name": plan.name,
        "n_frames": plan.n_frames,
        "n_channels": plan.n_channels,
        "width": plan.grid.width,
        "height": plan.grid.height,
        "ra_deg": ra,
        "dec_deg": dec,
        "scale_arcsec": plan.grid.wcs.scale_arcsec,
        "projection": plan.grid.wcs.projection,
        "peak_memory_bytes": plan.pieces.peak_memory_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "output_bytes": plan.output_bytes,
        "seconds": plan.seconds,
        "schedule": plan.pieces.schedule,
        "panels": plan.panels,
    }


def _mosaic(made: MosaicResult) -> dict[str, Any]:
    manifest = made.manifest
    return {
        "name": made.name,
        "folder": str(made.folder),
        "outputs": {name: str(path) for name, path in made.outputs.items()},
        "statistics": manifest.statistics.model_dump(mode="json") if manifest.statistics else None,
        "sky": manifest.sky.model_dump(mode="json") if manifest.sky else None,
        "mosaic": manifest.mosaic.model_dump(mode="json") if manifest.mosaic else None,
        "left_out": {group.code: len(group.files) for group in group_left_out(manifest.frames)},
        "warnings": manifest.warnings,
    }
