"""The app in the browser: a server on the loopback interface that supervises the engine and shows what it makes."""

from skyquilt.apps.web.server import AppOptions, ServerRun, host_and_port, serve_app
from skyquilt.apps.web.window import check_window, serve_in_window

__all__ = ["AppOptions", "ServerRun", "check_window", "host_and_port", "serve_app", "serve_in_window"]
