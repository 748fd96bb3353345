"""
Make the pictures of docs/guides/app.md: the app itself in a browser, on a night of the synthetic sky.

Needs the extra "test" (Playwright), a Chromium on the system and the built viewer (make viewer). The sky is made anew
each time from a fixed seed; nothing of a real telescope is in the pictures.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from skyquilt.apps.web import AppOptions, ServerRun, serve_app
from skyquilt.testing.sky import Scenario, make_session

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "guides" / "app"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZE = {"width": 1280, "height": 800}
MOST_BYTES = 200_000
PATIENCE_MS = 300_000
ALL_DRAWN = ".status[data-waiting='0']:not([data-draws='0'])"
NIGHT = Scenario(
    device="generic",
    target="M 42",
    n_frames=24,
    width=1200,
    height=900,
    seed=11,
    fwhm_trend=0.3,
    clouds={9: 0.6, 10: 0.45, 11: 0.7},
    fault={17: "trailed"},
    n_trails=2,
    n_dark=4,
    n_faint_stars=1500,
)


@contextmanager
def served(folder: Path, out: Path) -> Iterator[str]:
    """Serve the app on a folder; yield its address."""
    is_up = threading.Event()
    told: list[ServerRun] = []

    def ready(run: ServerRun) -> None:
        told.append(run)
        is_up.set()

    thread = threading.Thread(target=serve_app, args=(AppOptions((folder,), out), ready))
    thread.start()
    is_up.wait()
    try:
        yield told[0].url
    finally:
        told[0].end()
        thread.join()


def keep(page: Any, name: str) -> None:
    """Write what the page shows: a PNG of few colours, or a JPEG where pixels of the sky fill it."""
    page.wait_for_timeout(1500)
    place = PICTURES / name
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        picture = shot.convert("RGB")
    if place.suffix == ".jpg":
        picture.save(place, quality=80)
    else:
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(place, optimize=True)
    if place.stat().st_size > MOST_BYTES:
        sys.exit(f"{name} has {place.stat().st_size:,} bytes, {MOST_BYTES:,} are the most")


def walk(page: Any) -> None:
    """Go through the screens."""
    page.get_by_text("Preflight").wait_for()
    keep(page, "open.png")
    page.keyboard.press("2")
    page.get_by_role("button", name="Measure the frames").click()
    page.get_by_role("button", name="Measure again").wait_for()
    page.locator(".frame-grid .body [role=row]").nth(7).click()
    page.keyboard.press("x")
    page.locator(".blink canvas:not(.is-waiting)").wait_for()
    keep(page, "frames.png")
    page.keyboard.press("3")
    page.get_by_role("button", name="Start").click()
    page.locator(".live canvas").first.wait_for()
    keep(page, "run.png")
    page.locator(".badge.is-done").wait_for()
    page.keyboard.press("5")
    page.locator(ALL_DRAWN).wait_for()
    page.get_by_role("slider", name="Sky brightness").fill("0.2")
    for name in ("Sky grid", "Objects"):
        if page.get_by_role("switch", name=name).is_enabled():
            page.get_by_role("switch", name=name).check(force=True)
    keep(page, "image.jpg")
    page.get_by_role("combobox", name="Compare with").select_option(label="master_maps/COVERAGE")
    page.locator(".tag.is-right").wait_for()
    page.locator(ALL_DRAWN).wait_for()
    page.get_by_role("combobox", name="Language").select_option("fr")
    page.get_by_role("combobox", name="Th\u00e8me").select_option("night")
    keep(page, "night.png")


def main() -> None:
    """Make all pictures."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        night = Path(folder) / "Night of 12 March"
        make_session(night, NIGHT)
        with sync_playwright() as playwright, served(night, Path(folder) / "processed") as address:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            page = browser.new_page(viewport=SIZE, locale="en-GB")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            walk(page)
            browser.close()


if __name__ == "__main__":
    main()
