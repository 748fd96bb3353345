"""Footprints, overlaps, islands and pointings of frames whose places are known."""

from __future__ import annotations

import numpy as np
import pytest
from mosaic_fields import beside, frame_at, panels

from skyquilt.core import SkyGrid
from skyquilt.core.sky import unit_vectors
from skyquilt.errors import UsageError
from skyquilt.steps.mosaic import find_islands, find_overlaps, find_pointings, footprints_of

PLACES = [(10.0, 41.0), (0.1, -5.0), (45.0, 89.9)]


def true_share(one: SkyGrid, other: SkyGrid) -> float:
    """Common area over the smaller area, by the pixels of one that lie in the other."""
    x, y = np.meshgrid(np.arange(0.0, one.width, 2.0) + 0.5, np.arange(0.0, one.height, 2.0) + 0.5)
    inside = other.holds(*other.wcs.to_pixels(*one.wcs.to_sky(x, y)))
    area = one.wcs.pixel_area_arcsec2(x, y)
    x, y = np.meshgrid(np.arange(other.width, dtype=float), np.arange(other.height, dtype=float))
    theirs = float(other.wcs.pixel_area_arcsec2(x, y).sum())
    return float(area[inside].sum() * 4.0 / min(theirs, area.sum() * 4.0))


def test_footprints_lie_where_the_frames_say() -> None:
    frames = [*panels((0.1, 89.8)), frame_at(80.0, -30.0, 12.0, scale=900.0, projection="ZEA", mirrored=True)]
    prints = footprints_of(frames)
    for k, frame in enumerate(frames):
        assert np.abs(prints.outline[k] - unit_vectors(*frame.outline(8))).max() < 1e-12
        assert np.abs(prints.centre[k] - unit_vectors(*frame.centre_deg)).max() < 1e-12
        assert np.degrees(prints.radius[k]) == pytest.approx(frame.radius_deg, rel=1e-3)
        x, y = np.meshgrid(np.arange(frame.width, dtype=float), np.arange(frame.height, dtype=float))
        area = frame.wcs.pixel_area_arcsec2(x, y)
        assert prints.area_deg2[k] == pytest.approx(area.sum() / 3600.0**2, rel=2e-3)
        middle = float(frame.wcs.pixel_area_arcsec2((frame.width - 1) / 2, (frame.height - 1) / 2))
        assert prints.scale_arcsec[k] == pytest.approx(np.sqrt(middle), rel=1e-5)
        assert prints.side_deg[k] == pytest.approx(frame.width * np.sqrt(middle) / 3600.0, rel=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_overlaps_are_those_of_the_pixels(place: tuple[float, float]) -> None:
    frames = [*panels(place), frame_at(*beside(place, 0.3, 0.1), width=40, height=40)]  # and a small one
    prints = footprints_of(frames)
    overlaps = find_overlaps(prints, 0.02)
    found = {
        (int(i), int(j)): float(s) for i, j, s in zip(overlaps.first, overlaps.second, overlaps.share, strict=True)
    }
    assert len(found) == len(overlaps) and overlaps.is_complete
    n_shared = 0
    for i in range(len(frames)):
        for j in range(i + 1, len(frames)):
            truth = true_share(frames[i], frames[j])
            assert found.get((i, j), 0.0) == pytest.approx(truth, abs=0.025)
            n_shared += truth > 0.05
    assert n_shared > 60
    smaller = np.minimum(prints.area_deg2[overlaps.first], prints.area_deg2[overlaps.second])
    assert np.array_equal(overlaps.area_deg2, overlaps.share * smaller)


def two_islands() -> list[SkyGrid]:
    """Nine fields across the pole of RA 0, three elsewhere, and one that stands alone."""
    rng = np.random.default_rng(9)
    row = [frame_at(*beside((120.0, -40.0), 0.6 * k, 0.0)) for k in range(3)]
    frames = [*panels((359.9, 60.0)), *row, frame_at(121.0, 40.0)]
    return [frames[k] for k in rng.permutation(len(frames))]


def names_of(frames: list[SkyGrid], islands: tuple[np.ndarray, ...]) -> list[set[int]]:
    return [{id(frames[k]) for k in island} for island in islands]


def test_islands_are_what_overlaps_connect() -> None:
    frames = two_islands()
    prints = footprints_of(frames)
    islands = find_islands(prints, find_overlaps(prints))
    assert [len(island) for island in islands] == [18, 3, 1]
    assert np.array_equal(np.sort(np.concatenate(islands)), np.arange(len(frames)))
    decs = [float(np.mean([frames[k].wcs.crval_deg[1] for k in island])) for island in islands]
    assert decs == pytest.approx([60.0, -40.0, 40.0], abs=0.5)
    turned = frames[::-1]
    again = footprints_of(turned)
    assert names_of(turned, find_islands(again, find_overlaps(again))) == names_of(frames, islands)


def test_where_pairs_are_too_many_some_frames_of_every_pointing_stand_for_it() -> None:
    frames = panels((10.0, 41.0), repeats=30)
    prints = footprints_of(frames)
    whole, thinned = find_overlaps(prints), find_overlaps(prints, most_pairs=3000)
    assert whole.is_complete and not thinned.is_complete
    assert 1000 < len(thinned) < 4000 < len(whole)
    assert len(find_islands(prints, thinned)) == len(find_islands(prints, whole)) == 1
    pairs = {(int(i), int(j)): s for i, j, s in zip(whole.first, whole.second, whole.share, strict=True)}
    assert all(pairs[int(i), int(j)] == s for i, j, s in zip(thinned.first, thinned.second, thinned.share, strict=True))
    partners = np.bincount(np.concatenate([thinned.first, thinned.second]), minlength=len(frames))
    assert partners.min() >= 4  # nobody is forgotten


@pytest.mark.parametrize("place", [(10.0, 41.0), (0.1, -5.0), (200.0, 86.0)])
def test_pointings_are_named_as_one_reads(place: tuple[float, float]) -> None:
    frames = panels(place, repeats=5, turn_deg=0)
    pointings = find_pointings(footprints_of(frames))
    assert [pointing.name for pointing in pointings] == [f"P{k:02d}" for k in range(1, 10)]
    # `panels` goes by rows from the south, in each from the west (least RA) to the east: its last is read first, but in
    # each row the east comes first too
    expected = [list(range(5 * k, 5 * k + 5)) for k in range(8, -1, -1)]
    got = [pointing.frames.tolist() for pointing in pointings]
    if place[1] < 80.0:  # nearer to the pole rows of declination are not the rows of the panels
        assert got == expected
    assert sorted(got) == sorted(expected)
    for pointing in pointings:
        middle = np.mean([unit_vectors(*frames[k].centre_deg) for k in pointing.frames], axis=0)
        assert np.abs(unit_vectors(*pointing.centre_deg) - middle / np.linalg.norm(middle)).max() < 1e-9


def test_nothing_depends_on_the_order_of_the_frames() -> None:
    frames = panels((0.1, 60.0), repeats=6, seed=7)
    order = np.random.default_rng(2).permutation(len(frames))
    one, other = footprints_of(frames), footprints_of([frames[k] for k in order])
    for here, there in zip(find_pointings(one), find_pointings(other), strict=True):
        assert (here.name, here.centre_deg) == (there.name, there.centre_deg)
        assert np.array_equal(here.frames, np.sort(order[there.frames]))
    for most in (3_000_000, 500):
        here, there = find_overlaps(one, most_pairs=most), find_overlaps(other, most_pairs=most)
        mine = sorted(zip(here.first.tolist(), here.second.tolist(), here.share.tolist(), strict=True))
        ends = np.sort(np.stack([order[there.first], order[there.second]]), axis=0)
        theirs = sorted(zip(ends[0].tolist(), ends[1].tolist(), there.share.tolist(), strict=True))
        assert mine == theirs


def test_a_telescope_that_creeps_over_the_sky_makes_several_pointings() -> None:
    frames = [frame_at(*beside((10.0, 41.0), 0.02 * k, 0.0)) for k in range(150)]
    prints = footprints_of(frames)
    pointings = find_pointings(prints, 0.5)
    assert 6 < len(pointings) < 25
    for pointing in pointings:
        middle = prints.centre[pointing.frames]
        apart = np.linalg.norm(middle[:, None] - middle[None], axis=2).max()
        assert np.degrees(apart) <= 0.5 * 0.72 + 1e-9
    with pytest.raises(UsageError, match="cannot be told apart"):
        find_pointings(prints, 0.0)
