"""The sphere and its pictures: directions, projections, coordinate systems of images, stars of a catalogue."""

from skyquilt.core.sky.catalogue_stars import CatalogueStars
from skyquilt.core.sky.deep_sky import DeepSkyObject
from skyquilt.core.sky.grid import SkyGrid
from skyquilt.core.sky.healpix import (
    face_pixels,
    healpix_corner_reach_deg,
    healpix_directions,
    healpix_number,
    healpix_side_deg,
    spread_bits,
)
from skyquilt.core.sky.sphere import (
    deproject,
    deproject_equal_area,
    directions,
    move,
    precess_to_icrs,
    project,
    project_equal_area,
    separation_deg,
    tangent_frame,
    unit_vectors,
)
from skyquilt.core.sky.wcs import HeaderLike, Sip, Wcs

__all__ = [
    "CatalogueStars",
    "DeepSkyObject",
    "HeaderLike",
    "Sip",
    "SkyGrid",
    "Wcs",
    "deproject",
    "deproject_equal_area",
    "directions",
    "face_pixels",
    "healpix_corner_reach_deg",
    "healpix_directions",
    "healpix_number",
    "healpix_side_deg",
    "move",
    "precess_to_icrs",
    "project",
    "project_equal_area",
    "separation_deg",
    "spread_bits",
    "tangent_frame",
    "unit_vectors",
]
