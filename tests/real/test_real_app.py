"""A walk through the app as a person takes it: a true browser, the true server and engine, real frames of M 94."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Watch, chromium, must_have_pages, new_page
from PIL import Image
from running_app import RunningApp

from skyquilt.io.fits import frame_source, open_frame

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
M94 = DATA / "seestar" / "MyWorks" / "M 94_sub"
ENGINE = (sys.executable, "-m", "skyquilt", "engine", "--quiet")
N_FRAMES = 6
EXCLUDED = 4
RUN_LIMIT_MS = 300_000
ALL_DRAWN = ".status[data-waiting='0']:not([data-draws='0'])"
pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.browser]


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    if not M94.is_dir():
        pytest.skip(f"the real frames of M 94 are not in {DATA}: set SKYQUILT_DATA")
    folder = tmp_path / "M 94_sub"
    folder.mkdir()
    for frame in sorted(M94.glob("*.fit"))[:N_FRAMES]:
        shutil.copy2(frame, folder)
    return folder


@pytest.fixture
def walk(sky: Path, tmp_path: Path) -> Iterator[tuple[Any, Watch, str]]:
    must_have_pages()
    with chromium() as browser, RunningApp((sky,), tmp_path / "out", ENGINE) as app:
        address = f"{app.base}/"
        with new_page(browser, address, (1440, 900)) as (page, watch):
            yield page, watch, f"{address}#token={app.token}"
            faults = [fault for fault in watch.faults if "503" not in fault]  # while the engine is away
            assert (faults, watch.foreign) == ([], [])


def picture_of(page: Any) -> np.ndarray[Any, Any]:
    shot = Image.open(io.BytesIO(page.locator(".stage").screenshot()))
    return np.asarray(shot.convert("RGB")).astype(int)


def look_at_frames(page: Any) -> str:
    """Measure, exclude one and blink; return the name of the one that was excluded."""
    page.keyboard.press("2")
    page.get_by_role("button", name="Measure the frames").click()
    page.get_by_role("button", name="Measure again").wait_for()
    row = page.locator(".frame-grid .body [role=row]").nth(EXCLUDED)
    row.click()
    name = str(page.locator(".blink .file").inner_text())
    page.keyboard.press("x")
    page.locator(".frame-grid [role=row].is-excluded").wait_for()
    page.keyboard.press("p")
    page.locator(".blink .file", has_not_text=name).wait_for()
    page.keyboard.press("p")
    return name


def run_and_watch(page: Any) -> list[int]:
    """Plan, run, and kill the engine in the middle; return the revisions of the picture that were seen as it grew."""
    page.keyboard.press("3")
    page.get_by_role("button", name="What will it cost?").click()
    page.get_by_role("dialog").get_by_text(f"{N_FRAMES - 1} frames onto").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Memory and threads").click()
    page.get_by_role("textbox", name="Memory").fill("400MB")
    page.get_by_role("textbox", name="Memory").press("Tab")
    page.get_by_role("button", name="Start").click()
    tag = page.locator(".live .tag")
    tag.wait_for(timeout=RUN_LIMIT_MS)
    seen: list[int] = []
    is_killed = False
    while page.locator(".badge.is-done").count() == 0:
        told = tag.all_inner_texts()  # none while the engine is away
        found = re.search(r"(\d+)$", told[0]) if told else None
        if found and int(found[1]) not in seen:
            seen.append(int(found[1]))
        if len(seen) == 2 and not is_killed:
            state = page.evaluate("fetch('/api/state').then((answer) => answer.json())")
            os.kill(state["engine"]["pid"], signal.SIGKILL)
            is_killed = True
        page.wait_for_timeout(100)
    page.locator(".engine", has_text="started again 1").wait_for()
    return seen


def save(page: Any, kind: str, button: str, field: str, confirm: str) -> None:
    page.get_by_role("button", name=button).click()
    page.get_by_role("radio", name=kind).check(force=True)
    page.get_by_role("textbox", name=field).fill("evening")
    page.get_by_role("button", name=confirm, exact=True).click()
    page.get_by_text(f"evening.{kind.lower()}").wait_for(timeout=RUN_LIMIT_MS)


def check_probe(page: Any, master: Path) -> None:
    """The figures under the pointer are those of the file."""
    box = page.locator(".stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".status b").first.wait_for()
    told = page.locator(".status").inner_text().replace("\u202f", "").replace(",", "")
    x, y = (int(part) for part in re.match(r"x (\d+)\s+y (\d+)", told).groups())  # type: ignore[union-attr]
    source = frame_source(open_frame(master))
    pixel = source.read(source.bounds).pixels[:, y, x]
    for value, name in zip(pixel, "RGB", strict=True):
        shown = float(re.search(rf"{name} ([-\d.e]+)", told)[1])  # type: ignore[index]
        assert shown == pytest.approx(float(value), rel=2e-6)
    assert "12h 5" in told
    assert "+41\u00b0" in told


def test_a_walk_from_the_folder_to_the_saved_picture(walk: tuple[Any, Watch, str], sky: Path, tmp_path: Path) -> None:
    page, watch, address = walk
    page.goto(address)
    page.get_by_text("Ready, with warnings").wait_for()  # the folder that was given is open already
    page.get_by_text(f"{N_FRAMES} light frames").wait_for()

    excluded = look_at_frames(page)
    revisions = run_and_watch(page)
    assert len(revisions) >= 2, "the picture was not seen to grow"
    out = tmp_path / "out" / "M 94"
    master = next(out.rglob("master_linear.fits"))
    told = {frame["file"]: frame for frame in json.loads((out / "run_manifest.json").read_text())["frames"]}
    assert (told[excluded]["status"], told[excluded]["reason"]) == ("left_out", "not in the frame list")

    page.keyboard.press("5")
    page.locator(ALL_DRAWN).wait_for()
    page.wait_for_timeout(500)
    before = picture_of(page)
    watch.requests.clear()
    page.get_by_role("slider", name="Sky brightness").fill("0.4")
    page.wait_for_timeout(500)
    assert watch.requests == [], "a stretch is no business of the server"
    assert picture_of(page).mean() > before.mean() + 5
    page.locator(".stage canvas").first.focus()
    for key in ("z", "ArrowRight", "+"):
        page.keyboard.press(key)
    page.wait_for_function("() => Number(document.querySelector('.status').dataset.camera.split(',')[2]) > 1.39")
    page.locator(ALL_DRAWN).wait_for()
    check_probe(page, master)
    page.get_by_role("switch", name="Sky grid").check(force=True)
    page.get_by_role("combobox", name="Compare with").select_option("M 94/master_maps/COVERAGE")
    page.locator(".tag.is-right").wait_for()
    page.locator(".stage canvas").first.focus()
    page.keyboard.press("b")
    for name in ("COVERAGE", "master_linear"):
        page.locator(".stage .tag", has_text=name).wait_for()

    page.get_by_role("combobox", name="Language").select_option("fr")
    page.get_by_role("combobox", name="Th\u00e8me").select_option("night")
    save(page, "PNG", "Enregistrer sous", "Nom", "Enregistrer")
    save(page, "FITS", "Enregistrer sous", "Nom", "Enregistrer")
    saved = tmp_path / "out" / "saved"
    kept, original = frame_source(open_frame(saved / "evening.fits")), frame_source(open_frame(master))
    assert np.array_equal(kept.read(kept.bounds).pixels, original.read(original.bounds).pixels, equal_nan=True)
    with Image.open(saved / "evening.png") as png:
        assert png.size == (original.bounds.width, original.bounds.height)

    camera = page.locator(".status").get_attribute("data-camera")
    page.wait_for_timeout(6000)  # places and curves are remembered once they have been still for five seconds
    page.reload()
    page.locator(ALL_DRAWN).wait_for()
    assert page.locator("html").get_attribute("lang") == "fr"
    assert page.locator("html").get_attribute("data-theme") == "night"
    assert page.get_by_role("slider", name="Luminosit\u00e9 du fond").input_value() == "0.4"
    page.wait_for_function(f"() => document.querySelector('.status').dataset.camera === '{camera}'")
    assert page.get_by_role("switch", name="Grille du ciel").is_checked()
    page.locator(".stage .tag").wait_for()
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    assert shown[..., 1:].max() == 0, "at night nothing but red"
    page.keyboard.press("2")
    page.locator(".frame-grid [role=row].is-excluded").wait_for()
    assert page.locator(".frame-grid [role=row].is-excluded").count() == 1
    assert sorted(path.name for path in sky.iterdir()) == sorted(
        one.name for one in sorted(M94.glob("*.fit"))[:N_FRAMES]
    )
