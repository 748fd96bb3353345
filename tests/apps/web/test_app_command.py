"""skyquilt app as a process: its address, its end, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from running_app import FAKE

from skyquilt.apps.cli.program import program
from skyquilt.apps.web import AppOptions, ServerRun, serve_in_window


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(program, ["app", *words])
    return result.exit_code, result.output


def test_another_interface_is_refused_in_one_sentence(tmp_path: Path) -> None:
    code, said = invoke(str(tmp_path), "--host", "0.0.0.0", "--out", str(tmp_path / "out"), "--no-browser")
    assert code == 2 and "this machine alone" in said and "ssh -L" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("webview") is not None, reason="pywebview is installed here")
def test_a_window_without_pywebview_is_refused_in_one_sentence(tmp_path: Path) -> None:
    code, said = invoke(str(tmp_path), "--window")
    assert code == 2 and "pip install pywebview" in said


def test_a_window_of_its_own_shows_the_app_and_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for pywebview that asks for the page, as a window does, and is closed at once."""
    (tmp_path / "webview.py").write_text(
        "import httpx\n"
        "seen = []\n"
        "def create_window(title, url, **size):\n"
        "    seen.append((title, url))\n"
        "def start():\n"
        "    seen.append(httpx.get(seen[0][1].partition('#')[0], timeout=20).status_code)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "webview", raising=False)
    (tmp_path / "sky").mkdir()
    ready: list[ServerRun] = []
    serve_in_window(AppOptions((tmp_path / "sky",), tmp_path / "out", engine_command=FAKE), ready.append)
    seen = sys.modules["webview"].seen
    assert seen == [("skyquilt", ready[0].url), 200]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{ready[0].port}/", timeout=5)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, said = invoke(str(tmp_path / "none"))
    assert code == 4 and "no folder" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_its_address_and_ends_when_it_is_asked_to(tmp_path: Path, number: signal.Signals) -> None:
    token = tmp_path / "token"
    words = ["app", str(tmp_path), "--out", str(tmp_path / "out"), "--no-browser", "--token-file", str(token)]
    process = subprocess.Popen(
        [sys.executable, "-m", "skyquilt", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#token=([A-Za-z0-9_-]{43})", url)
        assert found, url
        assert token.read_text().strip() == found[2]
        assert httpx.get(found[1] + "/", timeout=20).status_code == 200
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, said
    assert "ssh -L" in said and "Traceback" not in said
    assert not token.exists()
    assert not (tmp_path / "out").exists(), "nothing is made before there is something to keep"
