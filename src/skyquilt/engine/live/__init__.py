"""Live stacking: a folder is stacked while it grows, to the same bits as when it is complete."""

from skyquilt.engine.live.choice import Choice
from skyquilt.engine.live.session import WatchOptions, watch_folder

__all__ = ["Choice", "WatchOptions", "watch_folder"]
