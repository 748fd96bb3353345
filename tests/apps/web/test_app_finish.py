"""The Finish screen's routes with the engine itself: previews, whole runs, chains as files; the master as it was."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_app import RunningApp

from skyquilt import stack
from skyquilt.engine.finish import FinishSettings, finish_master, load_chain
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.testing.sky import Scenario, make_session

ENGINE = (sys.executable, "-m", "skyquilt", "engine", "--quiet")
SCENARIO = Scenario(device="generic", n_frames=5, width=160, height=120, seed=5, n_faint_stars=120)
STEPS: list[dict[str, Any]] = [
    {"operation": "crop", "box": [10, 8, 150, 112]},
    {"operation": "gradient", "order": 1},
    {"operation": "neutral"},
    {"operation": "hyperbolic_stretch", "target": 0.15, "mask": None},
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The app and its engine over a small synthetic stack."""
    folder = tmp_path_factory.mktemp("finish")
    make_session(folder / "sky" / "night", SCENARIO)
    stack(folder / "sky" / "night", folder / "out")
    with RunningApp((folder / "sky",), folder / "out", ENGINE) as running:
        yield running


@pytest.fixture
def master(app: RunningApp) -> Iterator[tuple[str, Path]]:
    """The id and the file of the master, which must have the same bytes afterwards."""
    path = next(app.out.glob("*/stacked/master_linear.fits"))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    groups = app.get("/api/products")["groups"]
    yield next(one["id"] for group in groups for one in group["products"] if one["name"] == "master_linear"), path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def pixels(path: Path) -> np.ndarray[Any, Any]:
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels


def test_a_preview_is_shown_and_a_whole_run_writes_files_that_the_command_line_writes_too(
    app: RunningApp, master: tuple[str, Path], tmp_path: Path
) -> None:
    product, path = master
    preview = app.finish(app.post("/api/finish/run", 202, product=product, steps=STEPS))
    assert (preview["kind"], preview["state"]) == ("preview", "done"), preview
    result = preview["result"]
    assert result["box"] == [10, 8, 150, 112] and result["is_picture"] and result["files"] == []
    assert "order" in result["steps"][1]["facts"]
    image = app.get(f"/api/image/{result['image']}")
    assert (image["width"], image["height"], image["unit"]) == (140, 104, "stretched")
    assert app.client.get(f"/api/image/{result['image']}/tile/0/0/0").content[:4] == b"SQT1"
    assert not (app.out / "finished").exists()

    chosen = {"product": product, "steps": STEPS, "preview": False, "name": "evening", "formats": ["png", "tiff"]}
    for stem in ("evening", "evening 2"):  # never over a file
        whole = app.finish(app.post("/api/finish/run", 202, **chosen))
        assert whole["result"]["files"] == [f"{stem}{end}" for end in (".fits", ".png", ".tif", ".finish.json")], whole
    folder = app.out / "finished"
    groups = app.get("/api/products")["groups"]
    finished = next(one for one in groups if one["kind"] == "finish")["products"]
    opened = app.post("/api/image", product=next(one["id"] for one in finished if one["file"] == "evening.fits"))
    assert opened["unit"] == "stretched" and opened["width"] == 140

    kept = app.post("/api/finish/chain/save", name="mine", steps=STEPS)
    assert kept["file"] == "mine.toml"
    again = finish_master(
        path, FinishSettings(chain=load_chain(app.out / "chains" / "mine.toml"), outputs=(tmp_path / "a.fits",))
    )
    np.testing.assert_array_equal(pixels(folder / "evening.fits"), again.pixels)
    assert app.client.get(f"/api/saved/{kept['saved']}").text == (app.out / "chains" / "mine.toml").read_text()
    offered = app.get("/api/finish")["chains"]
    assert [one["name"] for one in offered] == ["mine.toml"]
    steps = app.post("/api/finish/chain", kept=offered[0]["id"])["steps"]
    assert [one["operation"] for one in steps] == [one["operation"] for one in STEPS]


def test_previews_leave_no_more_than_three_files_and_go_with_the_app(app: RunningApp, master: tuple[str, Path]) -> None:
    for k in range(5):
        steps = [{"operation": "auto_stretch", "target": 0.1 + 0.02 * k}]
        done = app.finish(app.post("/api/finish/run", 202, product=master[0], steps=steps))
    assert done["state"] == "done"
    assert len(list(app.out.glob(".skyquilt/app/exchange-*/finish-*.fits"))) == 3
    assert app.get(f"/api/image/{done['result']['image']}")["unit"] == "stretched"


def test_a_step_that_cannot_be_done_ends_the_run_with_a_sentence(app: RunningApp, master: tuple[str, Path]) -> None:
    steps = [{"operation": "auto_stretch"}, {"operation": "gradient"}]
    task = app.finish(app.post("/api/finish/run", 202, product=master[0], steps=steps))
    assert task["state"] == "failed" and "stretched by then" in task["error"]["message"]
    refused = app.client.post(
        "/api/finish/run",
        json={"product": master[0], "steps": [{"operation": "neutral"}, {"operation": "scnr", "x": 1}]},
    )
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("step 2: scnr has no setting x")


def test_a_luminance_is_an_image_of_the_project_and_no_path(app: RunningApp, master: tuple[str, Path]) -> None:
    product, path = master
    steps = [{"operation": "lrgb", "method": "direct", "luminance": product}]
    app.post("/api/finish/chain/save", name="luminance", steps=steps)
    text = (app.out / "chains" / "luminance.toml").read_text()
    assert str(path) in text
    assert app.post("/api/finish/chain", text=text)["steps"][0]["luminance"] == product
    for foreign in (str(path), "/etc/passwd", "../secret"):
        answer = app.client.post(
            "/api/finish/run", json={"product": product, "steps": [{**steps[0], "luminance": foreign}]}
        )
        assert answer.status_code in (400, 404), foreign


def test_the_folders_of_chains_and_of_finished_images_may_be_no_links(
    app: RunningApp, master: tuple[str, Path], tmp_path: Path
) -> None:
    link = app.out / "chains"
    aside = app.out / "chains aside"
    if link.exists():
        link.rename(aside)
    link.symlink_to(tmp_path)
    (tmp_path / "foreign.toml").write_text('[[steps]]\noperation = "neutral"\n')
    try:
        assert app.client.post("/api/finish/chain/save", json={"name": "x", "steps": []}).status_code == 400
        assert app.get("/api/finish")["chains"] == []
    finally:
        link.unlink()
        if aside.exists():
            aside.rename(link)
