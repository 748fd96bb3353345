"""From the linear master to a picture; always on a copy."""

from skyquilt.kernels.coverage import coverage_box
from skyquilt.steps.finish.stretch import Stretch, asinh_stretch, auto_stretch, midtones

__all__ = ["Stretch", "asinh_stretch", "auto_stretch", "coverage_box", "midtones"]
