"""The room that tells where on the sky a star list lies."""

from skyquilt.steps.solve.index import STARS_A_CELL, SkyIndex, build_index
from skyquilt.steps.solve.nouns import Hints, NoSolution, Solution, StarCatalogue
from skyquilt.steps.solve.solving import solve_stars

__all__ = [
    "STARS_A_CELL",
    "Hints",
    "NoSolution",
    "SkyIndex",
    "Solution",
    "StarCatalogue",
    "build_index",
    "solve_stars",
]
