"""Frames and masters placed on the sky: from a file, or from the stars that were measured anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from skyquilt.core import Figures, FrameMeta, Listener, Measurement, Pointing, SkyGrid, Stars, silent
from skyquilt.core.sky import precess_to_icrs
from skyquilt.engine.sky_index import open_sky_index
from skyquilt.errors import UsageError
from skyquilt.io.catalogue import Catalogue, open_catalogue
from skyquilt.io.fits import frame_source, open_frame, read_header, read_pointings, read_scale
from skyquilt.io.solvers import (
    Outside,
    OutsideHints,
    find_astap,
    find_solve_field,
    solve_with_astap,
    solve_with_solve_field,
)
from skyquilt.steps import solve
from skyquilt.steps import stars as star_room

__all__ = ["SOLVERS", "SkySolver", "SolveRequest", "Solved", "hints_of", "julian_year"]

SOLVERS = ("auto", "own", "astap", "solve-field")

_NO_DATE_YEAR = 2020.0
_SATURATED = 5e-4  # share of the pixels: the Moon, a planet, a burnt-out frame
_OUTSIDE_LEAST_STARS = 10
_ABOUT_PLACES = ("RA ", "DATE-OBS")  # how the notes on a header begin that tell of a direction or a time in doubt
_NAMED_RADIUS_DEG = 3.0
_NAMED_SCALE_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """
    What someone asks for, beyond what the header says.

    Attributes
    ----------
    blind : bool
        Whether pointing and scale of the header are to be left aside.
    ra_deg, dec_deg : float or None, degrees
        ICRS; both or neither; the header's pointing then does not count.
    radius_deg : float or None, degrees
        How far from a place the frame may lie; given, it is not exceeded.
    scale_arcsec : float or None, arcsec/px
        Believed within 10 %.
    solver : str
        One of `SOLVERS`; "auto" is the own one, then those that are installed.
    timeout_s : float
        Of an outside program.
    """

    blind: bool = False
    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float | None = None
    scale_arcsec: float | None = None
    solver: str = "auto"
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise UsageError(f"{self.solver!r} is no solver", f"one of: {', '.join(SOLVERS)}")
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise UsageError("a direction takes both RA and Dec", "give --ra and --dec together")
        if self.ra_deg is not None and not 0.0 <= self.ra_deg <= 360.0:
            raise UsageError(f"RA {self.ra_deg:g} is no right ascension in degrees, 0 to 360")
        if self.dec_deg is not None and not -90.0 <= self.dec_deg <= 90.0:
            raise UsageError(f"Dec {self.dec_deg:g} is no declination, -90 to 90 degrees")
        if self.radius_deg is not None and not 0.0 < self.radius_deg <= 30.0:
            raise UsageError(f"a radius of {self.radius_deg:g} degrees is not between 0 and 30", "leave --radius out")
        if self.scale_arcsec is not None and not 0.01 < self.scale_arcsec < 1000.0:
            raise UsageError(f"{self.scale_arcsec:g} arcsec/px is no pixel scale of a telescope")
        if self.blind and self.ra_deg is not None:
            raise UsageError("a blind search takes no direction", "leave out --blind, or --ra and --dec")


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """
    What came of one frame.

    Attributes
    ----------
    grid : SkyGrid or None
        None: not solved.
    reason : str
        Why not, one sentence; "" when solved.
    solver : str
        "own", "astap" or "solve-field".
    n_matched : int or None
    rms_px : float or None
    seconds : float
        From opening the frame to the answer.
    found_by : str
        "hint", "blind" or "".
    model : str
        "similarity", "affine", "polynomial" or "" where an outside program does not tell.
    notes : tuple of str
        What the header says and the sky does not.
    figures : dict of str to float
        What explains a failure.
    """

    grid: SkyGrid | None
    reason: str = ""
    solver: str = "own"
    n_matched: int | None = None
    rms_px: float | None = None
    seconds: float = 0.0
    found_by: str = ""
    model: str = ""
    notes: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def is_solved(self) -> bool:
        return self.grid is not None


class SkySolver:
    """
    The catalogue and the index of the sky, opened once for many frames.

    Parameters
    ----------
    own_catalogue : Path or None
        A deeper catalogue of the user's, merged with the shipped one.
    cache_folder : Path or None
        Where the index of the whole sky is kept between runs; None: in memory only.
    listener : Listener
        Is told when the index is built.
    """

    def __init__(
        self, own_catalogue: Path | None = None, cache_folder: Path | None = None, listener: Listener = silent
    ) -> None:
        self._own_catalogue = own_catalogue
        self._cache_folder = cache_folder
        self._listener = listener

    @cached_property
    def catalogue(self) -> Catalogue:
        return open_catalogue(self._own_catalogue)

    @cached_property
    def index(self) -> solve.SkyIndex:
        """The asterisms of the whole sky; built once a machine (some seconds), then read under a memory map."""
        return open_sky_index(self._cache_folder, self._listener)

    def solve_stars(
        self,
        stars: Stars,
        shape: tuple[int, int],
        hints: solve.Hints,
        *,
        anywhere: bool = True,
    ) -> solve.Solution | solve.NoSolution:
        """
        Return where measured stars lie on the sky, or why that cannot be told.

        Parameters
        ----------
        stars : Stars
            Brightest first.
        shape : (int, int), px
            Height and width of the frame.
        hints : Hints
            As `hints_of` makes them.
        anywhere : bool
            Whether the whole sky is searched when the hints lead nowhere.
        """
        return solve.solve_stars(stars, shape, hints, self.catalogue, self._open_index if anywhere else None)

    def _open_index(self) -> solve.SkyIndex:
        return self.index

    def solve_file(self, path: Path, request: SolveRequest | None = None) -> Solved:
        """
        Return where a frame or master lies on the sky, or why that cannot be told.

        Parameters
        ----------
        path : Path
            FITS; opened to read only.
        request : SolveRequest or None

        Raises
        ------
        UnreadableFrame
            If the file is no image.
        """
        request = request or SolveRequest()
        begun = time.perf_counter()
        meta = open_frame(path).meta
        header = read_header(path)
        hints = _requested(hints_of(meta, read_pointings(header, meta.device), read_scale(header)), request)
        found = Solved(None, "no solver was asked")
        if request.solver in ("auto", "own"):
            found = self._own(path, meta, hints)
        if not found.is_solved and _is_worth_asking(found, request):
            found = _outside(path, meta, hints, request, found)
        doubts = tuple(note for note in meta.notes if note.startswith(_ABOUT_PLACES))
        return replace(found, notes=(*doubts, *found.notes), seconds=time.perf_counter() - begun)

    def _own(self, path: Path, meta: FrameMeta, hints: solve.Hints) -> Solved:
        measurement = _measure(path, meta)
        found = self.solve_stars(measurement.stars, (meta.height, meta.width), hints)
        if isinstance(found, solve.NoSolution):
            return Solved(None, _explained(found, measurement.figures), figures=dict(found.figures))
        return Solved(
            found.grid,
            n_matched=found.n_matched,
            rms_px=found.rms_px,
            found_by=found.found_by,
            model=found.model,
            notes=found.notes,
        )


def julian_year(date_obs: str | None) -> float | None:
    """Return the Julian year of an ISO date in UTC, e.g. 2025.23; None where there is none."""
    if date_obs is None:
        return None
    try:
        moment = datetime.fromisoformat(date_obs)
    except ValueError:
        return None
    days = (moment.replace(tzinfo=None) - datetime(2000, 1, 1, 12)).total_seconds() / 86400.0
    return 2000.0 + days / 365.25


def hints_of(
    meta: FrameMeta, pointings: list[Pointing] | None = None, scale_arcsec: float | None = None
) -> solve.Hints:
    """
    Return what a frame's header says of its place, as ICRS; what it does not say stays unknown.

    Parameters
    ----------
    meta : FrameMeta
    pointings : list of Pointing or None
        All directions that the header gives; None: the one of `meta`.
    scale_arcsec : float or None, arcsec/px
        What the header states besides pixel size and focal length.
    """
    year = julian_year(meta.date_obs)
    epoch = _NO_DATE_YEAR if year is None else year
    known = list(pointings or [])
    if meta.pointing is not None and meta.pointing not in known:
        known.insert(0, meta.pointing)
    places = [_icrs(pointing, epoch) for pointing in known]
    return solve.Hints(
        places=tuple(dict.fromkeys(places)),
        scale_arcsec=meta.scale_arcsec or scale_arcsec,
        epoch_year=epoch,
    )


def _icrs(pointing: Pointing, year: float) -> tuple[float, float]:
    if pointing.equinox != "date":
        return pointing.ra_deg, pointing.dec_deg
    ra, dec = precess_to_icrs(pointing.ra_deg, pointing.dec_deg, year)
    return float(ra), float(dec)


def _requested(hints: solve.Hints, request: SolveRequest) -> solve.Hints:
    """Return the header's hints with what someone asked for in their place."""
    if request.blind:
        hints = replace(hints, places=(), scale_arcsec=None)
    if request.ra_deg is not None and request.dec_deg is not None:
        radius = request.radius_deg or _NAMED_RADIUS_DEG
        hints = replace(hints, places=((request.ra_deg, request.dec_deg),), radius_deg=radius, place_binds=True)
    elif request.radius_deg is not None:
        hints = replace(hints, radius_deg=request.radius_deg, place_binds=True)
    if request.scale_arcsec is not None:
        tolerance = _NAMED_SCALE_TOLERANCE
        hints = replace(hints, scale_arcsec=request.scale_arcsec, scale_tolerance=tolerance, scale_binds=True)
    return hints


