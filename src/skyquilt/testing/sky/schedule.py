"""How a session goes: where the telescope looks at every frame, the air, the clock, and what crosses the field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from skyquilt.core import F64, Distortion, Trail, Transform
from skyquilt.testing.sky.field import CELL_PX, Plane, panel_view
from skyquilt.testing.sky.scenario import HARMLESS_FAULTS, Scenario
from skyquilt.testing.sky.streams import COSMICS, MOUNT, TRAILS, WEATHER, random_stream

__all__ = ["Conditions", "plan_frames", "radial_distortion", "seen_cells"]

_READOUT_S, _JUMP_S = 1.285, 5.27  # of a Seestar S50: gaps after each frame, and more when it dithers
_TRAIL_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """
    What one frame is taken under.

    Attributes
    ----------
    view : Transform
        Plane of the target (undistorted) to the undistorted pixels of the frame.
    streak : (float, float), px
        How far the stars move during the exposure.
    sky_light_adu : float64 (n_channels,), ADU
        Light of the sky at the centre, without the pedestal.
    slope : (float, float), 1/px
        Relative rise of the sky light along x and y.
    trails : tuple of Trail
    cosmics : float64 (n, 3)
        (x, y, ADU) of every pixel hit.
    """

    index: int
    fault: str
    start: datetime
    panel: int
    view: Transform
    transparency: float
    fwhm_px: float
    streak: tuple[float, float]
    sky_light_adu: F64
    slope: tuple[float, float]
    trails: tuple[Trail, ...]
    cosmics: F64

    @property
    def is_good(self) -> bool:
        """Whether the pixels are worth stacking."""
        return self.fault in ("", *HARMLESS_FAULTS)


def plan_frames(scenario: Scenario, plane: Plane, n_frames: int) -> list[Conditions]:
    """Return the conditions of the first `n_frames` frames (those that the device refuses come after the others)."""
    trails = _plan_trails(scenario)
    starts = _start_times(scenario, n_frames)
    return [_conditions(scenario, plane, k, starts[k], trails.get(k, ())) for k in range(n_frames)]


def _start_times(scenario: Scenario, n_frames: int) -> list[datetime]:
    first = datetime.fromisoformat(scenario.start_utc)
    step = scenario.exposure_s + _READOUT_S
    return [
        first
        + timedelta(seconds=k * step + (k // scenario.dither_every) * _JUMP_S if scenario.dither_every else k * step)
        for k in range(n_frames)
    ]


def _conditions(scenario: Scenario, plane: Plane, index: int, start: datetime, trails: tuple[Trail, ...]) -> Conditions:
    """Return what frame `index` is taken under."""
    fault = scenario.fault.get(index, "trailed" if index >= scenario.n_frames else "")
    random = random_stream(scenario.night_seed, WEATHER, index)
    scatter, seeing = np.clip(random.normal(size=2), -3.0, 3.0)
    streak_angle = random.uniform(0.0, np.pi)
    progress = index / max(1, scenario.n_frames - 1)
    transparency = 1.0 + scenario.transparency_scatter * scatter
    transparency *= float(np.prod([f for k, f in scenario.transparency_steps.items() if index >= k]))
    clouds = scenario.clouds.get(index, 1.0) * (1.0 / 6.0 if fault == "cloudy" else 1.0)
    level = (scenario.sky_adu - scenario.pedestal_adu) * (1.0 + scenario.sky_trend * progress)
    colour = np.array(scenario.sky_colour) if scenario.n_channels == 3 else np.ones(1)
    fwhm = scenario.fwhm_px * (1.0 + scenario.fwhm_scatter * seeing) * (1.0 + scenario.fwhm_trend * progress)
    fwhm *= 3.0 if fault == "defocused" else 1.0
    reach = 8.0 * fwhm if fault == "trailed" else 0.0
    panel = min(len(scenario.panels) - 1, index * len(scenario.panels) // max(1, scenario.n_frames))
    return Conditions(
        index=index,
        fault=fault,
        start=start,
        panel=panel,
        view=panel_view(plane, *scenario.panels[panel]).then(_mount(scenario, index, progress)),
        transparency=float(transparency) * clouds * (0.0 if fault == "no_stars" else 1.0),
        fwhm_px=float(fwhm),
        streak=(reach * float(np.cos(streak_angle)), reach * float(np.sin(streak_angle))),
        sky_light_adu=level * (1.0 + 0.6 * (1.0 - clouds)) * colour,
        slope=_slope(scenario),
        trails=trails,
        cosmics=_plan_cosmics(scenario, index),
    )


def _mount(scenario: Scenario, index: int, progress: float) -> Transform:
    """Return the similarity that dither, drift, jitter and field rotation make of frame `index`."""
    run = index // scenario.dither_every if scenario.dither_every else 0
    since = index - run * scenario.dither_every
    jumps, steps = random_stream(scenario.night_seed, MOUNT, run), random_stream(scenario.night_seed, MOUNT, -1, index)
    radius, angle, heading = jumps.uniform(size=3) * (1.0, 2.0 * np.pi, 2.0 * np.pi)
    radius = scenario.dither_px * np.sqrt(radius) if run else 0.0
    shift = radius * np.array([np.cos(angle), np.sin(angle)])
    shift += since * scenario.drift_px * np.array([np.cos(heading), np.sin(heading)])
    if index:
        shift += scenario.jitter_px * steps.normal(size=2)
    first, last = scenario.rotation_deg
    turn = first + (last - first) * progress
    if scenario.meridian_flip and 2 * index >= scenario.n_frames:
        turn += 180.0
    x, y = 0.5 * (scenario.width - 1), 0.5 * (scenario.height - 1)
    centred = Transform.shift(-x, -y).then(Transform.similarity(angle_deg=turn))
    moved = centred.then(Transform.shift(x + float(shift[0]), y + float(shift[1])))
    return Transform(moved.stages, "similarity")


def _slope(scenario: Scenario) -> tuple[float, float]:
    """Return the relative rise of the sky light per px along x and y, from corner to corner `gradient` at most."""
    angle = np.radians(scenario.gradient_angle_deg)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    across = abs(c) * (scenario.width - 1) + abs(s) * (scenario.height - 1)
    return scenario.gradient * c / across, scenario.gradient * s / across


def _plan_trails(scenario: Scenario) -> dict[int, tuple[Trail, ...]]:
    """Return the trails of each frame that has any: straight lines from edge to edge."""
    planned: dict[int, tuple[Trail, ...]] = {}
    for i in range(scenario.n_trails):
        random = random_stream(scenario.night_seed, TRAILS, i)
        drawn = int(random.integers(scenario.n_frames))
        index = scenario.trail_frames[i] if i < len(scenario.trail_frames) else drawn
        x, y = random.uniform(0.25, 0.75, 2) * (scenario.width, scenario.height)
        angle = random.uniform(0.0, np.pi)
        ends = _to_the_edges(x, y, np.cos(angle), np.sin(angle), scenario.width, scenario.height)
        half_width = _TRAIL_SIGMAS * scenario.fwhm_px / 2.3548
        planned[index] = (*planned.get(index, ()), Trail(*ends, half_width, np.inf))
    return planned


def _to_the_edges(
    x: float, y: float, cos: float, sin: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return where the line through (x, y) enters and leaves the frame."""
    steps = []
    for place, way, size in ((x, cos, width), (y, sin, height)):
        if abs(way) > 1e-12:
            steps.append(sorted(((-0.5 - place) / way, (size - 0.5 - place) / way)))
    first, last = max(s[0] for s in steps), min(s[1] for s in steps)
    return float(x + first * cos), float(y + first * sin), float(x + last * cos), float(y + last * sin)


