"""
What a stack is worth, measured against the truth of its session: positions, fluxes, widths, noise, coverage.

It reads the products from their folder, as anybody would, and knows nothing of the engine that made them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask, Transform
from skyquilt.testing.laws import fit_fwhm, measure_star_fluxes, trail_residue
from skyquilt.testing.sky import StarTruth, Truth
from skyquilt.testing.sky.drawing import draw_blobs, draw_stars

__all__ = ["Stacked", "read_stacked"]

_SIGMA_PER_MAD = 1.482602218505602
_FULL_SCALE_ADU = 65535.0
_BORDER_PX = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """
    A stack on the pixels of its reference frame, and the truth of its session.

    Attributes
    ----------
    truth : Truth
    manifest : dict
        Of the run, as in its file.
    value : float32 (channel, y, x), ADU
    variance : float32 (channel, y, x), ADU²
    coverage : float32 (y, x), seconds
    reference : int
        Index of the reference frame in the truth.
    frames : tuple of int
        Index of every frame that was stacked.
    transforms : tuple of Transform
        Of those frames: pixels of the frame to pixels of the reference, as the run found them.
    """

    truth: Truth
    manifest: dict[str, Any]
    value: F32
    variance: F32
    coverage: F32
    reference: int
    frames: tuple[int, ...]
    transforms: tuple[Transform, ...]

    @property
    def rejected(self) -> float:
        """Share of all samples that the rejection refused."""
        statistics = self.manifest["statistics"]
        return float(statistics["rejected_low"] + statistics["rejected_high"])

    def to_reference(self, index: int) -> Transform:
        """Return the true map from the pixels of frame `index` to those of the reference."""
        frames = self.truth.frames
        return frames[index].transform.inverse().then(frames[self.reference].transform)

    def registration_errors(self, step_px: float = 20.0) -> F64:
        """Return the rms distance between found and true places over each frame to its corners, float64 (n,), px."""
        scenario = self.truth.scenario
        x = np.linspace(0.0, scenario.width - 1.0, int(scenario.width / step_px) + 2)
        y = np.linspace(0.0, scenario.height - 1.0, int(scenario.height / step_px) + 2)
        across, down = np.meshgrid(x, y)
        errors = []
        for index, transform in zip(self.frames, self.transforms, strict=True):
            found, true = transform(across, down), self.to_reference(index)(across, down)
            errors.append(np.sqrt(np.mean((found[0] - true[0]) ** 2 + (found[1] - true[1]) ** 2)))
        return np.array(errors)

    def light(self, channel: int, *, transparency: float | None = None) -> F32:
        """
        Return the noiseless light of stars and nebula on the reference's pixels, float32 (y, x), ADU.

        Its stars have the median FWHM of the frames; transparency is that of the reference.
        """
        truth, frame = self.truth, self.truth.frames[self.reference]
        clear = frame.transparency if transparency is None else transparency
        image: F32 = np.zeros(self.coverage.shape, dtype=np.float32)
        one_colour = np.zeros((2, 2), dtype=np.int64)
        blobs = np.ascontiguousarray(truth.blobs[:, [0, 1, 2, 3, 4, 5 + channel]])
        box = Box.of_shape(truth.scenario.height, truth.scenario.width)
        draw_blobs(image, one_colour, blobs, frame.from_plane.inverse(), clear, box)
        stars = truth.stars_near(self.reference, _BORDER_PX)
        flux = np.ascontiguousarray(stars.flux[:, channel : channel + 1]) * (clear / frame.transparency)
        draw_stars(image, one_colour, stars.x, stars.y, flux, self.frames_fwhm_px(), truth.scenario.moffat_beta)
        return image

    def frames_fwhm_px(self) -> float:
        """Return the true median FWHM of the frames."""
        return float(np.median([self.truth.frames[index].fwhm_px for index in self.frames]))

    def stars(self, *, apart_px: float, margin_px: float, peak_adu: tuple[float, float]) -> StarTruth:
        """
        Return the stars that stand alone on the reference, brightest first.

        Parameters
        ----------
        apart_px : float
            No star of a hundredth of the flux or more is nearer.
        margin_px : float
            From the edge of the reference.
        peak_adu : (float, float)
            Between which the brightest channel's peak lies, above the sky.
        """
        scenario = self.truth.scenario
        near = self.truth.stars_near(self.reference, _BORDER_PX)
        strength = near.flux.max(axis=1)
        peak = strength * 0.8825 / self.frames_fwhm_px() ** 2  # of a Gaussian; a Moffat profile's is lower
        chosen = []
        for i in np.flatnonzero((peak > peak_adu[0]) & (peak < peak_adu[1])):
            inside = (
                margin_px <= near.x[i] < scenario.width - margin_px
                and margin_px <= near.y[i] < scenario.height - margin_px
            )
            rivals = (strength > 0.01 * strength[i]) & (np.hypot(near.x - near.x[i], near.y - near.y[i]) < apart_px)
            if inside and rivals.sum() == 1:
                chosen.append(i)
        return near.take(np.array(chosen, dtype=np.int64))

    def flux_ratios(self, stars: StarTruth, channel: int, radius_px: float = 8.0) -> F64:
        """Return aperture flux over the true one in the same aperture, float64 (n,), of stars on the reference."""
        found = measure_star_fluxes(self.value[channel], stars.x, stars.y, radius_px)
        true = measure_star_fluxes(self.light(channel), stars.x, stars.y, radius_px)
        return np.asarray(found / true)

    def fwhm_ratio(self, stars: StarTruth, channel: int) -> float:
        """Return the median FWHM of stars in the stack over that in `light`, the same fit for both."""
        light = self.light(channel)
        ratios = []
        for x, y in zip(stars.x, stars.y, strict=True):
            ratios.append(fit_fwhm(self.value[channel], x, y)[0] / fit_fwhm(light, x, y)[0])
        return float(np.nanmedian(ratios))

    def optimum_noise(self, channel: int, block: int = 8) -> float:
        """
        Return the least noise of a mean over `block` x `block` pixels that any linear combination has, ADU.

        Notes
        -----
        1 / sqrt(n Σ_k 1 / (s_k σ_k)²) with n the raw pixels of that colour in the block, σ_k the true noise of a pixel
        on the sky and s_k = T_ref / T_k the flux scale of frame k.
        """
        frames = self.truth.frames
        clear = frames[self.reference].transparency
        total = 0.0
        for index in self.frames:
            frame = frames[index]
            total += (frame.transparency / (clear * float(frame.sky_sigma_adu[channel]))) ** 2
        n_pixels = float(np.mean(self.truth.scenario.channel_of == channel)) * block**2
        return 1.0 / float(np.sqrt(n_pixels * total))

    def sky_mask(self, far_px: int = 25, light_adu: float = 0.5, reach_px: int = 8) -> Mask:
        """
        Return where the reference shows sky alone, bool (y, x): `far_px` from its edges, and from the light of stars
        and nebula farther than resampling reaches.
        """
        from scipy.ndimage import binary_dilation

        light = np.max([self.light(c) for c in range(self.value.shape[0])], axis=0)
        dark: Mask = ~binary_dilation(light > light_adu, np.ones((3, 3)), iterations=reach_px)
        height, width = dark.shape
        inside = np.zeros_like(dark)
        inside[far_px : height - far_px, far_px : width - far_px] = True
        return dark & inside

    def sky_noise(self, channel: int, mask: Mask, block: int = 8) -> float:
        """
        Return the noise of means over `block` x `block` pixels of sky, ADU.

        Notes
        -----
        1.4826 times the median absolute deviation of b(x) - (b(x - 2) + b(x + 2)) / 2 over sqrt(1.5), of the blocks b
        along rows and along columns: slopes cancel, and blocks two apart share no sample, as blocks side by side do (by
        a few per cent).
        """
        image = np.where(mask, self.value[channel], np.nan).astype(np.float64)
        height, width = (size // block * block for size in image.shape)
        blocks = image[:height, :width].reshape(height // block, block, width // block, block).mean(axis=(1, 3))
        distance = max(2, -(-8 // block))
        differences = [
            lines[:, distance:-distance] - 0.5 * (lines[:, : -2 * distance] + lines[:, 2 * distance :])
            for lines in (blocks, blocks.T)
        ]
        difference = np.concatenate([values[np.isfinite(values)] for values in differences])
        middle = np.median(difference)
        return float(_SIGMA_PER_MAD * np.median(np.abs(difference - middle)) / np.sqrt(1.5))

    def sky_residuals(self, channel: int, mask: Mask) -> F32:
        """
        Return the stack minus the true light and a plane of sky, float32 (y, x), ADU.

        Parameters
        ----------
        mask : bool (y, x)
            Sky, to which the plane is fitted.
        """
        residual = self.value[channel] - self.light(channel)
        y, x = np.nonzero(mask & np.isfinite(residual))
        design = np.stack([np.ones(len(x)), x, y], axis=1)
        level = np.linalg.lstsq(design, residual[y, x].astype(np.float64), rcond=None)[0]
        down, across = np.indices(residual.shape)
        return np.asarray(residual - (level[0] + level[1] * across + level[2] * down), dtype=np.float32)

    def places(self, index: int, x: F64, y: F64, mask: Mask) -> tuple[I64, I64]:
        """Return (x, y) of the pixels of the reference nearest to places of frame `index`, those within the mask."""
        found_x, found_y = (np.rint(found).astype(np.int64) for found in self.to_reference(index)(x, y))
        height, width = mask.shape
        inside = (found_x >= 0) & (found_x < width) & (found_y >= 0) & (found_y < height)
        found_x, found_y = found_x[inside], found_y[inside]
        usable = mask[found_y, found_x]
        return found_x[usable], found_y[usable]

    def trail_residues(self, mask: Mask) -> F64:
        """
        Return what every trail of the session left in the stack, float64 (n_trails, n_channels), in sigmas of its sky.

        Along the trail's way over the sky, within 3 px, compared with what lies beside it (`laws.trail_residue`).
        """
        rows = []
        for index in self.frames:
            for trail in self.truth.frames[index].trails:
                ends_x, ends_y = np.array([trail.x0, trail.x1]), np.array([trail.y0, trail.y1])
                x, y = self.to_reference(index)(ends_x, ends_y)
                line = replace(trail, x0=float(x[0]), y0=float(y[0]), x1=float(x[1]), y1=float(y[1]))
                row = []
                for channel in range(self.value.shape[0]):
                    image = np.where(mask, self.value[channel], np.nan)
                    row.append(trail_residue(image, self.light(channel), line) / self.sky_noise(channel, mask, 1))
                rows.append(row)
        return np.array(rows)

    def variance_ratio(self, channel: int, mask: Mask) -> float:
        """Return the measured variance of the sky's pixels over that of the variance map: 1 where the map is right."""
        claimed = float(np.mean(self.variance[channel][mask]))
        return self.sky_noise(channel, mask, 1) ** 2 / claimed

    def times_covered(self, margin_px: float, edge_px: float = 1e-6) -> F64:
        """
        Return the seconds that frames truly lie over each pixel of the reference, float64 (y, x).

        Parameters
        ----------
        margin_px : float
            How far from the outermost pixel centres of a frame, inwards, a place must lie to count.
        edge_px : float
            Places so near to those centres count too: on a pixel centre a kernel needs no neighbours.
        """
        scenario = self.truth.scenario
        y, x = np.mgrid[: self.value.shape[1], : self.value.shape[2]].astype(np.float64)
        seconds = np.zeros(x.shape)
        for index in self.frames:
            covered = np.ones(x.shape, dtype=bool)
            places = self.to_reference(index).inverse()(x, y)
            for place, size in zip(places, (scenario.width, scenario.height), strict=True):
                from_edge = np.minimum(place, size - 1 - place)
                covered &= (from_edge >= margin_px) | (np.abs(from_edge) <= edge_px)
            seconds += scenario.exposure_s * covered
        return seconds


