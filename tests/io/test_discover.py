"""Session discovery on generated trees of every device, and on the real ones."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyquilt.core import Event, FrameFile, FrameKind, Session
from skyquilt.errors import BadInput, NoUsableInput
from skyquilt.io.discover import describe, discover, read_sidecar
from skyquilt.io.discover.grouping import safe_name
from skyquilt.io.discover.names import kind_of_file, kind_of_folder, read_file_name, read_folder_name
from skyquilt.io.discover.sidecars import read_exposure
from skyquilt.io.fits import open_frame

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
SHARED = Path(os.environ.get("SKYQUILT_SHARED", Path(__file__).parents[3] / "shared" / "data"))
_counter = iter(range(1, 1_000_000))


def put(path: Path, *, shape: tuple[int, ...] = (8, 10), dtype: str = "uint16", **cards: object) -> Path:
    """Write a tiny FITS file whose pixels differ from those of every other one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.PrimaryHDU(np.full(shape, next(_counter), dtype=dtype))
    for name, value in cards.items():
        hdu.header[name.replace("__", "-")] = value
    hdu.writeto(path)
    return path


def seestar(path: Path, minute: int = 0, **cards: object) -> Path:
    given = {
        "CREATOR": "ZWO Seestar S50",
        "IMAGETYP": "Light",
        "OBJECT": "M 31",
        "FILTER": "IRCUT",
        "BAYERPAT": "GRBG",
        "GAIN": 80,
        "EXPTIME": 10.0,
        "RA": 10.9,
        "DEC": 41.4,
        "DATE__OBS": f"2025-03-27T01:{minute:02d}:59.022187",
        "TELESCOP": "S50_0123abcd",
    }
    return put(path, **{**given, **cards})  # type: ignore[arg-type]


def dwarf(path: Path, minute: int = 0, **cards: object) -> Path:
    given = {
        "CAMERA": "TELE",
        "TELESCOP": "DWARF 3",
        "INSTRUME": "DWARF 3",
        "ORIGIN": "DWARFLAB",
        "OBJECT": "IC 434",
        "FILTER": "Astro",
        "BAYERPAT": "RGGB",
        "GAIN": 60,
        "EXPTIME": 60.0,
        "DET__TEMP": 17,
        "RA": 85.2,
        "DEC": -2.4,
        "DATE__OBS": f"2025-10-18T04:{minute:02d}:26.559",
    }
    return put(path, **{**given, **cards})  # type: ignore[arg-type]


def every_fits_below(root: Path) -> set[Path]:
    endings = (".fit", ".fits", ".fts", ".fz")
    return {
        Path(folder) / name
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
        if name.lower().endswith(endings)
    }


def accounted_for(session: Session) -> list[Path]:
    frames = [light for group in session.groups for light in group.lights]
    frames += [*session.darks, *session.flats, *session.biases, *session.flat_darks, *session.masters]
    return [frame.path for frame in frames] + [one.path for one in session.left_out]


def assert_nothing_vanished(session: Session) -> None:
    found = accounted_for(session)
    assert len(found) == len(set(found))
    assert set(found) >= every_fits_below(session.root)
    assert all(one.reason and one.code and one.stage == "discover" for one in session.left_out)


def codes(session: Session) -> dict[str, str]:
    return {one.path.name: one.code for one in session.left_out}


@pytest.fixture
def seestar_storage(tmp_path: Path) -> Path:
    works = tmp_path / "MyWorks"
    for k in range(3):
        stem = f"Light_M 31_10.0s_IRCUT_20250326-21{k:02d}46"
        seestar(works / "M 31_sub" / f"{stem}.fit", k)
        (works / "M 31_sub" / f"{stem}.jpg").write_bytes(b"jpeg")
        (works / "M 31_sub" / f"{stem}_thn.jpg").write_bytes(b"jpeg")
    for k in range(2):
        seestar(works / "NGC 7000_mosaic_sub" / f"Light_mosaic_NGC 7000_10.0s_LP_20250114-21{k:02d}04.fit", k + 10,
                OBJECT="NGC 7000", FILTER="LP")  # fmt: skip
    stack = {"STACKCNT": 187, "TOTALEXP": 1870.0}
    seestar(works / "M 31" / "Stacked_210_M 31_10.0s_IRCUT_20250822-231258.fit", 30, shape=(3, 8, 10), **stack)
    seestar(works / "M 31" / "DSO_Stacked_38_M 31_20.0s_20260227_225203.fit", 31, shape=(3, 8, 10), **stack)
    seestar(works / "M 31" / "renamed by a person.fit", 32, shape=(3, 8, 10), **stack)
    (works / "M 31_sub" / ".DS_Store").write_bytes(b"\0")
    (works / "M 31_sub" / "._Light_M 31.fit").write_bytes(b"\0\5\26\7")
    return works


