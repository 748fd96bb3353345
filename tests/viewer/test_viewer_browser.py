"""The viewer in a real browser on the mock server: every screen, by keys too, in both languages and all themes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skyquilt.apps.stretch_given import StretchGiven
from skyquilt.engine.images import ScreenLook, make_look

pytestmark = pytest.mark.browser

AXE = Path(__file__).resolve().parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = {
    "open": "text=Preflight", "frames": ".frame-grid .body [role=row]", "run": "text=Selection of frames",
    "live": ".live-frames li", "image": ".stage canvas", "finish": ".steps .step",
    "sky": ".sky-map canvas", "report": "iframe",
}  # fmt: skip


def show(page: Any, address: str, screen: str) -> None:
    page.goto(f"{address}#{screen}")
    page.locator(SCREENS[screen]).first.wait_for()


def wait_for_tiles(page: Any) -> None:
    page.locator(".status[data-waiting='0']:not([data-draws='0'])").wait_for()


def pixels_of(page: Any, selector: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB"))


@pytest.mark.parametrize(
    "theme", ["dark", pytest.param("light", marks=pytest.mark.long), pytest.param("night", marks=pytest.mark.long)]
)
def test_axe_finds_nothing_on_any_screen(page: Any, mock_app: tuple[Any, str], theme: str) -> None:
    mock, address = mock_app
    mock.settings.update(theme=theme)
    faults = []
    for screen in SCREENS:
        show(page, address, screen)
        if screen == "run":
            for group in page.locator("details").all()[:3]:
                group.locator("summary").click()
        page.evaluate(AXE.read_text())
        found = page.evaluate(
            "axe.run(document, {iframes: false, runOnly:"
            " ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
        )
        for fault in found["violations"]:
            faults += [(screen, fault["id"], node["html"][:200], node["failureSummary"]) for node in fault["nodes"]]
    assert faults == []


def look_closely(page: Any, address: str) -> None:
    """Show the master so large that its pixels are squares."""
    show(page, address, "image")
    wait_for_tiles(page)
    page.locator(".stage canvas").first.focus()
    page.keyboard.press("z")
    for _ in range(4):
        page.keyboard.press("+")  # 1.4^4: pixels are drawn as squares
    page.wait_for_function("() => Number(document.querySelector('.status').dataset.camera.split(',')[2]) > 2.5")
    page.wait_for_timeout(500)
    wait_for_tiles(page)


def differences(page: Any, shown: np.ndarray[Any, Any], look: ScreenLook, pixels: Any) -> list[int]:
    """Return by how many levels pixels on the canvas differ from what a look makes of their values."""
    x0, y0, zoom = (float(part) for part in page.locator(".status").get_attribute("data-camera").split(","))
    height, width, _ = shown.shape
    worst = []
    for y in range(int(y0) - 60, int(y0) + 60, 7):
        for x in range(int(x0) - 80, int(x0) + 80, 7):
            sx, sy = width / 2 + (x - x0) * zoom, height / 2 + (y - y0) * zoom
            wanted = look.picture(np.moveaxis(pixels.box(0, x, y, x + 1, y + 1), -1, 0))[0, 0].astype(int)
            worst.append(int(np.abs(shown[int(sy), int(sx)].astype(int) - wanted).max()))
    assert len(worst) > 350
    return worst


def test_the_picture_is_what_the_python_stretch_makes_of_its_pixels(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    look_closely(page, address)
    renderer = page.evaluate(
        "(() => { const gl = document.createElement('canvas').getContext('webgl2');"
        " const e = gl.getExtension('WEBGL_debug_renderer_info');"
        " return gl.getParameter(e.UNMASKED_RENDERER_WEBGL); })()"
    )
    assert "SwiftShader" in renderer
    stf = mock.info("master")["stretch"]["unlinked"]
    look = make_look(3, (stf["shadows"], stf["highlights"]), midtones=stf["midtones"])
    worst = differences(page, pixels_of(page, ".stage canvas"), look, mock.sources["master"][2])
    assert np.max(worst) <= 2
    assert np.mean(worst) < 0.6


def test_sliders_and_handles_change_the_picture_without_a_request(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "image")
    wait_for_tiles(page)
    page.get_by_role("slider", name="Shadows").wait_for()
    page.mouse.move(2, 2)
    page.wait_for_timeout(600)
    before = pixels_of(page, ".stage")
    mock.requests.clear()
    page.get_by_role("slider", name="Sky brightness").focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    brighter = pixels_of(page, ".stage")
    page.get_by_role("slider", name="Midtones").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    box = page.get_by_role("slider", name="Highlights").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 10, steps=4)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert mock.requests == []
    assert brighter.mean() > before.mean() + 10
    after = pixels_of(page, ".stage")
    assert after.mean() < brighter.mean() - 1  # a grey point further up
    assert page.get_by_role("slider", name="Highlights").bounding_box()["x"] == pytest.approx(box["x"] - 72, abs=30)


def test_a_picture_of_20000_px_pans_within_its_memory_and_time(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "image")
    page.get_by_role("combobox", name="Picture").select_option("M 94/mosaic_20k")
    page.get_by_text("20000 × 20000").wait_for()
    canvas = page.locator(".stage canvas").first
    canvas.focus()
    script_ms, most_bytes = [], 0
    for key in ["z", *["ArrowRight"] * 6, "-", "-", *["ArrowDown"] * 6, "+", *["ArrowLeft"] * 4]:
        page.keyboard.press(key)
        page.wait_for_timeout(120)
        status = page.locator(".status")
        script_ms.append(float(status.get_attribute("data-script-ms")))
        most_bytes = max(most_bytes, int(status.get_attribute("data-texture-bytes")))
    assert 0 < most_bytes <= 256 * 2**20
    assert np.quantile(script_ms, 0.1) <= 2.0  # other programs add to the rest


def test_the_probe_tells_exact_values_and_the_direction(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "image")
    wait_for_tiles(page)
    box = page.locator(".stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".status b").first.wait_for()
    text = page.locator(".status").inner_text()
    x, y = (int(part.replace(",", "")) for part in re.match(r"x ([\d,]+)\s+y ([\d,]+)", text).groups())
    value = float(mock.sources["master"][2].box(0, x, y, x + 1, y + 1)[0, 0, 0])
    assert "12h 5" in text
    assert "+41°" in text
    assert f"{value:.7g}" in text.replace("\xa0", " ")


def test_two_pictures_stand_side_by_side_and_blink(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "image")
    page.get_by_role("combobox", name="Compare with").select_option("M 94/master_quick")
    page.locator(".tag.is-right").wait_for()
    page.locator(".stage canvas").first.focus()
    page.keyboard.press("b")
    for name in ("master_quick", "master_linear"):
        page.locator(".stage .tag", has_text=name).wait_for()


def test_overlays_are_drawn_and_maps_lie_above(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "image")
    wait_for_tiles(page)
    before = pixels_of(page, ".stage")
    page.get_by_role("switch", name="Sky grid").check()
    page.wait_for_timeout(500)
    with_grid = pixels_of(page, ".stage")
    page.get_by_label("Map").select_option("coverage")
    page.get_by_role("slider", name="Opacity").wait_for()
    wait_for_tiles(page)
    with_map = pixels_of(page, ".stage")
    assert 0.001 < (before != with_grid).any(axis=-1).mean() < 0.2
    assert (with_grid != with_map).any(axis=-1).mean() > 0.5


def save_as(page: Any, mock: Any, name: str) -> StretchGiven:
    """Save the picture and return the stretch that the server was asked for."""
    page.get_by_role("button", name="Save as").click()
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text(f"Saved {name}.png").wait_for()
    assert mock.saved["s1"]["format"] == "png"
    return StretchGiven.model_validate(mock.saved["s1"]["stretch"])


def test_a_picture_is_saved_as_it_is_shown(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    look_closely(page, address)
    page.get_by_role("radio", name="asinh").check(force=True)
    page.get_by_role("slider", name="Saturation").fill("1.6")
    page.wait_for_timeout(300)
    shown = pixels_of(page, ".stage canvas")  # before the notice lies over it
    given = save_as(page, mock, "M 94 evening")
    assert (given.midtones, given.saturation) == (None, 1.6)
    look = make_look(3, (given.shadows, given.highlights), asinh=given.asinh, saturation=given.saturation)
    assert np.max(differences(page, shown, look, mock.sources["master"][2])) <= 2
    page.get_by_role("button", name="Reset").click()
    given = save_as(page, mock, "M 94 morning")
    assert given.midtones == pytest.approx(mock.info("master")["stretch"]["unlinked"]["midtones"])
    assert (given.asinh, given.saturation) == (None, 1.0)


def test_ten_thousand_frames_scroll_sort_and_are_chosen(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "frames")
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "10001"
    assert page.locator(".frame-grid .body [role=row]").count() < 80
    page.get_by_role("columnheader", name="FWHM").get_by_role("button").click()
    fwhm = [row[12] for row in mock.table["rows"]]
    page.locator(f"#frame-f{int(np.argmin(fwhm))}").wait_for()
    grid.focus()
    page.keyboard.press("End")
    worst = page.locator(f"#frame-f{int(np.argmax(fwhm))}")
    worst.wait_for()
    page.keyboard.press("x")
    page.locator(".frame-grid .is-excluded").first.wait_for()
    assert [row[0] for row in mock.table["rows"] if row[-1] == "exclude"] == [f"f{int(np.argmax(fwhm))}"]
    page.wait_for_timeout(700)
    page.reload()
    page.locator(f"#frame-f{int(np.argmin(fwhm))}").wait_for()  # still sorted
    assert "Excluded 1" in page.locator(".toolbar").inner_text()


def test_a_rectangle_over_a_plot_selects_its_frames(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "frames")
    box = page.locator(".plot-box .u-over").nth(2).bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] * 0.6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=3)
    page.mouse.up()
    page.locator(".selected").wait_for()
    n = int(page.locator(".selected strong").inner_text().split()[0].replace(",", ""))
    stars = np.array([row[11] for row in mock.table["rows"]])
    assert 100 < n < 600
    assert n == pytest.approx((stars < np.sort(stars)[n]).sum(), abs=30)
    page.get_by_role("button", name="Exclude", exact=True).first.click()
    page.get_by_text(f"Excluded {n}").wait_for()


def test_frames_blink_and_are_looked_at(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "frames")
    first = page.locator(".blink .file").inner_text()
    page.get_by_role("button", name="Blink the frames").click()
    page.locator(".blink .file", has_not_text=first).wait_for()
    page.keyboard.press("p")
    page.get_by_role("button", name="Look closer").click()
    page.locator(".stage canvas").first.wait_for()
    assert page.url.endswith("#image")


def test_a_run_goes_stops_goes_on_and_shows_its_picture(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    mock.holds_at = 40
    show(page, address, "run")
    page.get_by_role("radio", name="Best").check()
    page.get_by_text("Selection of frames").click()
    page.get_by_label("Share to keep").fill("0.9")
    page.get_by_label("Share to keep").press("Tab")
    page.get_by_role("button", name="Start").click()
    page.locator(".live canvas").first.wait_for()
    assert mock.job["settings"] == {"keep": 0.9}
    page.get_by_role("button", name="Stop").click()
    page.locator(".badge.is-stopped").wait_for()
    mock.holds_at = None
    page.get_by_role("button", name="Continue").click()
    page.locator(".badge.is-done").wait_for()
    page.get_by_role("radio", name="Warnings").check()
    assert page.locator(".log p").count() == page.locator(".log p.is-warning").count() > 0


def test_a_live_stack_grows_frames_are_taken_out_and_it_ends(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "live")
    page.get_by_role("button", name="Watch").click()
    page.locator(".figures dd", has_text="3").first.wait_for()
    page.locator(".curve canvas").first.wait_for()
    page.locator(".live canvas").first.wait_for()
    name = mock.board["frames"][1]["file"]
    page.get_by_role("button", name=f"Exclude {name}").click()
    page.get_by_role("button", name=f"Include {name}").wait_for()
    assert mock.board["excluded"] == [name]
    assert page.locator(".live-frames li.is-excluded .file").inner_text() == name
    page.get_by_role("button", name=f"Include {name}").click()
    page.get_by_role("button", name=f"Exclude {name}").wait_for()
    page.get_by_role("button", name="End and write products").click()
    page.get_by_role("button", name="Watch").wait_for()
    assert mock.job["state"] == "done"


def test_what_a_run_would_cost_is_told(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "run")
    page.get_by_role("button", name="What will it cost?").click()
    page.get_by_text("412 frames in 60 tiles").wait_for()


def test_language_theme_and_stretch_are_found_again_and_night_is_only_red(page: Any, mock_app: tuple[Any, str]) -> None:
    mock, address = mock_app
    show(page, address, "image")
    wait_for_tiles(page)
    page.get_by_role("slider", name="Sky brightness").fill("0.4")
    page.get_by_role("combobox", name="Language").select_option("fr")
    page.get_by_role("combobox", name="Thème").select_option("night")
    page.wait_for_timeout(800)
    page.reload()
    page.get_by_text("Étirement", exact=True).wait_for()
    wait_for_tiles(page)
    assert page.locator("html").get_attribute("lang") == "fr"
    assert page.get_by_role("slider", name="Luminosité du fond").input_value() == "0.4"
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    assert shown[..., 1:].max() == 0
    assert shown[..., 0].max() == 255
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.wait_for_timeout(300)
    with_dialog = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    assert with_dialog[..., 1:].max() == 0
    assert with_dialog[..., 0].mean() < 40, "a dialog must not light up the room"
    assert mock.settings["theme"] == "night"


def test_the_report_is_asked_for_in_the_language_of_the_person(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "report")
    assert page.locator("iframe").get_attribute("src") == "/report/r1?theme=dark&language=en"
    page.get_by_role("combobox", name="Language").select_option("fr")
    link = page.get_by_role("link", name="Ouvrir dans un onglet")
    assert link.get_attribute("href") == "/report/r1?language=fr"
    assert page.locator("iframe").get_attribute("src") == "/report/r1?theme=dark&language=fr"


def test_keys_lead_everywhere(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    show(page, address, "open")
    for key, screen in zip("2345678", ["frames", "run", "live", "image", "finish", "sky", "report"], strict=True):
        page.keyboard.press(key)
        page.locator(SCREENS[screen]).first.wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.locator(SCREENS["open"]).first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


def test_the_narrowest_window_scrolls_in_one_direction_only(page: Any, mock_app: tuple[Any, str]) -> None:
    _, address = mock_app
    page.set_viewport_size({"width": 320, "height": 640})
    for screen in ("open", "run", "image", "finish"):
        page.goto(f"{address}#{screen}")
        page.locator("main .panel").first.wait_for()
        assert page.evaluate("document.querySelector('main').scrollWidth") <= 320


def test_place_and_comparison_are_found_again_on_the_way_back_and_after_a_reload(
    page: Any, mock_app: tuple[Any, str]
) -> None:
    _, address = mock_app

    def place() -> list[float]:
        return [float(part) for part in page.locator(".status").get_attribute("data-camera").split(",")]

    show(page, address, "image")
    wait_for_tiles(page)
    page.get_by_role("combobox", name="Compare with").select_option("M 94/master_quick")
    page.locator(".tag.is-right").wait_for()
    page.locator(".stage canvas").first.focus()
    for key in ("z", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_function("() => Math.abs(document.querySelector('.status').dataset.camera.split(',')[2] - 1) < 1e-6")
    page.wait_for_function(
        "() => { const at = document.querySelector('.status').dataset.camera.split(',').map(Number);"
        " return at[0] > 950 && at[1] > 650; }"  # both steps are made
    )
    seen = place()
    page.keyboard.press("2")
    page.locator(SCREENS["frames"]).first.wait_for()
    page.keyboard.press("5")
    wait_for_tiles(page)
    assert place() == seen
    page.reload()
    page.locator(".tag.is-right").wait_for()
    page.wait_for_function("() => Math.abs(document.querySelector('.status').dataset.camera.split(',')[2] - 1) < 1e-6")
    assert place() == seen
