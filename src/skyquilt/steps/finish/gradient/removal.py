"""Gradient removal: from the cells of an image to a model of its sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish.gradient.cells import Cells, choose_cell, read_cells
from skyquilt.steps.finish.gradient.polynomial import design, n_terms
from skyquilt.steps.finish.gradient.search import search_sky
from skyquilt.steps.finish.gradient.sky_model import SkyModel
from skyquilt.steps.finish.gradient.surfaces import mesh_surface, radial_surface

__all__ = ["GRADIENT_MODELS", "GRADIENT_MODES", "GradientSettings", "plan_gradient", "remove_gradient"]

GRADIENT_MODELS = ("polynomial", "mesh", "radial")
GRADIENT_MODES = ("subtract", "divide")
_AUTOMATIC = (1, 2, 3)
_HIGHEST = 4
_FEWEST_CELLS = 6  # across and down


@dataclass(frozen=True, slots=True)
class GradientSettings:
    """
    How the sky's gradient is found and taken off.

    Attributes
    ----------
    model : "polynomial", "mesh" or "radial"
        A polynomial holds across the whole image and through objects of any size. A mesh (smoothed cells) and radial
        functions (thin plates) also follow what no polynomial does; where objects cover the sky they fall back to it.
    order : int, 1 to 4, or None
        Of the polynomial; None chooses 1, 2 or 3 by how well parts of the image predict the others. A nebula that fills
        half of the field leaves no more than order 1, or 2, to be told.
    mode : "subtract" or "divide"
        Light of the sky adds: subtract. What the flat field missed multiplies: divide.
    keep_level : bool
        Leave the median sky in place (True), or bring it to 0 (1 where divided).
    cell_px : int or None
        Side of a cell, even; None takes a 32nd of the shorter side.
    kappa : float, 2 to 10
        Sigma from which cells count as an object.
    grow_cells : int, 0 to 8
        By how many cells objects are widened.
    tolerance : float, 0.0005 to 0.05
        Of the sky: fainter light over many cells is not told from it. A higher one lets a mesh or radial functions
        follow unevenness of the sky of that height, and costs as faint parts of nebulae.
    smoothing_cells : float, 0.5 to 20
        Sigma of the mesh.
    use_colours : bool
        Take the sky to be of one colour, to find emission of another where nothing else tells.
    """

    model: str = "polynomial"
    order: int | None = None
    mode: str = "subtract"
    keep_level: bool = True
    cell_px: int | None = None
    kappa: float = 3.0
    grow_cells: int = 1
    tolerance: float = 0.0025
    smoothing_cells: float = 3.0
    use_colours: bool = True

    def __post_init__(self) -> None:
        if self.model not in GRADIENT_MODELS:
            raise UsageError(f"{self.model!r} is no model of a gradient", f"one of {', '.join(GRADIENT_MODELS)}")
        if self.mode not in GRADIENT_MODES:
            raise UsageError(f"a gradient cannot be taken off by {self.mode!r}", f"one of {', '.join(GRADIENT_MODES)}")
        if self.order is not None and not 1 <= self.order <= _HIGHEST:
            raise UsageError(f"a gradient of order {self.order} cannot be fitted", f"give 1 to {_HIGHEST}, or none")
        if not 2.0 <= self.kappa <= 10.0:
            raise UsageError(f"objects cannot be found at {self.kappa:g} sigma", "give 2 to 10")
        if not 0 <= self.grow_cells <= 8:
            raise UsageError(f"objects cannot be widened by {self.grow_cells} cells", "give 0 to 8")
        if not 0.0005 <= self.tolerance <= 0.05:
            raise UsageError(f"a tolerance of {self.tolerance:g} of the sky is out of range", "give 0.0005 to 0.05")
        if not 0.5 <= self.smoothing_cells <= 20.0:
            raise UsageError(f"a mesh cannot be smoothed over {self.smoothing_cells:g} cells", "give 0.5 to 20")


def plan_gradient(cells: Cells, settings: GradientSettings) -> SkyModel:
    """
    Return the model of the sky among the cells of an image.

    Parameters
    ----------
    cells : Cells
        `read_cells` of the image, or its bands joined.

    Raises
    ------
    NoUsableInput
        If too few cells have data.
    UsageError
        If the image has fewer than 6 cells across or down.

    Notes
    -----
    What can be told and what not. The sky is taken as smooth on the scale of the field; whatever is brighter than
    that surface somewhere is an object, whatever its size, as long as 8 % of the cells are free of it. Without
    objects, or with those of a galaxy's size, gradients of order 1 to 3 are met to 0.02 to 0.1 % of the sky. Under a
    nebula over half of the field (bench/finish.py: 9 of random direction, edge, texture, colour and brightness) a
    linear one is met to 0.1 % (the worst, with 10 % of the cells free, 0.5 %), a quadratic one to 0.4 % in the
    median, 0.1 to 0.5 % where a quarter of the cells is free and 1 to 5 % where less than a fifth is. That is what
    the noise of the free cells leaves, no matter of masks: with masks from the truth it is no better. Deeper masters
    are told better in proportion. `SkyModel.swing` says for each image what the continuation is worth; what is left
    stayed below 2.5 times it in all of these where the order was right. Light that is itself as smooth and wide as a
    polynomial (galactic cirrus, the halo of a galaxy that fills the field) is not told from the sky by shape, and
    nothing here claims it. Where emission reaches everywhere, its least brightness counts as sky. The gradient, of
    the first order then, is taken from the sum of channels in which emission of one colour cancels, true as far as
    the sky keeps its colour (the error is about 1.5 times the gradient's change of colour) and no pedestal is left in
    the image; and where that does not exist (grey light, or of several colours) from the lower envelope, true as far
    as the darkest places are equally dark. `SkyModel.source` says which it was.
    """
    gy, gx = cells.level.shape[1:]
    if min(gy, gx) < _FEWEST_CELLS:
        raise UsageError(
            f"{cells.width}x{cells.height} px are {gx}x{gy} cells of {cells.cell_px} px, a gradient takes"
            f" {_FEWEST_CELLS} each way",
            "use smaller cells",
        )
    x, y = cells.centres
    u, v = _normalised(x, y, cells)
    level = cells.level.astype(np.float64)
    known = np.isfinite(level).all(axis=0)
    orders = _AUTOMATIC if settings.order is None else (settings.order,)
    if known.sum() < 4 * n_terms(orders[-1]):
        raise NoUsableInput(
            f"only {int(known.sum())} of {known.size} cells of the image have data", "crop it to what is covered"
        )
    found = search_sky(
        level,
        np.array([np.median(channel[known]) for channel in cells.sigma.astype(np.float64)]),
        u,
        v,
        orders,
        kappa=settings.kappa,
        grow_cells=settings.grow_cells,
        tolerance=settings.tolerance,
        use_colours=settings.use_colours,
    )
    nodes = (found.coefficients @ design(u.ravel(), v.ravel(), found.order).T).reshape(level.shape)
    if settings.model != "polynomial" and found.free.any():
        residual = np.where(found.free, level - nodes, 0.0)
        if settings.model == "mesh":
            nodes = nodes + mesh_surface(residual, found.free, settings.smoothing_cells)
        else:
            nodes = nodes + radial_surface(residual, found.free, u, v, found.noise)[0]
    return SkyModel(
        nodes=nodes,
        across=x,
        down=y,
        height=cells.height,
        width=cells.width,
        level=np.median(nodes[:, known], axis=1),
        mode=settings.mode,
        keep_level=settings.keep_level,
        kind=settings.model,
        order=found.order,
        free=found.free,
        loss=found.loss,
        source=found.source,
        swing=found.swing,
    )


def _normalised(x: F64, y: F64, cells: Cells) -> tuple[F64, F64]:
    """Return the cells' coordinates (gy, gx), -1 to 1 along the longer side, 0 in the middle of the image."""
    half = max(cells.width, cells.height) / 2.0
    u, v = np.meshgrid((x - (cells.width - 1) / 2.0) / half, (y - (cells.height - 1) / 2.0) / half)
    return u, v


def remove_gradient(image: F32, settings: GradientSettings) -> tuple[F32, SkyModel]:
    """
    Return the image without the gradient of its sky, and the model of it.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN where there is no data, and there it stays.

    Raises
    ------
    NoUsableInput, UsageError
        As `plan_gradient` and `SkyModel.apply`.

    Notes
    -----
    Definition: `SkyModel.apply` of `plan_gradient` of `read_cells`; by tiles these three do the same to the bit. Cost:
    about 0.2 s for the search, and 15 ns a value.
    """
    cell_px = settings.cell_px or choose_cell(*image.shape[1:])
    model = plan_gradient(read_cells(image, cell_px), settings)
    return model.apply(image), model
