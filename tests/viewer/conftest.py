"""A browser on the mock server: headless Chromium of the system, driven by Playwright without a browser of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).resolve().parents[2] / "src" / "skyquilt" / "apps" / "web" / "static"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium: apt-get install chromium")


@pytest.fixture(scope="session")
def mock_app() -> Iterator[tuple[Any, str]]:
    """Return the mock and its address."""
    for package in ("starlette", "uvicorn", "websockets", "playwright"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    if not (STATIC / "index.html").exists():
        pytest.skip("the viewer is not built: make viewer")
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
    path = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, mock_app: tuple[Any, str]) -> Iterator[Any]:
    """Return a page of its own on a mock without memories; what goes wrong in the page fails the test."""
    mock, address = mock_app
    mock.settings.clear()
    mock.job = None
    mock.holds_at = None
    for row in mock.table["rows"]:
        row[-1] = None
    context = browser.new_context(viewport={"width": 1180, "height": 720}, locale="en-GB")
    made = context.new_page()
    made.set_default_timeout(60_000)
    faults: list[str] = []
    foreign: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    made.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:", "data:")) else foreign.append(request.url),
    )
    yield made
    problems = (list(faults), list(foreign))
    made.goto("about:blank")  # the page remembers as it goes: that must have arrived before the next test begins
    made.wait_for_timeout(300)
    context.close()
    assert problems == ([], [])
