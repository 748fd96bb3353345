"""From the dials of a mosaic to the truth of its session."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from skyquilt.core import F64, Sip, SkyGrid
from skyquilt.core.sky import directions, separation_deg, unit_vectors
from skyquilt.io.catalogue import open_catalogue
from skyquilt.testing.mosaic_sky.camera_axes import CameraAxes
from skyquilt.testing.mosaic_sky.layout import mosaic_paths
from skyquilt.testing.mosaic_sky.nebula import Nebula, random_clouds
from skyquilt.testing.mosaic_sky.scenario import MosaicScenario
from skyquilt.testing.mosaic_sky.truth import MosaicFrame, MosaicStars, MosaicTruth
from skyquilt.testing.sky import Scenario
from skyquilt.testing.sky.coordinates import julian_year
from skyquilt.testing.sky.field import CELL_PX, CatalogueStars, Plane, brightest_random, random_stars
from skyquilt.testing.sky.making import sky_noise
from skyquilt.testing.sky.schedule import Conditions, plan_frames
from skyquilt.testing.sky.sensor import make_sensor
from skyquilt.testing.sky.streams import GLOW, PANELS, random_stream

__all__ = ["make_mosaic_truth"]

_SLEW_S = 25.0
_BORDER_PX = 16.0
_CLOUD_WIDTHS = (0.25, 0.7)
_COLOUR_OF_MANY = 0.7  # BT - VT of a star without one of the magnitudes


def make_mosaic_truth(scenario: MosaicScenario, folder: Path = Path()) -> MosaicTruth:
    """Return what is true of the session that `make_mosaic` would write below `folder`; nothing is written."""
    camera = scenario.camera
    axes = CameraAxes.at(camera.ra_deg, camera.dec_deg, camera.position_angle_deg)
    panels = _panel_vectors(scenario, axes)
    centre = (0.5 * (camera.width - 1), 0.5 * (camera.height - 1))
    plane = Plane(camera.ra_deg, camera.dec_deg, centre, camera.scale_arcsec, camera.position_angle_deg)
    conditions = plan_frames(camera, plane, scenario.n_frames)
    starts = [
        c.start + timedelta(seconds=_SLEW_S * visit) for c, (_, visit) in zip(conditions, scenario.visits, strict=True)
    ]
    paths = mosaic_paths(scenario, folder, starts)
    frames = tuple(
        _frame(scenario, axes, panels, replace(c, start=start), path)
        for c, start, path in zip(conditions, starts, paths, strict=True)
    )
    return MosaicTruth(
        scenario=scenario,
        folder=folder,
        axes=axes,
        panels_deg=np.stack(directions(panels), axis=1),
        frames=frames,
        stars=_make_stars(camera, axes, frames),
        nebula=_make_nebula(scenario, axes, panels),
        sensor=make_sensor(camera),
    )


def _panel_vectors(scenario: MosaicScenario, axes: CameraAxes) -> F64:
    """Return where the mount is sent to, unit vectors (n_panels, 3): row by row along x."""
    if scenario.centres:
        return unit_vectors(*np.array(scenario.centres, dtype=np.float64).T)
    camera = scenario.camera
    pixel = np.radians(camera.scale_arcsec / 3600.0)
    step_x, step_y = ((1.0 - scenario.overlap) * size * pixel for size in (camera.width, camera.height))
    middle_x, middle_y = 0.5 * (scenario.columns - 1), 0.5 * (scenario.rows - 1)
    return np.stack(
        [
            axes.beside((column - middle_x) * step_x, (row - middle_y) * step_y)
            for row in range(scenario.rows)
            for column in range(scenario.columns)
        ]
    )


def _frame(scenario: MosaicScenario, axes: CameraAxes, panels: F64, conditions: Conditions, path: Path) -> MosaicFrame:
    """Return what is true of one frame."""
    camera, k = scenario.camera, conditions.index
    panel, visit = scenario.visits[k]
    random = random_stream(camera.night_seed, PANELS, visit)
    air, glow, seeing = np.clip(random.normal(size=3), -3.0, 3.0)
    miss_x, miss_y = scenario.pointing_error_px * random.normal(size=2)
    light = conditions.sky_light_adu * (1.0 + scenario.panel_sky_scatter * glow)
    progress = k / max(1, scenario.n_frames - 1)
    return MosaicFrame(
        index=k,
        path=path,
        panel=panel,
        visit=visit,
        fault=conditions.fault,
        is_good=conditions.is_good,
        grid=_frame_grid(camera, axes.carried_to(panels[panel]), conditions, (miss_x, miss_y)),
        told_deg=_told(scenario, panels[panel]),
        transparency=conditions.transparency
        * (1.0 + scenario.panel_transparency_scatter * float(air))
        * scenario.panel_transparency.get(panel, 1.0),
        fwhm_px=conditions.fwhm_px * (1.0 + scenario.panel_fwhm_scatter * float(seeing)),
        streak=conditions.streak,
        sky_light_adu=light,
        sky_sigma_adu=sky_noise(camera, light),
        floor_adu=camera.pedestal_adu + camera.dark_current_adu_s * camera.exposure_s,
        slope=_turned(conditions.slope, scenario.gradient_turn_deg * progress),
        curvature=scenario.sky_curvature,
        trails=conditions.trails,
        cosmics=conditions.cosmics,
        start=conditions.start,
    )


def _frame_grid(camera: Scenario, axes: CameraAxes, conditions: Conditions, miss_px: tuple[float, float]) -> SkyGrid:
    """Return where the frame looks: the pointing, with the mount's miss, its wander and the field rotation."""
    centre = (0.5 * (camera.width - 1), 0.5 * (camera.height - 1))
    x, y = conditions.view.inverse()(*centre)  # what the mount's wander brings to the middle of the frame
    pixel = np.radians(camera.scale_arcsec / 3600.0)
    aim = axes.beside((float(x) - centre[0] + miss_px[0]) * pixel, (float(y) - centre[1] + miss_px[1]) * pixel)
    looks = axes.carried_to(aim).turned(conditions.view.rotation_deg)
    return SkyGrid(looks.wcs(centre, camera.scale_arcsec, _distortion(camera)), camera.width, camera.height)


