"""skyquilt: every sub, one sky."""

__version__ = "0.1.0"
