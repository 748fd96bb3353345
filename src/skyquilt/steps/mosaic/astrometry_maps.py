"""Where the pixels of all frames lie on the sky, as arrays: one small camera a frame, one distortion a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core import F64, I64, Sip, Wcs
from skyquilt.core.sky import directions, unit_vectors
from skyquilt.errors import BadInput
from skyquilt.steps.mosaic.astrometry_nouns import AstroFrame

__all__ = ["N_COLUMNS", "Devices", "Maps", "columns", "distortion_terms", "given_maps", "tangent_basis"]

N_COLUMNS = {"similarity": 4, "affine": 6}
_GRID = 5  # points along each side of a sensor


@dataclass(frozen=True, slots=True, eq=False)
class Devices:
    """
    What frames of one device share and is not solved for.

    Attributes
    ----------
    names : tuple of str
    width, height : int64 (d,), px
    radius : float64 (d,), px
        Half the longer side: positions count in it, so that all unknowns are in px at the edge.
    powers : tuple of (int, int)
        Of the terms u^i v^j of the distortion, lowest first.
    of_frame : int64 (f,)
    grid : float64 (d, 2, 25), px from the centre
        Points that cover the sensor.
    lift : float64 (d, k, 50)
        Least squares over the grid: from offsets (x of all points, then y) to the k unknowns of a frame.
    linear_part : float64 (d, k, 2 t)
        What of each distortion term a frame's own unknowns could take over, by `lift`.
    """

    names: tuple[str, ...]
    width: I64
    height: I64
    radius: F64
    powers: tuple[tuple[int, int], ...]
    of_frame: I64
    grid: F64
    lift: F64
    linear_part: F64

    @classmethod
    def of(cls, frames: Sequence[AstroFrame], most_order: int, n_columns: int) -> Devices:
        """
        Return the devices of the frames.

        Raises
        ------
        BadInput
            If frames of one device differ in size.
        """
        names = tuple(sorted({frame.device for frame in frames}))
        sizes = {frame.device: (frame.width, frame.height) for frame in frames}
        for frame in frames:
            if sizes[frame.device] != (frame.width, frame.height):
                raise BadInput(
                    f"frame {frame.key} of {frame.device or 'the device'} is {frame.width}x{frame.height} px, others of"
                    f" it are {sizes[frame.device][0]}x{sizes[frame.device][1]}",
                    "give frames of another size a device name of their own",
                )
        size = np.array([sizes[name] for name in names], np.int64).reshape(-1, 2)
        radius = np.maximum(size.max(axis=1), 2) / 2.0
        powers = tuple((total - j, j) for total in range(2, most_order + 1) for j in range(total + 1))
        side = np.linspace(-0.5, 0.5, _GRID)
        at = np.stack(np.meshgrid(side, side)).reshape(2, -1)
        grid = at * (size[:, :, None] - 1)
        lift, linear = [], []
        for (u, v), r in zip(grid, radius, strict=True):
            design = columns(u / r, v / r, n_columns)
            inverse = np.linalg.pinv(np.concatenate([design[:, 0], design[:, 1]]))
            terms = distortion_terms(u / r, v / r, powers)
            nothing = np.zeros_like(terms)
            lift.append(inverse)
            linear.append(inverse @ np.concatenate([np.hstack([terms, nothing]), np.hstack([nothing, terms])]))
        place = {name: k for k, name in enumerate(names)}
        of_frame = np.array([place[frame.device] for frame in frames], np.int64)
        return cls(names, size[:, 0], size[:, 1], radius, powers, of_frame, grid, np.array(lift), np.array(linear))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_columns(self) -> int:
        return int(self.lift.shape[1])

    @property
    def n_terms(self) -> int:
        return len(self.powers)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """
    Maps from the pixels of frames to the sky.

    Attributes
    ----------
    triads : float64 (f, 3, 3)
        Rows: the plane's two axes and its tangent point, orthonormal vectors; no axis has to point north, so that the
        poles are places like others.
    matrix : float64 (f, 2, 2), rad/px
        From distorted offsets in px to the plane.
    sip : float64 (d, 2, t), px
        Terms of the distortion, at offsets of one radius.

    Notes
    -----
    A pixel at offset (u, v) from the sensor's centre lies at ``p = matrix (u + sum sip_k (u/r)^i (v/r)^j)`` on the
    plane, that is in the direction ``p[0] triad[0] + p[1] triad[1] + triad[2]``: TAN-SIP without angles.
    """

    triads: F64
    matrix: F64
    sip: F64

    def distorted(self, devices: Devices, frame: I64, u: F64, v: F64) -> tuple[F64, F64]:
        """Return the offsets after the distortion, px."""
        device = devices.of_frame[frame]
        r = devices.radius[device]
        terms = distortion_terms(u / r, v / r, devices.powers)
        bend = np.zeros((2, len(u)))
        for d, sip in enumerate(self.sip):
            bend += np.where(device == d, sip @ terms.T, 0.0)
        return u + bend[0], v + bend[1]

    def to_vectors(self, devices: Devices, frame: I64, u: F64, v: F64) -> F64:
        """Return the directions (n, 3) of offsets in the frames."""
        at = np.stack(self.distorted(devices, frame, u, v), axis=-1)
        plane = np.einsum("nab,nb->na", self.matrix[frame], at)
        triad = self.triads[frame]
        vectors = plane[:, :1] * triad[:, 0] + plane[:, 1:] * triad[:, 1] + triad[:, 2]
        normed: F64 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normed

    def seen(self, frame: I64, vectors: F64) -> tuple[F64, F64]:
        """
        Return where directions appear, and how that changes with them.

        Returns
        -------
        float64 (n, 2), px
            Offsets from the centre, after the distortion.
        float64 (n, 2, 3), px/rad
            Their derivatives by the direction.
        """
        triad, inverse = self.triads[frame], np.linalg.inv(self.matrix)[frame]
        x, y, z = np.einsum("nab,nb->an", triad, vectors)
        plane = np.stack([x / z, y / z], axis=-1)
        slope = (triad[:, :2] - plane[:, :, None] * triad[:, 2:]) / z[:, None, None]
        return np.einsum("nab,nb->na", inverse, plane), np.matmul(inverse, slope)

    def moved(self, devices: Devices, frames: F64, sip: F64) -> Maps:
        """
        Return the maps after a step.

        Parameters
        ----------
        frames : float64 (f, k), px
            Added to the frames: shift in x and y, then at the edge: scale, turn, stretch, lean.
        sip : float64 (d, 2, t), px
            Added to the terms of the distortion.
        """
        steps = np.zeros((len(frames), 6))
        steps[:, : frames.shape[1]] = frames
        change = _square(steps) / devices.radius[devices.of_frame][:, None, None]
        shift = np.einsum("fab,fb->fa", self.matrix, steps[:, :2])
        east, north, centre = self.triads[:, 0], self.triads[:, 1], self.triads[:, 2]
        centre = centre + shift[:, :1] * east + shift[:, 1:] * north
        centre /= np.linalg.norm(centre, axis=1, keepdims=True)
        east = east - np.sum(east * centre, axis=1, keepdims=True) * centre
        east /= np.linalg.norm(east, axis=1, keepdims=True)
        triads = np.stack([east, np.cross(centre, east), centre], axis=1)
        return Maps(triads, self.matrix + np.matmul(self.matrix, change), self.sip + sip)

    def offsets(self, devices: Devices, given: F64) -> F64:
        """
        Return the step (f, k), px, that would bring the frames closest to directions of their grids.

        Parameters
        ----------
        given : float64 (f, 25, 3)
            Where the points of the grids are to lie.
        """
        n, m = given.shape[:2]
        frame = np.repeat(np.arange(n), m)
        u, v = devices.grid[devices.of_frame].transpose(1, 0, 2).reshape(2, -1)
        away = self.seen(frame, given.reshape(-1, 3))[0] - np.stack(self.distorted(devices, frame, u, v), axis=-1)
        target = away.reshape(n, m, 2).transpose(0, 2, 1).reshape(n, -1)
        offsets: F64 = np.einsum("fkm,fm->fk", devices.lift[devices.of_frame], target)
        return offsets

    def leanings(self, devices: Devices) -> F64:
        """Return stretch and lean (f, 2) of the frames at their edges, px, those of the distortion counted in."""
        part = np.zeros((len(devices), 6))
        part[:, : devices.n_columns] = np.einsum("dkt,dt->dk", devices.linear_part, self.sip.reshape(len(devices), -1))
        whole = np.eye(2) + (_square(part) / devices.radius[:, None, None])[devices.of_frame]
        linear = np.matmul(self.matrix, whole)
        square = np.matmul(linear.transpose(0, 2, 1), linear)
        mean = square[:, 0, 0] + square[:, 1, 1]
        radius = devices.radius[devices.of_frame]
        stretch = (square[:, 0, 0] - square[:, 1, 1]) / (2.0 * mean)
        return np.stack([stretch, square[:, 0, 1] / mean], axis=1) * radius[:, None]

    def sip_of(self, devices: Devices, device: int) -> Sip | None:
        """Return the distortion of a device in the SIP convention, with its inverse; None where there is none."""
        terms = self.sip[device]
        used = [i + j for k, (i, j) in enumerate(devices.powers) if terms[:, k].any()]
        if not used:
            return None
        order, radius = max(used), devices.radius[device]
        a, b = np.zeros((order + 1, order + 1)), np.zeros((order + 1, order + 1))
        for k, (i, j) in enumerate(devices.powers):
            if i + j <= order:
                a[i, j], b[i, j] = terms[:, k] / radius ** (i + j)
        width, height = int(devices.width[device]), int(devices.height[device])
        return Sip(a, b).with_inverse(((width - 1) / 2.0, (height - 1) / 2.0), width, height)

    def wcs_of(self, devices: Devices, frame: int, sip: Sip | None) -> Wcs:
        """Return the coordinates of one frame, tangent at its centre, with the distortion of its device."""
        device = devices.of_frame[frame]
        ra, dec = (float(value) for value in directions(self.triads[frame, 2]))
        towards = _east_north(np.array([ra]), np.array([dec]))[0] @ self.triads[frame, :2].T
        crpix0 = ((float(devices.width[device]) - 1) / 2.0, (float(devices.height[device]) - 1) / 2.0)
        return Wcs((ra, dec), crpix0, np.degrees(towards @ self.matrix[frame]), sip)

    def with_sip(self, sip: F64) -> Maps:
        """Return the same frames with another distortion."""
        return replace(self, sip=sip)


def columns(u: F64, v: F64, n_columns: int) -> F64:
    """Return what each unknown of a frame does to points, float64 (n, 2, k); (u, v) counted in radii."""
    one, none = np.ones_like(u), np.zeros_like(u)
    along_x = [one, none, u, -v, u, v]
    along_y = [none, one, v, u, -v, u]
    return np.stack([np.stack(along_x[:n_columns], axis=-1), np.stack(along_y[:n_columns], axis=-1)], axis=-2)


def distortion_terms(u: F64, v: F64, powers: Sequence[tuple[int, int]]) -> F64:
    """Return u^i v^j, float64 (n, t), by products of lower ones; (u, v) counted in radii."""
    known: dict[tuple[int, int], F64] = {(1, 0): u, (0, 1): v}
    terms = np.empty((len(powers), len(u)))
    for k, (i, j) in enumerate(powers):
        lower, other = (known[i - 1, j], u) if i > 0 else (known[i, j - 1], v)
        known[i, j] = np.multiply(lower, other, out=terms[k])
    return terms.T


def tangent_basis(vectors: F64) -> F64:
    """Return two unit vectors across each direction, float64 (n, 2, 3); everywhere on the sphere."""
    axis = np.zeros_like(vectors)
    steep = np.abs(vectors[:, 2]) > 0.7
    axis[:, 2], axis[:, 0] = ~steep, steep
    first = np.cross(axis, vectors)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(vectors, first)], axis=1)


def given_maps(frames: Sequence[AstroFrame], devices: Devices) -> tuple[Maps, F64]:
    """
    Return the frames as they were given, without distortion, and the directions (f, 25, 3) of their grids.

    For a similarity they are made upright: square pixels.

    Raises
    ------
    BadInput
        If the coordinates of a frame do not reach over its sensor.
    """
    n, m = len(frames), devices.grid.shape[2]
    sky, at = np.empty((n, m, 2)), np.empty((n, 2))
    for k, frame in enumerate(frames):
        cx, cy = (frame.width - 1) / 2.0, (frame.height - 1) / 2.0
        u, v = devices.grid[devices.of_frame[k]]
        ra, dec = frame.wcs.to_sky(np.append(u, 0.0) + cx, np.append(v, 0.0) + cy)
        sky[k, :, 0], sky[k, :, 1], at[k] = ra[:-1], dec[:-1], (ra[-1], dec[-1])
    given = unit_vectors(sky[..., 0], sky[..., 1])
    triads = np.concatenate([_east_north(at[:, 0], at[:, 1]), unit_vectors(at[:, 0], at[:, 1])[:, None]], axis=1)
    x, y, z = np.einsum("fab,fmb->afm", triads, given)
    usable = np.isfinite(given).all(axis=(1, 2)) & (z > 0.0).all(axis=1)
    if not usable.all():
        key = frames[int(np.flatnonzero(~usable)[0])].key
        raise BadInput(f"the coordinates of frame {key} do not cover its sensor", "leave it out or solve it again")
    matrix = np.empty((n, 2, 2))
    for device, (u, v) in enumerate(devices.grid):
        mine = devices.of_frame == device
        design = np.linalg.pinv(np.stack([u, v, np.ones(m)], axis=1))[:2]
        matrix[mine, 0], matrix[mine, 1] = (x / z)[mine] @ design.T, (y / z)[mine] @ design.T
    if not (np.abs(np.linalg.det(matrix)) > 0.0).all():
        key = frames[int(np.flatnonzero(~(np.abs(np.linalg.det(matrix)) > 0.0))[0])].key
        raise BadInput(f"the coordinates of frame {key} have no area", "leave it out or solve it again")
    maps = Maps(triads, matrix, np.zeros((len(devices), 2, devices.n_terms)))
    if devices.n_columns == N_COLUMNS["similarity"]:
        upright = np.zeros((n, N_COLUMNS["affine"]))
        upright[:, 4:] = -maps.leanings(devices)
        maps = maps.moved(devices, upright, np.zeros_like(maps.sip))
    for _ in range(2):
        maps = maps.moved(devices, maps.offsets(devices, given), np.zeros_like(maps.sip))
    return maps, given


def _square(steps: F64) -> F64:
    """Return the matrices (n, 2, 2) of scale, turn, stretch and lean of steps (n, 6)."""
    scale, turn, stretch, lean = steps[:, 2:].T
    return np.stack([scale + stretch, lean - turn, lean + turn, scale - stretch], axis=1).reshape(-1, 2, 2)


def _east_north(ra_deg: F64, dec_deg: F64) -> F64:
    """Return the directions east and north, float64 (n, 2, 3), as `project` has them at a tangent point."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), 0.0 * ra], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return np.stack([east, north], axis=1)