def read_stacked(folder: Path, truth: Truth) -> Stacked:
    """
    Return the stack whose products lie in `folder` (that with `run_manifest.json`), with maps.

    Raises
    ------
    ValueError
        If the canvas is not that of the reference frame.
    """
    from astropy.io import fits  # only those who judge stacks pay for it

    manifest = json.loads((folder / "run_manifest.json").read_text(encoding="utf-8"))
    shape = (truth.scenario.height, truth.scenario.width)
    if tuple(manifest["canvas"]) != (0, 0, shape[1], shape[0]):
        raise ValueError(f"the canvas {manifest['canvas']} is not the reference frame, {shape[1]}x{shape[0]} px")
    scale = 1.0 if manifest["unit"] == "adu" else _FULL_SCALE_ADU
    value = fits.getdata(folder / "stacked" / "master_linear.fits").astype(np.float32) * np.float32(scale)
    with fits.open(folder / "stacked" / "master_maps.fits") as maps:
        coverage = maps[0].data.astype(np.float32)
        variance = maps["VARIANCE"].data.astype(np.float32) * np.float32(scale) ** 2
    index_of = {frame.path.name: frame.index for frame in truth.frames}
    stacked = [record for record in manifest["frames"] if record["status"] == "stacked"]
    return Stacked(
        truth=truth,
        manifest=manifest,
        value=value.reshape(-1, *shape),
        variance=variance.reshape(-1, *shape),
        coverage=coverage,
        reference=index_of[manifest["reference"]],
        frames=tuple(index_of[record["file"]] for record in stacked),
        transforms=tuple(Transform.from_dict(record["transform"]) for record in stacked),
    )
