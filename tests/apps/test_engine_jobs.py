"""Jobs of the engine: progress, live pictures, cancel and going on, queues; and the engine as a process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from protocol_client import Client

import skyquilt
from skyquilt.apps.cli.program import program
from skyquilt.engine import planning
from skyquilt.engine.mosaic import assembly as mosaic_assembly
from skyquilt.engine.mosaic import job as mosaic_job
from skyquilt.engine.mosaic import planning as mosaic_planning
from skyquilt.io.fits import data_hash
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario, make_session

pytestmark = pytest.mark.usefixtures("no_settings")

TINY = Scenario(device="generic", n_frames=6, width=160, height=120, seed=5, n_dark=3, n_trails=1, n_faint_stars=120)
TILE = (32, 32)
RECIPE = {"schedule": "cube", "threads": 2, "solve": "off", "quicklook": False}
GOES_ON = "going on where an earlier run stopped: "

# the program with small tiles, so that a run has many moments at which it can be stopped
SMALL_TILES = """
from skyquilt.engine import planning
planning._TILES = ((16, 16),)
from skyquilt.apps.cli import main
main()
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    make_session(folder, TINY)
    return folder


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_TILES", (TILE,))


def hashes(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): data_hash(path) for path in sorted(folder.rglob("*.fits"))}
    assert any(name.endswith("master_linear.fits") for name in found)
    return found