def _distortion(camera: Scenario) -> Sip | None:
    """Return the optics' distortion: real pixels to the ideal plane, -`distortion_px` outwards at the corners."""
    if not camera.distortion_px:
        return None
    corner = 0.5 * float(np.hypot(camera.width - 1, camera.height - 1))
    term = -camera.distortion_px / corner**3
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[3, 0] = a[1, 2] = b[0, 3] = b[2, 1] = term
    return Sip(a, b)


def _told(scenario: MosaicScenario, panel: F64) -> tuple[float, float] | None:
    if scenario.told == "none":
        return None
    if scenario.told == "target":
        return scenario.camera.ra_deg, scenario.camera.dec_deg
    ra, dec = directions(panel)
    return float(ra), float(dec)


def _turned(slope: tuple[float, float], angle_deg: float) -> tuple[float, float]:
    c, s = float(np.cos(np.radians(angle_deg))), float(np.sin(np.radians(angle_deg)))
    return c * slope[0] - s * slope[1], s * slope[0] + c * slope[1]


def _make_stars(camera: Scenario, axes: CameraAxes, frames: tuple[MosaicFrame, ...]) -> MosaicStars:
    """Return every star that a frame can show: those of Tycho-2, and random ones of even density on the sphere."""
    year = julian_year(datetime.fromisoformat(camera.start_utc))
    real = _tycho_stars(camera, axes, frames, year) if camera.tycho else []
    plane = _EqualAreaPlane(axes, np.radians(camera.scale_arcsec / 3600.0))
    density = camera.n_faint_stars / (camera.width * camera.height)
    cells = plane.cells_of(frames)
    x, y, v, colour = (
        np.concatenate(c)
        for c in zip(*random_stars(camera.seed, cells, density, brightest_random(camera)), strict=True)
    )
    ra, dec = directions(plane.vectors(x, y))
    random = CatalogueStars(ra, dec, v + 1.09 * colour, v + 0.09 * colour, np.zeros(len(ra), dtype=bool))
    parts = [*real, random]
    stars = CatalogueStars(*(np.concatenate([getattr(p, name) for p in parts]) for name in CatalogueStars.__slots__))
    order = np.argsort(stars.v_mag, kind="stable")
    flux = stars.fluxes(camera.zero_point, camera.n_channels) * camera.exposure_s
    ra, dec = stars.ra_deg[order], stars.dec_deg[order]
    return MosaicStars(ra, dec, flux[order], stars.v_mag[order], stars.is_tycho[order], unit_vectors(ra, dec))


