"""The engine dies, is stopped, is left: what the page hears of it, and how the job goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from running_app import FAKE, RunningApp, next_event

from skyquilt.apps.web.frames import widened
from skyquilt.apps.web.roots import Roots


def start(running: RunningApp, **settings: Any) -> Any:
    running.open_night()
    return running.post("/api/run", 202, kind="stack", settings=settings)["job"]


def is_at_work(job: Any) -> bool:
    return bool(job["percent"] > 0.4)


def has_ended(job: Any) -> bool:
    return job["state"] not in ("running", "stopping", "interrupted")


def kill(running: RunningApp) -> None:
    os.kill(running.get("/api/state")["engine"]["pid"], signal.SIGKILL)


def result(running: RunningApp) -> str:
    return (running.out / "result.txt").read_text()


def test_a_run_tells_how_far_it_is_and_ends(running: RunningApp) -> None:
    start(running)
    job = running.job(until=is_at_work)
    assert job["state"] == "running" and job["phase"] == "integrate" and job["live"]
    job = running.job(until=has_ended)
    assert job["state"] == "done" and job["percent"] == 1.0 and job["n_left_out"] == 1
    assert {phase["name"]: phase["state"] for phase in job["phases"]}["integrate"] == "done"
    assert all(phase["state"] == "done" for phase in job["phases"] if phase["name"] != "products")
    assert "trailed" in json.dumps(running.get("/api/log?after=0"))


def test_the_page_hears_of_a_killed_engine_within_a_second_and_the_run_goes_on_by_itself(running: RunningApp) -> None:
    start(running)
    with running.events() as page:
        running.job(until=is_at_work)
        kill(running)
        killed = time.monotonic()
        assert next_event(page, lambda event: event["type"] == "engine")["state"] == "dead"
        assert time.monotonic() - killed < 1.0
        job = next_event(page, lambda event: event["type"] == "job" and event["job"]["state"] == "interrupted")["job"]
        assert job["restarts"] == 1 and job["live"] is None
        assert next_event(page, lambda event: event["type"] == "engine" and event["state"] == "ready")
    job = running.job(until=has_ended)
    assert job["state"] == "done"
    # it went on where it was: as many steps as one run has, none done twice, and the same request
    assert json.loads(result(running)) == [str(running.out.parent / "sky" / "night"), None, "x" * 40]


def test_an_engine_that_always_dies_is_given_up_with_a_sentence(running: RunningApp) -> None:
    start(running, keep=0.5)
    job = running.job(until=has_ended)
    assert job["state"] == "failed" and "again and again" in job["error"]["message"]
    assert running.get("/api/state")["api"] == 1


def test_a_run_that_is_stopped_can_be_continued(running: RunningApp) -> None:
    start(running)
    running.job(until=is_at_work)
    assert running.post("/api/job/stop")["job"]["state"] in ("stopping", "stopped")
    assert running.job(until=has_ended)["state"] == "stopped"
    assert not (running.out / "result.txt").exists()
    assert running.post("/api/job/continue", 202)["job"]["state"] == "running"
    assert running.job(until=has_ended)["state"] == "done"
    assert json.loads(result(running))[2] == "x" * 40


def test_one_job_at_a_time(running: RunningApp) -> None:
    start(running)
    assert "running" in running.post("/api/run", 409, kind="stack")["error"]["message"]
    assert running.post("/api/job/continue", 409)["error"]["message"]
    running.post("/api/job/stop")
    running.job(until=has_ended)


def test_a_job_outlives_the_app(tmp_path: Path, sessions_folder: Path) -> None:
    out = tmp_path / "out"
    with RunningApp((sessions_folder,), out, FAKE) as running:
        start(running)
        running.post("/api/settings", language="fr", view={"zoom": 2})
        running.job(until=is_at_work)
    assert not (out / "result.txt").exists()
    with RunningApp((sessions_folder,), out, FAKE) as running:
        state = running.get("/api/state")
        assert state["settings"]["language"] == "fr" and state["settings"]["view"] == {"zoom": 2}
        assert state["job"]["state"] == "interrupted"
        running.post("/api/job/continue", 202)
        assert running.job(until=has_ended)["state"] == "done"
        assert json.loads((out / "result.txt").read_text())[2] == "x" * 40
        assert running.get("/api/state")["project"]["folder"]["name"] == "night"


def test_excluded_frames_are_remembered_and_take_no_part(tmp_path: Path, sessions_folder: Path) -> None:
    out = tmp_path / "out"
    with RunningApp((sessions_folder,), out, FAKE) as running:
        running.open_night()
        table = running.get("/api/frames")
        rows = {row[table["columns"].index("file")]: row[0] for row in table["rows"]}
        assert running.post("/api/frames/choice", exclude=[rows["a.fit"], rows["b.fit"]])["n_excluded"] == 2
        assert running.post("/api/frames/choice", include=[rows["b.fit"]])["n_excluded"] == 1
    with RunningApp((sessions_folder,), out, FAKE) as running:
        running.open_night()
        table = running.get("/api/frames")
        choices = {row[1]: row[-1] for row in table["rows"]}
        assert choices == {"a.fit": "exclude", "b.fit": None, "c.fit": None, "way_out.fit": None}
        running.post("/api/run", 202, kind="stack")
        running.job(until=has_ended)
    listed = Path(json.loads((out / "result.txt").read_text())[1])
    assert listed.read_text().split() == ["b.fit", "c.fit", "way_out.fit"]


def test_figures_that_were_measured_come_back(tmp_path: Path, sessions_folder: Path) -> None:
    with RunningApp((sessions_folder,), tmp_path / "out", FAKE) as running:
        running.open_night()
        assert not running.get("/api/frames")["is_scored"]
        running.finish(running.post("/api/frames", 202, scored=True))
    with RunningApp((sessions_folder,), tmp_path / "out", FAKE) as running, running.events() as page:
        while not running.get("/api/frames")["is_scored"]:
            next_event(page, lambda event: event["type"] == "frames")


def test_a_second_app_only_looks(running: RunningApp, sessions_folder: Path) -> None:
    running.post("/api/settings", language="en")
    with RunningApp((sessions_folder,), running.out, FAKE) as other:
        assert other.get("/api/state")["is_read_only"]
        other.open_night()
        for path, body in (("/api/settings", {"language": "fr"}), ("/api/run", {"kind": "stack"})):
            assert "another app" in other.post(path, 409, **body)["error"]["message"]
    assert running.get("/api/state")["settings"]["language"] == "en"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": 9}', '{"settings": {"theme": 1}}', "\x00" * 100]
)
def test_a_damaged_memory_is_as_if_it_were_not_there(tmp_path: Path, sessions_folder: Path, content: str) -> None:
    from skyquilt.apps.web.project import Project

    (tmp_path / "out" / ".skyquilt").mkdir(parents=True)
    (tmp_path / "out" / ".skyquilt" / "app.json").write_text(content)
    with Project(tmp_path / "out") as project:
        assert project.remembered.settings.language is None
        project.remembered.settings.language = "fr"
        project.save()
    with Project(tmp_path / "out") as project:
        assert project.remembered.settings.language == "fr"


def test_settings_of_a_run_are_refused_by_name(running: RunningApp) -> None:
    running.open_night()
    for settings, word in (({"keep": 2}, "keep"), ({"no_such": 1}, "no_such"), ({"dark": "/etc"}, "dark")):
        assert word in running.post("/api/run", 400, kind="stack", settings=settings)["error"]["message"]
    assert "join" in running.post("/api/plan", 400, kind="mosaic", settings={"join": True})["error"]["message"]


@pytest.mark.parametrize("kind", ["stack", "mosaic"])
def test_a_plan_is_asked_as_the_engine_takes_it(running: RunningApp, kind: str) -> None:
    running.open_night()
    task = running.finish(running.post("/api/plan", 202, kind=kind, settings={}))
    assert (task["state"], task["result"]["plans"]) == ("done", []), task


def test_a_session_that_is_given_alone_is_open_at_once(tmp_path: Path, sessions_folder: Path) -> None:
    with RunningApp((sessions_folder / "night",), tmp_path / "out", FAKE) as app:
        end = time.monotonic() + 20
        while (session := app.get("/api/state")["session"]) is None and time.monotonic() < end:
            time.sleep(0.02)
        assert session["name"] == "night"
    sorted_night = tmp_path / "Night of 12 March"
    (sorted_night / "lights").mkdir(parents=True)
    (sorted_night / "lights" / "a.fit").write_bytes(b"not looked at")
    assert Roots([sorted_night]).lone_session == sorted_night
    with RunningApp((sessions_folder,), tmp_path / "other", FAKE) as app:
        assert app.get("/api/state")["tasks"] == [], "a folder of sessions is for the person to choose from"


def test_blinked_frames_have_one_width_of_curve_and_black_points_of_their_own() -> None:
    own = {"shadows": [10.0, 20.0], "midtones": [0.1, 0.2], "highlights": [50.0, 90.0]}
    other = {"shadows": [100.0, 110.0], "midtones": [0.3, 0.4], "highlights": [300.0, 310.0]}
    expected = {"shadows": [10.0, 20.0], "midtones": [0.3, 0.4], "highlights": [210.0, 220.0]}
    assert widened(own, other) == expected
    mono = {"shadows": [1.0], "midtones": [0.5], "highlights": [2.0]}
    assert widened(mono, other) == mono


def test_the_recipe_is_told_with_its_help(running: RunningApp) -> None:
    recipe = running.get("/api/recipe")
    keep = recipe["stack"]["schema"]["properties"]["keep"]
    assert keep["description"] and keep["group"] == "selection" and recipe["stack"]["defaults"]["keep"] == 1.0
    assert "scale_arcsec" in recipe["mosaic"]["schema"]["properties"]
    assert "quick" in recipe["stack"]["presets"] and recipe["stack"]["groups"][0] == "input"


def test_gauges_tell_memory_and_disk(running: RunningApp) -> None:
    gauges = running.get("/api/gauges")
    assert gauges["memory"]["total_bytes"] > 1e8 and gauges["disk"]["free_bytes"] > 0


def test_only_folders_below_the_roots_are_shown(running: RunningApp) -> None:
    root = running.get("/api/folders")["folders"][0]
    listing = running.get(f"/api/folders?folder={root['id']}")
    assert [one["name"] for one in listing["folders"]] == ["night"], "links are not followed"
    assert str(running.out.parent) not in json.dumps(listing)
    night = listing["folders"][0]
    folder = running.out.parent / "sky" / "night"
    folder.rename(folder.with_name("away"))
    folder.symlink_to(running.out.parent / "secret")
    assert running.post("/api/open", 404, folder=night["id"])


def test_a_frame_that_leads_out_is_not_read(running: RunningApp) -> None:
    running.open_night()
    rows = {row[1]: row[0] for row in running.get("/api/frames")["rows"]}
    assert running.client.get(f"/api/frame/{rows['a.fit']}/preview?size=64").content[:2] == b"\xff\xd8"
    assert running.client.get(f"/api/frame/{rows['way_out.fit']}/preview").status_code == 404
    running.post("/api/image", 404, frame=rows["way_out.fit"])


def test_a_preview_is_made_once(running: RunningApp) -> None:
    running.open_night()
    rows = {row[1]: row[0] for row in running.get("/api/frames")["rows"]}
    path = f"/api/frame/{rows['a.fit']}/preview?size=64&like={rows['b.fit']}"
    first = running.client.get(path)
    assert "immutable" in first.headers["cache-control"]
    kept = list((running.out / ".skyquilt" / "app" / "previews").iterdir())
    assert len(kept) == 1
    kept[0].write_bytes(b"kept")
    assert running.client.get(path).content == b"kept"


def test_a_folder_opens_with_a_verdict(running: RunningApp) -> None:
    session = running.open_night()
    assert session["groups"][0]["n_frames"] == 4 and session["left_out"][0]["code"] == "no_image"
    checks = {check["name"]: check["verdict"] for check in session["preflight"]["checks"]}
    assert checks["frames"] == "ok" and checks["calibration"] == "warning" and checks["output"] == "ok"


def test_a_live_stack_is_shown_adjusted_and_finished(running: RunningApp) -> None:
    running.post("/api/live/finish", 409)
    folder = running.get("/api/state")["roots"][0]["id"]
    with running.events() as page:
        assert running.post("/api/watch", 202, folder=folder, settings={})["job"]["kind"] == "watch"
        grown = next_event(page, lambda event: event["type"] == "live" and event["figures"] and not event["is_anew"])
        assert len(grown["frames"]) == len(grown["curve"]) == 1
        assert running.post("/api/live/choice", exclude=["1.fit", "2.fit"])["excluded"] == ["1.fit", "2.fit"]
        assert running.post("/api/live/choice", include=["1.fit"])["excluded"] == ["2.fit"]
        next_event(page, lambda event: event["type"] == "live" and event["excluded"] == ["2.fit"])
    board = running.get("/api/live")
    n = board["figures"]["n_in"]
    assert [point["n_in"] for point in board["curve"]] == list(range(1, n + 1))
    assert len(board["frames"]) == n
    job = running.get("/api/job")["job"]
    assert job["live"]
    assert job["phase"] == "live"
    running.post("/api/live/finish", 202)
    assert running.job(until=has_ended)["state"] == "done"
    assert json.loads(result(running))[1] == ["2.fit"]


def test_a_live_stack_that_is_stopped_can_be_continued(running: RunningApp) -> None:
    running.post("/api/watch", 202)
    running.job(until=lambda job: bool(job["live"]))
    running.post("/api/job/stop")
    assert running.job(until=has_ended)["state"] == "stopped"
    assert not (running.out / "result.txt").exists()
    running.post("/api/job/continue", 202)
    running.job(until=lambda job: bool(job["live"]))
    running.post("/api/live/finish", 202)
    assert running.job(until=has_ended)["state"] == "done"


def test_settings_that_a_live_stack_has_not_are_refused_by_name(running: RunningApp) -> None:
    assert "keep" in running.post("/api/watch", 400, settings={"keep": 2})["error"]["message"]
