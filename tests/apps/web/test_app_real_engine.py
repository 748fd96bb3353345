"""The server with the engine itself: a run that is killed in the middle ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import sys
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
