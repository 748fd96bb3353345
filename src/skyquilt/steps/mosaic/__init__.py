"""The room that fits all frames of a mosaic together."""

from skyquilt.steps.mosaic.flux_scales import FluxObservations, FluxScales, fit_device_factors, fit_flux_scales
from skyquilt.steps.mosaic.overlaps import Overlap, overlap_figures
from skyquilt.steps.mosaic.photometry import PhotometricSolution, solve_photometry
from skyquilt.steps.mosaic.pointings import find_pointings
from skyquilt.steps.mosaic.sky_maps import Lattice, SkyMap, make_lattice, map_sky
from skyquilt.steps.mosaic.sky_surfaces import SkySurfaces, fit_sky_surfaces

__all__ = [
    "FluxObservations",
    "FluxScales",
    "Lattice",
    "Overlap",
    "PhotometricSolution",
    "SkyMap",
    "SkySurfaces",
    "find_pointings",
    "fit_device_factors",
    "fit_flux_scales",
    "fit_sky_surfaces",
    "make_lattice",
    "map_sky",
    "overlap_figures",
    "solve_photometry",
]
