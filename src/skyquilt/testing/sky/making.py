"""From the dials of a scenario to the truth of its session."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from skyquilt.core import F64, Linear, Transform
from skyquilt.testing.sky.coordinates import julian_year
from skyquilt.testing.sky.devices import light_paths
from skyquilt.testing.sky.field import Plane, make_blobs, make_stars
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.schedule import Conditions, plan_frames, radial_distortion, seen_cells
from skyquilt.testing.sky.sensor import make_sensor
from skyquilt.testing.sky.truth import FrameTruth, StarTruth, Truth

__all__ = ["make_truth", "sky_noise"]


def make_truth(scenario: Scenario, folder: Path = Path()) -> Truth:
    """
    Return what is true of the session that `make_session` would write below `folder`; nothing is written.

    Notes
    -----
    Frame k depends on `n_frames` only through the dials that span a session (rotation, trends, meridian flip, panels).
    """
    centre = (0.5 * (scenario.width - 1), 0.5 * (scenario.height - 1))
    plane = Plane(scenario.ra_deg, scenario.dec_deg, centre, scenario.scale_arcsec, scenario.position_angle_deg)
    conditions = plan_frames(scenario, plane, scenario.n_frames + scenario.n_failed)
    reference = next((c.index for c in conditions if c.is_good), 0)
    distortion = radial_distortion(scenario)
    view = conditions[reference].view
    x, y = view(*centre)
    paths = light_paths(scenario, folder, [c.start for c in conditions])
    return Truth(
        scenario=scenario,
        folder=folder,
        lights_folder=paths[0].parent,
        frames=tuple(_frame_truth(scenario, *pair, view, distortion) for pair in zip(conditions, paths, strict=True)),
        reference=reference,
        stars=_star_truth(scenario, plane, view, distortion, seen_cells(scenario, plane, conditions)),
        blobs=make_blobs(scenario, (float(x), float(y))),
        sensor=make_sensor(scenario),
        plane=plane,
        view=view,
        distortion=distortion,
    )


def _frame_truth(
    scenario: Scenario, conditions: Conditions, path: Path, view: Transform, distortion: Transform
) -> FrameTruth:
    """Return what is true of one frame; `view` is that of the reference."""
    ideal = _merged(view.inverse().then(conditions.view))
    from_plane = _merged(ideal.then(distortion)) if distortion.stages else ideal
    dark = scenario.dark_current_adu_s * scenario.exposure_s
    light = conditions.sky_light_adu
    return FrameTruth(
        index=conditions.index,
        path=path,
        fault=conditions.fault,
        is_good=conditions.is_good,
        transform=distortion.inverse().then(from_plane) if distortion.stages else ideal,
        from_plane=from_plane,
        transparency=conditions.transparency,
        fwhm_px=conditions.fwhm_px,
        streak=conditions.streak,
        sky_light_adu=light,
        sky_adu=light + dark + scenario.pedestal_adu,
        sky_sigma_adu=sky_noise(scenario, light),
        slope=conditions.slope,
        trails=conditions.trails,
        cosmics=conditions.cosmics,
        start=conditions.start,
        panel=conditions.panel,
    )


def sky_noise(scenario: Scenario, light: F64) -> F64:
    """Return the ideal noise of one pixel of a sky of that light, ADU: shot noise, read noise and rounding."""
    rounding = 1.0 / 12.0
    if not scenario.noise:
        return np.full(light.shape, np.sqrt(rounding))
    adu_per_electron = 1.0 / scenario.gain_e_per_adu
    charge = light + scenario.dark_current_adu_s * scenario.exposure_s
    noise: F64 = np.sqrt(charge * adu_per_electron + (scenario.read_noise_e * adu_per_electron) ** 2 + rounding)
    return noise


def _merged(transform: Transform) -> Transform:
    """Name a map of linear stages after what it is: a similarity unless it has a perspective part."""
    if any(np.abs(stage.matrix[2, :2]).max() > 0.0 for stage in transform.stages if isinstance(stage, Linear)):
        return Transform(transform.stages, "homography")
    return Transform(transform.stages, "similarity")


def _star_truth(
    scenario: Scenario, plane: Plane, view: Transform, distortion: Transform, cells: set[tuple[int, int]]
) -> StarTruth:
    """Return the stars of the session, placed on the reference frame."""
    stars = make_stars(scenario, plane, julian_year(datetime.fromisoformat(scenario.start_utc)), cells)
    x, y, is_ahead = plane.from_sky(stars.ra_deg, stars.dec_deg)
    plane_x, plane_y = view(x, y)
    real_x, real_y = distortion(plane_x, plane_y)
    # far outside, a barrel distortion folds the plane over: such stars stay where they were, outside
    half_width, half_height = 0.5 * (scenario.width - 1), 0.5 * (scenario.height - 1)
    corner = half_width**2 + half_height**2
    square = ((plane_x - half_width) ** 2 + (plane_y - half_height) ** 2) / corner
    is_folded = 3.0 * scenario.distortion_px * square < -0.5 * np.sqrt(corner)
    real_x, real_y = np.where(is_folded, plane_x, real_x), np.where(is_folded, plane_y, real_y)
    flux = stars.fluxes(scenario.zero_point, scenario.n_channels) * scenario.exposure_s
    truth = StarTruth(real_x, real_y, flux, stars.ra_deg, stars.dec_deg, stars.v_mag, stars.is_tycho, plane_x, plane_y)
    return truth.take(is_ahead)
