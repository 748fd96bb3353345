"""Runs the command line with ``python -m skyquilt``."""

from skyquilt.apps.cli import main

main()
