"""The command finish of the engine: previews, whole runs, refusals, a stop; and the master as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protocol_client import Client

from skyquilt.engine.finish import FinishSettings, finish_master, load_chain, preset_chain
from skyquilt.io.fits import frame_source, open_frame, write_image

STEPS: list[dict[str, Any]] = [
    {"operation": "gradient", "order": 1},
    {"operation": "neutral"},
    {"operation": "auto_stretch", "target": 0.2},
]


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.engine.stop()
    client.engine.finish()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colour master with a galaxy, 240 x 200 px."""
    random = np.random.default_rng(11)
    y, x = np.mgrid[0:200, 0:240]
    light = 0.01 * (1 + x / 4000) + 0.02 * np.exp(-np.hypot((x - 120) / 12, (y - 90) / 8))
    image = (light * np.array([0.9, 1.0, 0.8])[:, None, None] + random.normal(0, 2e-4, (3, 200, 240))).astype("f4")
    path = tmp_path_factory.mktemp("finish") / "master_linear.fits"
    write_image(path, image, [("BUNIT", "adu/65535", "unit")])
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixels(path: Path) -> np.ndarray:
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels


def test_a_whole_run_writes_what_the_command_line_writes(client: Client, master: Path, tmp_path: Path) -> None:
    before = digest(master)
    outputs = [str(tmp_path / name) for name in ("a.fits", "a.png")]
    done = client.data("finish", path=str(master), steps=STEPS, outputs=outputs)
    assert [step["operation"] for step in done["steps"]] == ["gradient", "neutral", "auto_stretch"]
    assert (done["is_picture"], done["factor"], done["box"]) == (True, 1, [0, 0, 240, 200])
    chain = load_chain(Path(done["record"]))
    same = finish_master(master, FinishSettings(chain=chain, outputs=(tmp_path / "b.fits",)))
    np.testing.assert_array_equal(pixels(tmp_path / "a.fits"), same.pixels)
    assert (tmp_path / "a.png").exists() and digest(master) == before


def test_previews_tell_their_progress_and_replace_nothing(client: Client, master: Path, tmp_path: Path) -> None:
    before = digest(master)
    ask = {"path": str(master), "steps": STEPS, "preview": True}
    done = client.data("finish", **ask, outputs=[str(tmp_path / "p.fits")])
    assert done["factor"] == 1 and done["record"] is None
    told = [line["progress"] for line in client.of("ask-1") if "progress" in line]
    assert told[-1] == {"stage": "complete", "percent": 1.0}
    assert [one["percent"] for one in told[:-1]] == pytest.approx([1 / 3, 2 / 3, 1.0], abs=1e-5)
    again = client.ask("finish", **ask, outputs=[str(tmp_path / "p.fits")])
    assert "there already" in again["error"]
    assert "one FITS" in client.ask("finish", **ask, outputs=[str(tmp_path / "q.png")])["error"]
    assert digest(master) == before


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"path": "nowhere.fits"}, "there is no file"),
        ({"outputs": []}, "outputs is empty"),
        ({"steps": [{"operation": "delete"}]}, "there is no operation delete"),
        ({"steps": [{"operation": "gradient", "order": 9}]}, "order"),
        ({"steps": [{"operation": "auto_stretch"}, {"operation": "gradient"}]}, "put it before the stretch"),
        ({"outputs": ["a.exe"]}, "has no ending"),
    ],
)
def test_what_cannot_be_meant_gets_a_sentence(
    client: Client, master: Path, tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    asked = {"path": str(master), "steps": STEPS, "outputs": [str(tmp_path / "x.fits")]}
    answer = client.ask("finish", **{**asked, **fields})
    assert not answer["ok"] and sentence in (answer["error"] + answer["hint"])
    assert list(tmp_path.iterdir()) == []


def test_the_master_is_never_an_output(client: Client, master: Path) -> None:
    before = digest(master)
    for preview in (False, True):
        answer = client.ask("finish", path=str(master), steps=STEPS, outputs=[str(master)], preview=preview)
        assert not answer["ok"]
    assert digest(master) == before


def test_a_run_stops_after_the_step_in_hand(client: Client, master: Path, tmp_path: Path) -> None:
    def stop(message: dict[str, Any]) -> None:
        if message.get("id") == "slow" and message.get("progress", {}).get("percent", 0) > 0.1:
            client.engine.cancel("slow")

    client.lines.on_line = stop
    steps = preset_chain("preview").to_values()["steps"]
    client.send(id="slow", cmd="finish", path=str(master), steps=steps, outputs=[str(tmp_path / "s.fits")])
    answer = client.wait("slow")
    assert answer["cancelled"] and list(tmp_path.iterdir()) == []