def test_a_seestar_storage_gives_one_group_a_target(seestar_storage: Path) -> None:
    session = discover(seestar_storage.parent)
    assert session.device == "seestar"
    assert [(g.name, g.filter, len(g.lights)) for g in session.groups] == [("M 31", "IRCUT", 3), ("NGC 7000", "LP", 2)]
    assert_nothing_vanished(session)
    found = codes(session)
    assert found.pop("._Light_M 31.fit") == "hidden"
    assert set(found.values()) == {"device_stack"} and len(found) == 3
    assert any("187 exposures" in one.reason for one in session.left_out)
    assert any("mosaic mode: NGC 7000" in note for note in session.notes)
    assert sum("6 pictures" in note for note in session.notes) == 1
    pointing = session.groups[0].lights[0].meta.pointing
    assert pointing is not None and pointing.equinox == "date"


@pytest.mark.parametrize("where", ["M 31_sub", "../MyWorks/M 31_sub"])
def test_a_seestar_target_folder_gives_only_its_frames(seestar_storage: Path, where: str) -> None:
    session = discover(seestar_storage / where)
    assert [(g.name, len(g.lights)) for g in session.groups] == [("M 31", 3)]


def test_the_folder_of_the_stacks_points_to_that_of_the_subs(seestar_storage: Path) -> None:
    session = discover(seestar_storage / "M 31")
    assert session.groups == ()
    assert any("'M 31_sub' beside it" in note for note in session.notes)


@pytest.fixture
def dwarf_storage(tmp_path: Path) -> Path:
    root = tmp_path / "Astronomy"
    folder = root / "DWARF_RAW_TELE_IC 434_EXP_60_GAIN_60_2025-10-18-04-51-22-420"
    for k in range(3):
        dwarf(folder / f"IC 434_60s60_Astro_20251018-0452{k}6559_17C.fits", k)
    dwarf(folder / "failed_IC 434_60s60_Astro_20251018-045526506_16C.fits", 10)
    dwarf(folder / "stacked-16_IC 434_60s60_Astro_20251018-045127226.fits", 11)
    dwarf(folder / "5f5f24450a11bbca4d5c0ffee0ca4d5a.fits", 12)
    for name in ("stacked.jpg", "img_reference.png", "img_stacked_all.tif"):
        (folder / name).write_bytes(b"x")
    (folder / "Thumbnail").mkdir()
    (folder / "Thumbnail" / "a.jpg").write_bytes(b"x")
    put(folder / "Thumbnail" / "odd.fits")
    (folder / "shotsInfo.json").write_text(
        '{"DEC": -2.458, "RA": 5.683, "binning": "1*1", "exp": "60", "gain": 60, "ir": "Astro", "target": "IC 434",'
        ' "maxTemp": 17, "minTemp": 13, "shotsStacked": 43, "shotsTaken": 54, "shotsToTake": 300}'
    )
    wide = root / "DWARF_RAW_WIDE_EXP_10_GAIN_0_2026-08-11-23-52-01-418"
    dwarf(wide / "_10s0__20260811-235211418_20C.fits", 20, CAMERA="WIDE", OBJECT="", FILTER="", RA=0.0, DEC=0.0,
          EXPTIME=10.0, GAIN=0)  # fmt: skip
    outer = root / "DWARF_RAW_TELE_MOSAIC_M 31_EXP_15_GAIN_60_2025-10-21-20-55-45-308"
    for panel in (1, 2):
        inner = outer / f"DWARF_RAW_TELE_M 31({panel})_EXP_15_GAIN_60_2025-10-21-20-55-45-31{panel}"
        for k in range(2):
            dwarf(inner / f"M 31({panel})_15s60_Astro_20251021-20573{k}610_26C.fits", 30 + 2 * panel + k, OBJECT="M 31",
                  EXPTIME=15.0)  # fmt: skip
    darks = root / "DWARF_DARK" / "tele_exp_15_gain_130_bin_1_2025-10-31-05-42-52-480_astro"
    for k in range(2):
        name = f"raw_15s_130_000{k}_20251031-05430671{k}_16C.fits"
        nothing = {"OBJECT": "", "FILTER": "", "RA": 0.0, "DEC": 0.0}
        dwarf(darks / name, 40 + k, **nothing, EXPTIME=15.0, GAIN=130, DET__TEMP=16)
    (root / "DWARF_DARK" / "exp_15_gain_80_bin_1").mkdir()
    (root / "DWARF_DARK" / "exp_15_gain_80_bin_1" / "0000.fits").write_bytes(b"12345")
    for cam in (0, 1):
        put(root / "CALI_FRAME" / "bias" / f"cam_{cam}" / "bias_gain_2_bin_1.fits", BAYERPAT="RGGB")
    put(root / "CALI_FRAME" / "dark" / "cam_0" / "dark_exp_15.000000_gain_130_bin_1_16C_stack_10.fits", BAYERPAT="RGGB")
    for ir in range(3):
        put(root / "CALI_FRAME" / "flat" / "cam_0" / f"flat_gain_2_bin_1_ir_{ir}.fits", BAYERPAT="RGGB")
    put(root / "CALI_FRAME" / "flat" / "cam_1" / "flat_gain_2_bin_1.fits", BAYERPAT="RGGB")
    put(root / "RESTACKED" / "RESTACKED_DWARF_RAW_TELE_IC 434_EXP_60_GAIN_60_2025-10-18-04-51-22-420" / "x.fits")
    put(root / "STARTRAILS_DWARF_RAW_WIDE_EXP_10_GAIN_0_2026-08-11-23-52-01-418" / "trail.fits")
    put(root / "Solving_Failed" / "a.fits")
    early = root / "Draco_RAW_TELE_M 13_EXP_15_GAIN_60_2024-10-21-20-55-45-308"
    dwarf(early / "M 13_15s60_VIS_20241021-205734610.fits", 50,
          TELESCOP="Draco", INSTRUME="Draco", OBJECT="", FILTER="", BAYERPAT="BGGR", EXPTIME=15.0)  # fmt: skip
    return root


