"""The command line."""

from skyquilt.apps.cli.program import main

__all__ = ["main"]
