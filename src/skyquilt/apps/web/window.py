"""A window of its own for the app, where pywebview is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec

from skyquilt.apps.web.server import AppOptions, ServerRun, serve_app
from skyquilt.errors import UsageError

__all__ = ["check_window", "serve_in_window"]


def check_window() -> None:
    """Raise `UsageError` where there is nothing to open a window with."""
    if find_spec("webview") is None:
        raise UsageError("--window needs pywebview, which is not installed", "pip install pywebview, or leave it out")


def serve_in_window(options: AppOptions, on_ready: Callable[[ServerRun], None]) -> None:
    """
    Serve the app, show it in a window, and end it when the window is closed.

    Raises
    ------
    UsageError, NoUsableInput, OutputBlocked
        As `serve_app`.
    """
    check_window()
    import webview

    runs: list[ServerRun] = []
    errors: list[BaseException] = []
    is_up = threading.Event()

    def ready(run: ServerRun) -> None:
        runs.append(run)
        on_ready(run)
        is_up.set()

    def work() -> None:
        try:
            serve_app(options, ready)
        except BaseException as error:  # told by the thread that waits
            errors.append(error)
        finally:
            is_up.set()

    server = threading.Thread(target=work, name="server")
    server.start()
    is_up.wait()
    if runs:
        try:
            webview.create_window("skyquilt", runs[0].url, width=1400, height=900)
            webview.start()
        finally:
            runs[0].end()
    server.join()
    if errors:
        raise errors[0]
