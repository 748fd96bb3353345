"""What all tests share: a collector of garbage that looks seldom, as thousands of tests keep much that never goes."""

from __future__ import annotations

import gc

import pytest


def pytest_configure() -> None:
    gc.set_threshold(200_000, 10, 10)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
