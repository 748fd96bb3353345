"""Runs the command line with ``python -m skyquilt.apps.cli``."""

from skyquilt.apps.cli.program import main

main()
