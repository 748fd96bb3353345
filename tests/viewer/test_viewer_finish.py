"""The Finish screen in a real browser on the mock server: the chain by hand and by keys, before and after, files."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skyquilt.engine.finish import Chain
from skyquilt.steps.finish.tone import HyperbolicCurve

pytestmark = pytest.mark.browser


def show(page: Any, address: str) -> None:
    page.goto(f"{address}#finish")
    page.locator(".tag.is-last").wait_for()
    settled(page)


def settled(page: Any) -> None:
    page.locator(".status[data-waiting='0']").wait_for()
    page.wait_for_timeout(100)


def next_preview(page: Any, mock: Any, n: int) -> dict[str, Any]:
    """Return what was asked of the n-th run, once its picture is shown."""
    page.locator(f".status[data-revision='finish{n}']").wait_for()
    settled(page)
    asked: dict[str, Any] = mock.finished[n - 1]
    return asked


def names(page: Any) -> list[str]:
    return [text.split("\n")[0] for text in page.locator(".steps .name").all_inner_texts()]


def pixels_of(page: Any, selector: str = ".stage") -> np.ndarray[Any, Any]:
    shown = Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
    return np.asarray(shown).astype(int)


PRESET = ["Crop", "Gradient", "Neutral sky", "Green (SCNR)", "Noise", "Auto stretch"]


def test_a_chain_is_switched_ordered_set_undone_and_found_again(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address)
    assert names(page) == PRESET
    first = next_preview(page, mock, 1)
    assert first["preview"] and first["product"] == "master" and len(first["steps"]) == 6

    page.get_by_role("switch", name="Noise is done", exact=True).uncheck()
    assert [one["operation"] for one in next_preview(page, mock, 2)["steps"]][-1] == "auto_stretch"
    assert len(mock.finished[1]["steps"]) == 5
    page.get_by_role("button", name="Noise", exact=True).focus()
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowUp")
    assert names(page) == ["Crop", "Gradient", "Noise", "Neutral sky", "Green (SCNR)", "Auto stretch"]
    page.get_by_role("combobox", name="Add a step").select_option("saturation")
    factor = page.get_by_role("slider", name="Factor")
    factor.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    value = float(factor.input_value())
    page.wait_for_function("document.querySelectorAll('.step').length === 7")
    page.locator(".field.is-changed").first.wait_for()
    assert value > 1 and names(page)[-1] == "Saturation"
    for _ in range(50):  # the preview of the last place of the slider
        if mock.finished[-1]["steps"][-1].get("factor") == pytest.approx(value):
            break
        page.wait_for_timeout(200)
    assert mock.finished[-1]["steps"][-1]["factor"] == pytest.approx(value)

    page.locator(".stage canvas").first.focus()
    for _ in range(2):  # the way of the slider is one step back, the new step another
        page.keyboard.press("Control+z")
    assert len(names(page)) == 6
    page.keyboard.press("Control+Shift+z")
    assert names(page)[-1] == "Saturation"
    page.get_by_role("button", name="Redo").click()
    page.get_by_role("button", name="Remove Crop").click()
    for _ in range(50):  # it is remembered when the page has been quiet for a while
        page.wait_for_timeout(200)
        kept = mock.settings.get("view", {}).get("finish")
        if kept and kept["steps"][0]["operation"] == "gradient":
            break
    assert kept["steps"][0]["operation"] == "gradient" and kept["steps"][-1]["factor"] == pytest.approx(value)
    assert [one["operation"] for one in kept["steps"] if one.get("is_on") is False] == ["noise"]
    before = names(page)
    page.reload()
    page.locator(".tag.is-last").wait_for()
    assert names(page) == before
    assert not page.get_by_role("switch", name="Noise is done", exact=True).is_checked()


def test_a_step_is_dragged_to_another_place(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address)
    grip = page.locator(".step .grip").nth(4).bounding_box()
    onto = page.locator(".step").nth(1).bounding_box()
    page.mouse.move(grip["x"] + 5, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(onto["x"] + 20, onto["y"] + 3, steps=5)
    page.locator(".step.is-above").wait_for()
    page.mouse.up()
    assert names(page) == ["Crop", "Noise", "Gradient", "Neutral sky", "Green (SCNR)", "Auto stretch"]


def test_before_and_after_lie_on_each_other_and_the_line_moves(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address)
    page.get_by_role("radio", name="After").check()
    settled(page)
    after = pixels_of(page)
    page.get_by_role("radio", name="Before").check()
    settled(page)
    before = pixels_of(page)
    # the same stars at the same places, though the preview is cropped and has pixels of three
    middle = np.s_[150:-150, 150:-150]
    grey = [shown[middle].mean(axis=-1) - shown[middle].mean() for shown in (before, after)]
    shifts = {
        (dx, dy): float((grey[0] * np.roll(grey[1], (dy, dx), (0, 1))).sum())
        for dx in range(-3, 4)
        for dy in range(-3, 4)
    }
    assert max(shifts, key=lambda key: shifts[key]) == (0, 0)
    page.get_by_role("radio", name="Split").check()
    line = page.get_by_role("slider", name="Line between")
    line.focus()
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert line.get_attribute("aria-valuenow") == "20"
    box = page.locator(".stage").bounding_box()
    place = line.bounding_box()
    page.mouse.move(place["x"] + 12, place["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], place["y"] + 60, steps=4)
    page.mouse.up()
    assert float(page.locator(".status").get_attribute("data-split")) == pytest.approx(0.75, abs=0.01)
    settled(page)
    both = pixels_of(page)
    at = int(0.75 * both.shape[1])
    rows = slice(100, -100)
    assert np.abs(both[rows, 60 : at - 30] - before[rows, 60 : at - 30]).mean() < 0.5
    assert np.abs(both[rows, at + 30 : -40] - after[rows, at + 30 : -40]).mean() < 0.5
    page.locator(".stage canvas").first.focus()
    page.keyboard.down("b")
    page.locator(".status[data-split='1']").wait_for()
    assert page.locator(".split-line").count() == 0
    page.keyboard.up("b")
    page.locator(".split-line").wait_for()


def test_a_whole_run_tells_its_way_and_its_files_and_can_be_stopped(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address)
    mock.finish_s = 3.0  # a step: there is time to cancel on the slowest machine
    page.get_by_role("button", name="Full run").click()
    page.get_by_role("textbox", name="Name").fill("M 94 evening")
    page.get_by_role("checkbox", name="JPEG").check()
    page.get_by_role("button", name="Write the files").click()
    page.locator(".working").get_by_role("progressbar", name="Finishing").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".working").wait_for(state="detached")
    mock.finish_s = 0.02
    for _ in range(50):
        page.wait_for_timeout(100)
        if any(told["state"] == "stopped" for told in mock.told.values()):
            break
    assert [told["kind"] for told in mock.told.values() if told["state"] == "stopped"] == ["finish"]
    assert all(one["preview"] for one in mock.finished)
    page.get_by_role("button", name="Full run").click()
    page.get_by_role("textbox", name="Name").fill("M 94 evening")
    page.get_by_role("button", name="Write the files").click()
    page.get_by_text("After, whole").wait_for()
    assert mock.finished[-1]["name"] == "M 94 evening" and mock.finished[-1]["formats"] == ["png", "jpeg"]
    assert "M 94 evening.fits" in page.locator(".status").inner_text()


def test_a_chain_is_kept_as_a_file_and_taken_from_one(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address)
    page.get_by_role("combobox", name="Preset").select_option("galaxy")
    page.get_by_role("switch", name="Noise is done", exact=True).uncheck()
    page.get_by_role("button", name="Save the chain").click()
    page.get_by_role("textbox", name="Name").fill("my galaxy")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved my galaxy.toml").wait_for()
    saved = mock.chains["my galaxy"]
    assert "noise" not in [one["operation"] for one in saved]
    assert Chain.from_values({"steps": saved}).names[-2:] == ("hyperbolic_stretch", "saturation")
    page.get_by_role("button", name="Load a chain").click()
    text = '[[steps]]\noperation = "neutral"\n\n[[steps]]\noperation = "auto_stretch"\ntarget = 0.3\n'
    page.locator("input[type=file]").set_input_files(
        {"name": "mine.toml", "mimeType": "application/toml", "buffer": text.encode()}
    )
    page.locator("dialog").wait_for(state="detached")
    assert names(page) == ["Neutral sky", "Auto stretch"]
    page.get_by_role("button", name="Load a chain").click()
    page.get_by_role("button", name="my galaxy.toml").click()
    page.locator("dialog").wait_for(state="detached")
    assert len(names(page)) == len(saved)


def test_what_is_in_the_way_is_said_at_the_step(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address)
    page.get_by_role("button", name="Move Auto stretch up").click()
    page.get_by_text("put it before the stretch").wait_for()
    assert page.get_by_role("button", name="Full run").is_disabled()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Gradient", exact=True).click()
    page.get_by_label("Order").fill("9")
    page.get_by_label("Order").press("Tab")
    page.get_by_role("alert").get_by_text("order").wait_for()
    page.get_by_role("button", name="Undo").first.click()
    page.get_by_role("alert").wait_for(state="detached")


def test_the_hyperbolic_stretch_of_the_viewer_is_that_of_python(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    page.goto(f"{address}#image")
    page.locator(".status[data-waiting='0']:not([data-draws='0'])").wait_for()
    page.get_by_role("radio", name="GHS").check()
    page.get_by_role("slider", name="Shape").fill("2")
    page.get_by_role("slider", name="Factor").fill("5")
    page.get_by_role("slider", name="Protect highlights").fill("0.4")
    page.locator(".stage canvas").first.focus()
    page.keyboard.press("z")
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(500)
    settled(page)
    page.wait_for_timeout(5200)  # what changes while a slider moves is remembered late
    (stretch,) = mock.settings["view"]["stretches"].values()
    shape = stretch["hyperbola"]
    assert (stretch["curve"], shape["shape"], shape["factor"], shape["high"]) == ("hyperbolic", 2, 5, 0.4)
    x0, y0, zoom = (float(part) for part in page.locator(".status").get_attribute("data-camera").split(","))
    shown = pixels_of(page, ".stage canvas")
    height, width, _ = shown.shape
    stf = stretch["stf"]
    curves = [
        HyperbolicCurve(low, high, math.expm1(5.0), 2.0, shape["symmetry"], 0.0, 0.4)
        for low, high in zip(stf["shadows"], stf["highlights"], strict=True)
    ]
    picture = mock.sources["master"][2]
    worst = []
    for y in range(int(y0) - 60, int(y0) + 60, 7):
        for x in range(int(x0) - 80, int(x0) + 80, 7):
            sx, sy = width / 2 + (x - x0) * zoom, height / 2 + (y - y0) * zoom
            values = picture.box(0, x, y, x + 1, y + 1)[0, 0].astype(np.float64)
            wanted = [255.0 * float(curve.forward(values[c : c + 1])[0]) for c, curve in enumerate(curves)]
            worst.append(np.abs(shown[int(sy), int(sx)] - np.array(wanted)).max())
    assert len(worst) > 350
    assert np.max(worst) <= 2.5
    assert np.mean(worst) < 0.8
