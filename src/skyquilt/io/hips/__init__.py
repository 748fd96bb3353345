"""A canvas as a HiPS: the sky in HEALPix tiles of every scale, as Aladin and other atlases show it."""

from skyquilt.io.hips.export import HipsLabels, export_hips
from skyquilt.io.hips.moc import moc_numbers, write_moc
from skyquilt.io.hips.tiles import deepest_order, tile_path

__all__ = ["HipsLabels", "deepest_order", "export_hips", "moc_numbers", "tile_path", "write_moc"]
