"""A star list solved: around the hints first, then all over the sky."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from skyquilt.core import Stars
from skyquilt.core.sky import separation_deg
from skyquilt.steps.solve.blind import search_sky
from skyquilt.steps.solve.confirm import Frame
from skyquilt.steps.solve.index import SkyIndex
from skyquilt.steps.solve.nouns import Hints, NoSolution, Solution, StarCatalogue
from skyquilt.steps.solve.proof import Proof
from skyquilt.steps.solve.region import search_region

__all__ = ["solve_stars"]

_LEAST_STARS = 6
_MOST_STARS = 600
_FIRST_REACH_DEG = 0.6
_DENSEST = 40_000
_WIDEST_DEG = 60.0
_TRAILED = 0.93  # median eccentricity: stars three times as long as wide
_SCALES = tuple(0.35 * 1.33**k for k in range(18))  # arcsec/px, to 45
_SCALE_STEP = 0.16
_SCALE_REACH_DEG = 1.0
_SCALE_IS_WRONG = 0.1
_PLACE_IS_WRONG_DEG = 3.0
_NOTHING = Proof(0, 0, 0.0)


def solve_stars(
    stars: Stars,
    shape: tuple[int, int],
    hints: Hints,
    catalogue: StarCatalogue,
    open_index: Callable[[], SkyIndex] | None = None,
) -> Solution | NoSolution:
    """
    Return where a frame lies on the sky, or why that cannot be told.

    Parameters
    ----------
    stars : Stars
        Brightest first.
    shape : (int, int), px
        Height and width of the frame.
    hints : Hints
    catalogue : StarCatalogue
    open_index : callable or None
        Gives the index of the whole sky when it is needed; None: only the hints are followed.

    Returns
    -------
    Solution or NoSolution

    Notes
    -----
    Around each place, within 0.6 degrees and then within `hints.radius_deg`: triangles of the frame's brightest stars
    and of the catalogue's vote for similarities (`region`). Then, where the hints do not bind, quads of stars are
    looked up all over the sky (`blind`), at any scale. Last, around the places, at scales from 0.35 to 45 arcsec/px.
    Every idea passes the same proof (`proof.prove`) before it counts, and the same fit (`confirm.confirm`).
    """
    height, width = shape
    usable = np.flatnonzero(np.isfinite(stars.x) & np.isfinite(stars.y))[:_MOST_STARS]
    frame = Frame(stars.take(usable), usable, width, height)
    if (refusal := _refuse(frame)) is not None:
        return refusal
    best = _NOTHING
    for attempt in _attempts(frame, hints, catalogue, open_index):
        found, proof = attempt()
        if found is not None:
            if not _is_where_asked(found, hints):
                continue
            return found.with_notes(*_surprises(found, hints))
        best = proof if proof.log10_false_alarm < best.log10_false_alarm or not best.n_hits else best
    return _failure(frame, hints, catalogue, best, is_blind=open_index is not None and not _is_bound(hints))


Attempt = Callable[[], tuple[Solution | None, Proof]]


def _attempts(
    frame: Frame, hints: Hints, catalogue: StarCatalogue, open_index: Callable[[], SkyIndex] | None
) -> Iterator[Attempt]:
    """Give the searches, the cheapest and most likely first."""
    scale = hints.scale_arcsec
    if scale is not None:
        for reach in sorted({min(_FIRST_REACH_DEG, hints.radius_deg), hints.radius_deg}):
            for place in hints.places:
                yield _around(frame, catalogue, hints, place, reach, scale, hints.scale_tolerance)
    # a scale that was named binds; one of the header is a hint, and headers name the wrong focal length
    binding_scale = scale if hints.scale_binds else None
    if open_index is not None and not _is_bound(hints):

        def anywhere() -> tuple[Solution | None, Proof]:
            found, proof = search_sky(
                frame,
                open_index(),
                catalogue,
                epoch_year=hints.epoch_year,
                scale_arcsec=binding_scale,
                scale_tolerance=hints.scale_tolerance,
            )
            return (replace(found, found_by="blind") if found is not None else None), proof

        yield anywhere
    if binding_scale is None:
        for place in hints.places:
            for other in _SCALES:
                reach = hints.radius_deg if hints.place_binds else min(_SCALE_REACH_DEG, hints.radius_deg)
                yield _around(frame, catalogue, hints, place, reach, other, _SCALE_STEP)


def _around(
    frame: Frame,
    catalogue: StarCatalogue,
    hints: Hints,
    place: tuple[float, float],
    reach_deg: float,
    scale_arcsec: float,
    tolerance: float,
) -> Attempt:
    """Return the search within `reach_deg` of a place."""

    def attempt() -> tuple[Solution | None, Proof]:
        radius = min(reach_deg + frame.radius_px * scale_arcsec / 3600.0 * (1.0 + tolerance), _WIDEST_DEG)
        near = catalogue.cone(*place, radius, epoch_year=hints.epoch_year, brightest=_DENSEST)
        return search_region(frame, near, place, radius, scale_arcsec, tolerance)

    return attempt


def _refuse(frame: Frame) -> NoSolution | None:
    """Return why a star list is not worth a search, or None."""
    figures = {"n_stars": float(len(frame))}
    if len(frame) < _LEAST_STARS:
        stars = "no star" if not len(frame) else "1 star" if len(frame) == 1 else f"{len(frame)} stars"
        return NoSolution(f"the frame shows {stars}, solving takes {_LEAST_STARS}", figures)
    eccentricity = frame.stars.eccentricity[np.isfinite(frame.stars.eccentricity)]
    typical = float(np.median(eccentricity)) if len(eccentricity) else 0.0
    if typical > _TRAILED:
        figures["eccentricity"] = typical
        return NoSolution(
            f"the {len(frame)} stars are trails (median eccentricity {typical:.2f}): solving takes points", figures
        )
    return None


def _is_bound(hints: Hints) -> bool:
    """Whether only the places given are to be searched."""
    return hints.place_binds and bool(hints.places)


def _is_where_asked(found: Solution, hints: Hints) -> bool:
    """Whether a solution lies where someone said that it must."""
    if not _is_bound(hints):
        return True
    radius = hints.radius_deg
    return any(float(separation_deg(*found.grid.centre_deg, *place)) <= 1.05 * radius for place in hints.places)


def _surprises(found: Solution, hints: Hints) -> list[str]:
    """Return what the hints said and the sky does not, a sentence each."""
    notes = []
    scale = found.wcs.scale_arcsec
    if hints.scale_arcsec and abs(scale / hints.scale_arcsec - 1.0) > _SCALE_IS_WRONG:
        notes.append(
            f"the pixel size and focal length given make {hints.scale_arcsec:.2f} arcsec/px, the stars say {scale:.2f}"
        )
    away = [float(separation_deg(*found.grid.centre_deg, *place)) for place in hints.places]
    limit = max(_PLACE_IS_WRONG_DEG, hints.radius_deg, found.grid.radius_deg)
    if away and min(away) > limit:
        notes.append(f"the frame lies {min(away):.1f} degrees from where it was said to point")
    elif away and max(away) > limit:
        notes.append(
            f"the header names directions {max(away) - min(away):.1f} degrees apart; the stars agree with one of them"
        )
    return notes


def _failure(frame: Frame, hints: Hints, catalogue: StarCatalogue, best: Proof, *, is_blind: bool) -> NoSolution:
    """Return the sentence and the figures of a search that found nothing."""
    figures = {
        "n_stars": float(len(frame)),
        "n_matched": float(best.n_hits),
        "log10_false_alarm": round(best.log10_false_alarm, 2),
    }
    if not hints.places and not is_blind:
        return NoSolution("nothing tells where the frame points, and the whole sky was not to be searched", figures)
    where = []
    if hints.places:
        ra, dec = hints.places[0]
        scale = f" at {hints.scale_arcsec:.2f} arcsec/px" if hints.scale_arcsec else ""
        where.append(f"within {hints.radius_deg:g} degrees of RA {ra:.2f}, Dec {dec:+.2f}{scale}")
        if hints.scale_arcsec:
            figures["n_catalogue"] = expected = _expected(frame, hints, catalogue)
            if expected < _LEAST_STARS:
                return NoSolution(
                    f"the catalogue has about {expected:.0f} stars in a field as small as this one at RA {ra:.2f}, "
                    f"Dec {dec:+.2f}, solving takes {_LEAST_STARS}: a deeper catalogue can help",
                    figures,
                )
    if is_blind:
        where.append("over the whole sky")
    attempt = (
        f"the best attempt laid {best.n_hits} of {best.n_stars} on each other" if best.n_hits else "no pattern fits"
    )
    tail = ", which chance does too" if best.n_hits else ""
    return NoSolution(f"{len(frame)} stars were looked for {' and '.join(where)}: {attempt}{tail}", figures)


def _expected(frame: Frame, hints: Hints, catalogue: StarCatalogue) -> float:
    """Return how many catalogue stars a frame holds around the first place, about."""
    assert hints.scale_arcsec is not None
    radius = min(frame.radius_px * hints.scale_arcsec / 3600.0 + min(hints.radius_deg, 1.0), _WIDEST_DEG)
    n_stars = len(catalogue.cone(*hints.places[0], radius, epoch_year=hints.epoch_year))
    return float(n_stars * frame.area * (hints.scale_arcsec / 3600.0) ** 2 / (np.pi * radius**2))
