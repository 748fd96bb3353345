"""What is true of a synthetic session: every transform, star, level and blemish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Linear, Mask, Trail, Transform
from skyquilt.testing.sky.drawing import draw_blobs, draw_stars
from skyquilt.testing.sky.field import Plane
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.sensor import Sensor

__all__ = ["FrameTruth", "StarTruth", "Truth"]


@dataclass(frozen=True, slots=True, eq=False)
class StarTruth:
    """
    The stars of a session, brightest first; one entry a star in every array.

    Attributes
    ----------
    x, y : float64 (n,), px of the reference frame
    flux : float64 (n, n_channels), ADU in one exposure at transparency 1
        Sum over all pixels, were they all of that channel.
    ra_deg, dec_deg : float64 (n,), degrees
        Of date, on the axes of J2000 (ICRS).
    v_mag : float64 (n,)
    is_tycho : bool (n,)
        Whether it stands in the catalogue.
    plane_x, plane_y : float64 (n,), px
        The same places before distortion, on the ideal plane of the reference frame.
    """

    x: F64
    y: F64
    flux: F64
    ra_deg: F64
    dec_deg: F64
    v_mag: F64
    is_tycho: Mask
    plane_x: F64
    plane_y: F64

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: I64 | Mask | slice) -> StarTruth:
        """Return the chosen stars, in the order of `index`."""
        return StarTruth(*(getattr(self, name)[index] for name in StarTruth.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """
    What is true of one frame.

    Attributes
    ----------
    path : Path
        Where it lies, or would lie (sessions in memory).
    fault : str
        A word of `FAULTS`, or "".
    is_good : bool
        Whether its pixels are worth stacking.
    transform : Transform
        Pixels of the reference frame to pixels of this frame, exact.
    from_plane : Transform
        The same from the ideal plane of the reference frame, before distortion.
    transparency : float
        Share of the light of stars and nebula that arrives.
    fwhm_px : float
    streak : (float, float), px
        How far the stars move during the exposure.
    sky_light_adu, sky_adu, sky_sigma_adu : float64 (n_channels,), ADU
        At the centre of the frame: light of the sky, level in the file (with pedestal and dark signal), and the ideal
        noise of one pixel there.
    slope : (float, float), 1/px
        Relative rise of the sky light along x and y.
    trails : tuple of Trail
    cosmics : float64 (n, 3)
        (x, y, ADU) of every pixel hit.
    start : datetime
        UTC, start of the exposure.
    panel : int
    """

    index: int
    path: Path
    fault: str
    is_good: bool
    transform: Transform
    from_plane: Transform
    transparency: float
    fwhm_px: float
    streak: tuple[float, float]
    sky_light_adu: F64
    sky_adu: F64
    sky_sigma_adu: F64
    slope: tuple[float, float]
    trails: tuple[Trail, ...]
    cosmics: F64
    start: datetime
    panel: int


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """
    What is true of a whole session.

    Attributes
    ----------
    folder : Path
        Top folder that was written, e.g. the one that holds `MyWorks`.
    lights_folder : Path
        Where the lights lie.
    frames : tuple of FrameTruth
        In time order; those that the device itself refused come after the first `scenario.n_frames`.
    reference : int
        Index of the first good frame: its pixels are the reference plane.
    stars : StarTruth
    blobs : float64 (n, 5 + n_channels)
        Extended light, see `kernels.render.add_blobs`; on the ideal plane of the reference frame.
    sensor : Sensor
    plane : Plane
        Ideal view of the target: sky to pixels.
    view : Transform
        That plane to the ideal plane of the reference frame.
    distortion : Transform
        Ideal to real pixels, the same for every frame.
    """

    scenario: Scenario
    folder: Path
    lights_folder: Path
    frames: tuple[FrameTruth, ...]
    reference: int
    stars: StarTruth
    blobs: F64
    sensor: Sensor
    plane: Plane
    view: Transform
    distortion: Transform

    @property
    def good_frames(self) -> tuple[FrameTruth, ...]:
        """The frames that are worth stacking."""
        return tuple(frame for frame in self.frames if frame.is_good)

    @property
    def hot_pixels(self) -> I64:
        """(x, y) of the hot pixels, int64 (n, 2)."""
        return self.sensor.hot_pixels

    def stars_in(self, box: Box, margin: float = 0.0) -> StarTruth:
        """Return the stars whose centres lie in a box of the reference frame, at least `margin` px from its edge."""
        x, y, m = self.stars.x, self.stars.y, margin
        inside = (x >= box.x0 - 0.5 + m) & (x < box.x1 - 0.5 - m) & (y >= box.y0 - 0.5 + m) & (y < box.y1 - 0.5 - m)
        return self.stars.take(inside)

    def frame_stars(self, index: int) -> StarTruth:
        """Return the stars inside frame `index` as it shows them: x, y in its pixels, flux at its transparency."""
        near = self.stars_near(index, 0.0)
        x, y, width, height = near.x, near.y, self.scenario.width, self.scenario.height
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        return near.take(inside)

    def stars_near(self, index: int, border_px: float) -> StarTruth:
        """Return the stars of frame `index` as `frame_stars` does, with those up to `border_px` beside it or more."""
        frame = self.frames[index]
        straight = Transform(tuple(stage for stage in frame.from_plane.stages if isinstance(stage, Linear)))
        x, y = straight(self.stars.plane_x, self.stars.plane_y)
        # chosen before the distortion: a barrel would fold stars from far outside back into the frame
        border = border_px + 4.0 * abs(self.scenario.distortion_px) + 1.0
        width, height = self.scenario.width, self.scenario.height
        near = (x > -border) & (x < width + border) & (y > -border) & (y < height + border)
        real_x, real_y = self.distortion(x[near], y[near])
        stars = self.stars.take(near)
        return replace(stars, x=real_x, y=real_y, flux=stars.flux * frame.transparency)

    def to_sky(self, x: F64 | float, y: F64 | float) -> tuple[F64, F64]:
        """Return (ra, dec), degrees of J2000, of pixels of the reference frame."""
        back = self.distortion.inverse().then(self.view.inverse())
        return self.plane.to_sky(*back(x, y))

    def from_sky(self, ra_deg: F64 | float, dec_deg: F64 | float) -> tuple[F64, F64]:
        """Return (x, y) in px of the reference frame of places on the sky."""
        x, y, _ = self.plane.from_sky(np.asarray(ra_deg, dtype=np.float64), np.asarray(dec_deg, dtype=np.float64))
        return self.view.then(self.distortion)(x, y)

    def frame_centre(self, index: int) -> tuple[float, float]:
        """Return (ra, dec), degrees of J2000, of the middle of frame `index`."""
        middle = 0.5 * (self.scenario.width - 1), 0.5 * (self.scenario.height - 1)
        ra, dec = self.to_sky(*self.frames[index].transform.inverse()(*middle))
        return float(ra), float(dec)

    def nebula(self, x: F64 | float, y: F64 | float) -> F64:
        """Return the extended light at pixels of the reference frame, transparency 1: (n_channels, ...), ADU."""
        u, v = self.distortion.inverse()(x, y)
        light = np.zeros((self.scenario.n_channels, *u.shape))
        for row in self.blobs:
            du, dv = u - row[0], v - row[1]
            shape = np.exp(-0.5 * (row[2] * du**2 + 2.0 * row[3] * du * dv + row[4] * dv**2))
            light += row[5:].reshape(-1, *(1,) * u.ndim) * shape
        return light

    def render_reference(self, channel: int = 0, *, fwhm_px: float | None = None, box: Box | None = None) -> F32:
        """
        Return the noiseless sky of one channel on the reference grid: stars and nebula at transparency 1.

        Parameters
        ----------
        fwhm_px : float
            Of the stars; that of the reference frame by default.
        box : Box
            In reference pixels; the whole reference frame by default. May reach beyond it.

        Returns
        -------
        float32 (y, x), ADU
            Without sky, pedestal, flat field or dark signal.
        """
        box = box or Box.of_shape(self.scenario.height, self.scenario.width)
        image = np.zeros(box.shape, dtype=np.float32)
        one_colour = np.zeros((2, 2), dtype=np.int64)
        blobs = np.ascontiguousarray(self.blobs[:, [0, 1, 2, 3, 4, 5 + channel]])
        draw_blobs(image, one_colour, blobs, self.distortion.inverse(), 1.0, box)
        xs, ys = self.stars.x - box.x0, self.stars.y - box.y0
        flux = np.ascontiguousarray(self.stars.flux[:, channel : channel + 1])
        width = fwhm_px or self.frames[self.reference].fwhm_px
        draw_stars(image, one_colour, xs, ys, flux, width, self.scenario.moffat_beta)
        return image
