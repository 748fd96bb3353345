"""What is true of a synthetic mosaic: where every frame looks, every star and cloud on the sky, every level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask, SkyGrid, Trail, Wcs
from skyquilt.core.sky import separation_deg, unit_vectors
from skyquilt.testing.mosaic_sky.camera_axes import CameraAxes
from skyquilt.testing.mosaic_sky.nebula import Nebula
from skyquilt.testing.mosaic_sky.scenario import MosaicScenario
from skyquilt.testing.sky import Sensor
from skyquilt.testing.sky.drawing import draw_stars
from skyquilt.testing.sky.field import axes_at

__all__ = ["MosaicFrame", "MosaicStars", "MosaicTruth", "ShownStars", "pixel_area"]

_ONE_COLOUR = np.zeros((2, 2), dtype=np.int64)
_BORDER_PX = 100.0
_SCALE_STEP = 0.005
_EDGE_PX = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class MosaicStars:
    """
    The stars of the sky, brightest first; one entry a star in every array.

    Attributes
    ----------
    ra_deg, dec_deg : float64 (n,), degrees
        Of date, on the axes of J2000 (ICRS).
    flux : float64 (n, n_channels), ADU in one exposure at transparency 1
        Sum over all pixels, were they all of that channel.
    v_mag : float64 (n,)
    is_tycho : bool (n,)
    vectors : float64 (n, 3)
        The directions as unit vectors.
    """

    ra_deg: F64
    dec_deg: F64
    flux: F64
    v_mag: F64
    is_tycho: Mask
    vectors: F64

    def __len__(self) -> int:
        return len(self.ra_deg)


@dataclass(frozen=True, slots=True, eq=False)
class ShownStars:
    """
    Stars as an image shows them, brightest first.

    Attributes
    ----------
    index : int64 (n,)
        Which stars of the truth they are.
    x, y : float64 (n,), px
    flux : float64 (n, n_channels), ADU
    """

    index: I64
    x: F64
    y: F64
    flux: F64

    def __len__(self) -> int:
        return len(self.index)

    def take(self, chosen: I64 | Mask) -> ShownStars:
        """Return the chosen stars."""
        return ShownStars(self.index[chosen], self.x[chosen], self.y[chosen], self.flux[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class MosaicFrame:
    """
    What is true of one frame.

    Attributes
    ----------
    path : Path
        Where it lies, or would lie (sessions in memory).
    panel, visit : int
        Its pointing, and the run of frames at one pointing that it is of.
    fault : str
        A word of `FAULTS`, or "".
    is_good : bool
        Whether its pixels are worth stacking.
    grid : SkyGrid
        Its pixels on the sky, exact (TAN, with SIP where the optics distort).
    told_deg : (float, float) or None
        (ra, dec) J2000 of the header.
    transparency : float
        Share of the light of stars and nebula that arrives.
    streak : (float, float), px
        How far the stars move during the exposure.
    sky_light_adu, sky_sigma_adu : float64 (n_channels,), ADU
        At the middle of the frame: light of the sky, and the ideal noise of one pixel there.
    floor_adu : float
        Pedestal and mean dark signal, under all light.
    slope : (float, float), 1/px
        Relative rise of the sky light along x and y.
    curvature : float
        Relative rise of the sky light from the middle to the corners, beside the slope.
    cosmics : float64 (n, 3)
        (x, y, ADU) of every pixel hit.
    start : datetime
        UTC, start of the exposure.
    """

    index: int
    path: Path
    panel: int
    visit: int
    fault: str
    is_good: bool
    grid: SkyGrid
    told_deg: tuple[float, float] | None
    transparency: float
    fwhm_px: float
    streak: tuple[float, float]
    sky_light_adu: F64
    sky_sigma_adu: F64
    floor_adu: float
    slope: tuple[float, float]
    curvature: float
    trails: tuple[Trail, ...]
    cosmics: F64
    start: datetime

    @property
    def wcs(self) -> Wcs:
        """The true coordinates."""
        return self.grid.wcs

    def sky_shape(self, x: F64 | float, y: F64 | float) -> F64:
        """Return the light of the sky over that at the middle of the frame, at pixels that broadcast."""
        u, v = np.asarray(x - 0.5 * (self.grid.width - 1)), np.asarray(y - 0.5 * (self.grid.height - 1))
        bend = 4.0 * self.curvature / ((self.grid.width - 1) ** 2 + (self.grid.height - 1) ** 2)
        shape: F64 = (self.slope[0] * u + bend * u**2) + (1.0 + self.slope[1] * v + bend * v**2)
        return shape

    def sky(self, x: F64 | float, y: F64 | float) -> F64:
        """Return the level of the sky in the file, float64 (n_channels, ...), ADU: pedestal and dark signal too."""
        shape = self.sky_shape(x, y)
        return self.floor_adu + self.sky_light_adu.reshape(-1, *(1,) * np.ndim(shape)) * shape


@dataclass(frozen=True, slots=True, eq=False)
class MosaicTruth:
    """
    What is true of a whole mosaic.

    Attributes
    ----------
    folder : Path
        Top folder that was written.
    axes : CameraAxes
        The camera as it would look at the middle of the mosaic.
    panels_deg : float64 (n_panels, 2)
        (ra, dec) that the mount was sent to.
    frames : tuple of MosaicFrame
        In time order.
    stars : MosaicStars
    nebula : Nebula
    sensor : Sensor
    """

    scenario: MosaicScenario
    folder: Path
    axes: CameraAxes
    panels_deg: F64
    frames: tuple[MosaicFrame, ...]
    stars: MosaicStars
    nebula: Nebula
    sensor: Sensor

    @property
    def good_frames(self) -> tuple[MosaicFrame, ...]:
        """The frames that are worth stacking."""
        return tuple(frame for frame in self.frames if frame.is_good)

    def emission(self, ra_deg: F64 | float, dec_deg: F64 | float) -> F64:
        """Return the extended light at places of the sky: float64 (n_channels, ...), ADU in one pixel of a frame."""
        return self.nebula.light(unit_vectors(ra_deg, dec_deg))

    def stars_on(self, grid: SkyGrid, border_px: float = 0.0) -> ShownStars:
        """Return the stars inside an image and up to `border_px` beside it, fluxes of transparency 1."""
        reach = grid.radius_deg + border_px * grid.wcs.scale_arcsec / 3600.0
        middle = unit_vectors(*grid.centre_deg)
        near = np.flatnonzero(self.stars.vectors @ middle >= np.cos(np.radians(min(reach, 85.0))) - 1e-12)
        x, y = grid.wcs.to_pixels(self.stars.ra_deg[near], self.stars.dec_deg[near])
        inside = grid.holds(x, y, -border_px)
        return ShownStars(near[inside], x[inside], y[inside], self.stars.flux[near[inside]])

    def frame_stars(self, index: int, border_px: float = 0.0) -> ShownStars:
        """Return the stars of frame `index` as it shows them: x, y in its pixels, flux at its transparency."""
        frame = self.frames[index]
        shown = self.stars_on(frame.grid, border_px)
        return ShownStars(shown.index, shown.x, shown.y, shown.flux * frame.transparency)

    def canvas(self, scale_arcsec: float | None = None, margin_px: int = 2) -> SkyGrid:
        """
        Return an image that holds every good frame: TAN about the middle of the mosaic, turned like the camera there.

        Parameters
        ----------
        scale_arcsec : float, arcsec/px
            That of the frames by default.
        """
        wcs = self.axes.wcs((0.0, 0.0), scale_arcsec or self.scenario.camera.scale_arcsec)
        x, y = (
            np.concatenate(c) for c in zip(*(wcs.to_pixels(*f.grid.outline()) for f in self.good_frames), strict=True)
        )
        x0, y0 = int(np.floor(x.min())) - margin_px, int(np.floor(y.min())) - margin_px
        width, height = int(np.ceil(x.max())) + margin_px - x0 + 1, int(np.ceil(y.max())) + margin_px - y0 + 1
        return SkyGrid(wcs.shifted(x0, y0), width, height)

    def frames_fwhm_px(self) -> float:
        """Return the median FWHM of the good frames."""
        return float(np.median([frame.fwhm_px for frame in self.good_frames]))

    def render(
        self,
        grid: SkyGrid,
        channel: int = 0,
        *,
        fwhm_px: float | None = None,
        per: str = "frame",
        stars: bool = True,
        nebula: bool = True,
    ) -> F32:
        """
        Return the noiseless sky of one channel on an image: stars and nebula at transparency 1, float32 (y, x), ADU.

        Parameters
        ----------
        grid : SkyGrid
        fwhm_px : float, px of a frame
            Of the stars; the median of the good frames by default.
        per : "frame" or "canvas"
            What a value counts: the light on the area of a frame's pixel (brightness: interpolated frames show it), or
            on that of a pixel of `grid` (so that the sum over a star is its flux on any grid).
        stars, nebula : bool
            Whether to draw them.

        Notes
        -----
        Stars are round, as wide as the scale of `grid` at their place makes them (in steps of 0.5 %).
        """
        image: F32 = np.zeros((grid.height, grid.width), dtype=np.float32)
        if nebula:
            one_channel = Nebula(self.nebula.vectors, self.nebula.sigma, self.nebula.peak[:, channel : channel + 1])
            one_channel.draw(image, grid.wcs, _ONE_COLOUR, 1.0)
        area = np.radians(self.scenario.camera.scale_arcsec / 3600.0) ** 2
        if per == "canvas":
            y, x = np.mgrid[: grid.height, : grid.width].astype(np.float64)
            image *= (pixel_area(grid.wcs, x, y) / area).astype(np.float32)
        if stars:
            self._add_stars(image, grid, channel, fwhm_px or self.frames_fwhm_px(), per)
        return image

    def _add_stars(self, image: F32, grid: SkyGrid, channel: int, fwhm_px: float, per: str) -> None:
        """Add the stars of one channel to an image, those of one scale at a time."""
        shown = self.stars_on(grid, _BORDER_PX)
        relative = pixel_area(grid.wcs, shown.x, shown.y) / np.radians(self.scenario.camera.scale_arcsec / 3600.0) ** 2
        flux = shown.flux[:, channel] / (relative if per == "frame" else 1.0)
        steps = np.rint(np.log(relative) / (2.0 * _SCALE_STEP)).astype(np.int64)
        for step in np.unique(steps):
            here = steps == step
            width = fwhm_px / float(np.sqrt(np.median(relative[here])))
            beta = self.scenario.camera.moffat_beta
            draw_stars(image, _ONE_COLOUR, shown.x[here], shown.y[here], flux[here][:, None], width, beta)

    def window(self, frame: MosaicFrame, grid: SkyGrid, margin_px: float = 0.0) -> Box:
        """Return the box of `grid` that holds a frame and `margin_px` around it."""
        x, y = grid.wcs.to_pixels(*frame.grid.outline())
        whole = Box.of_shape(grid.height, grid.width)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return whole
        low_x, low_y = int(np.floor(x.min() - margin_px)), int(np.floor(y.min() - margin_px))
        return Box(
            low_x, low_y, int(np.ceil(x.max() + margin_px)) + 1, int(np.ceil(y.max() + margin_px)) + 1
        ).intersect(whole)

    def places(self, frame: MosaicFrame, grid: SkyGrid, box: Box) -> tuple[F64, F64]:
        """
        Return where the pixels of a box of `grid` lie in a frame: (x, y), float64 (y, x); NaN where they are behind it.

        NaN too where an equal-area `grid` is 90 degrees or more from its reference point.

        Notes
        -----
        Equals ``frame.wcs.to_pixels(*grid.wcs.to_sky(x, y))`` to 1e-8 px: between two gnomonic planes lies a matrix.
        """
        y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.float64)
        x, y = _on_gnomonic_plane(grid.wcs, x, y)
        matrix = np.linalg.inv(_rays(frame.wcs)) @ _rays(grid.wcs)
        u, v, ahead = (row[0] * x + row[1] * y + row[2] for row in matrix)
        ahead = np.where(ahead > 0.0, ahead, np.nan)
        u, v = u / ahead, v / ahead
        if frame.wcs.sip is None:
            return u, v
        x0, y0 = frame.wcs.crpix0
        u, v = frame.wcs.sip.undo(u - x0, v - y0)
        return u + x0, v + y0

    def seconds(self, grid: SkyGrid, *, margin_px: float = 0.0, frames: Sequence[int] | None = None) -> F64:
        """
        Return the exposure that lies over each pixel of an image, float64 (y, x), seconds.

        Parameters
        ----------
        margin_px : float
            How far from the outermost pixel centres of a frame, inwards, a place must lie to count.
        frames : sequence of int
            Which frames count; the good ones by default.

        Notes
        -----
        Definition:: a pixel counts in a frame if its `places` have margin - 1e-6 <= x <= width - 1 - margin + 1e-6,
        and y alike. Between undistorted gnomonic planes a frame has straight edges: whole runs of a row are counted at
        once.
        """
        steps = np.zeros((grid.height, grid.width + 1))
        for frame in self._chosen(frames):
            box = self.window(frame, grid, max(0.0, -margin_px) + 1.0)
            part = steps[box.slices(Box(0, 0, grid.width + 1, grid.height))[0]]
            if _is_plain(frame.wcs) and _is_plain(grid.wcs):
                first, last = _row_spans(frame, grid, box, margin_px - _EDGE_PX)
                rows = np.flatnonzero(last >= first)
                part[rows, first[rows]] += 1.0
                part[rows, last[rows] + 1] -= 1.0
                continue
            x, y = self.places(frame, grid, box)
            inside = frame.grid.holds(x, y, margin_px + 0.5 - _EDGE_PX)
            part[:, box.x0 : box.x1] += inside
            part[:, box.x0 + 1 : box.x1 + 1] -= inside
        return self.scenario.camera.exposure_s * np.rint(np.cumsum(steps, axis=1)[:, :-1])

    def nearest_panel(self, ra_deg: F64, dec_deg: F64) -> I64:
        """Return the pointing whose middle is nearest to each place, int64 (n,)."""
        apart = [separation_deg(ra_deg, dec_deg, ra, dec) for ra, dec in self.panels_deg]
        return np.asarray(np.argmin(np.stack(apart), axis=0), dtype=np.int64)

    def _chosen(self, frames: Sequence[int] | None) -> tuple[MosaicFrame, ...]:
        return self.good_frames if frames is None else tuple(self.frames[index] for index in frames)


def _is_plain(wcs: Wcs) -> bool:
    """Tell whether great circles are straight lines of an image."""
    return wcs.projection == "TAN" and wcs.sip is None


def _on_gnomonic_plane(wcs: Wcs, x: F64, y: F64) -> tuple[F64, F64]:
    """
    Return pixels of an image as an ideal lens would have placed them, on the plane that touches its reference point.

    At z from that point an equal-area image has the radius 2 sin(z / 2), the plane tan(z); NaN from 90 degrees on.
    """
    if _is_plain(wcs):
        return x, y
    if wcs.projection == "ZEA":
        x0, y0 = wcs.crpix0
        xi, eta = (np.radians(row[0] * (x - x0) + row[1] * (y - y0)) for row in wcs.cd)
        half = 0.5 * (xi**2 + eta**2)  # 1 - cos(z)
        stretch = np.sqrt(1.0 - 0.5 * np.minimum(half, 1.0)) / np.where(half < 1.0, 1.0 - half, np.nan)
        return x0 + stretch * (x - x0), y0 + stretch * (y - y0)
    assert wcs.sip is not None
    u, v = wcs.sip.apply(x - wcs.crpix0[0], y - wcs.crpix0[1])
    return u + wcs.crpix0[0], v + wcs.crpix0[1]


def _rays(wcs: Wcs) -> F64:
    """Return the matrix (3, 3) that takes undistorted (x, y, 1) to a vector in the direction of that pixel."""
    plane = np.eye(3)
    plane[:2, :2] = np.radians(wcs.cd)
    plane[:2, 2] = -plane[:2, :2] @ np.array(wcs.crpix0)
    rays: F64 = axes_at(*wcs.crval_deg).T @ plane
    return rays


def _row_spans(frame: MosaicFrame, grid: SkyGrid, box: Box, margin_px: float) -> tuple[I64, I64]:
    """Return the first and the last pixel of a frame in each row of a box; last < first where there is none."""
    u, v, ahead = np.linalg.inv(_rays(frame.wcs)) @ _rays(grid.wcs)
    right, bottom = frame.grid.width - 1.0 - margin_px, frame.grid.height - 1.0 - margin_px
    edges = (u - margin_px * ahead, right * ahead - u, v - margin_px * ahead, bottom * ahead - v, ahead)
    y = np.arange(box.y0, box.y1, dtype=np.float64)
    low, high = np.full(len(y), float(box.x0)), np.full(len(y), float(box.x1 - 1))
    for edge in edges:  # inside is where edge[0] x + edge[1] y + edge[2] >= 0
        rest = edge[1] * y + edge[2]
        if edge[0] > 0.0:
            low = np.maximum(low, -rest / edge[0])
        elif edge[0] < 0.0:
            high = np.minimum(high, -rest / edge[0])
        else:
            high = np.where(rest >= 0.0, high, -1.0)
    first, last = np.ceil(low), np.minimum(np.floor(high), box.x1 - 1.0)
    return np.clip(first, box.x0, box.x1).astype(np.int64), np.clip(last, box.x0 - 1.0, box.x1 - 1.0).astype(np.int64)


def pixel_area(wcs: Wcs, x: F64, y: F64) -> F64:
    """Return the solid angle of pixels of an image, steradians, from the vectors across each."""
    half = 0.5
    along_x = unit_vectors(*wcs.to_sky(x + half, y)) - unit_vectors(*wcs.to_sky(x - half, y))
    along_y = unit_vectors(*wcs.to_sky(x, y + half)) - unit_vectors(*wcs.to_sky(x, y - half))
    area: F64 = np.linalg.norm(np.cross(along_x, along_y), axis=-1)
    return area