def test_a_dwarf_storage_is_told_apart(dwarf_storage: Path) -> None:
    session = discover(dwarf_storage)
    assert session.device == "dwarf"
    assert_nothing_vanished(session)
    lights = {group.name: len(group.lights) for group in session.groups}
    assert lights == {"IC 434": 3, "M 31(1)": 2, "M 31(2)": 2, "M 13": 1, "Astronomy": 1}
    assert codes(session) == {
        "failed_IC 434_60s60_Astro_20251018-045526506_16C.fits": "device_refused",
        "stacked-16_IC 434_60s60_Astro_20251018-045127226.fits": "device_stack",
        "5f5f24450a11bbca4d5c0ffee0ca4d5a.fits": "device_stack",
        "odd.fits": "thumbnail",
        "0000.fits": "unreadable",
        "x.fits": "device_stack",
        "trail.fits": "star_trails",
        "a.fits": "device_refused",
    }
    assert len(session.darks) == 2 and all(dark.meta.gain == 130 for dark in session.darks)
    assert any("mosaic mode: M 31(1), M 31(2)" in note for note in session.notes)


def test_facts_of_factory_masters_come_from_their_names(dwarf_storage: Path) -> None:
    masters = {(m.meta.kind, m.meta.camera, m.name): m.meta for m in discover(dwarf_storage).masters}
    assert len(masters) == 7
    dark = masters[FrameKind.DARK, "TELE", "dark_exp_15.000000_gain_130_bin_1_16C_stack_10.fits"]
    assert (dark.exposure_s, dark.gain, dark.temperature_c, dark.n_stacked) == (15.0, 130.0, 16.0, 10)
    bias = masters[FrameKind.BIAS, "WIDE", "bias_gain_2_bin_1.fits"]
    assert bias.gain is None  # 2 is an index, not the gain
    filters = sorted(str(meta.filter) for key, meta in masters.items() if key[0] is FrameKind.FLAT)
    assert filters == ["Astro", "Duo-Band", "None", "VIS"]


