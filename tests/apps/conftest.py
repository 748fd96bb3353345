"""The engine behind its protocol, and a place where nothing of this machine counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from protocol_client import Client


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and an empty file of settings."""
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("SKYQUILT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def client(no_settings: None) -> Iterator[Client]:
    """A client of an engine in this process."""
    client = Client()
    yield client
    client.engine.stop()
    client.engine.finish()