def _measure(path: Path, meta: FrameMeta) -> Measurement:
    source = frame_source(open_frame(path))
    tile = source.read(source.bounds)
    pixels = tile.pixels if tile.mask.all() else np.where(tile.mask, tile.pixels, np.float32(np.nan))
    pixels = np.asarray(pixels, dtype=np.float32)
    if len(pixels) == 1:
        return star_room.measure(pixels[0], meta.cfa, saturation_adu=meta.saturation_adu)
    return star_room.measure_cube(pixels, saturation_adu=meta.saturation_adu)


def _explained(found: solve.NoSolution, figures: Figures) -> str:
    """Return the reason, with what the pixels say about a frame of few stars."""
    if figures.n_stars < 20 and figures.saturated_share > _SATURATED:
        share = f"{figures.saturated_share:.1%} of the pixels are saturated"
        return f"{found.reason}; {share}: the Moon, a planet or a burnt-out frame"
    return found.reason


def _is_worth_asking(own: Solved, request: SolveRequest) -> bool:
    """Whether an outside program is to be asked; unasked for, it is not kept busy with a handful of stars."""
    if request.solver in ("own", "auto"):
        return request.solver == "auto" and own.figures.get("n_stars", 0.0) >= _OUTSIDE_LEAST_STARS
    return True


