"""Real frames placed on the sky, with their headers and without; beside astrometry.net's answers."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from skyquilt.core.sky import separation_deg
from skyquilt.engine import SkySolver, Solved, SolveRequest

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
pytestmark = pytest.mark.real

# centre (degrees) and scale (arcsec/px) that solve-field 0.93 with the Tycho-2 indexes found on the same files
ASTROMETRY_NET = {
    "M 94_sub/Light_M 94_10.0s_IRCUT_20250326-212046.fit": (192.777542, 41.116804, 2.37603),
    "NGC 7023_sub/Light_NGC 7023_10.0s_IRCUT_20240730-224436.fit": (315.443134, 68.126410, 2.37417),
}
HATP32 = ("HATP-32171220013343.FITS", (31.248498, 46.741127, 5.16273))


@cache
def solver() -> SkySolver:
    return SkySolver(cache_folder=user_cache_path("skyquilt", appauthor=False))


def frames(pattern: str, at_least: int) -> list[Path]:
    found = sorted(DATA.glob(pattern))
    if len(found) < at_least:
        pytest.skip(f"the real frames {pattern} are not in {DATA}: set SKYQUILT_DATA")
    return found


def solved(path: Path, *, blind: bool = False) -> Solved:
    return solver().solve_file(path, SolveRequest(blind=blind, solver="own"))


def check(found: Solved, place: tuple[float, float], scale: float, *, arcsec: float) -> None:
    assert found.grid is not None, found.reason
    assert float(separation_deg(*found.grid.centre_deg, *place)) * 3600 < arcsec
    assert found.grid.wcs.scale_arcsec == pytest.approx(scale, rel=1e-3)
    assert found.rms_px is not None and found.rms_px < 0.3


@pytest.mark.parametrize("blind", [False, True])
def test_every_seestar_frame_is_solved(blind: bool) -> None:
    paths = frames("seestar/MyWorks/*/*.fit", 24)
    solved(paths[0], blind=blind)  # compiles, and builds the index where it is not yet there
    spent = []
    for path in paths:
        begun = time.process_time()
        found = solved(path, blind=blind)
        spent.append(time.process_time() - begun)
        place = (192.775, 41.118) if "M 94" in path.name else (315.444, 68.1268)
        check(found, place, 2.375, arcsec=120.0)
        key = f"{path.parent.name}/{path.name}"
        if key in ASTROMETRY_NET:
            ra, dec, scale = ASTROMETRY_NET[key]
            check(found, (ra, dec), scale, arcsec=3.0)
    assert max(spent) < (5.0 if blind else 0.5)


def test_frames_without_pixel_size_are_solved() -> None:
    paths = frames("mono-hatp32/*.FITS", 36)
    for path in paths[::6]:
        check(solved(path), (31.0, 46.79), 5.164, arcsec=1500.0)
    name, (ra, dec, scale) = HATP32
    found = solved(next(path for path in paths if path.name == name))
    check(found, (ra, dec), scale, arcsec=3.0)


def test_frames_without_any_hint_and_with_oblong_pixels_are_solved() -> None:
    for path in frames("mono-jocular/Messier 8/light_*.fit", 10)[::3]:
        found = solved(path)
        assert found.grid is not None, found.reason
        assert float(separation_deg(*found.grid.centre_deg, 270.985, -24.384)) < 0.02
        assert found.found_by == "blind"


def test_frames_without_signal_fail_politely() -> None:
    for path in [*frames("tutorial-m13/*.fits", 3), *frames("mono-jocular/Messier 8/L_12.fit", 1)]:
        found = solved(path)
        assert found.grid is None
        assert "stars" in found.reason or "no star" in found.reason
        assert "\n" not in found.reason
