"""The mosaic as a whole: where its frames lie on the sky, how they share it, how bright they are, and its canvas."""

from skyquilt.steps.mosaic.astrometry import solve_astrometry
from skyquilt.steps.mosaic.astrometry_nouns import (
    AstroFrame,
    AstroSettings,
    AstroSolution,
    Component,
    DeviceSolution,
    FrameSolution,
)
from skyquilt.steps.mosaic.astrometry_ties import Points, Ties, match_ties, pick_points
from skyquilt.steps.mosaic.canvas import CanvasSettings, choose_canvas
from skyquilt.steps.mosaic.flux_scales import FluxObservations, FluxScales, fit_device_factors, fit_flux_scales
from skyquilt.steps.mosaic.footprints import Footprints, footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex
from skyquilt.steps.mosaic.frame_sky import FrameSky, Lattice, frame_sky, make_lattice
from skyquilt.steps.mosaic.overlaps import Overlaps, find_islands, find_overlaps
from skyquilt.steps.mosaic.photometry import PhotometricSolution, solve_photometry
from skyquilt.steps.mosaic.pointings import Pointing, find_pointings
from skyquilt.steps.mosaic.seams import Seam, seam_figures
from skyquilt.steps.mosaic.shared_blocks import (
    BLOCK_FEATHER_PX,
    BlockCanvas,
    block_canvas,
    compared_frames,
    shared_blocks,
)
from skyquilt.steps.mosaic.sky_map import SkyMap
from skyquilt.steps.mosaic.sky_surfaces import SkySurfaces, fit_sky_surfaces

__all__ = [
    "BLOCK_FEATHER_PX",
    "AstroFrame",
    "AstroSettings",
    "AstroSolution",
    "BlockCanvas",
    "CanvasSettings",
    "Component",
    "DeviceSolution",
    "FluxObservations",
    "FluxScales",
    "Footprints",
    "FrameIndex",
    "FrameSky",
    "FrameSolution",
    "Lattice",
    "Overlaps",
    "PhotometricSolution",
    "Pointing",
    "Points",
    "Seam",
    "SkyMap",
    "SkySurfaces",
    "Ties",
    "block_canvas",
    "choose_canvas",
    "compared_frames",
    "find_islands",
    "find_overlaps",
    "find_pointings",
    "fit_device_factors",
    "fit_flux_scales",
    "fit_sky_surfaces",
    "footprints_of",
    "frame_sky",
    "make_lattice",
    "match_ties",
    "pick_points",
    "seam_figures",
    "shared_blocks",
    "solve_astrometry",
    "solve_photometry",
]