def test_what_a_dwarf_header_lacks_comes_from_name_and_sidecar(tmp_path: Path) -> None:
    folder = tmp_path / "DWARF_RAW_M1_EXP_15_GAIN_80_2024-01-18-21-04-26-954"
    path = put(
        folder / "raw_M1_15s_80_0000.fits", BAYERPAT="GBRG", TELESCOP="DWARFII", ORIGIN="DWARFLAB", RA=0.0, DEC=0.0
    )
    (folder / "shotsInfo.json").write_text(
        '{"DEC": 22.01469444, "RA": 5.575916667, "exp": "15", "gain": 80, "ir": "PASS", "target": "M1"}'
    )
    session = discover(tmp_path)
    (light,) = session.groups[0].lights
    meta = light.meta
    assert light.path == path and session.groups[0].name == "M1"
    assert (meta.exposure_s, meta.gain, meta.filter, meta.kind) == (15.0, 80.0, "PASS", FrameKind.LIGHT)
    assert meta.pointing is not None
    assert meta.pointing.ra_deg == pytest.approx(83.638750, abs=1e-5)  # hours in the sidecar
    assert meta.pointing.dec_deg == pytest.approx(22.01469444)


def test_folder_name_sidecar_and_header_that_disagree_are_noted(tmp_path: Path) -> None:
    folder = tmp_path / "DWARF_RAW_EXP_5_GAIN_60_2024-02-24-22-31-52-161"
    dwarf(folder / "0000.fits", OBJECT="", EXPTIME=15.0, GAIN=100)
    dwarf(folder / "0001.fits", 1, OBJECT="", EXPTIME=15.0, GAIN=100)
    (folder / "shotsInfo.json").write_text('{"DEC": 0, "RA": 0, "exp": "15", "gain": 100, "target": ""}')
    notes = discover(tmp_path).notes
    assert sum("folder name says exposure 5 s, the frames 15 s" in note for note in notes) == 1
    assert sum("folder name says gain 60, the frames 100" in note for note in notes) == 1


@pytest.mark.skipif(not (SHARED / "dwarf2-sidecars").is_dir(), reason="the real sidecars are not at hand")
def test_the_real_sidecars_are_understood(tmp_path: Path) -> None:
    found = {}
    for path in sorted((SHARED / "dwarf2-sidecars").rglob("shotsInfo.json")):
        info = read_sidecar(path)
        found[info.target] = info
        folder = tmp_path / path.parent.name
        folder.mkdir()
        shutil.copy(path, folder)
        put(folder / "0000.fits", TELESCOP="DWARFII", EXP=info.exposure_s, GAIN=info.gain, OBJECT=info.target or "")
    assert found["Moon"].exposure_s == 0.0025 and found["Moon"].pointing is None
    m1 = found["M1"]
    assert m1.pointing is not None and m1.pointing.ra_deg == pytest.approx(83.63875, abs=1e-4)
    assert (found["M43"].n_taken, found["M43"].n_stacked, found["M43"].n_wanted) == (113, 16, 999)
    session = discover(tmp_path)
    assert sum("the folder name says" in note for note in session.notes) == 2  # EXP_5_GAIN_60, but 15 s and gain 100
    assert {group.name for group in session.groups} >= {"M1", "M43", "Moon"}
    assert_nothing_vanished(session)


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "JSON"), ("[1]", "list"), ("\x00\x01", "JSON"), ("[" * 100_000, "JSON"), ('{"exp": NaN, "RA": "x"}', "")],
)
def test_a_broken_sidecar_is_a_note_and_never_an_error(tmp_path: Path, text: str, word: str) -> None:
    dwarf(tmp_path / "s" / "a.fits")
    (tmp_path / "s" / "shotsInfo.json").write_text(text)
    session = discover(tmp_path)
    assert len(session.groups) == 1
    assert any("shotsInfo.json" in note and word in note for note in session.notes) == bool(word)
    if word:
        with pytest.raises(BadInput):
            read_sidecar(tmp_path / "s" / "shotsInfo.json")


def test_exposures_of_sidecars_are_numbers_texts_or_fractions() -> None:
    values = [15, "15", "1/400", "0.0025", 0.5, "", None, True, "1/0", "a/b", "1/2/3", -4, [1]]
    assert [read_exposure(v) for v in values] == [15, 15, 0.0025, 0.0025, 0.5, *[None] * 8]


