"""Folders, a session, frames and a report that never were, for the mock server."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np


def _folder(key: str, name: str, n: int | None) -> dict[str, Any]:
    return {"id": key, "name": name, "n_images": n}


_ROOT, _WORKS, _M94 = _folder("root", "Astro", None), _folder("works", "MyWorks", None), _folder("m94", "M 94_sub", 412)
FOLDERS: dict[str | None, dict[str, Any]] = {
    None: {"folder": None, "parents": [], "folders": [_ROOT]},
    "root": {
        "folder": _ROOT,
        "parents": [],
        "folders": [_WORKS, _folder("darks", "DWARF_DARK", 40)],
        "n_files": 2,
        "is_cut": False,
    },
    "works": {
        "folder": _WORKS,
        "parents": [_ROOT],
        "n_files": 0,
        "is_cut": False,
        "folders": [
            _M94,
            _folder("m31", "M 31_sub", 1204),
            _folder("ngc", "NGC 7000_sub", 388),
            _folder("veil", "Veil mosaic_sub", 2193),
        ],
    },
    "m94": {"folder": _M94, "parents": [_ROOT, _WORKS], "folders": [], "n_files": 412, "is_cut": False},
}

SESSION: dict[str, Any] = {
    "device": "seestar",
    "name": "M 94_sub",
    "groups": [
        {
            "name": "M 94",
            "target": "M 94",
            "filter": "IRCUT",
            "n_frames": 412,
            "exposure_s": 4120.0,
            "width": 1080,
            "height": 1920,
            "is_colour": True,
            "products": [],
        },
        {
            "name": "M 94 LP",
            "target": "M 94",
            "filter": "LP",
            "n_frames": 88,
            "exposure_s": 1760.0,
            "width": 1080,
            "height": 1920,
            "is_colour": True,
            "products": [],
        },
    ],
    "calibration": [
        {"kind": "dark", "n_files": 40, "verdict": "used", "reason": "same gain, exposure and temperature"},
        {"kind": "flat", "n_files": 0, "verdict": "missing", "reason": ""},
        {"kind": "bias", "n_files": 20, "verdict": "not used", "reason": "the darks hold it"},
    ],
    "left_out": [
        {"file": "Light_M 94_10.0s_0007.fit", "code": "unreadable", "reason": "the file ends before its pixels do"}
    ],
    "notes": ["Two exposures were found; they are stacked apart."],
    "preflight": {
        "verdict": "warning",
        "checks": [
            {"name": "frames", "verdict": "ok", "text": "500 frames in 2 groups."},
            {"name": "calibration", "verdict": "warning", "text": "No flats: dust and vignetting stay."},
            {"name": "disk", "verdict": "ok", "text": "71 GB are free, 0.4 GB are needed."},
            {"name": "memory", "verdict": "ok", "text": "0.9 GB at most."},
            {"name": "output", "verdict": "ok", "text": "processedData can be written."},
        ],
    },
}

REPORT = """<!doctype html><html lang="en"><title>Report</title>
<style>body{font:15px system-ui;margin:3em;max-width:48em}</style>
<h1>M 94</h1><p>409 of 412 frames were stacked: 1 h 08 min of light.</p></html>"""

COLUMNS = [
    "id",
    "file",
    "group",
    "status",
    "code",
    "reason",
    "date_obs",
    "exposure_s",
    "gain",
    "temperature_c",
    "filter",
    "n_stars",
    "fwhm_px",
    "eccentricity",
    "background_adu",
    "noise_adu",
    "transparency",
    "score",
    "saturated_share",
    "choice",
]


def frame_table(n: int) -> dict[str, Any]:
    """Return `n` frames of a night with seeing that wanders, clouds that pass and a moon that rises."""
    rng = np.random.default_rng(11)
    t = np.linspace(0, 1, n)
    cloud = np.exp(-(((t - 0.42) / 0.02) ** 2)) + 0.7 * np.exp(-(((t - 0.78) / 0.012) ** 2))
    fwhm = 2.6 + 0.5 * np.sin(9 * t) + 0.4 * t + rng.gamma(2, 0.08, n) + 0.8 * cloud
    sky = 900 + 420 * t**2 + 700 * cloud + rng.normal(0, 12, n)
    stars = np.maximum(0, 460 - 380 * cloud - 40 * (fwhm - 2.6) + rng.normal(0, 14, n)).astype(int)
    ecc = np.clip(0.38 + 0.05 * np.sin(30 * t) + rng.gamma(1.5, 0.04, n), 0, 1)
    transparency = np.clip(1 - 0.75 * cloud + rng.normal(0, 0.015, n), 0.05, 1.1)
    start = datetime.datetime(2025, 3, 26, 20, 10, 0)
    rows = []
    for i in range(n):
        at = start + datetime.timedelta(seconds=11.2 * i * min(1, 3600 / n))
        is_out = transparency[i] < 0.5
        rows.append(
            [
                f"f{i}",
                f"Light_M 94_10.0s_IRCUT_{at:%Y%m%d-%H%M%S}_{i:05d}.fit",
                "M 94",
                "left_out" if is_out else "stacked",
                "not_transparent" if is_out else None,
                "less than half of the reference's star light came through" if is_out else None,
                at.isoformat(),
                10.0,
                80.0,
                12.0 - 3 * float(t[i]),
                "IRCUT",
                int(stars[i]),
                round(float(fwhm[i]), 3),
                round(float(ecc[i]), 3),
                round(float(sky[i]), 1),
                round(float(18 + sky[i] / 200), 2),
                round(float(transparency[i]), 3),
                round(float(transparency[i] / fwhm[i]), 4),
                0.0,
                None,
            ]
        )
    return {"revision": 1, "is_scored": True, "columns": COLUMNS, "rows": rows}


def sky_group(table: dict[str, Any]) -> dict[str, Any]:
    """Return a mosaic of four panels whose frames turn with the sky."""
    rng = np.random.default_rng(3)
    ra0, dec0 = 192.72, 41.12
    frames = []
    for i, row in enumerate(table["rows"][:400]):
        panel = i % 4
        ra, dec = (
            ra0 + (panel % 2 - 0.5) * 1.0 + rng.normal(0, 0.02),
            dec0 + (panel // 2 - 0.5) * 1.1 + rng.normal(0, 0.02),
        )
        turn = np.deg2rad(i * 0.05 - 10)
        corners = []
        for dx, dy in ((-0.36, -0.64), (0.36, -0.64), (0.36, 0.64), (-0.36, 0.64)):
            x, y = dx * np.cos(turn) - dy * np.sin(turn), dx * np.sin(turn) + dy * np.cos(turn)
            corners.append([ra + x / np.cos(np.deg2rad(dec)), dec + y])
        frames.append(
            {
                "id": row[0],
                "file": row[1],
                "panel": f"P{panel + 1}",
                "status": "left_out" if i % 37 == 5 else "stacked",
                "outline": corners,
            }
        )
    return {
        "name": "M 94",
        "solved": True,
        "reason": None,
        "ra_deg": ra0,
        "dec_deg": dec0,
        "scale_arcsec": 2.371,
        "covered_deg2": 3.21,
        "coverage": "coverage",
        "outline": [
            [ra0 - 1.35, dec0 - 1.25],
            [ra0 + 1.35, dec0 - 1.25],
            [ra0 + 1.4, dec0 + 1.25],
            [ra0 - 1.4, dec0 + 1.25],
        ],
        "frames": frames,
        "panels": [
            {
                "name": f"P{p + 1}",
                "ra_deg": ra0 + (p % 2 - 0.5),
                "dec_deg": dec0 + (p // 2 - 0.5) * 1.1,
                "n_frames": 100,
            }
            for p in range(4)
        ],
    }
