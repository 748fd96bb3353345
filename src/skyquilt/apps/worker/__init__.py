"""The engine process: JSON lines in, JSON lines out; it works for a user interface that it cannot take down."""

from skyquilt.apps.worker.engine import Engine
from skyquilt.apps.worker.lines import MAX_LINE_BYTES
from skyquilt.apps.worker.messages import PROTOCOL_VERSION
from skyquilt.apps.worker.schema import protocol_page, protocol_schema

__all__ = ["MAX_LINE_BYTES", "PROTOCOL_VERSION", "Engine", "protocol_page", "protocol_schema"]
