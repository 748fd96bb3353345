"""A run that is killed, stopped or damaged at any moment is gone on with, and ends with the bits of an unharmed one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nursery import Nursery
from small_session import leftovers, product_hashes, stack_one, steady

from skyquilt import stack
from skyquilt.core import Event
from skyquilt.engine import RunOptions
from skyquilt.errors import Interrupted

pytestmark = [
    pytest.mark.skipif(not Nursery.is_possible, reason="runs are killed in forked children"),
    pytest.mark.usefixtures("_small_tiles"),
]

TILE = (32, 32)
SETTINGS: dict[str, Any] = {"schedule": "cube", "threads": 2}
GOES_ON = "going on where an earlier run stopped: "


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def n_taken_over(self) -> int:
        """Tiles that were taken over from an earlier run."""
        found = [event.message for event in self.events if event.message.startswith(GOES_ON)]
        return int(found[0].removeprefix(GOES_ON).split()[0]) if found else 0

    def moments_of(self, phase: str) -> list[int]:
        """Numbers, from 1, of the events of a phase."""
        return [number for number, event in enumerate(self.events, start=1) if event.phase == phase]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def _small_tiles() -> Iterator[None]:
    """An integration of many steps, here and in the nursery."""
    with steady(TILE):
        yield


@pytest.fixture(scope="module")
def unharmed(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("unharmed")
    with steady(TILE):
        stack_one(tiny_session, out, **SETTINGS)
    return out


@pytest.fixture(scope="module")
def plain(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Ear:
    """All events of a first run."""
    ear = Ear()
    with steady(TILE):
        stack_one(tiny_session, tmp_path_factory.mktemp("plain"), listener=ear, **SETTINGS)
    assert len(ear.moments_of("integrate")) > 20
    return ear


def check_resumed(session: Path, out: Path, unharmed: Path, what: str, **changed: Any) -> Ear:
    """Run again and compare."""
    ear = Ear()
    for product in out.rglob("*.fits"):  # whatever has its name already is whole
        assert product_hashes_of(product) == product_hashes_of(unharmed / product.relative_to(out)), what
    stack_one(session, out, listener=ear, **{**SETTINGS, **changed})
    assert product_hashes(out) == product_hashes(unharmed), what
    assert not leftovers(out), what
    return ear


def product_hashes_of(path: Path) -> list[str]:
    from skyquilt.io.fits import data_hash

    return [data_hash(path)]


def test_killed_at_twenty_events_of_all_phases_it_ends_with_the_same_bits(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, unharmed: Path, plain: Ear
) -> None:
    rng = np.random.default_rng(20)
    shares = {"discover": 1, "calibrate": 2, "measure": 3, "register": 1, "trails": 3, "integrate": 7, "products": 3}
    moments = [(phase, int(moment)) for phase, n in shares.items() for moment in rng.choice(plain.moments_of(phase), n)]
    assert len(moments) == 20
    taken_over = 0
    for phase, moment in moments:
        out = tmp_path / f"{phase}{moment}"
        assert nursery.run(tiny_session, out, SETTINGS, TILE, event=moment)
        ear = check_resumed(tiny_session, out, unharmed, f"killed at event {moment}, {phase}")
        n_done = plain.events[moment - 1].done if phase == "integrate" else 0
        assert ear.n_taken_over >= n_done, "a finished tile was done again"
        taken_over += ear.n_taken_over
    assert taken_over > 0


@pytest.mark.long
def test_killed_half_way_through_its_writes_it_ends_with_the_same_bits(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, unharmed: Path
) -> None:
    # 193 calls: lock, measurements, tiles with their lines, products
    for call in (1, 5, 20, 33, 60, 75, 101, 120, 140, 160, 180):
        out = tmp_path / str(call)
        assert nursery.run(tiny_session, out, SETTINGS, TILE, call=call)
        check_resumed(tiny_session, out, unharmed, f"killed in writing call {call}")


def test_killed_again_and_again_it_still_ends_with_the_same_bits(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, unharmed: Path
) -> None:
    for call in (40, 60, 30, 45, 35, 50, 33):
        assert nursery.run(tiny_session, tmp_path, SETTINGS, TILE, call=call)
    check_resumed(tiny_session, tmp_path, unharmed, "killed seven times")


def test_killed_from_outside_at_any_time_it_ends_with_the_same_bits(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, unharmed: Path
) -> None:
    usual = nursery.usual_seconds(tiny_session, tmp_path / "whole", SETTINGS, TILE)
    for number, seconds in enumerate(usual * np.random.default_rng(5).uniform(0.05, 0.95, 4)):
        out = tmp_path / str(number)
        nursery.run(tiny_session, out, SETTINGS, TILE, seconds=float(seconds))
        check_resumed(tiny_session, out, unharmed, f"killed after {seconds:.3f} s")


@pytest.mark.long
@pytest.mark.parametrize("schedule", ["cube", "sweep"])
def test_killed_at_every_write_and_two_hundred_times_it_ends_with_the_same_bits(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, schedule: str
) -> None:
    settings = {**SETTINGS, "schedule": schedule}
    unharmed = tmp_path / "unharmed"
    stack_one(tiny_session, unharmed, **settings)
    usual = nursery.usual_seconds(tiny_session, tmp_path / "whole", settings, TILE)
    moments: list[dict[str, float]] = [{"call": call} for call in range(1, 196)]
    moments += [{"seconds": float(t)} for t in usual * np.random.default_rng(6).uniform(0.02, 0.9, 40)]
    killed = 0
    for number, moment in enumerate(moments):
        out = tmp_path / str(number)
        killed += nursery.run(tiny_session, out, settings, TILE, **moment)
        check_resumed(tiny_session, out, unharmed, f"killed at {moment}", schedule=schedule)
        shutil.rmtree(out)
    assert killed > 200


@pytest.fixture
def stopped(nursery: Nursery, tiny_session: Path, tmp_path: Path, plain: Ear) -> tuple[Path, int]:
    """A run that was killed half way through the integration, and the number of tiles that it had done."""
    moments = plain.moments_of("integrate")
    moment = moments[len(moments) // 2]
    assert nursery.run(tiny_session, tmp_path / "out", SETTINGS, TILE, event=moment)
    return tmp_path / "out", plain.events[moment - 1].done


def scratch_file(out: Path, name: str) -> Path:
    found = list(out.rglob(f".skyquilt/journal/{name}"))
    assert len(found) == 1
    return found[0]


def cut_last_line(out: Path) -> None:
    path = scratch_file(out, "journal.jsonl")
    path.write_bytes(path.read_bytes()[:-9])


def flip_byte_of_tiles(out: Path) -> None:
    path = scratch_file(out, "tiles.bin")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x40
    path.write_bytes(content)


def cut_tiles(out: Path) -> None:
    path = scratch_file(out, "tiles.bin")
    path.write_bytes(path.read_bytes()[:-1])


def remove_tiles(out: Path) -> None:
    scratch_file(out, "tiles.bin").unlink()


def remove_lines(out: Path) -> None:
    scratch_file(out, "journal.jsonl").unlink()


@pytest.mark.parametrize(
    ("damage", "n_lost"),
    [(cut_last_line, 1), (flip_byte_of_tiles, 1), (cut_tiles, 1), (remove_tiles, None), (remove_lines, None)],
)
def test_a_damaged_tile_is_done_again(
    stopped: tuple[Path, int],
    tiny_session: Path,
    unharmed: Path,
    damage: Callable[[Path], None],
    n_lost: int | None,
) -> None:
    out, done = stopped
    damage(out)
    ear = check_resumed(tiny_session, out, unharmed, damage.__name__)
    assert ear.n_taken_over == (0 if n_lost is None else done - n_lost)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_more_memory_or_other_threads_go_on_with_the_tiles_that_are_there(
    stopped: tuple[Path, int], tiny_session: Path, unharmed: Path, threads: int
) -> None:
    out, done = stopped
    with steady((128, 64)):
        assert check_resumed(tiny_session, out, unharmed, "more memory", threads=threads).n_taken_over == done


def test_with_less_memory_than_the_tiles_take_it_begins_anew(
    stopped: tuple[Path, int], tiny_session: Path, unharmed: Path
) -> None:
    with steady((32, 16)):
        assert check_resumed(tiny_session, stopped[0], unharmed, "less memory").n_taken_over == 0


@pytest.mark.parametrize("change", [{"sigma_low": 2.0}, {"weights": "none"}, {"kernel": "lanczos3"}, {"dark": "none"}])
def test_another_recipe_takes_nothing_over(
    stopped: tuple[Path, int], tiny_session: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    out, _ = stopped
    ear = Ear()
    stack_one(tiny_session, out, listener=ear, **SETTINGS, **change)
    assert ear.n_taken_over == 0
    stack_one(tiny_session, tmp_path / "fresh", **SETTINGS, **change)
    assert product_hashes(out) == product_hashes(tmp_path / "fresh")


@pytest.mark.parametrize("changed", ["light", "dark", "fewer", "more"])
def test_other_input_takes_nothing_over(
    nursery: Nursery, tiny_session: Path, tmp_path: Path, plain: Ear, changed: str
) -> None:
    session = tmp_path / tiny_session.name
    shutil.copytree(tiny_session, session)
    lights = sorted((session / "lights").iterdir())
    spare = lights[3].read_bytes()
    if changed == "more":
        lights[3].unlink()
    moments = plain.moments_of("integrate")
    assert nursery.run(session, tmp_path / "out", SETTINGS, TILE, event=moments[len(moments) // 2])
    if changed == "more":
        lights[3].write_bytes(spare)
    elif changed == "fewer":
        lights[3].unlink()
    else:
        path = lights[3] if changed == "light" else sorted(session.rglob("*dark*/*.fit*"))[0]
        content = bytearray(path.read_bytes())
        content[-2881] ^= 0x01
        content[len(content) // 2] ^= 0x01
        path.write_bytes(content)
    ear = Ear()
    stack_one(session, tmp_path / "out", listener=ear, **SETTINGS)
    assert ear.n_taken_over == 0
    stack_one(session, tmp_path / "fresh", **SETTINGS)
    assert product_hashes(tmp_path / "out") == product_hashes(tmp_path / "fresh")


@pytest.mark.parametrize("schedule", ["cube", "sweep"])
@pytest.mark.parametrize("phase", ["calibrate", "measure", "trails", "integrate"])
def test_a_run_that_is_stopped_says_so_and_can_be_gone_on_with(
    tiny_session: Path, tmp_path: Path, phase: str, schedule: str
) -> None:
    settings = {**SETTINGS, "schedule": schedule}
    first = Ear()

    def should_stop() -> bool:
        return len([event for event in first.events if event.phase == phase]) > 3

    with pytest.raises(Interrupted) as caught:
        stack(tiny_session, tmp_path / "out", listener=first, options=RunOptions(should_stop=should_stop), **settings)
    assert caught.value.exit_code == 130
    assert not list((tmp_path / "out").rglob("master_linear.fits"))
    assert first.events[-1].phase == phase, "it went on into another phase"
    again = Ear()
    stack_one(tiny_session, tmp_path / "out", listener=again, **settings)
    if phase == "integrate":
        assert again.n_taken_over == max(event.done for event in first.events if event.phase == "integrate")
        assert again.n_taken_over <= 3 + 2 * settings["threads"] + 1, "it worked on long after it was asked to stop"
    stack_one(tiny_session, tmp_path / "fresh", **settings)
    assert product_hashes(tmp_path / "out") == product_hashes(tmp_path / "fresh")
    assert not leftovers(tmp_path / "out")