@pytest.mark.parametrize(
    "names",
    [
        ("lights", "darks", "flats", "biases", "flat_darks"),
        ("Light", "Dark", "Flat", "Bias", "DarkFlat"),
        ("LIGHTS", "DARKS", "FLATS", "OFFSETS", "FLATDARKS"),
        ("Brutes", "Noirs", "PLU", "Offsets", "darks de flats"),
        ("light frames", "Dark_100s", "flats_Ha", "bias_gain 80", "dark flats"),
    ],
)
def test_generic_folders_tell_the_kind_in_every_spelling(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        for k in range(2):
            put(tmp_path / "Nébuleuse du Cœur" / name / f"IMG_{k:04d}.fits", GAIN=100)
    session = discover(tmp_path)
    (group,) = session.groups
    assert group.name == "Nébuleuse du Cœur" and len(group.lights) == 2
    assert [len(part) for part in (session.darks, session.biases, session.flats, session.flat_darks)] == [2, 2, 2, 2]
    assert_nothing_vanished(session)


def test_a_flat_pile_is_sorted_by_header_then_by_name(tmp_path: Path) -> None:
    put(tmp_path / "a.fits", IMAGETYP="Dark Frame")
    put(tmp_path / "b.fit", IMAGETYP="FLAT")
    put(tmp_path / "c.FTS", IMAGETYP="Bias")
    put(tmp_path / "Dark_ASIImg_100sec_frame0001.fit")
    put(tmp_path / "flat-001.fits")
    put(tmp_path / "Bias_1.fits")
    put(tmp_path / "2024-05-01_DARKFLAT_R_001.fits")
    put(tmp_path / "Light_M 13_001.fits", OBJECT="M 13")
    put(tmp_path / "anything.fits", OBJECT="M13")
    put(tmp_path / "Dark Shark 001.fits", OBJECT="m_13")
    session = discover(tmp_path)
    (group,) = session.groups
    assert normal(group.name) == "m13" and len(group.lights) == 3
    assert [len(part) for part in (session.darks, session.flats, session.biases, session.flat_darks)] == [2, 2, 2, 1]
    assert_nothing_vanished(session)


def normal(name: str) -> str:
    return name.replace(" ", "").replace("_", "").lower()


def test_header_and_folder_that_disagree_are_settled_and_noted(tmp_path: Path) -> None:
    put(tmp_path / "darks" / "x1.fits", IMAGETYP="Light")  # a program that writes Light whatever it takes
    put(tmp_path / "lights" / "x2.fits", IMAGETYP="Dark")
    put(tmp_path / "flat_darks" / "x3.fits", IMAGETYP="Dark")
    session = discover(tmp_path)
    assert [frame.name for frame in session.darks] == ["x1.fits", "x2.fits"]
    assert [frame.name for frame in session.flat_darks] == ["x3.fits"]
    assert sum("believed" in note for note in session.notes) == 2


def test_groups_differ_by_target_filter_size_pattern_and_camera_but_not_by_exposure(tmp_path: Path) -> None:
    rng = random.Random(3)
    minute = iter(range(60))
    for target in ("M 31", "m31"):
        put(
            tmp_path / f"{rng.random()}.fits",
            OBJECT=target,
            FILTER="Ha",
            EXPTIME=60.0,
            DATE__OBS=f"2025-01-01T00:{next(minute):02d}:00",
        )
    put(tmp_path / "e.fits", OBJECT="M 31", FILTER="Ha", EXPTIME=120.0, GAIN=100)
    put(tmp_path / "f.fits", OBJECT="M 31", FILTER="OIII", EXPTIME=120.0)
    put(tmp_path / "g.fits", OBJECT="M 31", FILTER="Ha", shape=(16, 10))
    put(tmp_path / "h.fits", OBJECT="M 33", FILTER="Ha", BAYERPAT="RGGB")
    put(tmp_path / "i.fits", OBJECT="M 33", FILTER="Ha", BAYERPAT="GRBG")
    session = discover(tmp_path)
    names = {group.name: len(group.lights) for group in session.groups}
    assert names == {
        "M 31_Ha_10x8": 3,
        "M 31_OIII_10x8": 1,
        "M 31_Ha_10x16": 1,
        "M 33_RGGB": 1,
        "M 33_GRBG": 1,
    }
    assert any("different exposures (60 s, 120 s)" in note for note in session.notes)
    assert session.groups[0].exposure_s == 240.0


def test_nights_join_and_lights_stand_in_the_order_of_time(tmp_path: Path) -> None:
    seestar(tmp_path / "night B" / "a.fit", DATE__OBS="2025-03-28T05:45:00.000000")
    seestar(tmp_path / "night A" / "z.fit", DATE__OBS="2025-03-27T01:20:00.000000")
    (group,) = discover(tmp_path).groups
    assert [light.name for light in group.lights] == ["z.fit", "a.fit"]


def test_own_results_and_working_state_are_left_out_but_own_masters_are_used(tmp_path: Path) -> None:
    seestar(tmp_path / "a.fit")
    put(tmp_path / "processedData" / "M 31" / "stacked" / "master_linear.fits", PROGRAM="skyquilt 0.1.0")
    put(tmp_path / "moved.fits", PROGRAM="skyquilt 0.1.0", IMAGETYP="Master Light", STACKCNT=20)
    put(tmp_path / "master_rgb.fits")
    put(tmp_path / ".skyquilt" / "cache" / "x.fits")
    put(tmp_path / "library" / "master_dark_10s.fits", PROGRAM="skyquilt 0.1.0", IMAGETYP="Master Dark", STACKCNT=20)
    put(tmp_path / "library" / "MasterFlat_R.fits")
    session = discover(tmp_path)
    assert len(session.groups) == 1 and len(session.groups[0].lights) == 1
    assert sorted(m.name for m in session.masters) == ["MasterFlat_R.fits", "master_dark_10s.fits"]
    assert {one.code for one in session.left_out} == {"own_output"} and len(session.left_out) == 4
    assert_nothing_vanished(session)


def test_stacks_stand_in_for_single_exposures_where_a_mosaic_asks_and_there_are_none(tmp_path: Path) -> None:
    put(tmp_path / "panel_1.fits", OBJECT="field 1", STACKCNT=20, dtype="float32")
    put(tmp_path / "panel_2.fits", OBJECT="field 2", NCOMBINE=12, dtype="float32")
    put(tmp_path / "master_linear.fits", PROGRAM="skyquilt 0.1.0", STACKCNT=20, dtype="float32")
    put(tmp_path / "master_maps.fits", PROGRAM="skyquilt 0.1.0", STACKCNT=20, dtype="float32")
    put(tmp_path / "starless.fits", PROGRAM="skyquilt 0.1.0", dtype="float32")
    alone = discover(tmp_path)
    assert not alone.groups and len(alone.left_out) == 5
    panels = discover(tmp_path, take_stacks=True)
    lights = {light.name: light.meta for group in panels.groups for light in group.lights}
    assert set(lights) == {"panel_1.fits", "panel_2.fits", "master_linear.fits"}
    assert {meta.kind for meta in lights.values()} == {FrameKind.LIGHT}
    assert {one.path.name for one in panels.left_out} == {"master_maps.fits", "starless.fits"}
    assert_nothing_vanished(panels)
    seestar(tmp_path / "subs" / "a.fit")
    (group,) = discover(tmp_path, take_stacks=True).groups
    assert [light.name for light in group.lights] == ["a.fit"]


def test_a_copy_under_another_name_is_a_duplicate(tmp_path: Path) -> None:
    original = seestar(tmp_path / "b" / "one.fit")
    (tmp_path / "c").mkdir()
    shutil.copy(original, tmp_path / "c" / "copy of one.fit")
    seestar(tmp_path / "c" / "same moment.fit")  # other pixels
    session = discover(tmp_path)
    (left,) = session.left_out
    assert (left.path.name, left.code) == ("copy of one.fit", "duplicate")
    assert left.reason == "it is a duplicate of b/one.fit"
    assert len(session.groups[0].lights) == 2


def test_files_that_agree_in_their_middle_but_not_at_their_end_are_no_duplicates(tmp_path: Path) -> None:
    original = seestar(tmp_path / "one.fit", shape=(64, 200))
    other = tmp_path / "other.fit"
    content = bytearray(original.read_bytes())
    at = content.index(b"END" + b" " * 77) // 2880 * 2880 + 2880 + 2 * 200 * 64 - 1
    content[at] ^= 1  # the last pixel
    other.write_bytes(content)
    assert len(discover(tmp_path).groups[0].lights) == 2
    shutil.copy(original, tmp_path / "two.fit")
    shutil.copy(original, tmp_path / "three.fit")
    assert {left.path.name for left in discover(tmp_path).left_out} == {"two.fit", "three.fit"}


def test_links_that_loop_end_and_broken_ones_are_told(tmp_path: Path) -> None:
    seestar(tmp_path / "deep" / "er" / "a.fit")
    try:
        (tmp_path / "deep" / "er" / "loop").symlink_to(tmp_path / "deep", target_is_directory=True)
        (tmp_path / "gone.fit").symlink_to(tmp_path / "nowhere.fit")
    except OSError:
        pytest.skip("this system gives no right to make links")
    session = discover(tmp_path)
    assert len(session.groups[0].lights) == 1
    assert codes(session) == {"gone.fit": "vanished"}


def test_what_may_not_be_read_is_left_out_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seestar(tmp_path / "open" / "a.fit")
    seestar(tmp_path / "closed" / "b.fit", 1)
    seestar(tmp_path / "open" / "secret.fit", 2)
    scandir, real_open = os.scandir, os.open

    def refuse_folder(path: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[return-value]

    def refuse_file(path: Path) -> FrameFile:
        if path.name == "secret.fit":
            raise PermissionError(13, "Permission denied", str(path))
        return open_frame(path)

    monkeypatch.setattr(os, "scandir", refuse_folder)
    found = discover(tmp_path, open_file=refuse_file)
    assert real_open is os.open
    assert [light.name for light in found.groups[0].lights] == ["a.fit"]
    assert codes(found) == {"closed": "permission", "secret.fit": "permission"}


def test_a_pattern_leaves_files_and_folders_out(tmp_path: Path) -> None:
    for k, name in enumerate(("a.fit", "b_bad.fit", "night 2/c.fit", "Été/d.fit")):
        seestar(tmp_path / name, k)
    session = discover(tmp_path, exclude=("*_BAD.fit", "night 2", "été/*"))
    assert [light.name for light in session.groups[0].lights] == ["a.fit"]
    assert set(codes(session).values()) == {"excluded"} and len(session.left_out) == 3


@pytest.mark.parametrize("what", ["missing", "file", "empty", "pictures"])
def test_nothing_to_work_on_is_one_sentence_and_a_hint(tmp_path: Path, what: str) -> None:
    root = tmp_path / "no such folder"
    if what == "file":
        root = seestar(tmp_path / "a.fit")
    elif what != "missing":
        root.mkdir()
        if what == "pictures":
            (root / "a.jpg").write_bytes(b"x")
    with pytest.raises(NoUsableInput) as caught:
        discover(root)
    assert caught.value.hint and "\n" not in caught.value.message
    assert root.exists() == (what != "missing")  # nothing is made on the way


def test_damaged_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    seestar(tmp_path / "good.fit")
    seestar(tmp_path / "short.fit", 1, shape=(200, 100))
    os.truncate(tmp_path / "short.fit", 2880 * 5)
    (tmp_path / "empty.fits").write_bytes(b"")
    (tmp_path / "pointer.fits").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    session = discover(tmp_path)
    assert codes(session) == {"short.fit": "truncated", "empty.fits": "unreadable", "pointer.fits": "unreadable"}
    assert_nothing_vanished(session)


def test_the_order_in_which_the_disk_lists_files_changes_nothing(
    dwarf_storage: Path, seestar_storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = dwarf_storage.parent
    assert root == seestar_storage.parent
    expected = discover(root)
    from skyquilt.io.discover import session as module

    walk = module.walk

    def shuffled(folder: Path, exclude: tuple[str, ...] = ()) -> object:
        findings = walk(folder, exclude)
        random.Random(5).shuffle(findings.candidates)
        return findings

    monkeypatch.setattr(module, "walk", shuffled)
    again = discover(root)
    assert again.groups == expected.groups and again.masters == expected.masters and again.darks == expected.darks
    assert again.left_out == expected.left_out and sorted(again.notes) == sorted(expected.notes)


def test_progress_is_told_and_ends_complete(tmp_path: Path) -> None:
    for k in range(3):
        seestar(tmp_path / f"{k}.fit", k)
    events: list[Event] = []
    discover(tmp_path, progress=events.append)
    assert events[-1].done == events[-1].total == 3
    assert all(event.phase == "discover" for event in events)


def test_a_session_is_described_in_sentences(dwarf_storage: Path) -> None:
    lines = describe(discover(dwarf_storage))
    assert lines[0].startswith("9 lights of a DWARF in 5 groups")
    assert any(line.startswith("IC 434: 3 lights, 3.0 min, 10x8 px RGGB, 60 s, gain 60, 17 C") for line in lines)
    assert any("7 masters found: 2 bias, 1 dark, 4 flat" in line for line in lines)
    assert any(line.startswith("8 files left out: 3 device_stack, 2 device_refused") for line in lines)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lights", "light"),
        ("Flat_Darks", "flat_dark"),
        ("dark-flats", "flat_dark"),
        ("darks -10C 300s", "dark"),
        ("OFFSETS", "bias"),
        ("Master Darks", "dark"),
        ("Dark Shark", None),
        ("Flatiron nebula", None),
        ("lightbox", None),
        ("M 31", None),
        ("plus", "flat"),
    ],
)
def test_folder_names_that_stand_for_a_kind(name: str, kind: str | None) -> None:
    found = kind_of_folder(name)
    assert (found.value if found else None) == kind


def test_file_names_give_their_facts() -> None:
    facts = read_file_name("Light_M 31_11_30.0s_IRCUT_20250922-230409.fit")
    assert (facts.target, facts.exposure_s, facts.filter) == ("M 31_11", 30.0, "IRCUT")
    facts = read_file_name("Light_C 27_10.0s_20240101-010203.fit")
    assert (facts.target, facts.filter) == ("C 27", None)
    facts = read_file_name("IC 434_60s60_Astro_20251018-045226559_-3C.fits")
    assert (facts.target, facts.gain, facts.temperature_c) == ("IC 434", 60.0, -3.0)
    assert read_file_name("raw_15s_130_0000_20251031-054306711_16C.fits").kind is FrameKind.DARK
    assert read_file_name("raw_M51_10s_60_0048.fits").target == "M51"
    assert read_folder_name("DWARF_RAW_TELE_MOSAIC_M 31_EXP_15_GAIN_60_2025-10-21-20-55-45-308").is_mosaic
    assert kind_of_file("MasterDark_300s.fit") == (FrameKind.DARK, True)


def test_names_fit_every_file_system() -> None:
    assert safe_name('a/b\\c:d*e?"<>|') == "a_b_c_d_e_"
    assert safe_name("con") == "con_" and safe_name("...") == "unnamed" and safe_name(" M 31. ") == "M 31"
    long = safe_name("é" * 300 + " panel 1"), safe_name("é" * 300 + " panel 2")
    assert long[0] != long[1] and all(len(name.encode()) <= 120 for name in long)


def test_very_long_names_and_accents_are_found(tmp_path: Path) -> None:
    folder = tmp_path / ("Galaxie d'Andromède " * 10)
    put(folder / ("ç" * 100 + ".fits"))
    (group,) = discover(tmp_path).groups
    assert len(group.name.encode()) <= 120


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "seestar").is_dir(), reason="the real Seestar frames are not at hand")
def test_the_real_seestar_storage_joins_both_nights_of_m94() -> None:
    session = discover(DATA / "seestar")
    assert [(group.name, len(group.lights)) for group in session.groups] == [("M 94", 20), ("NGC 7023", 4)]
    assert session.left_out == () and session.device == "seestar"


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "zwo-calibration").is_dir(), reason="the real calibration frames are not at hand")
def test_the_real_calibration_frames_are_sorted_and_the_truncated_flat_left_out() -> None:
    session = discover(DATA / "zwo-calibration")
    assert [len(part) for part in (session.darks, session.flats, session.biases)] == [13, 2, 6]
    assert {one.code for one in session.left_out} == {"truncated"}
    assert_nothing_vanished(session)


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "mono-jocular").is_dir(), reason="the real mono frames are not at hand")
def test_the_real_lrgb_set_gives_one_group_a_filter() -> None:
    names = {group.name: len(group.lights) for group in discover(DATA / "mono-jocular").groups}
    assert names == {"Arp 145": 17, "Messier 8_L": 4, "Messier 8_B": 3, "Messier 8_G": 3, "Messier 8_R": 3}
