"""The server with the engine itself: a run that is killed in the middle ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from running_app import RunningApp

import skyquilt as sq
from skyquilt.testing.sky import Scenario, make_session

ENGINE = (sys.executable, "-m", "skyquilt", "engine", "--quiet")
SETTINGS: dict[str, Any] = {"threads": 1, "memory": "400MB"}
SCENARIO = Scenario(device="generic", n_frames=8, width=480, height=400, seed=5, n_faint_stars=200)

pytestmark = pytest.mark.skipif(
    find_spec("skyquilt.apps.worker") is None, reason="this version has no engine process (skyquilt engine)"
)


def has_ended(job: Any) -> bool:
    return job["state"] not in ("running", "stopping", "interrupted")


def hashes(out: Path) -> dict[str, str]:
    """Return the hash of the pixels of every product."""
    manifest = json.loads(next(out.glob("*/run_manifest.json")).read_text())
    return {one["name"]: one["data_sha256"] for one in manifest["outputs"] if one["data_sha256"]}


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Stacked through the app, the engine killed once tiles have landed; and by the library, undisturbed."""
    make_session(tmp_path / "sky" / "night", SCENARIO)
    with RunningApp((tmp_path / "sky",), tmp_path / "killed", ENGINE) as app:
        app.open_night()
        app.post("/api/run", 202, kind="stack", settings=SETTINGS)
        app.job(until=lambda job: job["live"] is not None or has_ended(job), limit_s=120)
        os.kill(app.get("/api/state")["engine"]["pid"], signal.SIGKILL)
        job = app.job(until=has_ended, limit_s=120)
        assert (job["state"], job["restarts"]) == ("done", 1), job
        image = app.post("/api/image", product=next(one["id"] for one in job["products"] if one["kind"] == "image"))
        assert app.client.get(f"/api/image/{image['handle']}/tile/0/0/0").content[:4] == b"SQT1"
    sq.stack(tmp_path / "sky" / "night", tmp_path / "whole")  # with tiles of its own
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole") != {}


@pytest.mark.long
def test_a_live_stack_outlives_a_killed_engine_and_leaves_out_what_was_excluded(tmp_path: Path) -> None:
    make_session(tmp_path / "source", SCENARIO)
    lights = sorted((tmp_path / "source").rglob("*_LIGHT_*.fits"))
    folder = tmp_path / "growing"
    folder.mkdir()

    def board_of(app: RunningApp, n_in: int) -> Any:
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            board = app.get("/api/live")
            if board["figures"] and board["figures"]["n_in"] == n_in:
                return board
            time.sleep(0.1)
        raise AssertionError(f"no picture of {n_in} frames: {app.get('/api/job')}")

    with RunningApp((folder,), tmp_path / "out", ENGINE) as app:
        app.post("/api/watch", 202, settings={"threads": 2, "solve": "off"})  # the folder is empty as yet
        for path in lights[:4]:
            shutil.copy(path, folder)
        board_of(app, 4)
        live = app.get("/api/job")["job"]["live"]
        assert app.client.get(f"/api/image/{live}/tile/0/0/0").content[:4] == b"SQT1"
        os.kill(app.get("/api/state")["engine"]["pid"], signal.SIGKILL)
        shutil.copy(lights[4], folder)
        assert len(board_of(app, 5)["frames"]) == 5
        app.post("/api/live/choice", exclude=[lights[1].name])
        assert [frame["file"] for frame in board_of(app, 4)["frames"]].count(lights[1].name) == 1
        app.post("/api/live/finish", 202)
        job = app.job(until=has_ended, limit_s=120)
    assert (job["state"], job["restarts"]) == ("done", 1), job
    (folder / lights[1].name).unlink()
    sq.stack(folder, tmp_path / "offline", schedule="live", solve="off")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "offline") != {}
