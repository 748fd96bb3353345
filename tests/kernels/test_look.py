"""The one look at a frame gives the pixels, the plane and the count of the acts that it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F32, Calibration, Cfa
from skyquilt.engine.frames import look_at
from skyquilt.kernels.calibrate import repair_defects_slowly
from skyquilt.steps.stars import halve, halved_sites

FULL = 65535.0


def frame_and_calibration(height: int, width: int) -> tuple[F32, Calibration]:
    rng = np.random.default_rng(height * width)
    pixels = np.rint(rng.uniform(300, 66000, (height, width))).clip(0, FULL).astype(np.float32)
    dark = rng.uniform(90, 110, (height, width)).astype(np.float32)
    inverse_flat = rng.uniform(0.9, 1.3, (height, width)).astype(np.float32)
    defects = rng.random((height, width)) < 0.03
    defects[:2, :3] = defects[-1, -2:] = True
    return pixels, Calibration(dark, inverse_flat, defects)


def by_parts(pixels: F32, calibration: Calibration, cfa: Cfa | None) -> F32:
    result = pixels.copy()
    if calibration.dark is not None:
        result -= calibration.dark
    if calibration.inverse_flat is not None:
        result *= calibration.inverse_flat
    if calibration.defects is not None:
        repair_defects_slowly(result, calibration.defects, 1 if cfa is None else 2)
    return result


@pytest.mark.parametrize("without", ["nothing", "dark", "flat", "defects", "all"])
@pytest.mark.parametrize("name", [None, "RGGB", "GRBG"])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (37, 41), (50, 33), (3, 5)])
def test_a_look_calibrates_halves_and_counts(height: int, width: int, name: str | None, without: str) -> None:
    cfa = Cfa(name) if name else None
    pixels, whole = frame_and_calibration(height, width)
    calibration = Calibration(
        None if without in ("dark", "all") else whole.dark,
        None if without in ("flat", "all") else whole.inverse_flat,
        None if without in ("defects", "all") else whole.defects,
    )
    expected = by_parts(pixels, calibration, cfa)
    half = np.empty((height // 2, width // 2), np.float32)
    looked = look_at(pixels, calibration, cfa, FULL, half)
    assert np.array_equal(pixels, expected)
    assert looked.pixels is half
    assert looked.n_saturated == np.count_nonzero(expected >= np.float32(0.95 * FULL))
    sites = [expected[y : 2 * (height // 2) : 2, x : 2 * (width // 2) : 2] for y, x in halved_sites(cfa)]
    assert np.allclose(half, np.mean(sites, axis=0, dtype=np.float64), rtol=1e-6)
    again = halve(expected, cfa, FULL)
    assert np.array_equal(again.pixels, half)
    assert again.n_saturated == looked.n_saturated


def test_a_pixel_without_a_number_leaves_none_in_the_plane_and_is_not_counted() -> None:
    pixels = np.full((6, 8), 70000.0, np.float32)
    pixels[2, 3] = np.nan
    halved = halve(pixels, None, FULL)
    assert np.isnan(halved.pixels[1, 1])
    assert np.count_nonzero(np.isnan(halved.pixels)) == 1
    assert halved.n_saturated == pixels.size - 1


def test_the_greens_of_a_mosaic_are_halved_and_all_pixels_of_a_mono_frame() -> None:
    assert halved_sites(Cfa("GRBG")).tolist() == [[0, 0], [1, 1]]
    assert halved_sites(Cfa("RGGB")).tolist() == [[0, 1], [1, 0]]
    assert halved_sites(None).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
