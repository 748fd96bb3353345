"""Synthetic mosaics: sessions of several pointings with known truth, as the devices write them."""

from skyquilt.testing.mosaic_sky.exposure import raw_mosaic_frame, render_mosaic_frame
from skyquilt.testing.mosaic_sky.making import make_mosaic_truth
from skyquilt.testing.mosaic_sky.nebula import Cloud, Nebula
from skyquilt.testing.mosaic_sky.panels import StackedPanel, make_panels
from skyquilt.testing.mosaic_sky.scenario import MosaicScenario
from skyquilt.testing.mosaic_sky.session import make_mosaic, make_mosaic_frames
from skyquilt.testing.mosaic_sky.truth import MosaicFrame, MosaicStars, MosaicTruth, ShownStars

__all__ = [
    "Cloud",
    "MosaicFrame",
    "MosaicScenario",
    "MosaicStars",
    "MosaicTruth",
    "Nebula",
    "ShownStars",
    "StackedPanel",
    "make_mosaic",
    "make_mosaic_frames",
    "make_mosaic_truth",
    "make_panels",
    "raw_mosaic_frame",
    "render_mosaic_frame",
]