def _outside(path: Path, meta: FrameMeta, hints: solve.Hints, request: SolveRequest, own: Solved) -> Solved:
    """Ask the outside programs; return the first solution, else the reasons of all that were asked."""
    wanted: dict[str, tuple[Callable[[], Path | None], Callable[[OutsideHints], Outside]]] = {
        "astap": (find_astap, lambda told: solve_with_astap(path, told, meta.height)),
        "solve-field": (find_solve_field, lambda told: solve_with_solve_field(path, told)),
    }
    told = OutsideHints(
        place=hints.places[0] if hints.places else None,
        radius_deg=hints.radius_deg,
        scale_arcsec=hints.scale_arcsec,
        scale_tolerance=max(hints.scale_tolerance, 0.1),
        timeout_s=request.timeout_s,
    )
    reasons = [own.reason] if request.solver == "auto" else []
    for name, (find, ask) in wanted.items():
        if request.solver not in ("auto", name) or (request.solver == "auto" and find() is None):
            continue
        answer: Outside = ask(told)
        if answer.wcs is not None:
            grid = SkyGrid(answer.wcs, meta.width, meta.height)
            return Solved(grid, solver=name, n_matched=answer.n_matched, rms_px=answer.rms_px)
        reasons.append(answer.reason)
    asked = "own" if request.solver == "auto" else request.solver
    return replace(own, grid=None, reason="; ".join(reasons), solver=asked)
