"""The room that lays one star list on another."""

from skyquilt.steps.register.joint import refine_jointly
from skyquilt.steps.register.matching import NoMatch, match
from skyquilt.steps.register.reference import Reference

__all__ = ["NoMatch", "Reference", "match", "refine_jointly"]
