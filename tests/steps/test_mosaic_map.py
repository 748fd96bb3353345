"""The map from a sky canvas to a frame: the definition, its areas, and a frame laid on the canvas with it."""

from __future__ import annotations

import numpy as np
import pytest
from mosaic_fields import beside, distortion, frame_at

from skyquilt.core import F32, Box, Calibration, Sip, SkyGrid, Tile, Wcs
from skyquilt.steps.mosaic import SkyMap, choose_canvas
from skyquilt.steps.resample import CanvasSampler, NodeGrid

PLACES = [(10.0, 41.0), (0.02, -5.0), (45.0, 89.9), (45.0, -90.0)]


def canvas_by(place: tuple[float, float], projection: str, away_deg: float = 0.7, scale: float = 20.0) -> Wcs:
    c, s = np.cos(np.radians(8.0)), np.sin(np.radians(8.0))
    cd = scale / 3600.0 * np.array([[-c, s], [s, c]])
    return Wcs(beside(place, away_deg, -0.6 * away_deg), (500.0, 431.5), cd, None, projection)


def points_on(canvas: Wcs, frame: SkyGrid, n: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """Canvas positions of points all over a frame."""
    x, y = np.meshgrid(np.linspace(-9.0, frame.width + 8.0, n), np.linspace(-9.0, frame.height + 8.0, n))
    return canvas.to_pixels(*frame.wcs.to_sky(x, y))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("projection", ["TAN", "ZEA"])
@pytest.mark.parametrize("kind", ["plain", "distorted", "with its way back", "equal area"])
def test_the_map_is_that_of_the_coordinates(place: tuple[float, float], projection: str, kind: str) -> None:
    sip = distortion() if kind in ("distorted", "with its way back") else None
    frame = frame_at(*place, 33.0, sip=sip, projection="ZEA" if kind == "equal area" else "TAN")
    if kind == "with its way back" and sip is not None:
        frame = frame_at(*place, 33.0, sip=sip.with_inverse(frame.wcs.crpix0, frame.width, frame.height))
    canvas = canvas_by(place, projection)
    x, y = points_on(canvas, frame)
    u, v = SkyMap(canvas, frame)(x, y)
    assert u.shape == v.shape == x.shape
    there = frame.wcs.to_pixels(*canvas.to_sky(x, y))
    assert np.abs(u - there[0]).max() < 1e-8 and np.abs(v - there[1]).max() < 1e-8


def test_a_canvas_may_be_distorted_or_a_quarter_of_the_sky_away_from_its_centre() -> None:
    frame = frame_at(100.0, 20.0, 5.0, sip=distortion())
    odd = Wcs((100.5, 20.2), (200.0, 200.0), np.diag([-20.0, 20.0]) / 3600.0, distortion(5, 300))
    wide = canvas_by((100.0, 20.0), "ZEA", away_deg=88.0)
    for canvas in (odd, wide):
        x, y = points_on(canvas, frame)
        there = frame.wcs.to_pixels(*canvas.to_sky(x, y))
        assert np.abs(np.stack(SkyMap(canvas, frame)(x, y)) - there).max() < 1e-8


def test_a_bad_way_back_in_a_header_only_costs_time() -> None:
    sip = distortion()
    bad = Sip(sip.a, sip.b, np.full((3, 3), 1e-5), np.zeros((2, 2)))
    canvas = canvas_by((10.0, 41.0), "TAN")
    frame = frame_at(10.0, 41.0, sip=bad)
    x, y = points_on(canvas, frame)
    there = frame.wcs.to_pixels(*canvas.to_sky(x, y))
    assert np.abs(np.stack(SkyMap(canvas, frame)(x, y)) - there).max() < 1e-8


@pytest.mark.parametrize("sip", [None, distortion()])
def test_a_point_is_mapped_by_itself_and_always_alike(sip: Sip | None) -> None:
    frame = frame_at(10.0, 41.0, 33.0, sip=sip)
    canvas = canvas_by((10.0, 41.0), "ZEA")
    x, y = points_on(canvas, frame)
    whole = np.stack(SkyMap(canvas, frame)(x, y))
    to_frame = SkyMap(canvas, frame)
    alone = np.array([[to_frame(x[i : i + 1, j], y[i : i + 1, j]) for j in range(13)] for i in range(13)])
    assert np.array_equal(alone[..., 0].transpose(2, 0, 1), whole)
    assert np.array_equal(np.stack(to_frame(x[::-1, ::3], y[::-1, ::3])), whole[:, ::-1, ::3])
    nodes = NodeGrid(to_frame, 0)
    around = Box(int(x.min()), int(y.min()), int(x.max()), int(y.max()))
    left = Box(around.x0, around.y0, around.x0 + 70, around.y1)
    crop = nodes.cover(left)
    again = nodes.cover(around)[: crop.shape[0], : crop.shape[1]]
    assert np.array_equal(crop, again, equal_nan=True)


@pytest.mark.parametrize("sip", [None, distortion()])
def test_far_points_are_nowhere_and_every_cell_that_touches_the_frame_is_whole(sip: Sip | None) -> None:
    frame = frame_at(10.0, 41.0, 33.0, sip=sip)
    for canvas in (canvas_by((10.0, 41.0), "TAN"), canvas_by((10.0, 41.0), "ZEA", scale=120.0)):
        to_frame = SkyMap(canvas, frame)
        ring = np.linspace(0, 2 * np.pi, 50)
        for distance in (4.0, 40.0, 89.0, 140.0):
            place = np.transpose([beside((10.0, 41.0), distance * np.cos(a), distance * np.sin(a)) for a in ring])
            x, y = canvas.to_pixels(*place)
            assert np.isnan(np.stack(to_frame(x, y))).all()
        x, y = np.meshgrid(np.arange(-60, 140) * 16.0, np.arange(-60, 140) * 16.0)
        u, v = to_frame(x, y)
        near = frame.holds(*frame.wcs.to_pixels(*canvas.to_sky(x, y)))
        for down in (-1, 0, 1):
            for along in (-1, 0, 1):  # all nodes around a node on the frame
                assert np.isfinite(np.roll(u + v, (down, along), (0, 1))[near]).all()


@pytest.mark.parametrize("projection", ["TAN", "ZEA"])
@pytest.mark.parametrize("sip", [None, distortion()])
def test_the_area_of_a_canvas_pixel_is_that_of_its_corners_in_the_frame(projection: str, sip: Sip | None) -> None:
    frame = frame_at(10.0, 41.0, 33.0, sip=sip)
    canvas = canvas_by((10.0, 41.0), projection, away_deg=25.0)
    to_frame = SkyMap(canvas, frame)
    x, y = points_on(canvas, frame)
    u0, v0 = to_frame(x - 0.5, y)
    u1, v1 = to_frame(x + 0.5, y)
    u2, v2 = to_frame(x, y - 0.5)
    u3, v3 = to_frame(x, y + 0.5)
    area = np.abs((u1 - u0) * (v3 - v2) - (v1 - v0) * (u3 - u2))
    assert np.abs(to_frame.area_ratio(x, y) / area - 1.0).max() < 1e-5
    assert np.isnan(to_frame.area_ratio(x + 9000.0, y)).all()


class Drawn:
    """A frame of round stars on nothing."""

    n_channels = 1

    def __init__(self, width: int, height: int, x: np.ndarray, y: np.ndarray, sigma: float) -> None:
        self.bounds = Box(0, 0, width, height)
        rows, columns = np.mgrid[0:height, 0:width]
        pixels = np.zeros((height, width))
        for at_x, at_y in zip(x, y, strict=True):
            pixels += 1000.0 * np.exp(-((columns - at_x) ** 2 + (rows - at_y) ** 2) / (2 * sigma**2))
        self.pixels: F32 = pixels.astype(np.float32)

    def read(self, box: Box) -> Tile:
        out, mask = np.zeros((1, *box.shape), np.float32), np.zeros(box.shape, np.bool_)
        inside = box.intersect(self.bounds)
        rows, columns = inside.slices(box)
        out[0, rows, columns], mask[rows, columns] = self.pixels[inside.slices(self.bounds)], True
        return Tile(out, mask, box)


@pytest.mark.parametrize("place", [(0.02, 41.0), (45.0, 89.9)])
def test_stars_keep_their_place_on_the_sky_and_their_flux(place: tuple[float, float]) -> None:
    frame = frame_at(*place, 33.0, sip=distortion())
    rng = np.random.default_rng(6)
    grid_x, grid_y = np.meshgrid(np.arange(14.0, 100.0, 20.0), np.arange(14.0, 180.0, 20.0))
    x, y = (at.ravel() + rng.uniform(-2, 2, at.size) for at in (grid_x, grid_y))
    sigma = 1.6
    drawn = Drawn(frame.width, frame.height, x, y, sigma)
    others = [frame_at(*beside(place, east, 0.0)) for east in (-9.0, 9.0)]
    canvas = choose_canvas([frame, *others])
    to_frame = SkyMap(canvas.wcs, frame)
    sampler = CanvasSampler(drawn, cfa=None, calibration=Calibration(None, None, None), to_frame=to_frame)
    values, weights = (
        np.zeros((1, canvas.height, canvas.width), np.float32),
        np.zeros((1, canvas.height, canvas.width), np.uint8),
    )
    sampler.sample(Box(0, 0, canvas.width, canvas.height), values, weights)
    at_x, at_y = canvas.wcs.to_pixels(*frame.wcs.to_sky(x, y))
    shown = np.where(weights[0] > 0, values[0], 0.0)
    for star_x, star_y in zip(at_x, at_y, strict=True):
        i, j = round(float(star_x)), round(float(star_y))
        rows, columns = np.mgrid[j - 8 : j + 9, i - 8 : i + 9].astype(np.float64)
        light = shown[j - 8 : j + 9, i - 8 : i + 9].astype(np.float64)
        assert np.sum(light * columns) / light.sum() == pytest.approx(star_x, abs=0.02)
        assert np.sum(light * rows) / light.sum() == pytest.approx(star_y, abs=0.02)
        flux = float(np.sum(light * to_frame.area_ratio(columns, rows)))
        assert flux == pytest.approx(1000.0 * 2 * np.pi * sigma**2, rel=2e-3)
    # a box where the frame is not stays empty
    sampler.sample(Box(0, 0, 40, 40), values[:, :40, :40].copy(), weights[:, :40, :40].copy())
    assert not weights[0, :, : canvas.width // 4].any()
