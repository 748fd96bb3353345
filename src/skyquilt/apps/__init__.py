"""Faces: Python API, command line."""
