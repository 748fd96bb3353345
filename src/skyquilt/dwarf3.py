"""The names of the dwarf3 README on skyquilt's engine: ``from skyquilt.dwarf3 import stack_session, StackConfig``."""

from skyquilt.apps.dwarf3 import *  # noqa: F403  # this module is that one's public address
from skyquilt.apps.dwarf3 import __all__ as __all__
