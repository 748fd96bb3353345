"""
What a mosaic is worth, measured against the truth of its session: fluxes, places, seams, extended light, coverage.

It takes arrays and their coordinates, and knows nothing of the program that made them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skyquilt.core import F32, F64, Box, Mask, SkyGrid
from skyquilt.testing.laws import measure_star_fluxes, trail_residue
from skyquilt.testing.mosaic_judge.blocks import (
    BLOCK_PX,
    SIGMA_PER_MAD,
    block_means,
    block_medians,
    block_sigma,
    expanded,
    robust_fit,
)
from skyquilt.testing.mosaic_judge.centroid import window_centroid
from skyquilt.testing.mosaic_judge.figures import Astrometry, Figures, Outlier, Ratio, Seams
from skyquilt.testing.mosaic_sky import MosaicFrame, MosaicTruth, ShownStars

__all__ = ["MosaicJudge", "judge_mosaic"]

_FULL_ADU = 20_000.0
_MOST_STARS = 500
_MASKED_SIGMAS = 0.3


@dataclass(frozen=True, eq=False)
class MosaicJudge:
    """
    A mosaic beside its truth. `judge_mosaic` makes one.

    Attributes
    ----------
    truth : MosaicTruth
    grid : SkyGrid
    value : float32 (channel, y, x), ADU
        NaN where nothing is known.
    coverage : float32 (y, x), seconds
    frames : tuple of int
        Index of every frame that went in.
    per : "frame" or "canvas"
        What a value counts, see `MosaicTruth.render`.
    """

    truth: MosaicTruth
    grid: SkyGrid
    value: F32
    coverage: F32
    frames: tuple[int, ...]
    per: str
    _drawn: dict[tuple[str, int], F32] = field(default_factory=dict, repr=False)
    _rest: dict[int, F64] = field(default_factory=dict, repr=False)
    _scale: dict[int, Ratio] = field(default_factory=dict, repr=False)

    def light(self, channel: int) -> F32:
        """Return the true light of stars and nebula on the mosaic's pixels, transparency 1, float32 (y, x), ADU."""
        return self.star_light(channel) + self.nebula_light(channel)

    def star_light(self, channel: int) -> F32:
        """Return that of the stars alone; all have the median FWHM of the frames."""
        return self._draw("stars", channel)

    def nebula_light(self, channel: int) -> F32:
        """Return that of the nebula alone."""
        return self._draw("nebula", channel)

    def _draw(self, what: str, channel: int) -> F32:
        if (what, channel) not in self._drawn:
            fwhm = float(np.median([self.truth.frames[index].fwhm_px for index in self.frames]))
            self._drawn[what, channel] = self.truth.render(
                self.grid, channel, fwhm_px=fwhm, per=self.per, stars=what == "stars", nebula=what == "nebula"
            )
        return self._drawn[what, channel]

    @property
    def aperture_px(self) -> float:
        """Radius of the apertures that fluxes are measured in: 2.2 FWHM of the frames, px of the mosaic."""
        return 2.2 * self.truth.frames_fwhm_px() * self._frame_over_canvas()

    def stars(self, *, peak_adu: tuple[float, float] = (1500.0, 30000.0)) -> ShownStars:
        """
        Return the stars that stand alone on covered pixels, brightest first, 500 at most.

        No star of a fiftieth of the flux or more is within 2.5 apertures; the aperture and its ring are covered.

        Parameters
        ----------
        peak_adu : (float, float)
            Between which the peak of its brightest channel lies at transparency 1 in a frame.
        """
        from scipy.ndimage import minimum_filter
        from scipy.spatial import KDTree

        apart_px = 2.5 * self.aperture_px
        shown = self.truth.stars_on(self.grid, apart_px)
        strength = shown.flux.max(axis=1)
        peak = strength * 0.8825 / self.truth.frames_fwhm_px() ** 2  # of a Gaussian; a Moffat profile's is lower
        reach = int(np.ceil(2.2 * self.aperture_px)) + 2
        is_whole = minimum_filter(self.coverage > 0, size=2 * reach + 1, mode="constant", cval=0)
        places = np.stack([shown.x, shown.y], axis=1)
        tree = KDTree(places)
        chosen: list[int] = []
        for i in np.flatnonzero((peak > peak_adu[0]) & (peak < peak_adu[1]) & self.grid.holds(shown.x, shown.y, 1.0)):
            if not is_whole[round(float(shown.y[i])), round(float(shown.x[i]))]:
                continue
            near = np.array(tree.query_ball_point(places[i], apart_px))
            if (strength[near] > 0.02 * strength[i]).sum() == 1:
                chosen.append(int(i))
            if len(chosen) == _MOST_STARS:
                break
        return shown.take(np.array(chosen, dtype=np.int64))

    def flux_ratios(self, stars: ShownStars, channel: int) -> F64:
        """Return aperture flux over the true one in the same aperture, float64 (n,)."""
        found = measure_star_fluxes(self.value[channel], stars.x, stars.y, self.aperture_px)
        true = measure_star_fluxes(self.light(channel), stars.x, stars.y, self.aperture_px)
        return np.asarray(found / true)

    def flux(self, channel: int, stars: ShownStars | None = None) -> Ratio:
        """Return the flux of isolated stars over the true one, their median."""
        stars = self.stars() if stars is None else stars
        return _median_ratio(self.flux_ratios(stars, channel))

    def flux_by_panels(self, channel: int, stars: ShownStars | None = None) -> dict[tuple[int, ...], Ratio]:
        """
        Return the flux ratio of the stars of each pointing, and of each overlap, over that of all stars.

        The key names the pointings whose frames (one at least) show the star.
        """
        stars = self.stars() if stars is None else stars
        ratios = self.flux_ratios(stars, channel)
        common = _median_ratio(ratios).value
        members: dict[tuple[int, ...], list[float]] = defaultdict(list)
        for key, ratio in zip(self._panels_of(stars), ratios, strict=True):
            members[key].append(float(ratio) / common)
        return {key: _median_ratio(np.array(values)) for key, values in sorted(members.items())}

    def _panels_of(self, stars: ShownStars) -> list[tuple[int, ...]]:
        """Return the pointings that show each star."""
        ra, dec = self.truth.stars.ra_deg[stars.index], self.truth.stars.dec_deg[stars.index]
        showing = np.zeros((len(stars), self.truth.scenario.n_panels), dtype=bool)
        for index in self.frames:
            frame = self.truth.frames[index]
            showing[:, frame.panel] |= frame.grid.holds(*frame.wcs.to_pixels(ra, dec), 0.0)
        return [tuple(int(p) for p in np.flatnonzero(row)) for row in showing]

    def astrometry(self, channel: int, stars: ShownStars | None = None) -> Astrometry:
        """
        Return found less true places of isolated stars.

        Notes
        -----
        Centroids under a Gaussian window that follows them (Bertin, SExtractor's XWIN), measured alike on the mosaic
        and on the true light, so that neighbours and the nebula shift both.
        """
        stars = self.stars() if stars is None else stars
        sigma = self.truth.frames_fwhm_px() * self._frame_over_canvas() / 2.3548
        light = self.light(channel)
        shifts = np.full((len(stars), 2), np.nan)
        for i, (x, y) in enumerate(zip(stars.x, stars.y, strict=True)):
            found = window_centroid(self.value[channel], float(x), float(y), sigma)
            true = window_centroid(light, float(x), float(y), sigma)
            shifts[i] = found[0] - true[0], found[1] - true[1]
        good = np.isfinite(shifts).all(axis=1)
        return Astrometry(stars.take(good), shifts[good, 0], shifts[good, 1])

    def _frame_over_canvas(self) -> float:
        """Return the size of a frame's pixel, px of the mosaic."""
        return self.truth.scenario.camera.scale_arcsec / self.grid.wcs.scale_arcsec

    def scale(self, channel: int) -> Ratio:
        """Return what the mosaic's light is over the true one, from its stars; 1 +- 0 where none stands alone."""
        if channel not in self._scale:
            found = self.flux(channel)
            self._scale[channel] = found if found.n else Ratio(1.0, 0.0, 0)
        return self._scale[channel]

    def residual(self, channel: int) -> F64:
        """
        Return the mosaic less true stars and nebula, at the flux scale of the mosaic, float64 (y, x), ADU.

        NaN where nothing is covered and within 2 px of starlight above 0.3 of the background's noise.
        """
        if channel not in self._rest:
            self._rest[channel] = self._make_residual(channel)
        return self._rest[channel].copy()

    def _make_residual(self, channel: int) -> F64:
        from scipy.ndimage import binary_dilation

        scale = self.scale(channel).value
        rest: F64 = self.value[channel].astype(np.float64) - scale * self.light(channel)
        rest[self.coverage <= 0] = np.nan
        noise = np.nanmedian(block_sigma(rest))
        bright = binary_dilation(
            scale * self.star_light(channel) > _MASKED_SIGMAS * noise, np.ones((3, 3)), iterations=2
        )
        rest[bright] = np.nan
        return rest

    def detrended(self, channel: int, order: int = 2) -> F64:
        """Return the residual less a polynomial of that order over the whole mosaic, fitted robustly to block means."""
        rest = self.residual(channel)
        means, counts = block_means(rest, BLOCK_PX)
        row, column = np.nonzero(counts >= BLOCK_PX**2 // 8)
        half = 0.5 * (BLOCK_PX - 1)
        y, x = (half + BLOCK_PX * place.astype(np.float64) for place in (row, column))
        terms = self._powers(x, y, order)
        found = robust_fit(terms, means[row, column])[0]
        down, across = np.mgrid[: self.grid.height, : self.grid.width].astype(np.float64)
        for term, weight in zip(self._powers(across, down, order), found, strict=True):
            rest -= weight * term
        return rest

    def _powers(self, x: F64, y: F64, order: int) -> list[F64]:
        """Return x^i y^j of places over the mosaic, from -1 to 1."""
        u, v = 2.0 * x / self.grid.width - 1.0, 2.0 * y / self.grid.height - 1.0
        return [u**i * v**j for i in range(order + 1) for j in range(order + 1 - i)]

    def seams(self, channel: int, *, order: int = 2, most_frames: int = 200) -> Seams:
        """
        Return the steps across the edges of the frames.

        Parameters
        ----------
        order : int
            Of the polynomial that is taken off the whole mosaic first.
        most_frames : int
            Frames whose edges are looked at, spread evenly.

        Notes
        -----
        Along each edge of a frame, every 32 px: the mean of the residual over 32 x 32 px inside less that outside,
        where a quarter of both is sky. Light that is neither in the truth nor a low polynomial, e.g. a smooth bump of
        the sky, makes a step of its slope over 32 px.
        """
        rest = self.detrended(channel, order)
        sigma = expanded(block_sigma(rest), rest.shape)
        spread = np.unique(np.linspace(0, len(self.frames) - 1, min(most_frames, len(self.frames))).astype(np.int64))
        parts = [self._edge_steps(self.truth.frames[self.frames[k]], rest, sigma) for k in spread]
        steps, errors, frame, x, y = (np.concatenate(c) for c in zip(*parts, strict=True))
        return Seams(steps, errors, frame.astype(np.int64), x, y)

    def _edge_steps(self, frame: MosaicFrame, rest: F64, sigma: F64) -> tuple[F64, F64, F64, F64, F64]:
        """Return steps, errors, frame and places (x, y) of the stretches of one frame's edges that show sky."""
        reach = BLOCK_PX / self._frame_over_canvas()  # px of the frame
        box = self.truth.window(frame, self.grid, BLOCK_PX + 1.0)
        cut = box.slices(Box.of_shape(self.grid.height, self.grid.width))
        x, y = self.truth.places(frame, self.grid, box)
        width, height = frame.grid.width, frame.grid.height
        value, noise = rest[cut], sigma[cut]
        down, across = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
        found = []
        for along, size, depth in (
            (x, width, y + 0.5),
            (x, width, height - 0.5 - y),
            (y, height, x + 0.5),
            (y, height, width - 0.5 - x),
        ):
            n = max(1, int(size / reach))
            near = np.isfinite(value) & (np.abs(depth) < reach) & (along >= 0.0) & (along < n * reach)
            place = (along[near] / reach).astype(np.int64) * 2 + (depth[near] < 0)
            count = np.bincount(place, minlength=2 * n).reshape(-1, 2)
            total, spread, at_x, at_y = (
                np.bincount(place, weights=what[near], minlength=2 * n).reshape(-1, 2)
                for what in (value, noise, across, down)
            )
            ok = (count >= BLOCK_PX**2 // 4).all(axis=1)
            count, total = count[ok], total[ok]
            local = spread[ok].sum(axis=1) / count.sum(axis=1)
            steps = (total[:, 0] / count[:, 0] - total[:, 1] / count[:, 1]) / local
            errors = np.sqrt(1.0 / count[:, 0] + 1.0 / count[:, 1])
            middle = (what[ok].sum(axis=1) / count.sum(axis=1) for what in (at_x, at_y))
            found.append((steps, errors, np.full(len(steps), float(frame.index)), *middle))
        steps, errors, index, middle_x, middle_y = (np.concatenate(c) for c in zip(*found, strict=True))
        return steps, errors, index, middle_x, middle_y

    def emission(self, channel: int, *, plane: bool = True, block_px: int = 16) -> Ratio:
        """
        Return how much of the nebula the mosaic kept: the slope of found over true block means.

        Parameters
        ----------
        plane : bool
            Whether the sky is a plane or a constant; either is fitted with the ratio and says nothing of it.

        Notes
        -----
        Robust least squares over blocks of sky and nebula; the truth is at the flux scale of the stars, so that 1 is
        right whatever the mosaic was normalised to (the error holds that of their ratio). It is large where the nebula
        looks like the sky's plane.
        """
        nebula = self.nebula_light(channel).astype(np.float64)
        rest = self.residual(channel)
        stars = self.scale(channel)
        scale = stars.value
        means, counts = block_means(rest + scale * nebula, block_px)
        true, _ = block_means(np.where(np.isfinite(rest), scale * nebula, np.nan), block_px)
        row, column = np.nonzero(counts >= block_px**2 // 4)
        if len(row) < 8 or not np.ptp(true[row, column]) > 0.0:
            return Ratio(np.nan, np.nan, 0)
        x, y = block_px * column.astype(np.float64), block_px * row.astype(np.float64)
        sky = self._powers(x, y, 1 if plane else 0)
        found, errors, n = robust_fit([true[row, column], *sky], means[row, column])
        error = np.hypot(errors[0], found[0] * stars.error / scale)
        return Ratio(float(found[0]), float(error), n)

    def outlier(self, channel: int, *, least_frames: float = 3.0) -> Outlier:
        """Return what stands highest off stars (a trail, a particle, a hot pixel), where so many frames lie or more."""
        rest = self.detrended(channel)
        rest -= expanded(block_medians(rest), rest.shape)
        exposures = self.coverage / self.truth.scenario.camera.exposure_s
        rest[exposures < least_frames] = np.nan
        means, counts = block_means(rest, 4)
        frames, _ = block_means(exposures.astype(np.float64), 4)
        means[counts < 6] = np.nan
        if not np.isfinite(means).any():
            return Outlier(np.nan, np.nan, np.nan, np.nan)
        scaled = means * np.sqrt(frames * counts)
        row, column = np.unravel_index(int(np.nanargmax(scaled)), scaled.shape)
        sigmas = float(scaled[row, column] / (SIGMA_PER_MAD * np.nanmedian(np.abs(scaled))))
        return Outlier(4.0 * int(column) + 1.5, 4.0 * int(row) + 1.5, float(means[row, column]), sigmas)

    def trail_residues(self, channel: int) -> F64:
        """Return what every trail of the frames left along its way, float64 (n,), in sigmas of a pixel there."""
        rest = self.residual(channel)
        sigma = float(np.nanmedian(block_sigma(rest)))
        residues = []
        for index in self.frames:
            frame = self.truth.frames[index]
            for trail in frame.trails:
                ends = frame.wcs.to_sky(np.array([trail.x0, trail.x1]), np.array([trail.y0, trail.y1]))
                x, y = self.grid.wcs.to_pixels(*ends)
                line = replace(trail, x0=float(x[0]), y0=float(y[0]), x1=float(x[1]), y1=float(y[1]))
                residues.append(trail_residue(rest, np.zeros(rest.shape), line) / sigma)
        return np.array(residues)

    def coverage_errors(self, border_px: float = 1.6) -> F64:
        """
        Return found less true coverage, float64 (y, x), seconds; NaN where the edge of a frame is near.

        Parameters
        ----------
        border_px : float
            A kernel needs some pixels around it: within so many px of a frame's outermost pixel centres, inwards,
            either answer is right; outwards 0.6 px. Light that saturates (more than 20,000 ADU) is left out too.
        """
        surely = self.truth.seconds(self.grid, margin_px=border_px, frames=self.frames)
        perhaps = self.truth.seconds(self.grid, margin_px=-0.6, frames=self.frames)
        brightest = np.max([self.star_light(c) for c in range(len(self.value))], axis=0)
        known: Mask = (surely == perhaps) & (brightest < _FULL_ADU)
        return np.where(known, self.coverage - surely, np.nan)

    def figures(self, channel: int = 0) -> Figures:
        """Return all figures of one channel."""
        stars = self.stars()
        panels = self.flux_by_panels(channel, stars)
        seams = self.seams(channel)
        errors = self.coverage_errors()
        errors = errors[np.isfinite(errors)]
        return Figures(
            flux=self.flux(channel, stars),
            panels=panels,
            worst_panel=max((abs(r.value - 1.0) for r in panels.values() if r.n >= 5), default=np.nan),
            astrometry_px=self.astrometry(channel).rms_px,
            seam_largest=seams.largest,
            seam_rms=seams.rms,
            emission=self.emission(channel),
            outlier=self.outlier(channel),
            coverage_wrong=float(np.mean(np.abs(errors) > 0.01 * self.truth.scenario.camera.exposure_s)),
        )


def judge_mosaic(
    value: F32,
    grid: SkyGrid,
    coverage: F32,
    truth: MosaicTruth,
    *,
    frames: Sequence[int] | None = None,
    per: str = "frame",
) -> MosaicJudge:
    """
    Return the judge of a mosaic.

    Parameters
    ----------
    value : float32 (channel, y, x), ADU
    grid : SkyGrid
    coverage : float32 (y, x), seconds
    frames : sequence of int or None
        Which frames of the truth went in; all good ones by default.
    per : "frame" or "canvas"
        What a value counts, see `MosaicTruth.render`.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    shape = (grid.height, grid.width)
    if value.shape[1:] != shape or coverage.shape != shape or len(value) != truth.scenario.camera.n_channels:
        raise ValueError(
            f"value {value.shape} and coverage {coverage.shape} are not of {shape} px and the truth's colours"
        )
    known = np.where(coverage > 0, value, np.nan).astype(np.float32)
    chosen = tuple(frame.index for frame in truth.good_frames) if frames is None else tuple(frames)
    return MosaicJudge(truth, grid, known, coverage, chosen, per)


def _median_ratio(ratios: F64) -> Ratio:
    """Return the median of finite ratios, and its error from their spread."""
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios):
        return Ratio(np.nan, np.nan, 0)
    middle = float(np.median(ratios))
    spread = SIGMA_PER_MAD * float(np.median(np.abs(ratios - middle)))
    return Ratio(middle, 1.2533 * spread / float(np.sqrt(len(ratios))), len(ratios))
