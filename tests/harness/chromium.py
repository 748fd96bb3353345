"""A Chromium of the system for tests, without a window and without a graphics card, driven by Playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).resolve().parents[2] / "src" / "skyquilt" / "apps" / "web" / "static"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE_MS = 60_000


def must_have_pages() -> None:
    """Skip the test where the pages cannot be shown: no package, or the viewer is not built."""
    for package in ("starlette", "uvicorn", "websockets", "playwright"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    if not (STATIC / "index.html").exists():
        pytest.skip("the viewer is not built: make viewer")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start a Chromium that draws WebGL2; the test is skipped where the system has none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield started
        started.close()


@dataclass
class Watch:
    """What a page did: its faults, what it asked the server for, and what it asked of others."""

    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@contextlib.contextmanager
def new_page(browser: Any, address: str, size: tuple[int, int] = (1180, 720)) -> Iterator[tuple[Any, Watch]]:
    """Open an empty page; faults and foreign requests are noted as long as it lives."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    watch = Watch()
    remembering: set[Any] = set()

    def asked(request: Any) -> None:
        if request.url.startswith(address):
            watch.requests.append(f"{request.method} {request.url.removeprefix(address)}")
        elif not request.url.startswith(("blob:", "data:")):
            watch.foreign.append(request.url)
        if request.url.endswith("/api/settings"):
            remembering.add(request)

    page.on("pageerror", lambda error: watch.faults.append(str(error)))
    page.on("console", lambda told: watch.faults.append(told.text) if told.type in ("error", "warning") else None)
    page.on("request", asked)
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: remembering.discard(request))
    yield page, watch
    page.evaluate("dispatchEvent(new Event('pagehide'))")  # what it remembers must have arrived before it goes
    page.wait_for_timeout(100)
    left_ms = PATIENCE_MS
    while remembering and left_ms > 0:
        page.wait_for_timeout(50)
        left_ms -= 50
    page.goto("about:blank")
    context.close()
