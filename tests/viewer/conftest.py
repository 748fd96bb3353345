"""A browser on the mock server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import chromium, must_have_pages, new_page


@pytest.fixture(scope="session")
def mock_app() -> Iterator[tuple[Any, str]]:
    """Return the mock and its address."""
    must_have_pages()
    import uvicorn
    from mock_server import Mock, build

    mock = Mock()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(build(mock), host="127.0.0.1", port=port, log_level="error", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield mock, f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def browser(mock_app: tuple[Any, str]) -> Iterator[Any]:
    """Return a Chromium that draws WebGL2 without a graphics card."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Any, mock_app: tuple[Any, str]) -> Iterator[Any]:
    """Return a page of its own on a mock without memories; what goes wrong in the page fails the test."""
    from mock_server import live_board

    mock, address = mock_app
    mock.settings.clear()
    mock.job = None
    mock.finished.clear()
    mock.told.clear()
    mock.chains.clear()
    mock.finish_s = 0.02
    mock.holds_at = None
    mock.board = live_board(40)
    for row in mock.table["rows"]:
        row[-1] = None
    with new_page(browser, address) as (made, watch):
        mock.settings.clear()  # what the page before remembered at its end may have come late
        yield made
        problems = (list(watch.faults), list(watch.foreign))
    assert problems == ([], [])
