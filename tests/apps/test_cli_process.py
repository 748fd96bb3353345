"""The program as a process: start-up time, signals, streams, terminals and completion."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A run whose engine works until it is told to stop: prints a line when it is at work.
SLOW_RUN = """
import sys, time
from skyquilt import engine
from skyquilt.core import Event
from skyquilt.errors import Interrupted

def stack_session(root, out, recipe, *, listener, options):
    listener(Event("phase", "integrate", total=1000))
    for done in range(1000):
        listener(Event("progress", "integrate", done=done, total=1000))
        if done == 1:
            sys.stderr.write("at work\\n"); sys.stderr.flush()
        time.sleep(0.02)
        if options.should_stop() and not STUBBORN:
            raise Interrupted("stopped")

engine.stack_session = stack_session
from skyquilt.apps.cli import main
main()
"""


def environment(folder: Path, **changes: str) -> dict[str, str]:
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("SKYQUILT_", "NO_COLOR", "FORCE_"))
    }
    (folder / "config.toml").touch()
    return {**keep, "SKYQUILT_CONFIG": str(folder / "config.toml"), **changes}


def call(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skyquilt", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder, **changes), capture_output=True, text=True, timeout=60, check=False
    )


def start_slow_run(folder: Path, *, stubborn: bool = False, mode: str = "none") -> subprocess.Popen[str]:
    (folder / "session").mkdir()
    code = SLOW_RUN.replace("STUBBORN", str(stubborn))
    process = subprocess.Popen(
        [sys.executable, "-c", code, "stack", "session", "--progress", mode, "--keep", "0.9"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "at work" not in process.stderr.readline():
        assert process.poll() is None
    return process


def processor_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["stack", "--help"]])
def test_help_does_not_wait_for_the_engine(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "skyquilt", *arguments]
    assert min(processor_seconds(command) for _ in range(5)) < 0.3


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom skyquilt.apps.cli.program import program\n"
        "heavy = {'numpy', 'numba', 'scipy', 'astropy', 'pydantic', 'rich', 'platformdirs'} & set(sys.modules)\n"
        "print(*sorted(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_a_run_after_the_tile_in_hand(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start_slow_run(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "stopping after the tile in hand" in err
    assert "skyquilt stack session --progress none --keep 0.9" in err
    assert out == ""


def test_two_signals_end_a_run_at_once(tmp_path: Path) -> None:
    process = start_slow_run(tmp_path, stubborn=True)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping after" not in process.stderr.readline():
        assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert time.monotonic() - began < 2
    assert "to go on: skyquilt stack session" in err


def test_a_stopped_run_keeps_its_json_lines_whole(tmp_path: Path) -> None:
    process = start_slow_run(tmp_path, mode="jsonl")
    process.send_signal(signal.SIGINT)
    lines = process.communicate(timeout=20)[1].splitlines()
    assert process.returncode == 130
    assert json.loads(lines[-1])["kind"] == "error"
    assert all(json.loads(line) for line in lines)


def test_errors_have_no_colour_unless_it_is_forced(tmp_path: Path) -> None:
    assert "\x1b" not in call(tmp_path, "stack", "absent").stderr
    assert "\x1b[31m" in call(tmp_path, "stack", "absent", FORCE_COLOR="1").stderr
    assert "\x1b[31m" in call(tmp_path, "stack", "absent", FORCE_COLOR="1", NO_COLOR="1").stderr


def test_a_stream_of_ascii_gets_ascii(tmp_path: Path) -> None:
    result = call(tmp_path, "stack", "Nébuleuse…", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 4
    assert result.stderr.isascii()
    assert "there is no folder N" in result.stderr


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    command = f"{sys.executable} -m skyquilt config schema | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def on_a_terminal(folder: Path, command: list[str], **changes: str) -> str:
    """What a person sees."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, **{"TERM": "xterm", "COLUMNS": "100", **changes}),
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    seen = b""
    while select.select([outer], [], [], 30)[0]:
        try:
            part = os.read(outer, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    process.wait(timeout=30)
    os.close(outer)
    return seen.decode("utf-8", "replace")


def test_a_terminal_gets_bars_and_colour_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    short = (
        SLOW_RUN.replace("STUBBORN", "True")
        .replace("range(1000)", "range(4)")
        .replace("    for done", "    listener(Event('notice', 'measure', 'a word in passing [50%]'))\n    for done")
    )
    command = [sys.executable, "-c", short, "stack", "session"]
    seen = on_a_terminal(tmp_path, command)
    assert "Stacking" in seen
    assert "a word in passing [50%]" in seen
    plain = on_a_terminal(tmp_path, [sys.executable, "-m", "skyquilt", "stack", "absent"], NO_COLOR="1")
    assert "\x1b[31m" not in plain
    dumb = on_a_terminal(tmp_path, command, TERM="dumb")
    assert "\x1b" not in dumb


def test_the_shell_can_complete_commands_and_options(tmp_path: Path) -> None:
    script = call(tmp_path, _SKYQUILT_COMPLETE="bash_source")
    assert "_SKYQUILT_COMPLETE=bash_complete" in script.stdout
    completed = call(tmp_path, _SKYQUILT_COMPLETE="bash_complete", COMP_WORDS="skyquilt stack --sig", COMP_CWORD="2")
    assert "--sigma-low" in completed.stdout
