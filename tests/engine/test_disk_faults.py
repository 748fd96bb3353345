"""Whatever the disk refuses: one sentence, no half product, and the next run ends as if nothing had been."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nursery import half_done, watched_calls
from small_session import leftovers, product_hashes, stack_one, steady

from skyquilt import stack
from skyquilt.core import Event
from skyquilt.errors import NotEnoughDisk, OutputBlocked, SkyquiltError
from skyquilt.io.fits import data_hash

TILE = (64, 64)
SETTINGS: dict[str, Any] = {"schedule": "cube", "threads": 2}
ERRORS = {
    errno.ENOSPC: NotEnoughDisk,
    errno.EDQUOT: NotEnoughDisk,
    errno.EIO: OutputBlocked,
    errno.EROFS: OutputBlocked,
    errno.EACCES: OutputBlocked,
}

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are told by /proc/self/fd"),
    pytest.mark.usefixtures("_few_tiles"),
]


@pytest.fixture
def _few_tiles() -> Iterator[None]:
    with steady(TILE):
        yield


@pytest.fixture(scope="module")
def unharmed(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unharmed")
    with steady(TILE):
        stack_one(tiny_session, out, **SETTINGS)
    return out


class Faults:
    """The k-th writing call below a folder fails, half done; with `for_good` all that follow fail too."""

    def __init__(self, failing: int, number: int, for_good: bool) -> None:
        self.n_calls = 0
        self.failed = ""
        self._failing, self._number, self._for_good = failing, number, for_good
        self._lock = threading.Lock()

    def __call__(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        with self._lock:
            self.n_calls += 1
            fails = self.n_calls == self._failing or (self._for_good and self.n_calls > self._failing)
            fails = fails and name != "unlink"  # a full disk lets go of files
            if fails:
                self.failed = self.failed or f"{name} {arguments[0]}"
        if fails:
            half_done(name, function, arguments)
            raise OSError(self._number, os.strerror(self._number))
        return function(*arguments)


def stack_with_fault(session: Path, out: Path, faults: Faults) -> SkyquiltError | None:
    """Stack while calls fail; return how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        for name, call in watched_calls(out, faults).items():
            patch.setattr(os, name, call)
        try:
            stack(session, out, **SETTINGS)
        except SkyquiltError as error:
            return error
    return None


def check_fault(
    session: Path, out: Path, unharmed: Path, failing: int, number: int, *, for_good: bool
) -> SkyquiltError | None:
    """Let one call fail, then run again without a fault."""
    faults = Faults(failing, number, for_good)
    error = stack_with_fault(session, out, faults)
    what = f"call {failing} of {faults.n_calls}, {faults.failed}, {errno.errorcode[number]}"
    if error is None:
        assert product_hashes(out) == product_hashes(unharmed), f"{what} went unnoticed and changed the products"
    else:
        assert isinstance(error, ERRORS[number]), f"{what}: {error!r}"
        assert error.message.strip() and "\n" not in error.message and "Errno" not in error.message, error.message
    for product in out.rglob("*.fits"):
        assert data_hash(product) == data_hash(unharmed / product.relative_to(out)), f"{what}: half a product"
    stack_one(session, out, **SETTINGS)
    assert product_hashes(out) == product_hashes(unharmed), what
    assert not leftovers(out), what
    return error


@pytest.fixture(scope="module")
def n_calls(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How often a run without faults writes."""
    faults = Faults(0, 0, for_good=False)
    with steady(TILE):
        assert stack_with_fault(tiny_session, tmp_path_factory.mktemp("count"), faults) is None
    assert faults.n_calls > 80
    return faults.n_calls


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_a_call_that_fails_is_told_and_the_next_run_is_whole(
    tiny_session: Path, tmp_path: Path, unharmed: Path, n_calls: int, for_good: bool
) -> None:
    numbers = list(ERRORS)
    errors = [
        check_fault(tiny_session, tmp_path / str(k), unharmed, k, numbers[k % len(numbers)], for_good=for_good)
        for k in range(2 + 15 * for_good, n_calls, 30)
    ]
    assert sum(error is not None for error in errors) >= 0.8 * len(errors)


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=["ENOSPC", "EIO", "EROFS"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_every_single_call_may_fail(
    tiny_session: Path, tmp_path: Path, unharmed: Path, n_calls: int, number: int, for_good: bool
) -> None:
    for k in range(1, n_calls + 3):
        check_fault(tiny_session, tmp_path / str(k), unharmed, k, number, for_good=for_good)
        shutil.rmtree(tmp_path / str(k))


@pytest.mark.parametrize("failing", [30, 95])
def test_products_of_an_earlier_run_stay_whole_when_a_later_one_fails(
    tiny_session: Path, tmp_path: Path, unharmed: Path, failing: int
) -> None:
    stack_one(tiny_session, tmp_path, **SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        for name, call in watched_calls(tmp_path, Faults(failing, errno.ENOSPC, for_good=True)).items():
            patch.setattr(os, name, call)
        with pytest.raises(NotEnoughDisk):
            stack(tiny_session, tmp_path, sigma_low=2.0, **SETTINGS)
    hashes, whole = product_hashes(tmp_path), product_hashes(unharmed)
    assert hashes.keys() == whole.keys()
    stack_one(tiny_session, tmp_path, **SETTINGS)
    assert product_hashes(tmp_path) == whole


def test_a_disk_that_is_too_small_is_told_before_anything_is_integrated(
    tiny_session: Path, small_disk: Callable[[int], Path]
) -> None:
    events: list[Event] = []
    disk = small_disk(600_000)
    with pytest.raises(NotEnoughDisk, match=r"MB are needed in .*, .* MB are free") as caught:
        stack(tiny_session, disk, listener=events.append, **SETTINGS)
    assert caught.value.exit_code == 7
    assert not [event for event in events if event.phase == "integrate"]


@pytest.mark.parametrize("phase", ["measure", "integrate", "products"])
def test_a_disk_that_fills_up_meanwhile_is_told_and_the_run_goes_on_when_there_is_room(
    tiny_session: Path, small_disk: Callable[[int], Path], unharmed: Path, phase: str
) -> None:
    disk = small_disk(8_000_000)
    filler = disk / "filler"

    def fill(event: Event) -> None:
        if event.phase == phase and event.kind == "phase":
            free = shutil.disk_usage(disk).free
            filler.write_bytes(bytes(max(0, free - 20_000)))

    with pytest.raises(NotEnoughDisk) as caught:
        stack(tiny_session, disk / "out", listener=fill, **SETTINGS)
    assert "\n" not in caught.value.message
    assert not list((disk / "out").rglob("master_linear.fits"))
    filler.unlink()
    stack_one(tiny_session, disk / "out", **SETTINGS)
    assert product_hashes(disk / "out") == product_hashes(unharmed)
    assert not leftovers(disk / "out")


def test_an_output_folder_that_cannot_be_is_told(tiny_session: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputBlocked) as caught:
        stack(tiny_session, tmp_path / "file" / "out", **SETTINGS)
    assert caught.value.exit_code == 9


def test_an_output_folder_that_is_removed_meanwhile_is_told(tiny_session: Path, tmp_path: Path) -> None:
    def remove(event: Event) -> None:
        if event.phase == "products" and event.kind == "phase":
            shutil.rmtree(tmp_path / "out")

    with pytest.raises(OutputBlocked):
        stack(tiny_session, tmp_path / "out", listener=remove, **SETTINGS)
