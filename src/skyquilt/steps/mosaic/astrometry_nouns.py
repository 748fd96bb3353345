"""What the joint astrometric solution is given, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.core import F64, I64, CatalogueStars, Sip, Stars, Wcs
from skyquilt.errors import UsageError

__all__ = ["AstroFrame", "AstroSettings", "AstroSolution", "Component", "DeviceSolution", "FrameSolution"]

_MODELS = ("similarity", "affine")
_MOST_ORDER = 5


@dataclass(frozen=True, slots=True, eq=False)
class AstroFrame:
    """
    One frame of a mosaic, before the joint solution.

    Attributes
    ----------
    key : str
        Names the frame; no two frames share one. The solution does not depend on the order of the frames, but on these.
    wcs : Wcs
        Where the frame lies, to a few pixels: its own solution, or one by its neighbours.
    width, height : int, px
    device : str
        Frames of one device share their optics, hence size, scale and distortion.
    stars : Stars
    catalogue_index : int64 (m,)
        Which of the stars were matched to the catalogue; empty for a frame that could not be solved alone.
    catalogue : CatalogueStars
        Their m partners, in the same order, at the epoch of the frame.
    """

    key: str
    wcs: Wcs
    width: int
    height: int
    device: str
    stars: Stars
    catalogue_index: I64
    catalogue: CatalogueStars


@dataclass(frozen=True, slots=True)
class AstroSettings:
    """
    How the joint solution is made.

    Attributes
    ----------
    model : str
        "similarity": a frame is shifted, turned and scaled. "affine": it may lean as well, as the refraction of the
        air makes it (up to 0.1 % at 30 degrees altitude); the lean is held to zero by `lean`, so that few stars do not
        make it run away.
    lean : float
        Standard deviation of the lean of a frame before its stars are seen, as a part of its size.
    most_order : int, 0 or 2 to 5
        Highest order of the distortion that the frames of a device share; 0 for none.
    catalogue_error_arcsec : float, arcsec per axis
        Error of the catalogue's positions; taken larger if the residuals say so.
    floor_px : float, px per axis
        Least error of a measured position; more is added if the residuals say so.
    stars_a_frame : int
        At most so many stars of a frame take part, spread over it; those matched to the catalogue first.
    most_observations : int
        With more frames than this allows, fewer stars of each take part, which bounds the memory.
    reach_px : float, px
        How far apart frames may lay the same star before the solution, at most.
    search_px : float, px
        How far a frame without partners is looked for.
    """

    model: str = "affine"
    lean: float = 4e-4
    most_order: int = 3
    catalogue_error_arcsec: float = 0.08
    floor_px: float = 0.01
    stars_a_frame: int = 150
    most_observations: int = 2_000_000
    reach_px: float = 5.0
    search_px: float = 30.0

    def __post_init__(self) -> None:
        if self.model not in _MODELS:
            raise UsageError(f"the model {self.model!r} is not known", f"choose one of {', '.join(_MODELS)}")
        if self.most_order not in (0, *range(2, _MOST_ORDER + 1)):
            raise UsageError(f"most_order is {self.most_order}", f"choose 0 or 2 to {_MOST_ORDER}")
        for name in ("lean", "catalogue_error_arcsec", "floor_px", "reach_px", "search_px"):
            if not getattr(self, name) > 0.0:
                raise UsageError(f"{name} is {getattr(self, name)}", "give a number above 0")
        for name in ("stars_a_frame", "most_observations"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "give a number above 0")


@dataclass(frozen=True, slots=True, eq=False)
class FrameSolution:
    """
    Where one frame lies after the joint solution.

    Attributes
    ----------
    key : str
    wcs : Wcs
        Tangent at the frame's centre, with the distortion of its device.
    n_ties : int
        Stars that agree with those of at least one other frame.
    n_catalogue : int
        Stars that agree with the catalogue.
    rms_px : float, px per axis
        Residual of the ties; NaN without any.
    rms_catalogue_px : float, px per axis
        Residual against the catalogue's positions; NaN without any.
    moved_px : float, px
        How far the centre lies from where it was given.
    component : int
        Index into the solution's components; -1 for a frame that nothing holds.
    reason : str
        Why the frame does not fit, in one sentence; "" where it does.
    """

    key: str
    wcs: Wcs
    n_ties: int
    n_catalogue: int
    rms_px: float
    rms_catalogue_px: float
    moved_px: float
    component: int
    reason: str

    @property
    def fits(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSolution:
    """
    What the frames of one device share.

    Attributes
    ----------
    device : str
    width, height : int, px
    sip : Sip or None
        About the centre of the sensor, with its inverse; None where the stars carry no distortion.
    order : int
        Of the distortion; 0 for none.
    n_observations : int
        Star positions that the solution rests on.
    rms_px : float, px per axis
        Their residuals.
    floor_px : float, px per axis
        The error that the residuals show beyond what the measurement states.
    residual_map_px : float64 (2, ny, nx), px
        Mean residual (x, y) of the stars in equal cells of the sensor: distortion that is left over. NaN where no star
        lies. Where the sky says a star is, minus where it was measured.
    residual_count : int64 (ny, nx)
        How many star positions each mean is of.
    """

    device: str
    width: int
    height: int
    sip: Sip | None
    order: int
    n_observations: int
    rms_px: float
    floor_px: float
    residual_map_px: F64
    residual_count: I64


@dataclass(frozen=True, slots=True)
class Component:
    """
    Frames that hang together by stars.

    Attributes
    ----------
    keys : tuple of str
        The frames, sorted.
    n_ties : int
        Stars seen in at least two of them.
    n_catalogue : int
        Catalogue stars among their stars.
    is_anchored : bool
        Whether the catalogue says where they lie; else the coordinates that they came with do, on the whole.
    """

    keys: tuple[str, ...]
    n_ties: int
    n_catalogue: int
    is_anchored: bool


@dataclass(frozen=True, slots=True, eq=False)
class AstroSolution:
    """
    One solution for all frames of a mosaic.

    Attributes
    ----------
    frames : tuple of FrameSolution
        In the order in which they were given.
    devices : tuple of DeviceSolution
        Sorted by name.
    components : tuple of Component
        The largest first.
    n_stars : int
        Stars whose places were solved for, or given by the catalogue.
    n_observations : int
        Star positions that the solution rests on.
    rms_px : float, px per axis
        Of the residuals of the ties, over all frames.
    rms_catalogue_arcsec : float, arcsec per axis
        Of the solved star places against the catalogue's; NaN without any.
    n_rounds : int
        How many linear solutions it took.
    """

    frames: tuple[FrameSolution, ...]
    devices: tuple[DeviceSolution, ...]
    components: tuple[Component, ...]
    n_stars: int
    n_observations: int
    rms_px: float
    rms_catalogue_arcsec: float
    n_rounds: int

    @property
    def left_out(self) -> tuple[FrameSolution, ...]:
        """Frames that do not fit, each with its reason."""
        return tuple(frame for frame in self.frames if frame.reason)
