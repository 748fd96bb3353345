"""The folder that the user opens: every product, its header, its bytes, and the manifest that tells of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from small_sky import largest_difference, manifest, master, pixels_of, small_session, stacked

import skyquilt as sq
from skyquilt.engine import Manifest, list_frames, verify_products
from skyquilt.errors import NoUsableInput
from skyquilt.io.fits import data_hash, verify_checksums
from skyquilt.io.framelist import write_frame_list
from skyquilt.io.images import read_image
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.sky import Truth


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return small_session(tmp_path_factory.mktemp("raw"), n_frames=6)


@pytest.fixture(scope="module")
def result(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> sq.RunResult:
    options = sq.RunOptions(save_transforms=True)
    with RawGuard(truth.folder):
        return sq.stack(truth.folder, tmp_path_factory.mktemp("out"), options=options)


@pytest.fixture
def header(result: sq.RunResult) -> fits.Header:
    return fits.getheader(result.stacks[0].outputs["master_linear"])


def test_the_folder_has_the_layout_that_is_promised(result: sq.RunResult) -> None:
    folder = result.stacks[0].folder
    assert folder.name == "M 94"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    products = {name for name in files if not name.startswith(".skyquilt/")}
    assert products == {
        "stacked/master_linear.fits",
        "stacked/master_maps.fits",
        "stacked/master_quicklook.png",
        "stacked/master_quicklook.tif",
        "transforms.json",
        "run_manifest.json",
        "report.json",
        "report.md",
        "report.html",
    }
    assert {path.relative_to(folder).as_posix() for path in result.stacks[0].outputs.values()} == products
    left = {name.split("/")[1] for name in files - products}
    assert left <= {"measurements"}  # neither journal nor lock stay behind


# --- the header, read as others read it


def test_the_image_is_float_without_scaling_and_planes_are_last(result: sq.RunResult, header: fits.Header) -> None:
    assert header["BITPIX"] == -32
    assert (header["NAXIS"], header["NAXIS1"], header["NAXIS2"], header["NAXIS3"]) == (3, 270, 480, 3)
    assert "BZERO" not in header
    assert "BSCALE" not in header
    data = fits.getdata(result.stacks[0].outputs["master_linear"])
    assert data.shape == (3, 480, 270)
    assert data.dtype == np.dtype(">f4")
    assert np.array_equal(data.astype(np.float32), master(result), equal_nan=True)
    assert header["DATAMIN"] == float(np.nanmin(data))
    assert header["DATAMAX"] == float(np.nanmax(data))


def test_the_header_tells_count_exposure_and_times(header: fits.Header, truth: Truth) -> None:
    assert header["STACKCNT"] == header["NCOMBINE"] == 6
    assert header["EXPTIME"] == header["EXPOSURE"] == 10.0
    assert header["LIVETIME"] == header["TOTALEXP"] == 60.0
    first, last = truth.frames[0].start, truth.frames[5].start
    assert header["DATE-OBS"] == header["DATE-BEG"] == first.isoformat(timespec="milliseconds")
    assert header["DATE-END"][:19] == (np.datetime64(last, "ms") + np.timedelta64(10, "s")).astype(str)[:19]
    assert header["DATE-BEG"] < header["DATE-AVG"] < header["DATE-END"]
    assert not any(str(header[key]).endswith("Z") for key in ("DATE-OBS", "DATE-AVG", "DATE-END"))
    assert header["TIMESYS"] == "UTC"
    assert header["MJD-OBS"] == pytest.approx(60761.0559369, abs=1e-6)
    assert header["EXPSTART"] == pytest.approx(header["MJD-OBS"] + 2400000.5, abs=1e-6)
    assert header["EXPEND"] > header["EXPSTART"]
    assert "DATE" not in header  # same input, same bytes


def test_the_header_tells_the_equipment_and_the_program(header: fits.Header) -> None:
    expected = {
        "IMAGETYP": "Master Light",
        "OBJECT": "M 94",
        "INSTRUME": "Seestar S50",
        "FOCALLEN": 250.0,
        "GAIN": 80.0,
        "FILTER": "IRCUT",
        "CCD-TEMP": 26.0,
        "XBINNING": 1,
        "ROWORDER": "TOP-DOWN",
        "BUNIT": "adu/65535",
    }
    assert {key: header[key] for key in expected} == expected
    assert header["XPIXSZ"] == pytest.approx(2.9)
    for key in ("PROGRAM", "SWCREATE", "CREATOR"):
        assert header[key] == f"skyquilt {sq.__version__}"
    for key in ("BAYERPAT", "XBAYROFF", "YBAYROFF", "CALSTAT"):
        assert key not in header
    assert 3 <= len(header["HISTORY"]) <= 8
    assert all(len(line) <= 72 for line in header["HISTORY"])


def test_no_machine_path_and_no_continued_card_is_in_any_header(result: sq.RunResult) -> None:
    for path in result.stacks[0].outputs.values():
        if path.suffix == ".fits":
            with fits.open(path) as units:
                for unit in units:
                    text = unit.header.tostring()
                    assert "CONTINUE" not in text
                    assert str(path.parent) not in text


def test_the_checksums_hold_for_others_and_for_us(result: sq.RunResult) -> None:
    for name in ("master_linear", "master_maps"):
        path = result.stacks[0].outputs[name]
        with fits.open(path, checksum=True) as units:  # a wrong sum is a warning, which is an error here
            for unit in units:
                assert "CHECKSUM" in unit.header
                assert unit.verify_checksum() == 1
                assert unit.verify_datasum() == 1
            units.verify("exception")
        assert verify_checksums(path) == []


def test_the_maps_are_extensions_of_a_file_of_their_own(result: sq.RunResult) -> None:
    with fits.open(result.stacks[0].outputs["master_maps"]) as units:
        assert [unit.name for unit in units] == ["PRIMARY", "VARIANCE", "REJ_LOW", "REJ_HIGH"]
        coverage, variance, low, high = (unit.data for unit in units)
        assert units[0].header["BUNIT"] == "s"
        assert coverage.shape == (480, 270)
        assert variance.shape == low.shape == high.shape == (3, 480, 270)
        assert low.dtype == high.dtype == np.uint16
        assert 59.0 < float(np.median(coverage)) <= 60.001
        assert coverage.max() <= 60.001
        share = (low.sum() + high.sum()) / (6 * low.size)
    figures = manifest(result).statistics
    assert share == pytest.approx(figures.rejected_low + figures.rejected_high, rel=0.1)
    measured = float(np.nanmedian(np.sqrt(variance[1]))) * 65535
    assert measured == pytest.approx(figures.noise[1], rel=0.25)


# --- units, mono, pictures


def test_normalised_is_adu_over_full_scale(result: sq.RunResult, truth: Truth, tmp_path: Path) -> None:
    adu = stacked(truth.folder, tmp_path, unit="adu")
    assert fits.getheader(adu.stacks[0].outputs["master_linear"])["BUNIT"] == "adu"
    assert largest_difference(master(adu) / 65535, master(result)) < 3e-6  # the rounding of the brightest star
    assert np.nanmedian(master(adu)[1]) == pytest.approx(truth.frames[0].sky_adu[1], rel=0.03)
    assert manifest(adu).statistics.noise == pytest.approx(manifest(result).statistics.noise, rel=1e-4)


def test_a_mono_session_gives_a_flat_file_without_planes(tmp_path: Path) -> None:
    mono = small_session(tmp_path / "raw", device="generic", cfa=None, n_frames=5)
    made = sq.stack(mono.folder, tmp_path / "out")
    path = made.stacks[0].outputs["master_linear"]
    head = fits.getheader(path)
    assert (head["NAXIS"], head["NAXIS1"], head["NAXIS2"]) == (2, 270, 480)
    assert "BAYERPAT" not in head
    assert fits.getdata(made.stacks[0].outputs["master_maps"], "VARIANCE").shape == (480, 270)
    assert read_image(made.stacks[0].outputs["master_quicklook"]).shape == (480, 270)
    assert manifest(made).statistics.n_channels == 1
    assert manifest(made).statistics.n_stacked == 5


def test_the_pictures_have_the_size_of_the_canvas_and_a_colour_profile(result: sq.RunResult) -> None:
    png, tiff = (result.stacks[0].outputs[name] for name in ("master_quicklook", "master_quicklook_tif"))
    small, deep = read_image(png), read_image(tiff)
    assert (small.shape, small.dtype) == ((480, 270, 3), np.uint8)
    assert (deep.shape, deep.dtype) == ((480, 270, 3), np.uint16)
    assert np.array_equal(small, (deep >> 8).astype(np.uint8))
    assert 0.15 < np.median(small) / 255 < 0.35
    assert b"iCCP" in png.read_bytes()[:4096]
    assert struct.pack("<H", 34675) in tiff.read_bytes()  # the tag of an ICC profile


def test_the_picture_can_be_cropped_to_what_is_well_covered(truth: Truth, tmp_path: Path) -> None:
    cropped = sq.stack(truth.folder, tmp_path, crop=1.0)
    height, width, _ = read_image(cropped.stacks[0].outputs["master_quicklook"]).shape
    assert 420 < height < 480
    assert 230 < width < 270
    assert master(cropped).shape == (3, 480, 270)


# --- transforms, manifest, lists


def test_saved_transforms_loaded_again_give_the_same_pixels(result: sq.RunResult, truth: Truth, tmp_path: Path) -> None:
    path = result.stacks[0].outputs["transforms"]
    document = json.loads(path.read_text())
    assert document["reference"] == manifest(result).reference
    assert len(document["frames"]) == 6
    again = stacked(truth.folder, tmp_path, options=sq.RunOptions(load_transforms=path))
    first, second = (data_hash(one.stacks[0].outputs["master_linear"]) for one in (result, again))
    assert first == second


def test_loaded_transforms_are_used_as_they_are(result: sq.RunResult, truth: Truth, tmp_path: Path) -> None:
    document = json.loads(result.stacks[0].outputs["transforms"].read_text())
    moved = next(frame for frame in document["frames"] if frame["file"] != document["reference"])
    moved["transform"]["stages"][0]["matrix"][0][2] += 0.125
    (tmp_path / "mine.json").write_text(json.dumps(document))
    again = stacked(truth.folder, tmp_path, options=sq.RunOptions(load_transforms=tmp_path / "mine.json"))
    before = {frame.file: frame.shift_x_px for frame in manifest(result).frames}
    after = {frame.file: frame.shift_x_px for frame in manifest(again).frames}
    assert after[moved["file"]] - before[moved["file"]] == pytest.approx(0.125)
    assert sum(after[name] != before[name] for name in before) == 1


def test_the_manifest_on_disk_validates_and_round_trips(result: sq.RunResult) -> None:
    text = result.stacks[0].outputs["manifest"].read_text()
    again = Manifest.model_validate_json(text)
    assert again == manifest(result)
    assert again.model_dump_json(indent=1) + "\n" == text
    problems = list(
        violations(json.loads(text), Manifest.model_json_schema(), Manifest.model_json_schema(), "manifest")
    )
    assert problems == []


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what a JSON value breaks of the part of JSON Schema that pydantic writes."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        if all(list(violations(value, option, root, where)) for option in schema["anyOf"]):
            yield f"{where}: none of the options fits {value!r}"
        return
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema and not isinstance(value, types[schema["type"]]):
        yield f"{where}: {value!r} is no {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, dict) and "properties" in schema:
        yield from (f"{where}.{key} is missing" for key in schema.get("required", []) if key not in value)
        yield from (f"{where}.{key} is unknown" for key in value if key not in schema["properties"])
        for key, part in value.items():
            yield from violations(part, schema["properties"].get(key, {}), root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for k, part in enumerate(value):
            yield from violations(part, schema["items"], root, f"{where}[{k}]")


def test_the_reproducible_part_of_the_manifest_holds_no_path_of_the_machine(result: sq.RunResult, truth: Truth) -> None:
    told = json.loads(result.stacks[0].outputs["manifest"].read_text())
    told.pop("environment")
    text = json.dumps(told)
    assert str(truth.folder) not in text
    assert str(result.stacks[0].folder.parent) not in text


def test_the_same_run_again_writes_the_same_bytes(result: sq.RunResult, truth: Truth, tmp_path: Path) -> None:
    again = sq.stack(truth.folder, tmp_path, options=sq.RunOptions(save_transforms=True))
    first = {output.name: output.sha256 for output in manifest(result).outputs}
    second = {output.name: output.sha256 for output in manifest(again).outputs}
    assert first == second


@pytest.mark.parametrize("form", ["good.txt", "good.csv"])
def test_a_list_of_frames_goes_out_and_comes_back_in(form: str, truth: Truth, tmp_path: Path) -> None:
    records = list_frames(truth.folder, tmp_path / "scores", scored=True)
    ranked = sorted(records, key=lambda record: -(record.score or 0.0))
    assert len(ranked) == 6
    best = {record.file for record in ranked[:4]}
    write_frame_list(tmp_path / form, [{"file": r.file, "include": r.file in best, "score": r.score} for r in records])
    result = stacked(truth.folder, tmp_path / "out", options=sq.RunOptions(frame_list=tmp_path / form))
    assert {frame.file for frame in manifest(result).frames if frame.status == "stacked"} == best
    others = {frame.file: frame.code for frame in manifest(result).frames if frame.status != "stacked"}
    assert set(others.values()) == {"not_listed"}
    assert len(others) == 2


# --- verification


def test_verification_finds_a_flipped_byte_a_missing_and_a_longer_file(truth: Truth, tmp_path: Path) -> None:
    result = sq.stack(truth.folder, tmp_path)
    assert verify_products(tmp_path) == []
    outputs = result.stacks[0].outputs
    linear = bytearray(outputs["master_linear"].read_bytes())
    linear[20_000] ^= 1
    outputs["master_linear"].write_bytes(linear)
    assert verify_products(tmp_path) == ["stacked/master_linear.fits has changed since it was written"]
    outputs["master_maps"].unlink()
    with outputs["master_quicklook"].open("ab") as file:
        file.write(b"x")
    problems = verify_products(tmp_path)
    assert len(problems) == 3
    assert any("master_maps.fits is missing" in problem for problem in problems)
    assert any("master_quicklook.png has" in problem for problem in problems)
    outputs["manifest"].write_text("{}")
    assert len(verify_products(tmp_path)) == 1


def test_verification_of_a_folder_without_a_stack_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoUsableInput):
        verify_products(tmp_path)


def test_a_dry_run_plans_and_writes_nothing(truth: Truth, tmp_path: Path) -> None:
    with RawGuard(truth.folder):
        result = sq.stack(truth.folder, tmp_path / "out", options=sq.RunOptions(dry_run=True))
    assert result.stacks == ()
    (plan,) = result.plans
    assert plan.n_frames == 6
    assert plan.canvas.shape == (480, 270)
    assert plan.lines
    assert not (tmp_path / "out").exists()


def test_products_are_left_out_when_they_are_not_wanted(truth: Truth, tmp_path: Path) -> None:
    result = sq.stack(truth.folder, tmp_path, quicklook=False, maps=False)
    assert {path.name for path in (result.stacks[0].folder / "stacked").iterdir()} == {"master_linear.fits"}
    assert pixels_of(result.stacks[0].outputs["master_linear"]).shape == (3, 480, 270)
