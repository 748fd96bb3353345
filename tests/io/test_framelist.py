"""Frame lists in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyquilt.core import FrameFile, FrameMeta
from skyquilt.errors import OutputBlocked, UsageError
from skyquilt.io.framelist import read_frame_list, write_frame_list


def frames(*names: str) -> list[FrameFile]:
    return [FrameFile(Path("/session") / name, FrameMeta(10, 8)) for name in names]


SESSION = frames("a/Light_001.fit", "a/Light_002.fit", "b/Light_001.fit", "b/été 7 #2.fits.gz", "b/Light_010.fit")


def test_a_text_list_takes_comments_blanks_quotes_and_missing_endings(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(
        '\ufeff# my best frames\n\n  Light_010.fit   # sharp\n"Light_002"\r\nb/light_001.FIT\n'
        "été 7 #2.fits.gz\nLight_010.fit\n",
        encoding="utf-8",
    )
    assert [str(f.path.relative_to("/session")) for f in read_frame_list(path, SESSION)] == [
        "b/Light_010.fit",
        "a/Light_002.fit",
        "b/Light_001.fit",
        "b/été 7 #2.fits.gz",
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_list_goes_by_its_include_column(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "list.csv"
    rows = [("fwhm_px", "File", "include"), ("2.1", "Light_002.fit", "yes"), ("9", "Light_010.fit", "0"),
            ("2", "a/Light_001.fit", "")]  # fmt: skip
    path.write_text("# from the app\n" + "\n".join(delimiter.join(row) for row in rows))
    assert [f.name for f in read_frame_list(path, SESSION)] == ["Light_002.fit", "Light_001.fit"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Light_02.fit", ("line 1", "'Light_02.fit'", "did you mean Light_002.fit?")),
        ("# x\nLight_001.fit", ("line 2", "name of 2 frames", "in a, b", "folder/name")),
        ("c/Light_010.fit", ("no frame 'c/Light_010.fit'",)),
        ("zzz", ("no frame 'zzz'", "skyquilt frames")),
        ("# nothing\n\n", ("names no frame",)),
        ("/", ("not the name",)),
    ],
)
def test_a_name_that_fits_no_frame_or_several_is_an_error(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_frame_list(path, SESSION)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_or_binary_list_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "frames.txt").write_text("x")
    with pytest.raises(UsageError, match=r"frame\.txt") as caught:
        read_frame_list(tmp_path / "frame.txt", SESSION)
    assert "did you mean frames.txt?" in caught.value.hint
    with pytest.raises(UsageError, match="no frame list"):
        read_frame_list(tmp_path / "nowhere" / "frame.txt", SESSION)
    (tmp_path / "b.txt").write_bytes(b"SIMPLE\0\0")
    with pytest.raises(UsageError, match="not a text file"):
        read_frame_list(tmp_path / "b.txt", SESSION)
    with pytest.raises(UsageError, match="cannot be read"):
        read_frame_list(tmp_path, SESSION)


@pytest.mark.parametrize(
    ("text", "word"), [("x,y\n1,2\n", "no column `file`"), ("file,include\nLight_002.fit,maybe\n", "line 2")]
)
def test_a_csv_that_cannot_be_meant_is_an_error(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=word):
        read_frame_list(path, SESSION)


@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_what_is_written_reads_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new folder" / f"list.{suffix}"
    rows = [
        {"file": "b/Light_001.fit", "fwhm_px": 2.25, "n_stars": 120, "include": True},
        {"file": "a/Light_001.fit", "fwhm_px": float("nan"), "n_stars": 3, "include": False},
        {"file": "b/été 7 #2.fits.gz", "fwhm_px": 1 / 3, "n_stars": 99, "include": True},
    ]
    write_frame_list(path, rows)
    chosen = read_frame_list(path, SESSION)
    assert [f.path for f in chosen] == [SESSION[2].path, SESSION[3].path]
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if suffix == "csv":
        assert path.read_text(encoding="utf-8").splitlines()[:3] == [
            "file,include,fwhm_px,n_stars",
            "b/Light_001.fit,yes,2.25,120",
            "a/Light_001.fit,no,,3",
        ]


def test_a_list_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputBlocked, match="cannot be written"):
        write_frame_list(tmp_path / "file" / "list.csv", [{"file": "a.fit"}])
