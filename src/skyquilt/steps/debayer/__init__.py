"""From a colour filter array to three full colours."""

from skyquilt.steps.debayer.debayered import METHODS, Debayered, debayer
from skyquilt.steps.debayer.phase import contradiction

__all__ = ["METHODS", "Debayered", "contradiction", "debayer"]
