"""An app around a child that does nearly nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_app import FAKE, RunningApp


@pytest.fixture
def sessions_folder(tmp_path: Path) -> Path:
    """A folder with a session of three frames (by their names), and things that nobody may see."""
    root = tmp_path / "sky"
    night = root / "night"
    night.mkdir(parents=True)
    for name in ("a.fit", "b.fit", "c.fit"):
        (night / name).write_bytes(b"not looked at")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "diary.fit").write_text("dear diary")
    (root / "way_out").symlink_to(secret)
    (night / "way_out.fit").symlink_to(secret / "diary.fit")
    return root


@pytest.fixture
def running(tmp_path: Path, sessions_folder: Path):
    """A server with that child, asked over true sockets."""
    with RunningApp((sessions_folder,), tmp_path / "out", FAKE) as app:
        yield app
