"""Where on the sky a group lies: its reference is solved while the frames are integrated."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from skyquilt.core import Box, Listener, Registration, SkyGrid, Transform, Wcs
from skyquilt.core.sky import separation_deg
from skyquilt.engine.light import Light
from skyquilt.engine.manifest import SkyRecord
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.sampling import Sampling

if TYPE_CHECKING:  # the solver is loaded when it is needed, beside the integration
    from skyquilt.engine.solving import SkySolver
    from skyquilt.steps import solve

__all__ = ["Placement", "SkyPlacer", "canvas_grid", "homography_between", "sky_record"]

_GRID = 7  # points a side at which two frames are compared over the sky
_NO_PAIRS = np.zeros((0, 2), dtype=np.int64)

Placement: TypeAlias = "solve.Solution | solve.NoSolution"


@dataclass(eq=False)
class SkyPlacer:
    """
    The solver of one run, and what it has found so far.

    A frame is solved at most once, in a thread of its own from `begin` on; `placement` waits for it. Without
    ``recipe.solve`` nothing is solved, and that is the reason given.
    """

    recipe: Recipe
    listener: Listener
    cache_folder: Path | None = None
    _solver: SkySolver | None = None
    _found: dict[str, Future[Placement]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor | None = None

    def begin(self, light: Light) -> None:
        """Begin to solve a measured frame."""
        key = str(light.file.path)
        if key in self._found or self.recipe.solve == "off":
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="skyquilt-sky")
        self._found[key] = self._pool.submit(self._solve, light)

    def placement(self, light: Light) -> Placement:
        """Return where a measured frame lies, or why that is not known."""
        from skyquilt.steps import solve

        if self.recipe.solve == "off":
            return solve.NoSolution("it was not asked for (--solve off)")
        self.begin(light)
        return self._found[str(light.file.path)].result()

    def close(self) -> None:
        """Let the thread end; what has been found can still be asked for."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    @property
    def solver(self) -> SkySolver:
        """The catalogue and, if need be, the index of the whole sky, opened at first use."""
        if self._solver is None:
            from skyquilt.engine.solving import SkySolver

            own = Path(self.recipe.catalogue) if self.recipe.catalogue else None
            self._solver = SkySolver(own, self.cache_folder, self.listener)
        return self._solver

    def _solve(self, light: Light) -> Placement:
        from skyquilt.engine.solving import hints_of
        from skyquilt.steps import solve

        assert light.measurement is not None, "a frame that is placed has been measured"
        measured, meta = light.measurement, light.file.meta
        hints = hints_of(meta)
        is_blind = self.recipe.solve == "blind"
        if not hints.places and not is_blind:
            return solve.NoSolution("its header does not say where it points; --solve blind searches the whole sky")
        return self.solver.solve_stars(measured.stars, (meta.height, meta.width), hints, anywhere=is_blind)

    def register(self, light: Light, reference: Light) -> Registration | solve.NoSolution:
        """
        Return how a frame lies on the reference by the coordinates of both, without a common star.

        Notes
        -----
        From pixel to sky to pixel, for two gnomonic pictures, is a homography; it is fitted to 7 x 7 points of the
        frame, which takes in what distortion there is. The registration carries no pairs.
        """
        from skyquilt.steps import solve

        here, there = self.placement(light), self.placement(reference)
        if isinstance(there, solve.NoSolution):
            return solve.NoSolution(f"the reference could not be placed on the sky: {there.reason}")
        if isinstance(here, solve.NoSolution):
            return here
        matrix = homography_between(here.grid, there.wcs)
        transform = Transform.from_matrix(matrix, "homography")
        if not _overlap(transform, here.grid, there.grid):
            apart = float(separation_deg(*here.grid.centre_deg, *there.grid.centre_deg))
            reason = f"it shows another part of the sky, {apart:.1f} degrees from the reference"
            return solve.NoSolution(reason, {"apart_deg": apart})
        return Registration(transform, 0, float("nan"), float("nan"), _NO_PAIRS)


def homography_between(grid: SkyGrid, target: Wcs) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the 3 x 3 matrix that leads from the pixels of one picture to those of another over the sky."""
    x, y = (
        axis.ravel()
        for axis in np.meshgrid(np.linspace(0, grid.width - 1, _GRID), np.linspace(0, grid.height - 1, _GRID))
    )
    u, v = target.to_pixels(*grid.wcs.to_sky(x, y))
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = np.concatenate(
        [
            np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=1),
            np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=1),
        ]
    )
    solution = np.linalg.lstsq(rows, np.concatenate([u, v]), rcond=None)[0]
    return np.append(solution, 1.0).reshape(3, 3)


def _overlap(transform: Transform, grid: SkyGrid, reference: SkyGrid) -> bool:
    x0, y0, x1, y1 = transform.image_of(Box(0, 0, grid.width, grid.height))
    return bool(x1 > 0 and y1 > 0 and x0 < reference.width - 1 and y0 < reference.height - 1)


def canvas_grid(placement: Placement, sampling: Sampling, canvas: Box) -> SkyGrid | None:
    """Return the coordinates of the canvas from those of the reference's full frame; None where they are not known."""
    from skyquilt.steps import solve

    if isinstance(placement, solve.NoSolution):
        return None
    wcs = placement.wcs.scaled(1.0 / sampling.cell).shifted(canvas.x0, canvas.y0)
    if wcs.sip is not None:
        wcs = replace(wcs, sip=wcs.sip.with_inverse(wcs.crpix0, canvas.width, canvas.height))
    return SkyGrid(wcs, canvas.width, canvas.height)


def sky_record(placement: Placement, grid: SkyGrid | None) -> SkyRecord:
    """Return what the manifest says of the place of the canvas."""
    from skyquilt.steps import solve

    if isinstance(placement, solve.NoSolution):
        return SkyRecord(solved=False, reason=placement.reason)
    assert grid is not None, "what is placed has a grid"
    ra_deg, dec_deg = grid.centre_deg
    return SkyRecord(
        solved=True,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        scale_arcsec=grid.wcs.scale_arcsec,
        rotation_deg=grid.wcs.rotation_deg,
        parity=grid.wcs.parity,
        n_matched=placement.n_matched,
        rms_px=placement.rms_px,
        model=placement.model,
        found_by=placement.found_by,
        notes=list(placement.notes),
    )
