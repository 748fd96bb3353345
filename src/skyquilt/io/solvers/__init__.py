"""Plate solvers that are programs of their own, run where they are installed: ASTAP and astrometry.net."""

from skyquilt.io.solvers.astap import find_astap, solve_with_astap
from skyquilt.io.solvers.outcome import Outside, OutsideHints
from skyquilt.io.solvers.solve_field import find_solve_field, solve_with_solve_field

__all__ = [
    "Outside",
    "OutsideHints",
    "find_astap",
    "find_solve_field",
    "solve_with_astap",
    "solve_with_solve_field",
]
