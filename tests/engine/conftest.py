"""Sessions on disk that several tests of the engine stack; nobody writes below them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_session import SMALL, TINY, steady

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
def steady_memory() -> Iterator[None]:
    """Plans do not depend on what the test runner holds."""
    with steady():
        yield
