"""Programs of others: what they are asked, what is made of their answers; run for real where they are installed."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from skyquilt.core import Wcs
from skyquilt.core.sky import separation_deg
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import write_header, write_image
from skyquilt.io.solvers import (
    OutsideHints,
    find_astap,
    find_solve_field,
    solve_with_astap,
    solve_with_solve_field,
)
from skyquilt.io.solvers.astap import astap_arguments, read_astap
from skyquilt.io.solvers.process import Finished, run_program, scratch_copy
from skyquilt.io.solvers.solve_field import read_solve_field, solve_field_arguments

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
SEESTAR = DATA / "seestar" / "MyWorks" / "NGC 7023_sub"
HINTS = OutsideHints((193.5, -41.25), 3.0, 2.4, 0.1, 60.0)
WCS = Wcs((193.5, -41.25), (539.5, 959.5), 2.4 / 3600 * np.array([[-1.0, 0.1], [0.1, 1.0]]))
INI = """PLTSOLVD=T
CRPIX1=540.5
CRPIX2= 960.5
CRVAL1=193.5
CRVAL2=-41.25
CD1_1=-6.6E-004
CD1_2=1.0E-005
CD2_1=1.0E-005
CD2_2=6.6E-004
WARNING=Warning, inexact scale!
"""


def test_astap_is_asked_in_hours_and_distance_from_the_south_pole() -> None:
    asked = astap_arguments(Path("/bin/astap_cli"), Path("/tmp/f.fits"), Path("/tmp/solved"), HINTS, 1920)
    pairs = dict(itertools.pairwise(asked))
    assert pairs["-ra"] == "12.900000"
    assert pairs["-spd"] == "48.750000"
    assert pairs["-fov"] == "1.2800"
    assert pairs["-r"] == "3.000"
    assert "-wcs" in asked
    assert "-update" not in asked


def test_astap_searches_everywhere_without_a_place() -> None:
    asked = astap_arguments(Path("astap_cli"), Path("f.fits"), Path("solved"), OutsideHints(), 1920)
    assert asked[asked.index("-r") + 1] == "180"
    assert asked[asked.index("-fov") + 1] == "0.0000"
    assert "-ra" not in asked


def test_solve_field_is_asked_in_degrees_and_arcsec() -> None:
    asked = solve_field_arguments(Path("/bin/solve-field"), Path("/tmp/x/frame.fits"), HINTS)
    pairs = dict(itertools.pairwise(asked))
    assert (pairs["--ra"], pairs["--dec"], pairs["--radius"]) == ("193.500000", "-41.250000", "3.000")
    assert (pairs["--scale-low"], pairs["--scale-high"]) == ("2.1600", "2.6400")
    assert pairs["--dir"] == "/tmp/x"
    assert {"--no-plots", "--overwrite", "--no-verify"} <= set(asked)
    assert asked[-1] == "/tmp/x/frame.fits"


@pytest.mark.parametrize("kind", ["fits", "text", "ini only", "damaged wcs"])
def test_answers_of_astap_are_read_in_every_form(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "solved"
    base.with_suffix(".ini").write_bytes(INI.replace("\n", "\r\n").encode())
    if kind == "fits":
        write_header(base.with_suffix(".wcs"), WCS.cards())
    elif kind == "text":
        lines = [f"{k:8s}= {v!r}".replace("True", "T") for k, v, _ in WCS.cards()]
        base.with_suffix(".wcs").write_bytes("\r\n".join([*lines, "END"]).encode())
    elif kind == "damaged wcs":
        base.with_suffix(".wcs").write_bytes(b"\0" * 3000)
    found = read_astap(Finished(0, ""), base)
    assert found.wcs is not None, found.reason
    assert float(separation_deg(*found.wcs.to_sky(539.5, 959.5), 193.5, -41.25)) < 1e-6


@pytest.mark.parametrize(
    ("code", "ini", "words"),
    [
        (1, "PLTSOLVD=F\n", "found no solution"),
        (2, "PLTSOLVD=F\n", "too few stars"),
        (1, "PLTSOLVD=F\nERROR=No star database found.\n", "No star database found"),
        (32, "", "no star database"),
        (99, "", "ended with code 99"),
        (None, "", "time limit"),
        (0, "PLTSOLVD=T\nCRVAL1=abc\n", "left no coordinates"),
        (0, "", "left no coordinates"),
    ],
)
def test_failures_of_astap_are_one_sentence(tmp_path: Path, code: int | None, ini: str, words: str) -> None:
    base = tmp_path / "solved"
    if ini:
        base.with_suffix(".ini").write_text(ini)
    found = read_astap(Finished(code, ""), base)
    assert found.wcs is None
    assert words in found.reason


def test_answers_of_solve_field_are_read(tmp_path: Path) -> None:
    from astropy.io import fits

    base = tmp_path / "frame"
    write_header(base.with_suffix(".wcs"), WCS.cards())
    values = {"field_x": [1.0, 2.0], "field_y": [5.0, 6.0], "index_x": [1.3, 1.7], "index_y": [5.0, 6.0]}
    columns = [fits.Column(name, "D", array=np.array(value)) for name, value in values.items()]
    fits.BinTableHDU.from_columns(columns).writeto(base.with_suffix(".corr"))
    found = read_solve_field(Finished(0, ""), base)
    assert found.wcs is not None
    assert found.n_matched == 2
    assert found.rms_px == pytest.approx(0.3 / 2**0.5)
    base.with_suffix(".corr").write_bytes(b"no table")
    assert read_solve_field(Finished(0, ""), base).n_matched is None


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (0, "Did not solve (or no WCS file was written).", "found no solution"),
        (None, "", "time limit"),
        (255, "blah\nsomething broke\n", "code 255: something broke"),
        (255, "You must list at least one index in the config file", "no index files"),
    ],
)
def test_failures_of_solve_field_are_one_sentence(tmp_path: Path, code: int | None, text: str, words: str) -> None:
    found = read_solve_field(Finished(code, text), tmp_path / "frame")
    assert found.wcs is None
    assert words in found.reason


def test_coordinates_that_cannot_be_used_are_a_reason(tmp_path: Path) -> None:
    write_header(tmp_path / "frame.wcs", [("CTYPE1", "GLON-TAN", ""), ("CTYPE2", "GLAT-TAN", "")])
    assert "cannot be used" in read_solve_field(Finished(0, ""), tmp_path / "frame").reason


def test_a_program_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "still here"
    child = f"import time, pathlib; time.sleep(2); pathlib.Path({str(marker)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(30)"
    begun = time.monotonic()
    finished = run_program([sys.executable, "-c", code], folder=tmp_path, timeout_s=0.7)
    assert finished.code is None
    assert time.monotonic() - begun < 10
    time.sleep(2.2)
    assert not marker.exists()


def test_a_program_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    assert "cannot be started" in run_program([str(tmp_path / "none")], folder=tmp_path, timeout_s=1.0).text


def test_outside_programs_get_a_copy_that_goes_away(tmp_path: Path) -> None:
    frame = tmp_path / "raw.fit"
    write_image(frame, np.arange(6000, dtype=np.uint16).reshape(60, 100), [("RA", 10.0, "")])
    before = hashlib.sha256(frame.read_bytes()).hexdigest()
    with scratch_copy(frame) as copy:
        assert copy.parent != tmp_path
        assert copy.is_file()
        copy.write_bytes(b"spoilt")
    assert not copy.exists()
    assert hashlib.sha256(frame.read_bytes()).hexdigest() == before
    (tmp_path / "none.fit").write_bytes(b"nothing")
    with pytest.raises(UnreadableFrame), scratch_copy(tmp_path / "none.fit"):
        pass


def seestar_frame() -> Path:
    frames = sorted(SEESTAR.glob("*.fit"))
    if not frames:
        pytest.skip(f"the real frames are not in {DATA}: set SKYQUILT_DATA")
    return frames[0]


@pytest.mark.real
def test_solve_field_solves_a_real_frame() -> None:
    if find_solve_field() is None:
        pytest.skip("solve-field is not installed")
    frame = seestar_frame()
    before = (frame.stat().st_mtime_ns, hashlib.sha256(frame.read_bytes()).hexdigest())
    found = solve_with_solve_field(frame, OutsideHints((315.4, 68.1), 2.0, 2.37, 0.05, 60.0))
    if "no index files" in found.reason or "no solution" in found.reason:
        pytest.skip(f"{found.reason}: its index files may not be installed")
    assert found.wcs is not None, found.reason
    assert float(separation_deg(*found.wcs.to_sky(539.5, 959.5), 315.4433, 68.1264)) * 3600 < 5
    assert found.n_matched is not None and found.n_matched > 10
    assert (frame.stat().st_mtime_ns, hashlib.sha256(frame.read_bytes()).hexdigest()) == before


@pytest.mark.real
def test_astap_answers_for_a_real_frame() -> None:
    if find_astap() is None:
        pytest.skip("ASTAP is not installed")
    found = solve_with_astap(seestar_frame(), OutsideHints((315.4, 68.1), 2.0, 2.37, 0.05, 60.0), 1920)
    if "database" in found.reason or "display" in found.reason:
        pytest.skip(found.reason)
    assert found.wcs is not None, found.reason
    assert float(separation_deg(*found.wcs.to_sky(539.5, 959.5), 315.4433, 68.1264)) * 3600 < 10
