"""Sessions on disk that several tests of the engine stack; nobody writes below them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many bytes."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a small disk can only be mounted by root on Linux")
        return disk

    yield mount
    subprocess.run(["umount", str(disk)], capture_output=True, check=False)
