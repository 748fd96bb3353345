"""Finding the frames of a session in a folder, as the telescope or a person left them."""

from skyquilt.io.discover.describe import describe
from skyquilt.io.discover.grouping import safe_name
from skyquilt.io.discover.names import kind_of_folder
from skyquilt.io.discover.session import discover
from skyquilt.io.discover.sidecars import ShotsInfo, read_sidecar
from skyquilt.io.discover.walk import walk

__all__ = ["ShotsInfo", "describe", "discover", "kind_of_folder", "read_sidecar", "safe_name", "walk"]
