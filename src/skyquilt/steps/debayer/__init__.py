"""From a colour filter array to three full colours."""

from skyquilt.steps.debayer.debayered import METHODS, Debayered, debayer

__all__ = ["METHODS", "Debayered", "debayer"]