def _plan_cosmics(scenario: Scenario, index: int) -> F64:
    """Return the pixels hit by particles: runs of one to four, 800 to 20,000 ADU each."""
    random = random_stream(scenario.night_seed, COSMICS, index)
    hits = []
    for _ in range(scenario.n_cosmics_per_frame):
        x, y = random.integers(scenario.width), random.integers(scenario.height)
        step_x, step_y = random.integers(-1, 2), random.integers(-1, 2)
        adu = 10.0 ** random.uniform(2.9, 4.3)
        for t in range(int(random.integers(1, 5)) if step_x or step_y else 1):
            px, py = x + t * step_x, y + t * step_y
            if 0 <= px < scenario.width and 0 <= py < scenario.height:
                hits.append((px, py, adu))
    return np.array(hits, dtype=np.float64).reshape(-1, 3)


def seen_cells(scenario: Scenario, plane: Plane, frames: list[Conditions]) -> set[tuple[int, int]]:
    """Return the squares of 512 px of the north-up plane of the target that some frame touches."""
    margin = 16.0 + abs(scenario.distortion_px)
    x = np.array([-margin, scenario.width + margin, scenario.width + margin, -margin])
    y = np.array([-margin, -margin, scenario.height + margin, scenario.height + margin])
    cells: set[tuple[int, int]] = set()
    to_north = Transform.from_matrix(plane.matrix).then(Transform.from_matrix(plane.north_up.matrix).inverse())
    for frame in frames:
        u, v = frame.view.inverse().then(to_north)(x, y)
        columns = range(int(u.min() // CELL_PX), int(u.max() // CELL_PX) + 1)
        rows = range(int(v.min() // CELL_PX), int(v.max() // CELL_PX) + 1)
        cells.update((column, row) for column in columns for row in rows)
    return cells


def radial_distortion(scenario: Scenario) -> Transform:
    """Return the map from undistorted to real pixels: it moves by d (u² + v²) (u, v), d at the corner of the frame."""
    if not scenario.distortion_px:
        return Transform.identity()
    centre = (0.5 * (scenario.width - 1), 0.5 * (scenario.height - 1))
    d = scenario.distortion_px
    #                         u²   uv   v²   u³  u²v  uv²  v³
    coefficients = np.array([[0.0, 0.0, 0.0, d, 0.0, d, 0.0], [0.0, 0.0, 0.0, 0.0, d, 0.0, d]])
    return Transform((Distortion(3, centre, float(np.hypot(*centre)), coefficients),), "polynomial")