def _tycho_stars(
    camera: Scenario, axes: CameraAxes, frames: tuple[MosaicFrame, ...], year: float
) -> list[CatalogueStars]:
    """Return the stars of the catalogue that ships, around all frames."""
    middle = axes.direction_deg
    reach = max(float(separation_deg(*frame.grid.outline(), *middle).max()) for frame in frames)
    border = 100.0 * camera.scale_arcsec / 3600.0
    found = open_catalogue().cone(*middle, min(reach + border, 180.0), epoch_year=year)
    bt, vt = found.bt_mag.astype(np.float64), found.vt_mag.astype(np.float64)
    bt, vt = np.where(np.isnan(bt), vt + _COLOUR_OF_MANY, bt), np.where(np.isnan(vt), bt - _COLOUR_OF_MANY, vt)
    return [CatalogueStars(found.ra_deg, found.dec_deg, bt, vt, np.ones(len(bt), dtype=bool))]


class _EqualAreaPlane:
    """Lambert's azimuthal plane about the middle of the mosaic, in px: even density there is even on the sphere."""

    def __init__(self, axes: CameraAxes, pixel_rad: float) -> None:
        self._axes = axes
        self._pixel = pixel_rad

    def cells_of(self, frames: tuple[MosaicFrame, ...]) -> set[tuple[int, int]]:
        """Return the squares of 512 px that some frame touches."""
        cells: set[tuple[int, int]] = set()
        for frame in frames:
            local = unit_vectors(*frame.grid.outline(8)) @ self._axes.rows.T
            factor = np.sqrt(2.0 / (1.0 + local[:, 2])) / self._pixel
            x, y = factor * local[:, 0], factor * local[:, 1]
            columns, rows = (
                range(int((place.min() - _BORDER_PX) // CELL_PX), int((place.max() + _BORDER_PX) // CELL_PX) + 1)
                for place in (x, y)
            )
            cells.update((column, row) for column in columns for row in rows)
        return cells

    def vectors(self, x: F64, y: F64) -> F64:
        """Return the unit vectors (n, 3) of places of the plane."""
        half = 0.5 * np.hypot(x, y) * self._pixel  # the sine of half the angle from the middle
        along = np.sqrt(1.0 - half**2) * self._pixel
        local = np.stack([along * x, along * y, 1.0 - 2.0 * half**2], axis=1)
        vectors: F64 = local @ self._axes.rows
        return vectors


def _make_nebula(scenario: MosaicScenario, axes: CameraAxes, panels: F64) -> Nebula:
    """Return the clouds of the scenario, or random ones over the pointings."""
    camera = scenario.camera
    if not camera.nebula:
        return Nebula.of((), camera.n_channels)
    if scenario.nebula_clouds is not None:
        return Nebula.of(scenario.nebula_clouds, camera.n_channels)
    random = random_stream(camera.seed, GLOW)
    side = max(camera.width, camera.height) * camera.scale_arcsec / 3600.0
    middles = []
    for _ in range(scenario.n_nebula_clouds):
        near = axes.carried_to(panels[int(random.integers(len(panels)))])
        x, y = np.radians(random.uniform(-0.5, 0.5, 2) * side)
        middles.append(np.stack(directions(near.beside(float(x), float(y)))))
    widths = (_CLOUD_WIDTHS[0] * side, _CLOUD_WIDTHS[1] * side)
    places = np.array(middles).reshape(-1, 2)
    return Nebula.of(random_clouds(random, places, widths, camera.nebula_adu, camera.n_channels), camera.n_channels)
