"""Sessions on disk that several tests of the engine stack; nobody writes below them."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_session import HELD, SMALL, TINY

from skyquilt.engine import budget, planning
from skyquilt.testing.sky import make_session


@pytest.fixture(scope="session")
def small_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_session(folder, SMALL)
    return folder


@pytest.fixture(scope="session")
def tiny_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_session(folder, TINY)
    return folder


@pytest.fixture
def steady_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """Say that the program holds `HELD` bytes, so that a budget leads to the same plan on every machine."""
    for module in (budget, planning):
        monkeypatch.setattr(module, "resident_memory", lambda: HELD)
    return HELD
