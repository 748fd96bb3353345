"""ZeMosaic's settings, read as ours: its configuration file, its solver settings, the options of its worker."""

from skyquilt.apps.zemosaic.reading import Reading, from_options, read_config, read_solver_settings
from skyquilt.apps.zemosaic.table import Block, Key, blocks, look_up, nearest_key
from skyquilt.apps.zemosaic.worker_options import WORKER_OPTIONS, WorkerOption

__all__ = [
    "WORKER_OPTIONS",
    "Block",
    "Key",
    "Reading",
    "WorkerOption",
    "blocks",
    "from_options",
    "look_up",
    "nearest_key",
    "read_config",
    "read_solver_settings",
]
