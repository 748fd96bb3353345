"""Manifests of runs that never were, and what a page of them holds."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from skyquilt.engine.manifest import FrameRecord, Manifest, MasterRecord, OutputRecord, Statistics

ONE_PIXEL_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "5e0d0a2db40000000049454e44ae426082"
)


def invented_frame(index: int, source: random.Random) -> FrameRecord:
    clouds = 0.35 + 0.65 * abs(math.cos(index / 40))
    frame = FrameRecord(
        file=f"Light_M 94_10.0s_IRCUT_20250326-{index:06d}.fit",
        status="stacked",
        is_reference=index == 7,
        date_obs=(datetime(2025, 3, 26, 21, 20, 46) + timedelta(seconds=11 * index)).isoformat(),
        exposure_s=10.0,
        temperature_c=20.0 + index / 500,
        background_adu=1113.4 + 40 * math.sin(index / 60) + source.gauss(0, 4),
        noise_adu=35 + source.gauss(0, 0.4),
        saturated_share=1.2e-5,
        n_stars=int(400 * clouds + source.gauss(0, 8)),
        fwhm_px=3.1 + 0.4 * math.sin(index / 25) + abs(source.gauss(0, 0.12)),
        eccentricity=min(0.9, 0.35 + abs(source.gauss(0, 0.06))),
        transparency=clouds,
        score=clouds + source.gauss(0, 0.02),
        n_matched=int(300 * clouds),
        residual_px=0.12 + abs(source.gauss(0, 0.02)),
        shift_x_px=source.gauss(0, 12),
        shift_y_px=source.gauss(0, 9),
        rotation_deg=index * 0.01,
        weight=clouds**2,
        n_trails=int(source.random() < 0.03),
        rejected_low=0.002 + abs(source.gauss(0, 0.0005)),
        rejected_high=0.006 + abs(source.gauss(0, 0.001)),
    )
    if index % 37 == 11:
        return frame.model_copy(
            update={
                "status": "left_out",
                "code": "trailed",
                "stage": "select",
                "reason": "trailed: eccentricity 0.72 > 0.60",
                "eccentricity": 0.72,
                "weight": None,
                "rejected_low": None,
                "rejected_high": None,
            }
        )
    if index % 83 == 40:
        return FrameRecord(
            file=frame.file, status="left_out", code="truncated", stage="measure", reason="file ends after 61 % of it"
        )
    return frame


def invented_manifest(n_frames: int = 120, **changes: Any) -> Manifest:
    source = random.Random(94)
    frames = [invented_frame(index, source) for index in range(n_frames)]
    n_stacked = sum(frame.status == "stacked" for frame in frames)
    statistics = Statistics(
        n_found=n_frames,
        n_stacked=n_stacked,
        n_left_out=n_frames - n_stacked,
        exposure_s=10.0 * n_stacked,
        effective_exposure_s=8.1 * n_stacked,
        rejected_low=0.0021,
        rejected_high=0.0064,
        background=[1113.2, 1240.0, 980.5],
        noise=[3.1, 2.2, 3.4],
        noise_8x8=[3.4, 2.5, 3.7],
        snr_gain=[9.8, 10.1, 9.7],
        fwhm_px=3.35,
        frames_fwhm_px=3.41,
        n_stars=1892,
        rotation_range_deg=14.2,
        width=1080,
        height=1920,
        n_channels=3,
    )
    facts: dict[str, Any] = {
        "program": "skyquilt 0.1.0",
        "session": "M 94_sub",
        "group": "M 94",
        "device": "seestar",
        "target": "M 94",
        "filter": "IRCUT",
        "recipe": {"keep": 1.0, "debayer": "auto", "normalise": "both", "weights": "point_source", "exclude": []},
        "recipe_sha256": "0" * 64,
        "rejection_rule": "winsorized",
        "debayer_method": "rcd",
        "kernel": "catmull_rom",
        "schedule": "cube",
        "unit": "normalised",
        "canvas": (0, 0, 1080, 1920),
        "reference": frames[7].file if n_frames > 7 else None,
        "calibration": [
            MasterRecord(
                kind="dark",
                n_frames=20,
                exposure_s=10.0,
                gain=80.0,
                temperature_c=21.0,
                files=["dark_1.fit"],
                left_out={"dark_7.fit": "rows 512 to 640 are zero"},
                reason="same gain, 10 s, 2 C apart",
            )
        ],
        "calibration_table": [
            {"kind": "dark", "n_frames": 20, "exposure_s": 10.0, "used": True, "reason": "same gain, 10 s, 2 C apart"},
            {"kind": "flat", "n_frames": 3, "used": False, "reason": "another filter (LP)"},
        ],
        "n_defects": 812,
        "frames": frames,
        "other_files": [{"file": "Stacked_94_M 94.fit", "code": "device_stack", "reason": "a stack by the telescope"}],
        "statistics": statistics,
        "warnings": ["no flat frames were found: vignetting remains"],
        "notes": ["ROWORDER is missing; TOP-DOWN is assumed"],
        "outputs": [
            OutputRecord(name="master_linear", file="stacked/master_linear.fits", size_bytes=24883200, sha256="ab" * 32)
        ],
        "environment": {"python": "3.11.2", "numpy": "2.1.0", "threads": 2},
    }
    return Manifest(**{**facts, **changes})


class Outline(HTMLParser):
    """Headings, attributes and texts of a page; counts the elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data
