"""Progress without a terminal, tables and words of the console."""

from __future__ import annotations

import pytest

from skyquilt.apps.cli.console import Console, has_colour
from skyquilt.apps.cli.progress import Progress, remaining_text
from skyquilt.core import Event


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_there_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(Console(), "auto", clock) as progress:
        progress(Event("phase", "measure", total=100))
        for done in range(1, 101):
            clock.now = 0.5 * done
            progress(Event("progress", "measure", done=done, total=100))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Measuring frames: 20 of 100, about 40 s left"
    assert len(lines) == 5


def test_a_resumed_phase_estimates_from_where_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(Console(), "lines", clock) as progress:
        progress(Event("phase", "integrate", done=90, total=100))
        clock.now = 20.0
        progress(Event("progress", "integrate", done=95, total=100))
    assert "about 20 s left" in capsys.readouterr().err


def test_the_rest_of_a_phase_is_told_in_fitting_units() -> None:
    assert remaining_text(10.0, 0, 100) == ""
    assert remaining_text(10.0, 100, 100) == ""
    assert remaining_text(10.0, 5, 100) == "about 3 min left"
    assert remaining_text(600.0, 5, 100) == "about 3.2 h left"


def test_warnings_are_counted_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Console(), "none")
    progress(Event("warning", "measure", "clouds"))
    progress(Event("warning", "done", "M 81: no stars"))
    assert progress.n_warnings == 2
    assert capsys.readouterr().err == "warning: clouds\n"


def test_frames_left_out_are_named_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(Console(), "none")(Event("left_out", "select", "a.fit: trailed"))
    assert capsys.readouterr().err == ""
    Progress(Console(verbose=True), "none")(Event("left_out", "select", "a.fit: trailed"))
    assert capsys.readouterr().err == "left out: a.fit: trailed\n"


def test_a_table_that_is_piped_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "because of a reason that goes on and on " * 6
    Console().table([{"frame": "a.fit", "stars": "7", "why": long}, {"frame": "long name.fit", "stars": "412"}])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["frame", "stars", "why"]
    assert lines[1].startswith("a.fit" + " " * 10 + "    7  because")
    assert lines[1].endswith("on and on")
    assert lines[2] == "long name.fit    412"


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, True),
    ],
)
def test_colour_follows_the_environment(environment: dict[str, str], is_terminal: bool, expected: bool) -> None:
    class Stream:
        def isatty(self) -> bool:
            return is_terminal

    assert has_colour(Stream(), environment) is expected  # type: ignore[arg-type]