@pytest.fixture(scope="module")
def unharmed(session: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The products of a stack that nobody disturbs."""
    out = tmp_path_factory.mktemp("unharmed")
    client = Client()
    client.data("stack", folder=str(session), out=str(out), recipe=RECIPE)
    client.engine.finish()
    return hashes(out)


def test_a_stack_tells_its_way_and_shows_its_picture(
    client: Client, session: Path, unharmed: dict[str, str], tmp_path: Path
) -> None:
    seen: list[float] = []

    def look(message: dict[str, Any]) -> None:
        """At every few tiles, before the engine goes on: how much of the picture is there."""
        event = message.get("event")
        if event and event["kind"] == "progress" and event["done"] in (1, 10, event["total"]):
            image = client.engine.session.image("job:s")
            seen.append(float(np.isfinite(image.values(image.bounds)[0]).mean()))

    client.lines.on_line = look
    client.data("subscribe", kinds=["phase", "progress"], phases=["integrate"])
    client.send(id="s", cmd="stack", folder=str(session), out="out", recipe=RECIPE)
    answer = client.wait("s")
    assert answer["ok"], answer
    assert hashes(tmp_path / "out") == unharmed
    lines = client.of("s")
    percents = [line["progress"]["percent"] for line in lines[:-1]]
    assert percents == sorted(percents) and percents[-1] == 1.0
    assert lines[-2]["progress"] == {"stage": "complete", "percent": 1.0} and lines[-1] is answer
    stages = list(dict.fromkeys(line["progress"]["stage"] for line in lines[:-1]))
    assert [stage for stage in stages if stage in ("measure", "register", "integrate", "products")] == [
        "measure", "register", "integrate", "products"
    ]  # fmt: skip
    events = [line["event"] for line in lines if "event" in line]
    assert {event["phase"] for event in events} == {"integrate"}
    assert [event["done"] for event in events[1:]] == list(range(1, 21))
    boxes = [tuple(box) for event in events[1:] for box in event["data"]["boxes"]]
    assert len(set(boxes)) == 20 and sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) == 160 * 120
    assert seen == pytest.approx([32 * 32 / 19200, 10 * 32 * 32 / 19200, 1.0], abs=0.02)
    # now its master is the picture
    facts = client.data("imageInfo", imageId="job:s")
    assert facts["kind"] == "image" and (facts["width"], facts["height"]) == (160, 120)
    client.data("preview", imageId="job:s", outputPath="s.rgba")
    client.data("release", imageId="job:s")
    assert not client.ask("imageInfo", imageId="job:s")["ok"]
    master = answer["data"]["stacks"][0]["outputs"]["master_linear"]
    assert client.ask("load", path=master)["ok"]


def test_a_job_is_finished_when_the_lines_end(
    client: Client, session: Path, unharmed: dict[str, str], tmp_path: Path
) -> None:
    line = json.dumps({"id": 1, "cmd": "stack", "folder": str(session), "out": "out", "recipe": RECIPE})
    client.engine.serve(io.BytesIO(line.encode()))
    assert client.of(1)[-1]["ok"] and hashes(tmp_path / "out") == unharmed


def test_no_events_come_unless_they_are_subscribed_to(client: Client, session: Path) -> None:
    client.data("frames", folder=str(session), out="out", scored=True, recipe={"keep": 0.5})
    assert not any("event" in message for message in client.lines.messages)
    client.data("subscribe", kinds=["left_out"])
    client.send(id="f", cmd="frames", folder=str(session), out="out", scored=True, recipe={"keep": 0.5})
    frames = client.wait("f")["data"]["frames"]
    left_out = [frame for frame in frames if frame["status"] == "left_out"]
    events = [message["event"] for message in client.of("f") if "event" in message]
    assert len(left_out) == 3 and len(events) == 3 and all(event["kind"] == "left_out" for event in events)
    assert all(frame["fwhm_px"] for frame in frames) and all(Path(frame["path"]).is_file() for frame in frames)


@pytest.mark.parametrize("at", [1, 7, 19])
def test_a_cancelled_stack_goes_on_to_the_same_bits(
    at: int, client: Client, session: Path, unharmed: dict[str, str], tmp_path: Path
) -> None:
    cancelled: list[Any] = []

    def stop(message: dict[str, Any]) -> None:
        event = message.get("event")
        if event and event["kind"] == "progress" and event["done"] == at and not cancelled:
            cancelled.append(client.engine.cancel("1"))

    client.lines.on_line = stop
    client.data("subscribe", kinds=["progress", "notice"], phases=["integrate"])
    request = {"cmd": "stack", "folder": str(session), "out": "out", "recipe": {**RECIPE, "threads": 1}}
    client.send(id=1, **request)
    answer = client.wait(1)
    assert answer["ok"] is False and answer["cancelled"] is True and answer["kind"] == "Interrupted"
    assert cancelled == [[1]]
    done = max(line["event"]["done"] for line in client.of(1) if "event" in line)
    assert at <= done <= 20  # those that had begun are finished
    assert not list((tmp_path / "out").rglob("master_linear.fits"))
    client.send(id=2, **request)
    assert client.wait(2)["ok"]
    told = [line["event"]["message"] for line in client.of(2) if line.get("event", {}).get("kind") == "notice"]
    assert told and told[0].startswith(f"{GOES_ON}{done} of 20")
    assert hashes(tmp_path / "out") == unharmed


def test_jobs_wait_for_each_other_and_quick_commands_for_none(client: Client, session: Path) -> None:
    told: dict[str, Any] = {}

    def ask(message: dict[str, Any]) -> None:
        """While the first job is at work (it waits here), from its own thread."""
        if told or message["id"] != "a" or message.get("progress", {}).get("stage") != "measure":
            return
        told["jobs"] = client.engine.open_jobs()
        told["cancelled"] = "b"

    client.lines.on_line = ask
    request = {"cmd": "stack", "folder": str(session), "recipe": RECIPE}
    for name in ("a", "b", "c"):
        client.send(id=name, out=f"out-{name}", **request)
    client.send(id="b", cmd="version")
    duplicate = client.wait(None)
    assert duplicate["ok"] is False and "'b' belongs to a job" in duplicate["error"]
    assert client.ask("cancel", job="b")["data"] == {"jobs": ["b"]}
    waiting = client.of("b")[-1]
    assert waiting["cancelled"] is True and "before it began" in waiting["error"]
    looked = client.data("sessions", folder=str(session))  # beside the run
    image = client.data("load", path=str(sorted(session.rglob("*.fit*"))[0]))["imageId"]
    assert client.data("imageInfo", imageId=image)["width"] == 160
    assert looked["groups"] and not any("ok" in message for message in client.of("c"))
    assert client.wait("c")["ok"]
    order = [message["id"] for message in client.lines.messages if "ok" in message]
    assert order.index("a") < order.index("c") and len(client.of("b")) == 1
    assert {job["id"]: job["state"] for job in told["jobs"]}["a"] == "running"
    assert client.data("jobs") == {"jobs": []}
    client.send(id="b", cmd="version")  # the id is free again
    assert client.wait("b")["ok"]


def test_a_folder_that_another_run_holds_is_refused(client: Client, session: Path, tmp_path: Path) -> None:
    from skyquilt.engine.lock import locked

    name = client.data("sessions", folder=str(session))["groups"][0]["name"]
    with locked(tmp_path / "out" / name / ".skyquilt"):
        answer = client.ask("stack", folder=str(session), out="out", recipe=RECIPE)
    assert answer["kind"] == "OutputBlocked" and "another run" in answer["error"]


def test_a_plan_writes_nothing(client: Client, session: Path, tmp_path: Path) -> None:
    data = client.data("plan", folder=str(session), recipe=RECIPE, preset="quick")
    assert data["plans"][0]["n_frames"] >= 4 and data["plans"][0]["lines"]
    assert {path.name for path in tmp_path.iterdir()} == {"config.toml"}


def test_a_pipeline_of_files_is_a_stack(client: Client, session: Path, tmp_path: Path) -> None:
    frames = [frame["path"] for frame in client.data("frames", folder=str(session))["frames"]]
    darks = [str(path) for path in sorted(session.rglob("*.fit*")) if "dark" in str(path.relative_to(session)).lower()]
    lights = [path for path in frames if path not in darks]
    assert len(lights) == 6 and len(darks) == 3
    client.send(id="p", cmd="pipeline", lightPaths=lights, darkPaths=darks, stackMethod="median", bayerPattern=None)
    answer = client.wait("p")
    assert answer["ok"], answer
    facts = client.data("imageInfo", imageId=answer["data"]["imageId"])
    assert (facts["width"], facts["height"]) == (160, 120)
    assert client.of("p")[0]["progress"]["percent"] < 0.1
    folder = client.engine.session.folder()
    assert folder.is_dir()
    client.engine.finish()
    assert not folder.exists()


@pytest.fixture(scope="module")
def pointings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of two pointings; the canvas has two chunks or more."""
    folder = tmp_path_factory.mktemp("pointings")
    camera = Scenario(
        target="none", width=256, height=320, ra_deg=85.0, dec_deg=34.0, scale_arcsec=5.0, n_faint_stars=150
    )
    make_mosaic(folder, MosaicScenario(camera, rows=1, columns=2, subs=3))
    return folder


def test_a_mosaic_grows_is_cancelled_and_goes_on_to_the_same_bits(
    client: Client, pointings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (mosaic_job, mosaic_assembly, mosaic_planning):
        monkeypatch.setattr(module, "CHUNK_PX", 256)
    recipe = {"threads": 1, "quicklook": False}
    planned = client.data("mosaic", folders=[str(pointings)], out="plan", dry_run=True, recipe=recipe)
    assert planned["plans"][0]["n_frames"] == 6 and not (tmp_path / "plan").exists()
    client.data("mosaic", folders=[str(pointings)], out="whole", recipe=recipe)
    seen: list[float] = []

    def stop(message: dict[str, Any]) -> None:
        event = message.get("event")
        if event and event["kind"] == "progress" and event["done"] == 1 and not seen:
            image = client.engine.session.image("job:m")
            seen.append(float(np.isfinite(image.values(image.bounds)[0]).sum()))
            client.engine.cancel("m")

    client.lines.on_line = stop
    client.data("subscribe", kinds=["progress", "notice"], phases=["integrate"])
    client.send(id="m", cmd="mosaic", folders=[str(pointings)], out="out", recipe=recipe)
    assert client.wait("m")["cancelled"] is True
    assert 0 < seen[0] <= 256 * 256
    assert client.data("imageInfo", imageId="job:m")["kind"] == "growing"  # what there is can still be looked at
    client.send(id="m", cmd="mosaic", folders=[str(pointings)], out="out", recipe=recipe)
    answer = client.wait("m")
    assert answer["ok"], answer
    told = [line["event"]["message"] for line in client.of("m") if line.get("event", {}).get("kind") == "notice"]
    assert any("are there already" in text for text in told)
    assert _mosaic_hashes(tmp_path / "out") == _mosaic_hashes(tmp_path / "whole")
    assert client.data("imageInfo", imageId="job:m")["hasCoordinates"]


def _mosaic_hashes(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): data_hash(path) for path in sorted(folder.rglob("*.fits"))}
    assert any(name.endswith("mosaic_linear.fits") for name in found), found
    return found


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NO_COLOR", "FORCE_"))}
    return {**kept, "PYTHONPATH": str(Path(skyquilt.__file__).parents[1])}  # this one, wherever the tests work


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    yield
    while _STARTED:
        process = _STARTED.pop()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_STARTED: list[subprocess.Popen[bytes]] = []


def start(code: str | None = None, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "skyquilt"]
    process = subprocess.Popen(
        [*command, "engine", *arguments],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _STARTED.append(process)
    return process


def send(process: subprocess.Popen[bytes], **request: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()


def read_until(process: subprocess.Popen[bytes], done: int) -> None:
    """Read lines until that many tiles have landed."""
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        assert message.get("ok", True), message
        if message.get("event", {}).get("done", 0) >= done:
            return
    raise AssertionError("it ended before")


def run_to_integration(session: Path, out: str) -> subprocess.Popen[bytes]:
    process = start(SMALL_TILES)
    send(process, id="s", cmd="subscribe", kinds=["progress"], phases=["integrate"])
    send(process, id="1", cmd="stack", folder=str(session), out=out, recipe={**RECIPE, "threads": 1})
    read_until(process, 3)
    return process


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_engine_that_is_killed_loses_nothing(
    client: Client, session: Path, unharmed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = run_to_integration(session, "out")
    process.kill()
    process.communicate()
    monkeypatch.setattr(planning, "_TILES", ((16, 16),))
    client.data("subscribe", kinds=["notice"], phases=["integrate"])
    client.send(id="again", cmd="stack", folder=str(session), out="out", recipe={**RECIPE, "threads": 1})
    assert client.wait("again")["ok"]
    told = [line["event"]["message"] for line in client.of("again") if "event" in line]
    assert told and told[0].startswith(GOES_ON)
    assert hashes(tmp_path / "out") == unharmed


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_engine_that_is_asked_to_end_stops_its_jobs(session: Path, tmp_path: Path) -> None:
    process = run_to_integration(session, "out")
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert last["id"] == "1" and (last.get("cancelled") or last["ok"])
    assert process.returncode == 143, log.decode()
    assert not list((tmp_path / "out").rglob("lock"))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_engine_whose_answers_nobody_reads_ends_quietly(session: Path, tmp_path: Path) -> None:
    process = run_to_integration(session, "out")
    assert process.stdout is not None and process.stdin is not None and process.stderr is not None
    process.stdout.close()  # the input stays open: the engine finds out when it writes
    assert process.wait(timeout=60) == 0
    assert b"Traceback" not in process.stderr.read()
    assert not list((tmp_path / "out").rglob("lock"))


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_the_line_of_the_readme_answers(session: Path) -> None:
    frame = sorted(session.rglob("*.fit*"))[0]
    line = json.dumps({"id": "1", "cmd": "info", "path": str(frame)})
    command = f"echo {shlex.quote(line)} | {shlex.quote(sys.executable)} -m skyquilt engine"
    done = subprocess.run(command, shell=True, env=environment(), capture_output=True, timeout=60, check=True)
    answers = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(answers) == 1 and answers[0]["id"] == "1" and answers[0]["ok"] is True
    assert answers[0]["data"]["width"] == 160 and done.stderr == b""


def test_what_a_library_prints_does_not_reach_the_lines(tmp_path: Path) -> None:
    code = """
import os
from skyquilt.apps.worker import image_commands
real = image_commands.describe_file
def noisy(path):
    os.write(1, b"a library says something\\n")
    return real(path)
image_commands.describe_file = noisy
from skyquilt.apps.cli import main
main()
"""
    process = start(code)
    out, log = process.communicate(b'{"id":1,"cmd":"info","path":"none"}\n{"id":2,"cmd":"version"}\n', timeout=60)
    assert [json.loads(line)["id"] for line in out.splitlines()] in ([1, 2], [2, 1])
    assert b"a library says something" in log and process.returncode == 0


def test_the_schema_is_printed() -> None:
    done = CliRunner().invoke(program, ["engine", "--schema"], prog_name="skyquilt")
    assert done.exit_code == 0 and json.loads(done.stdout)["schema_id"] == "skyquilt.engine"
