"""The report as one JSON document, for programs."""

from __future__ import annotations

import json
import math
from typing import Any

from skyquilt.engine.manifest import FrameRecord, Manifest
from skyquilt.engine.report.facts import best_and_worst, group_left_out

__all__ = ["SCHEMA_ID", "SCHEMA_VERSION", "report_json"]

SCHEMA_ID = "skyquilt.report"
SCHEMA_VERSION = 1


def report_json(manifest: Manifest) -> str:
    """Return the report as canonical JSON: sorted keys, no clock."""
    left_out = group_left_out(manifest.frames)
    best, worst = best_and_worst(manifest.frames)
    document: dict[str, Any] = {
        "schema_id": SCHEMA_ID,
        "schema_version": SCHEMA_VERSION,
        "program": manifest.program,
        "session_id": manifest.session,
        "group": manifest.group,
        "summary": _summary(manifest),
        "rejection_reasons": {group.code: len(group.files) for group in left_out},
        "left_out": [
            {"file": frame.file, "code": frame.code, "stage": frame.stage, "reason": frame.reason}
            for frame in manifest.frames
            if frame.status == "left_out"
        ],
        "best": [_scored(frame) for frame in best],
        "worst": [_scored(frame) for frame in worst],
        "other_files": manifest.other_files,
        "statistics": manifest.statistics.model_dump(mode="json") if manifest.statistics else None,
        "outputs": [output.model_dump(mode="json") for output in manifest.outputs],
        "warnings": manifest.warnings,
        "notes": manifest.notes,
    }
    return json.dumps(_finite(document), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return a JSON value with None for every number that is none, such as the noise of an image too small for it."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(manifest: Manifest) -> dict[str, Any]:
    stacked = sum(frame.status == "stacked" for frame in manifest.frames)
    return {
        "target": manifest.target,
        "device": manifest.device,
        "filter": manifest.filter,
        "reference": manifest.reference,
        "n_found": len(manifest.frames),
        "n_stacked": stacked,
        "n_left_out": len(manifest.frames) - stacked,
        "exposure_s": manifest.statistics.exposure_s if manifest.statistics else None,
        "rejection_rule": manifest.rejection_rule,
        "debayer_method": manifest.debayer_method,
    }


def _scored(frame: FrameRecord) -> dict[str, Any]:
    return {"file": frame.file, "score": frame.score, "fwhm_px": frame.fwhm_px, "n_stars": frame.n_stars}
