"""The live stack as a job of the engine process and as a command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from protocol_client import Client

import skyquilt as sq
from skyquilt.apps.cli.program import program
from skyquilt.errors import UsageError
from skyquilt.io.fits import data_hash
from skyquilt.testing.sky import Scenario, make_session

pytestmark = pytest.mark.usefixtures("no_settings")

N = 5
NIGHT = Scenario(device="generic", n_frames=N, width=128, height=96, seed=3, n_faint_stars=120)
RECIPE = {"threads": 2, "solve": "off", "quicklook": False}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    make_session(folder, NIGHT)
    return folder


def master_of(out: Path) -> str:
    (found,) = out.rglob("master_linear.fits")
    return data_hash(found)


def test_a_watch_shows_its_picture_is_adjusted_and_ends_with_products(
    client: Client, night: Path, tmp_path: Path
) -> None:
    lights = sorted(night.rglob("*_LIGHT_*.fits"))
    growing = tmp_path / "growing"
    growing.mkdir()
    waiting = list(lights)
    seen: list[tuple[int, float]] = []

    def come(n: int) -> None:
        for path in waiting[:n]:
            shutil.copy(path, growing / path.name)
        del waiting[:n]

    def later(**request: Any) -> None:
        """Ask from another thread: this one is writing a line."""
        threading.Thread(target=lambda: client.send(**request)).start()

    def hear(message: dict[str, Any]) -> None:
        event = message.get("event")
        if not event or event["phase"] != "live" or event["kind"] != "progress":
            return
        image = client.engine.session.image("job:w")
        seen.append((event["done"], float(np.isfinite(image.values(image.bounds)[0]).mean())))
        if waiting:
            come(1)
        elif event["done"] == N:
            later(id="a", cmd="adjust", job="w", exclude=[lights[2].name])
        else:
            assert event["data"]["excluded"] == [lights[2].name]
            later(id="b", cmd="adjust", job="w", finish=True)

    client.data("subscribe", kinds=["progress"], phases=["live"])
    come(2)
    client.lines.on_line = hear
    client.send(id="w", cmd="watch", folder=str(growing), out="out", recipe=RECIPE)
    answer = client.wait("w")
    assert answer["ok"], answer
    assert client.of("a")[0]["data"] == {"excluded": [lights[2].name], "finish": False}
    assert [n for n, _ in seen][-2:] == [N, N - 1]
    assert all(share > 0.9 for _, share in seen)
    (growing / lights[2].name).unlink()
    sq.stack(growing, tmp_path / "offline", schedule="live", **RECIPE)
    assert master_of(tmp_path / "out") == master_of(tmp_path / "offline")


def test_only_a_watch_can_be_adjusted(client: Client) -> None:
    answer = client.ask("adjust", job="7", finish=True)
    assert (answer["ok"], answer["error"]) == (False, "no watch '7' waits or is at work")


def test_a_watch_that_is_cancelled_writes_no_products(client: Client, night: Path, tmp_path: Path) -> None:
    def hear(message: dict[str, Any]) -> None:
        if message["id"] == "w" and "progress" in message:
            client.engine.cancel("w")

    client.lines.on_line = hear
    client.send(id="w", cmd="watch", folder=str(night), out="out", recipe=RECIPE)
    answer = client.wait("w")
    assert answer["ok"] is False
    assert answer["cancelled"] is True
    assert not list(tmp_path.rglob("*.fits"))


def test_the_command_tells_the_figures_and_ends_at_so_many_frames(night: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(
        program, ["watch", str(night), "--out", "out", "--until", str(N), "--solve", "off", "--threads", "2"]
    )
    assert run.exit_code == 0, run.output
    assert f"{N} frames in the picture" in run.stderr
    assert "from the frames alone" in run.stderr
    assert "master_linear.fits" in run.stdout
    assert list((tmp_path / "out").glob("*/live.png"))
    sq.stack(night, tmp_path / "offline", schedule="live", solve="off")
    assert master_of(tmp_path / "out") == master_of(tmp_path / "offline")


def test_the_python_face_watches_and_takes_settings_once(night: Path, tmp_path: Path) -> None:
    result = sq.watch(night, tmp_path / "out", until=N, **RECIPE)
    assert result.stacks[0].manifest.schedule == "live"
    assert result.stacks[0].manifest.statistics.n_stacked == N
    with pytest.raises(UsageError, match="not both"):
        sq.watch(night, tmp_path / "out", recipe=sq.Recipe(), unit="adu")


def test_a_folder_into_which_nothing_comes_ends_with_the_code_of_no_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = CliRunner().invoke(program, ["watch", "empty", "--idle", "0"])
    assert run.exit_code == 4
    assert "no frame has come" in run.stderr


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_interrupt_ends_with_products_and_terminate_without(
    night: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "skyquilt", "watch", str(night), "--out", "out", "--solve", "off"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        assert any("frames in the picture" in line for line in process.stderr)
        process.send_signal(sent)
        process.stderr.read()
    assert process.returncode == code
    assert bool(list(tmp_path.rglob("master_linear.fits"))) == (code == 0)
