"""A frame that is no good is left out with one sentence, the others are not harmed, and nothing raw is touched."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from small_sky import account_of, copied, is_one_sentence, largest_difference, manifest, master, small_session, stacked

import skyquilt as sq
from skyquilt.core import F32, Event
from skyquilt.errors import NotRegistered, NoUsableInput, OutputBlocked, SkyquiltError, UsageError
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.sky import FAULTS, Truth

BAD = 4
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Good:
    """A session of eight good frames (number 4 is missing) and its stack."""

    truth: Truth
    image: F32
    reference: str

    @property
    def bad_name(self) -> str:
        return self.truth.frames[BAD].path.name

    @property
    def names(self) -> list[str]:
        return [frame.path.name for frame in self.truth.frames if frame.index != BAD]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    truth = small_session(tmp_path_factory.mktemp("good"))
    truth.frames[BAD].path.unlink()
    result = stacked(truth.folder, tmp_path_factory.mktemp("good_out"))
    assert manifest(result).statistics.n_stacked == 8
    return Good(truth, master(result), str(manifest(result).reference))


def check_left_out(good: Good, result: sq.RunResult, name: str, code: str, stage: str, words: str) -> None:
    """The file has its code and sentence, everything else was stacked, and the result is that without the file."""
    told = manifest(result)
    bad = account_of(name, told)
    assert (bad.status, bad.code, bad.stage) == ("left_out", code, stage)
    assert is_one_sentence(bad.reason)
    assert words in str(bad.reason)
    assert [frame.file for frame in told.frames if frame.status == "stacked"] == good.names
    assert largest_difference(master(result), good.image) <= TOLERANCE
    assert len(result.stacks) == 1
    assert not result.failures


FAULTY = {
    "trailed": ("trailed", "select", "eccentricity"),
    "defocused": ("blurred", "select", "FWHM"),
    "no_stars": ("no_stars", "select", "no stars"),
    "other_target": ("not_registered", "register", "stars against"),
    "wrong_size": ("stray", "discover", "135x240 px"),
    "truncated": ("truncated", "discover", "100,224 of 259,200 bytes"),
    "nan": ("blank", "measure", "25% of the pixels are not numbers"),
    "zero": ("blank", "measure", "0 ADU"),
    "saturated": ("blank", "measure", "saturated"),
    "glitch_rows": ("glitch_rows", "select", "a readout glitch"),
    "wrong_bayer": ("stray", "discover", "pattern RGGB"),
    "duplicate": ("duplicate", "discover", "duplicate of"),
    "missing_keys": ("stray", "discover", "no colour pattern"),
    "empty": ("unreadable", "discover", "5 bytes"),
    "lfs_pointer": ("unreadable", "discover", "Git LFS pointer"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_frame_is_left_out_with_a_reason_and_changes_nothing(fault: str, good: Good, tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", fault={BAD: fault})
    with RawGuard(truth.folder):
        result = stacked(truth.folder, tmp_path / "out")
    check_left_out(good, result, truth.frames[BAD].path.name, *FAULTY[fault])


def test_every_fault_that_the_sky_can_make_is_covered() -> None:
    assert set(FAULTS) == {*FAULTY, "cloudy", "decimal_comma"}


def test_a_cloudy_frame_weighs_next_to_nothing_and_goes_when_transparency_is_asked_for(
    good: Good, tmp_path: Path
) -> None:
    truth = small_session(tmp_path / "raw", fault={BAD: "cloudy"})
    name = truth.frames[BAD].path.name
    result = stacked(truth.folder, tmp_path / "out")
    weights = {frame.file: frame.weight or 0.0 for frame in manifest(result).frames}
    assert weights[name] < 0.05 * max(weights.values())
    strict = stacked(truth.folder, tmp_path / "strict", min_transparency=0.5)
    check_left_out(good, strict, name, "not_transparent", "select", "transparency 0.")


def test_an_exposure_with_a_decimal_comma_is_understood_and_noted(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", fault={BAD: "decimal_comma"})
    told = manifest(stacked(truth.folder, tmp_path / "out"))
    assert account_of(truth.frames[BAD].path.name, told).exposure_s == 10.0
    assert told.statistics.n_stacked == 9
    assert any("decimal comma" in note for note in told.notes)


def _huge(header: bytes) -> bytes:
    return header.replace(b"NAXIS1  =                  270", b"NAXIS1  =           2000000000", 1)


def _cut_gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)[:60_000]


STRANGE_FILES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "not_fits": ("notes.fit", lambda _: b"these are my observing notes, not a frame\n" * 100, "FITS"),
    "zero_bytes": ("a.fit", lambda _: b"", "is empty"),
    "only_zeros": ("a.fit", lambda content: bytes(len(content)), "begins with zeros only"),
    "web_page": ("a.fit", lambda _: b"<html><body>404 not found</body></html>" * 20, "web page"),
    "huge_naxis": ("a.fit", _huge, "bytes of pixels are there"),
    "header_cut": ("a.fit", lambda content: content[:2000], "cut short"),
}


@pytest.mark.parametrize("kind", STRANGE_FILES)
def test_a_strange_file_is_left_out_before_its_pixels_are_read(kind: str, good: Good, tmp_path: Path) -> None:
    name, spoil, words = STRANGE_FILES[kind]
    folder = copied(good.truth, tmp_path / "raw")
    lights = folder / good.truth.lights_folder.relative_to(good.truth.folder)
    (lights / name).write_bytes(spoil((lights / good.names[0]).read_bytes()))
    with RawGuard(folder):
        result = stacked(folder, tmp_path / "out")
    code = "truncated" if kind in ("huge_naxis", "header_cut") else "unreadable"
    check_left_out(good, result, name, code, "discover", words)


def test_a_packed_frame_that_was_cut_short_is_left_out_when_its_pixels_are_read(good: Good, tmp_path: Path) -> None:
    folder = copied(good.truth, tmp_path / "raw")
    lights = folder / good.truth.lights_folder.relative_to(good.truth.folder)
    content = (lights / good.names[0]).read_bytes().replace(b"01:20:32", b"02:20:32")
    (lights / "packed.fit.gz").write_bytes(_cut_gzip(content))
    with RawGuard(folder):
        result = stacked(folder, tmp_path / "out")
    bad = account_of("packed.fit.gz", manifest(result))
    assert bad.code in ("unreadable", "truncated")
    assert is_one_sentence(bad.reason)
    assert largest_difference(master(result), good.image) <= TOLERANCE


def test_a_folder_named_like_a_frame_and_a_broken_link_do_not_stop_anything(good: Good, tmp_path: Path) -> None:
    folder = copied(good.truth, tmp_path / "raw")
    lights = folder / good.truth.lights_folder.relative_to(good.truth.folder)
    (lights / "x.fit").mkdir()
    (lights / "gone.fit").symlink_to(lights / "nowhere.fit")
    result = stacked(folder, tmp_path / "out")
    check_left_out(good, result, "gone.fit", "vanished", "discover", "broken link")


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(13, "Permission denied"), "may not be read"), (OSError(5, "Input/output error"), "output error")],
)
def test_a_frame_that_the_system_will_not_read_is_left_out(
    error: OSError, words: str, good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = small_session(tmp_path / "raw")
    name = truth.frames[BAD].path.name
    _refuse(monkeypatch, name, error)
    result = stacked(truth.folder, tmp_path / "out")
    check_left_out(good, result, name, "unreadable", "discover", words)


def _refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """Make the system refuse to open one file, as it does for a user who is not root."""
    usual = os.open

    def refusing(path: Any, *arguments: Any, **named: Any) -> int:
        if os.fspath(path).endswith(name):
            raise error
        return usual(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)


def test_many_bad_frames_among_many_good_ones_change_nothing(tmp_path: Path) -> None:
    bad = {3: "trailed", 4: "nan", 9: "zero", 13: "saturated", 20: "other_target", 27: "glitch_rows", 33: "no_stars"}
    size: dict[str, Any] = {"width": 180, "height": 320, "n_faint_stars": 300, "n_frames": 42}
    truth = small_session(tmp_path / "raw", **size, fault=bad)
    spoilt = stacked(truth.folder, tmp_path / "out")
    for index in bad:
        truth.frames[index].path.unlink()
    clean = stacked(truth.folder, tmp_path / "clean")
    assert manifest(clean).statistics.n_stacked == manifest(spoilt).statistics.n_stacked == 42 - len(bad)
    assert manifest(clean).n_defects == manifest(spoilt).n_defects > 0
    assert largest_difference(master(spoilt), master(clean)) <= TOLERANCE
    assert {frame.code for frame in manifest(spoilt).frames if frame.code} == {
        "trailed",
        "blank",
        "not_registered",
        "glitch_rows",
        "no_stars",
    }


def test_a_reference_with_a_readout_glitch_is_found_out_by_the_others(good: Good, tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", fault={BAD: "glitch_rows"})
    name = truth.frames[BAD].path.name
    result = stacked(truth.folder, tmp_path / "out", reference="most_stars")
    assert account_of(name, manifest(result)).code == "glitch_rows"
    # asked for by name it cannot be kept either
    with pytest.raises(UsageError, match="not among the frames"):
        stacked(truth.folder, tmp_path / "named", reference=name)


def test_a_few_pixels_without_a_number_cost_only_themselves(good: Good, tmp_path: Path) -> None:
    """A float frame with a blank strip is stacked by its other pixels."""
    folder = copied(good.truth, tmp_path / "raw")
    lights = folder / good.truth.lights_folder.relative_to(good.truth.folder)
    path = lights / good.names[2]
    with fits.open(path) as units:
        pixels, header = units[0].data.astype(np.float32), units[0].header.copy()
    pixels[100:130] = np.nan
    for key in ("BZERO", "BSCALE"):
        header.remove(key, ignore_missing=True)
    fits.writeto(path, pixels, header, overwrite=True)
    result = stacked(folder, tmp_path / "out", unit="adu")
    plain = stacked(good.truth.folder, tmp_path / "plain", unit="adu")
    assert manifest(result).statistics.n_stacked == 8
    image, whole = master(result), master(plain)
    assert np.isfinite(image).mean() >= np.isfinite(whole).mean() - 1e-3
    sky = float(np.nanmedian(whole[1]))
    assert np.nanmedian(image[1]) == pytest.approx(sky, rel=0.002)
    assert np.nanmedian(image[1, 100:130]) == pytest.approx(sky, rel=0.02)
    difference = np.abs(image - whole)[:, 200:400, 40:-40]
    assert np.nanpercentile(difference, 99) < 0.03 * sky


# --- while it runs


class Saboteur:
    """A listener that does something to a file once, when a phase begins."""

    def __init__(self, phase: str, deed: Callable[[], None]) -> None:
        self.phase, self.deed, self.is_done = phase, deed, False

    def __call__(self, event: Event) -> None:
        if event.kind == "phase" and event.phase == self.phase and not self.is_done:
            self.is_done = True
            self.deed()


def _cut(path: Path) -> Callable[[], None]:
    return lambda: os.truncate(path, 50_000)


def _replace(path: Path) -> Callable[[], None]:
    """Put another frame of the same size in its place, as a program that works on the files does."""

    def deed() -> None:
        fresh = path.with_suffix(".new")
        content = path.read_bytes()
        fresh.write_bytes(content[:100_000] + content[100_000:200_000][::-1] + content[200_000:])
        fresh.replace(path)

    return deed


@pytest.mark.parametrize("deed", ["vanish", "truncate", "replace"])
@pytest.mark.parametrize("phase", ["measure", "register", "trails", "integrate"])
def test_a_frame_that_is_lost_while_the_run_goes_on_is_left_out(
    phase: str, deed: str, good: Good, tmp_path: Path
) -> None:
    truth = small_session(tmp_path / "raw")
    bad = truth.frames[BAD].path
    deeds = {"vanish": bad.unlink, "truncate": _cut(bad), "replace": _replace(bad)}
    saboteur = Saboteur(phase, deeds[deed])
    result = stacked(truth.folder, tmp_path / "out", listener=saboteur)
    assert saboteur.is_done
    stage = "measure" if phase == "measure" else "integrate"
    code = {"measure": "unreadable", "integrate": "vanished" if deed == "vanish" else "changed"}[stage]
    check_left_out(good, result, bad.name, code, stage, bad.name)


def test_the_reference_itself_may_vanish(good: Good, tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw")
    truth.frames[BAD].path.unlink()
    lost = next(frame.path for frame in truth.frames if frame.path.name == good.reference)
    without = stacked(_without(truth, lost, tmp_path / "without"), tmp_path / "without_out")
    result = stacked(truth.folder, tmp_path / "out", listener=Saboteur("integrate", lost.unlink))
    bad = account_of(lost.name, manifest(result))
    assert (bad.status, bad.stage, bad.code, bad.is_reference) == ("left_out", "integrate", "vanished", False)
    assert manifest(result).reference == manifest(without).reference != good.reference
    assert largest_difference(master(result), master(without)) <= TOLERANCE


def _without(truth: Truth, lost: Path, folder: Path) -> Path:
    copy = copied(truth, folder)
    (copy / lost.relative_to(truth.folder)).unlink()
    return copy


def test_when_all_but_one_frame_vanish_the_run_fails_with_a_sentence(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", n_frames=4)

    def all_but_one() -> None:
        for frame in truth.frames[1:]:
            frame.path.unlink()

    with pytest.raises(NotRegistered, match="fewer than two frames"):
        stacked(truth.folder, tmp_path / "out", listener=Saboteur("integrate", all_but_one))
    assert not list((tmp_path / "out").rglob("*.fits"))


# --- whole sessions


def test_mixed_exposures_and_gains_are_stacked_by_weight_and_said(tmp_path: Path) -> None:
    first = small_session(tmp_path / "raw", n_frames=5)
    second = small_session(
        tmp_path / "raw", n_frames=5, exposure_s=20.0, gain=120, night=1, start_utc="2025-03-27T02:20:00"
    )
    with RawGuard(tmp_path / "raw"):
        result = stacked(tmp_path / "raw", tmp_path / "out")
    told = manifest(result)
    assert told.statistics.n_stacked == 10
    assert any("different exposures (10 s, 20 s)" in note for note in told.notes)
    assert any("different gains (80, 120)" in note for note in told.notes)
    scale = {frame.file: frame.scale[1] for frame in told.frames}
    long = np.mean([scale[frame.path.name] for frame in second.frames])
    short = np.mean([scale[frame.path.name] for frame in first.frames])
    assert short / long == pytest.approx(2.0, rel=0.03)
    assert told.statistics.exposure_s == 150.0


def test_a_session_whose_headers_all_name_the_wrong_pattern_is_warned_of(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", n_frames=4, fault={1: "wrong_bayer", 2: "wrong_bayer", 3: "wrong_bayer"})
    truth.frames[0].path.unlink()
    warned: list[str] = []
    result = stacked(
        truth.folder, tmp_path / "out", listener=lambda e: warned.append(e.message) if e.kind == "warning" else None
    )
    told = manifest(result)
    assert any("contradict the pattern RGGB" in text for text in told.warnings)
    assert any("contradict the pattern RGGB" in text for text in warned)
    forced = manifest(stacked(truth.folder, tmp_path / "forced", cfa="GRBG"))
    assert not any("contradict" in text for text in forced.warnings)


def test_one_frame_makes_no_stack(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", n_frames=1)
    with pytest.raises(NoUsableInput, match="two frames at least"):
        stacked(truth.folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("fault", "error"), [("zero", NoUsableInput), ("truncated", NoUsableInput), ("other_target", NotRegistered)]
)
def test_a_session_without_any_usable_pair_fails_with_the_right_error(
    fault: str, error: type[SkyquiltError], tmp_path: Path
) -> None:
    truth = small_session(tmp_path / "raw", n_frames=4, fault={1: fault, 2: fault, 3: fault})
    if error is NoUsableInput:
        truth.frames[0].path.unlink()
    with RawGuard(truth.folder), pytest.raises(error) as caught:
        stacked(truth.folder, tmp_path / "out")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_an_empty_and_a_missing_folder_are_no_usable_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(NoUsableInput):
            stacked(tmp_path / folder, tmp_path / "out")


def test_an_output_that_cannot_be_written_is_said_before_anything_is_stacked(good: Good, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with RawGuard(good.truth.folder), pytest.raises(OutputBlocked) as caught:
        stacked(good.truth.folder, tmp_path / "out")
    assert f"{tmp_path / 'out'} is a file" in caught.value.message


def test_a_read_only_output_is_blocked_too(good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path.mkdir

    def refusing(self: Path, *arguments: Any, **named: Any) -> None:
        if str(self).startswith(str(tmp_path / "out")):
            raise OSError(30, "Read-only file system", str(self))
        usual(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", refusing)
    with pytest.raises(OutputBlocked, match=r"(?i)read-only"):
        stacked(good.truth.folder, tmp_path / "out")


def test_a_failing_group_does_not_harm_the_other_groups(good: Good, tmp_path: Path) -> None:
    folder = copied(good.truth, tmp_path / "raw")
    small_session(folder, target="M 13", n_frames=3, fault={0: "zero", 1: "zero"})
    result = stacked(folder, tmp_path / "out")
    assert [stack.name for stack in result.stacks] == ["M 94"]
    assert [failure.name for failure in result.failures] == ["M 13"]
    assert largest_difference(master(result), good.image) <= TOLERANCE


def test_settings_that_cannot_be_meant_are_usage_errors(good: Good, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"framing": "everything"},
        {"framing": "180%"},
        {"keep": 0},
        {"rejection": "magic"},
        {"no_such_setting": 1},
        {"reference": "no_such_frame.fit"},
        {"dark": str(tmp_path / "no_such_folder")},
        {"memory": "lots"},
    ]
    for settings in wrong:
        with pytest.raises(UsageError) as caught:
            stacked(good.truth.folder, tmp_path / "out", **settings)
        assert is_one_sentence(caught.value.message), settings


@pytest.fixture(autouse=True)
def _no_litter_beside_the_frames(good: Good) -> Iterator[None]:
    with RawGuard(good.truth.folder):
        yield
