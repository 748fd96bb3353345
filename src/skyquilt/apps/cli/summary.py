"""What came out of a run, in a few lines for people and as one document for programs."""

from __future__ import annotations

from typing import Any

from skyquilt.apps.cli.faults import error_document
from skyquilt.engine import Plan, RunResult, StackResult
from skyquilt.engine.report import (
    ENGLISH,
    amount,
    bytes_text,
    duration,
    group_left_out,
    magnitude_rows,
    per_channel,
    percent,
    sky_sentence,
)

__all__ = ["plan_lines", "result_document", "stack_lines"]

_SHOWN_OUTPUTS = (
    ("picture", "master_quicklook", "png"),
    ("master", "master_linear", "fits"),
    ("report", "report", "html"),
)


def plan_lines(plan: Plan) -> list[str]:
    """Return the plan of a stack in a few lines."""
    if plan.lines:
        return list(plan.lines)
    return [
        f"{plan.n_frames} frames, {plan.n_channels} channels, {plan.canvas.width} x {plan.canvas.height} px",
        f"memory {bytes_text(plan.peak_memory_bytes)}, scratch {bytes_text(plan.scratch_bytes)}, "
        f"products {bytes_text(plan.output_bytes)}",
        f"about {duration(plan.seconds)}, schedule {plan.schedule}",
    ]


def stack_lines(stack: StackResult) -> list[str]:
    """Return what a finished stack is, in a few lines."""
    manifest = stack.manifest
    lines = []
    figures = manifest.statistics
    if figures:
        stacked = f"{figures.n_stacked} of {figures.n_found} frames"
        told = f"{duration(figures.exposure_s)} of exposure" if figures.exposure_s else "exposure not in the headers"
        lines.append(f"stacked    {stacked}, {told}")
    groups = group_left_out(manifest.frames)
    if groups:
        lines.append(f"left out   {', '.join(f'{len(group.files)} {group.title}' for group in groups)}")
    if figures:
        gain = f"signal to noise of one frame times {per_channel(figures.snr_gain)}"
        lines.append(f"noise      {per_channel(figures.noise)} ADU per pixel; {gain}")
        lines.append(
            f"stars      FWHM {amount(figures.fwhm_px)} px (one frame alone {amount(figures.reference_fwhm_px)} px), "
            f"{amount(figures.n_stars)} stars"
        )
        lines.append(
            f"rejected   {percent(figures.rejected_low)} too dark, {percent(figures.rejected_high)} too bright"
        )
    if manifest.sky is not None:
        known = sky_sentence(manifest.sky, ENGLISH) if manifest.sky.solved else f"not placed: {manifest.sky.reason}"
        lines.append(f"sky        {known}")
    if manifest.photometry is not None:
        rows = [row for row in magnitude_rows(manifest.photometry, ENGLISH) if row[0].startswith(("Limiting", "Sky"))]
        lines += [f"           {name[0].lower()}{name[1:]}: {values}" for name, values in rows]
    lines += [f"warning    {text}" for text in manifest.warnings]
    for label, name, suffix in _SHOWN_OUTPUTS:
        path = next((p for key, p in stack.outputs.items() if key.startswith(name) and p.suffix == f".{suffix}"), None)
        if path is not None:
            lines.append(f"{label:<10} {path}")
    return lines


def result_document(result: RunResult) -> dict[str, Any]:
    """Return a run as JSON values; the frames themselves are in the manifests that it names."""
    return {
        "session": result.session.root.name,
        "device": result.session.device,
        "plans": [_plan(plan) for plan in result.plans],
        "stacks": [_stack(stack) for stack in result.stacks],
        "failures": [{"name": failure.name, **error_document(failure.error)} for failure in result.failures],
    }


def _plan(plan: Plan) -> dict[str, Any]:
    canvas = plan.canvas
    return {
        "name": plan.name,
        "n_frames": plan.n_frames,
        "n_channels": plan.n_channels,
        "canvas": [canvas.x0, canvas.y0, canvas.x1, canvas.y1],
        "peak_memory_bytes": plan.peak_memory_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "output_bytes": plan.output_bytes,
        "seconds": plan.seconds,
        "schedule": plan.schedule,
        "calibration_table": plan.calibration_table,
    }


def _stack(stack: StackResult) -> dict[str, Any]:
    manifest = stack.manifest
    return {
        "name": stack.name,
        "folder": str(stack.folder),
        "outputs": {name: str(path) for name, path in stack.outputs.items()},
        "statistics": manifest.statistics.model_dump(mode="json") if manifest.statistics else None,
        "sky": manifest.sky.model_dump(mode="json") if manifest.sky else None,
        "photometry": manifest.photometry.model_dump(mode="json") if manifest.photometry else None,
        "left_out": {group.code: len(group.files) for group in group_left_out(manifest.frames)},
        "warnings": manifest.warnings,
    }
