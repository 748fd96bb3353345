"""What a synthetic mosaic is to be like: the camera and the nights of a `Scenario`, and where the telescope looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from skyquilt.testing.mosaic_sky.nebula import Cloud
from skyquilt.testing.sky import Scenario

__all__ = ["LAYOUTS", "POINTINGS_TOLD", "MosaicScenario"]

LAYOUTS = ("mixed", "panels")
POINTINGS_TOLD = ("panel", "target", "none")

_HAS_NO_PLACE = {
    "panels": "rows and columns, or centres, say where the telescope looks",
    "n_failed": "name the faults of single frames in `fault`",
    "device_stack": "a mosaic has no stack of the device",
}


@dataclass(frozen=True, slots=True)
class MosaicScenario:
    """
    A session of several pointings, every number of it known.

    Attributes
    ----------
    camera : Scenario
        Camera, seeing, air, sky, dither, drift, field rotation (over the whole session), faults, blemishes, calibration
        frames and seeds, as for a session of one field; its target and position are those of the whole mosaic.
        `n_frames` is set to the number of frames of the mosaic (leave it alone). Frames are counted in time order.
        `nebula_adu` is the typical peak of the clouds, `nebula=False` leaves them out.
    rows, columns : int
        Of the grid of pointings, along y and x of the camera. On the sphere: each is turned from the middle along a
        great circle, and the camera with it, so that the poles and RA 0 are ordinary places.
    overlap : float
        Part of a frame's side that it shares with its neighbour.
    centres : tuple of (float, float), degrees J2000
        (ra, dec) of the pointings in place of the grid.
    subs : int
        Frames a pointing.
    rounds : int
        How often the mount goes round all pointings; `subs` are shared out over the rounds.
    layout : "mixed", "panels" or "device"
        mixed: all frames in one folder; panels: a folder a pointing. Seestar and generic write mixed ones unless told,
        a DWARF knows panels alone.
    told : "panel", "target" or "none"
        What RA and DEC of a header give: the place that the mount was sent to, the middle of the mosaic for all frames,
        or nothing (0, 0 for a DWARF).
    header_wcs : bool
        Write the true coordinates into the headers.
    pointing_error_px : float, px
        How far the mount misses a pointing, 1 sigma an axis; the same for all frames of a visit.
    panel_transparency : mapping of int to float
        Factor on the transparency of single pointings.
    panel_transparency_scatter, panel_sky_scatter, panel_fwhm_scatter : float
        Relative scatter from visit to visit (1 sigma, clipped at 3), on top of what the camera's dials say.
    gradient_turn_deg : float
        How far the direction of the sky's gradient turns in the frame over the session.
    sky_curvature : float
        Relative rise of the sky light from the middle of a frame to its corners, as the square of the distance.
    nebula_clouds : tuple of Cloud or None
        The extended light; None draws `n_nebula_clouds` random ones over the mosaic, each as wide (1 sigma) as 0.25 to
        0.7 of a frame's longer side.
    quick_noise : bool
        Cut the noise of every frame out of one large piece at a random place: for sessions of thousands of frames.
        Two frames then share their noise, displaced, which no registered pixel sees.
    """

    camera: Scenario = field(default_factory=Scenario)
    rows: int = 2
    columns: int = 2
    overlap: float = 0.2
    centres: tuple[tuple[float, float], ...] = ()
    subs: int = 4
    rounds: int = 1
    layout: str = "device"
    told: str = "panel"
    header_wcs: bool = False
    pointing_error_px: float = 10.0
    panel_transparency: Mapping[int, float] = field(default_factory=dict)
    panel_transparency_scatter: float = 0.05
    panel_sky_scatter: float = 0.1
    panel_fwhm_scatter: float = 0.05
    gradient_turn_deg: float = 120.0
    sky_curvature: float = 0.0
    nebula_clouds: tuple[Cloud, ...] | None = None
    n_nebula_clouds: int = 12
    quick_noise: bool = False

    def __post_init__(self) -> None:
        if self.layout == "device":
            is_dwarf = self.camera.device.startswith("dwarf")
            object.__setattr__(self, "layout", "panels" if is_dwarf else "mixed")
        self._check()
        if self.camera.n_frames != self.n_frames:
            object.__setattr__(self, "camera", replace(self.camera, n_frames=self.n_frames))

    def _check(self) -> None:
        _must_be_one_of(self.layout, LAYOUTS, "layout")
        _must_be_one_of(self.told, POINTINGS_TOLD, "told")
        if self.layout == "mixed" and self.camera.device.startswith("dwarf"):
            raise ValueError("a DWARF keeps every panel in a folder of its own: layout is 'panels'")
        if min(self.rows, self.columns, self.subs, self.rounds) < 1 or self.subs % self.rounds:
            raise ValueError("rows, columns, subs and rounds are 1 or more, and subs a multiple of rounds")
        if not 0.0 <= self.overlap < 1.0:
            raise ValueError(f"overlap {self.overlap:g} is a part of a frame's side: 0 or more and below 1")
        for name, reason in _HAS_NO_PLACE.items():
            if getattr(self.camera, name) != _default(name):
                raise ValueError(f"{name} of the camera has no place in a mosaic: {reason}")
        if self.camera.n_frames not in (_default("n_frames"), self.n_frames):
            raise ValueError("n_frames follows from the pointings and subs: leave that of the camera alone")

    @property
    def n_panels(self) -> int:
        """Pointings."""
        return len(self.centres) or self.rows * self.columns

    @property
    def n_frames(self) -> int:
        return self.n_panels * self.subs

    @property
    def visits(self) -> tuple[tuple[int, int], ...]:
        """(panel, visit) of every frame, in time order; a visit is a run of frames at one pointing, counted from 0."""
        run = self.subs // self.rounds
        return tuple((k // run % self.n_panels, k // run) for k in range(self.n_frames))


def _must_be_one_of(word: str, words: tuple[str, ...], name: str) -> None:
    if word not in words:
        raise ValueError(f"{name} {word!r} is not one of {', '.join(words)}")


def _default(name: str) -> Any:
    """Return what a dial of a Scenario stands at unless it is turned."""
    return next(place.default for place in fields(Scenario) if place.name == name)
