"""The catalogue: every star where it belongs, any circle on the sky, files of the user's."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyquilt.core.sky import move, separation_deg
from skyquilt.errors import BadInput, UsageError
from skyquilt.io.catalogue import Catalogue, StarTable, as_bytes, open_catalogue, pack_columns
from skyquilt.io.catalogue.cells import N_CELLS, cells_of, cells_within, offsets_in_cell
from skyquilt.io.catalogue.packed import PackedSky, open_packed

CIRCLES = [
    (10.68, 41.27, 1.5),
    (0.0, 0.0, 2.0),
    (359.95, -30.0, 0.4),
    (266.4, -29.0, 0.3),
    (123.0, 89.6, 1.0),
    (300.0, -90.0, 0.7),
    (45.0, 90.0, 3.0),
    (200.0, 60.0, 40.0),
    (12.0, -5.0, 120.0),
]
DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
SOURCE = Path(os.environ.get("SKYQUILT_TYCHO2", DATA / "catalogue" / "tycho2.npz"))


def stars_over_the_sky(n: int, seed: int) -> StarTable:
    """Stars everywhere, crowded at the poles and along RA = 0; some fast, some with one magnitude only."""
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    dec[: n // 10] = 90.0 - rng.uniform(0, 2, n // 10)
    dec[n // 10 : n // 5] = -90.0 + rng.uniform(0, 2, n // 10)
    ra = rng.uniform(0, 360, n)
    ra[n // 5 : n // 4] = rng.normal(0.0, 0.5, n // 4 - n // 5) % 360.0
    dec[:2], ra[:2] = (90.0, -90.0), (0.0, 359.9999999)
    speed = np.where(rng.random(n) < 0.05, 2500.0, 30.0)
    vt, bt = rng.uniform(2, 12, n), rng.uniform(2, 13, n)
    vt[rng.random(n) < 0.02] = np.nan
    bt[(rng.random(n) < 0.02) & ~np.isnan(vt)] = np.nan
    return StarTable(ra, dec, rng.normal(0, speed), rng.normal(0, speed), np.round(vt, 3), np.round(bt, 3))


@cache
def small() -> tuple[StarTable, Catalogue]:
    table = stars_over_the_sky(60_000, 5)
    return table, Catalogue((PackedSky.of(pack_columns(table), source="random", licence="none"),))


def row(name: str, value: object) -> dict[str, object]:
    return {"ra_deg": 10.0, "dec_deg": 20.0, "mag": 9.0, name: value}


def write_csv(path: Path, rows: list[dict[str, object]], delimiter: str = ",") -> Path:
    names = list(rows[0])
    lines = [delimiter.join(names)] + [delimiter.join(str(entry[name]) for name in names) for entry in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("epoch", [1991.25, 2000.0, 2026.9])
@pytest.mark.parametrize("circle", CIRCLES)
def test_a_cone_holds_the_stars_that_a_search_through_the_source_finds(
    circle: tuple[float, float, float], epoch: float
) -> None:
    table, catalogue = small()
    ra, dec = move(table.ra_deg, table.dec_deg, np.rint(table.pmra_mas), np.rint(table.pmdec_mas), epoch - 2000.0)
    distance = separation_deg(ra, dec, *circle[:2])
    found = catalogue.cone(*circle, epoch_year=epoch)
    # a star within the packing's 0.05 arcsec of the edge may be on either side
    inner, outer = int((distance < circle[2] - 2e-5).sum()), int((distance < circle[2] + 2e-5).sum())
    assert inner <= len(found) <= outer and inner > 0
    mag = np.where(np.isnan(table.vt_mag), table.bt_mag, table.vt_mag)
    chosen = np.flatnonzero(distance < circle[2] + 2e-5)
    for k in np.linspace(0, len(found) - 1, 40).astype(int):
        near = separation_deg(ra[chosen], dec[chosen], found.ra_deg[k], found.dec_deg[k]) * 3600
        source = chosen[np.argmin(near)]
        assert near.min() < 0.05
        assert mag[source] == pytest.approx(found.mag[k], abs=6e-4)
    assert (np.diff(found.mag) >= 0).all()


@pytest.mark.parametrize("circle", CIRCLES)
def test_the_cells_of_a_circle_hold_all_its_points(circle: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(8)
    ra, dec = rng.uniform(0, 360, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000)))
    near_ra, near_dec = move(
        np.full(20_000, circle[0]),
        np.full(20_000, circle[1]),
        *rng.uniform(-1.5, 1.5, (2, 20_000)) * 3.6e6 * circle[2],
        1,
    )
    ra, dec = np.concatenate([ra, near_ra]), np.concatenate([dec, near_dec])
    inside = separation_deg(ra, dec, *circle[:2]) <= circle[2]
    assert inside.sum() > 100
    cells = cells_within(*circle)
    assert np.isin(cells_of(ra[inside], dec[inside]), cells).all()
    assert (np.diff(cells) > 0).all() and cells[0] >= 0 and cells[-1] < N_CELLS
    area = 2 * np.pi * (1 - np.cos(np.radians(circle[2]))) * (180 / np.pi) ** 2
    assert len(cells) < 1.1 * area + 12 * circle[2] + 12  # no more than the circle and its rim


def test_limits_and_counts_cut_the_same_list() -> None:
    _, catalogue = small()
    everything = catalogue.cone(10.0, 88.0, 4.0, epoch_year=2020.0)
    limited = catalogue.cone(10.0, 88.0, 4.0, epoch_year=2020.0, limit_mag=8.0)
    assert limited.ra_deg.tolist() == everything.take(everything.mag <= np.float32(8.0)).ra_deg.tolist()
    assert 0 < len(limited) < len(everything)
    few = catalogue.cone(10.0, 88.0, 4.0, epoch_year=2020.0, brightest=7)
    assert few.ra_deg.tolist() == everything.ra_deg[:7].tolist()


def test_missing_magnitudes_are_marked_and_such_stars_ordered_by_the_other() -> None:
    table, catalogue = small()
    found = catalogue.cone(0.0, 0.0, 180.0, epoch_year=2000.0)
    assert len(found) == len(table.ra_deg) == len(catalogue)
    assert np.isnan(found.vt_mag).sum() == np.isnan(table.vt_mag).sum() > 0
    assert np.isnan(found.bt_mag).sum() == np.isnan(table.bt_mag).sum() > 0
    assert np.isfinite(found.mag).all()


def test_the_brightest_of_every_cell() -> None:
    table, catalogue = small()
    found = catalogue.brightest_of_cells(2, epoch_year=2000.0)
    cell = cells_of(table.ra_deg, table.dec_deg)
    assert len(found) == np.minimum(np.bincount(cell, minlength=N_CELLS), 2).sum()
    mag = np.where(np.isnan(table.vt_mag), table.bt_mag, table.vt_mag)
    brightest = np.full(N_CELLS, np.inf)
    np.minimum.at(brightest, cell, mag)
    own = np.full(N_CELLS, np.inf)
    np.minimum.at(own, cells_of(found.ra_deg, found.dec_deg), found.mag)
    assert np.allclose(own[np.isfinite(own)], brightest[np.isfinite(brightest)], atol=1e-3)


def test_the_order_of_the_input_does_not_change_the_file() -> None:
    table = stars_over_the_sky(3000, 9)
    shuffle = np.random.default_rng(1).permutation(3000)
    mixed = StarTable(*(getattr(table, name)[shuffle] for name in StarTable.__slots__))
    one, other = (as_bytes(pack_columns(stars), source="s", licence="l") for stars in (table, mixed))
    assert one == other


@pytest.mark.parametrize("circle", [(float("nan"), 0, 1), (0, 91, 1), (0, 0, -1)])
def test_a_circle_that_is_none_is_refused(circle: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="no part of the sky"):
        small()[1].cone(*circle, epoch_year=2000.0)


def test_the_shipped_catalogue_is_small_and_knows_its_source() -> None:
    catalogue = open_catalogue()
    assert len(catalogue) == 2_429_566
    assert "Tycho-2" in catalogue.source
    shipped = Path(str(files("skyquilt.io.catalogue").joinpath("data/tycho2.skycat")))
    assert shipped.stat().st_size <= 25_000_000


def test_well_known_stars_are_where_they_should_be() -> None:
    catalogue = open_catalogue()
    sirius = catalogue.cone(101.2871, -16.7161, 0.02, epoch_year=2000.0, brightest=1)
    assert sirius.mag[0] == pytest.approx(-1.09, abs=0.1)
    # Barnard's star: 10.36 arcsec a year, mostly north
    before, after = (catalogue.cone(269.452, 4.6934, 0.1, epoch_year=year, limit_mag=9.9) for year in (2000.0, 2025.0))
    moved = [
        separation_deg(before.ra_deg[i], before.dec_deg[i], after.ra_deg[i], after.dec_deg[i]) * 3600
        for i in range(len(before))
    ]
    assert max(moved) == pytest.approx(25 * 10.36, rel=0.01)
    assert len(catalogue.cone(269.452, 4.6934 + 25 * 10.34 / 3600, 20 / 3600, epoch_year=2025.0, limit_mag=9.9)) == 1


def test_a_field_of_three_degrees_comes_fast() -> None:
    catalogue = open_catalogue()
    catalogue.cone(266.0, -29.0, 1.5, epoch_year=2025.0)
    times = []
    for _ in range(5):
        begin = time.process_time()
        assert len(catalogue.cone(266.0, -29.0, 1.5, epoch_year=2025.0)) > 500
        times.append(time.process_time() - begin)
    assert min(times) < 0.005


@pytest.mark.real
@pytest.mark.skipif(not SOURCE.is_file(), reason=f"the catalogue's source {SOURCE} is missing: set SKYQUILT_TYCHO2")
def test_every_star_of_the_source_is_in_the_shipped_file() -> None:
    """Cell by cell, brightness by brightness: positions to 0.1 arcsec in 2026, motions and magnitudes exactly."""
    with np.load(SOURCE) as data:
        source = {name: data[name] for name in data.files}
    ra, dec = source["ra_1e7deg"] * 1e-7, source["dec_1e7deg"] * 1e-7
    packed = open_catalogue().parts[0]
    found = packed.stars_of(np.arange(N_CELLS), epoch_year=2000.0)
    cell = cells_of(ra, dec)
    mag = np.where(source["VT_mmag"] == 32000, source["BT_mmag"], source["VT_mmag"])
    assert len(found) == len(ra)
    # the order of the file: cell, brightness, then place in 65536ths of the cell and motion
    motion = [source[name].astype(float) for name in ("pmra_mas", "pmdec_mas")]
    east, north = offsets_in_cell(ra, dec)
    bt = np.where(source["BT_mmag"] == 32000, 32767, source["BT_mmag"])
    order = np.lexsort((bt, motion[1], motion[0], north, east, mag, cell))
    for name, magnitude in (("VT_mmag", found.vt_mag), ("BT_mmag", found.bt_mag)):
        assert np.array_equal(np.rint(np.nan_to_num(magnitude, nan=32.0) * 1000.0), source[name][order])
    for year in (2000.0, 2026.0):
        there = packed.stars_of(np.arange(N_CELLS), epoch_year=year)
        moved = move(ra, dec, *motion, year - 2000.0)
        apart = separation_deg(moved[0][order], moved[1][order], there.ra_deg, there.dec_deg) * 3600
        assert apart.max() < 0.045


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_of_the_users_is_merged_and_equal_stars_counted_once(tmp_path: Path, delimiter: str) -> None:
    tycho = open_catalogue().cone(150.0, 2.0, 0.5, epoch_year=2000.0)
    rows: list[dict[str, object]] = [
        {"RA_deg": tycho.ra_deg[0], "dec_deg": tycho.dec_deg[0], "mag": tycho.mag[0] + 0.2, "name": "the same"},
        {"RA_deg": 150.0, "dec_deg": 2.0, "mag": 14.5, "name": "deeper"},
        {"RA_deg": 150.0, "dec_deg": 2.0001, "mag": 15.5, "name": "deeper"},
    ]
    path = write_csv(tmp_path / "deep.csv", rows, delimiter)
    merged = open_catalogue(path).cone(150.0, 2.0, 0.5, epoch_year=2000.0)
    assert len(merged) == len(tycho) + 2
    assert merged.mag[-2:].tolist() == [np.float32(14.5), np.float32(15.5)]
    assert np.isnan(merged.bt_mag[-2:]).all()
    alone = open_catalogue(path, use="instead").cone(150.0, 2.0, 0.5, epoch_year=2000.0)
    assert len(alone) == 3


def test_positions_of_another_epoch_are_carried_back_and_forth(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"ra_deg": 10.0, "dec_deg": 20.0, "mag": 9, "pmra_mas": 1000, "pmdec_mas": -500, "epoch_year": 2016},
        {"ra_deg": 11.0, "dec_deg": 20.0, "mag": 9.5, "pmra_mas": "", "pmdec_mas": "", "epoch_year": ""},
    ]
    catalogue = open_catalogue(write_csv(tmp_path / "gaia.csv", rows), use="instead")
    then = catalogue.cone(10.0, 20.0, 0.01, epoch_year=2016.0)
    assert separation_deg(then.ra_deg[0], then.dec_deg[0], 10.0, 20.0) * 3600 < 0.05
    later = catalogue.cone(10.0, 20.0, 0.01, epoch_year=2026.0)
    assert (later.dec_deg[0] - then.dec_deg[0]) * 3600 == pytest.approx(-5.0, abs=0.01)
    assert len(catalogue.cone(11.0, 20.0, 0.01, epoch_year=2026.0)) == 1


def test_a_fits_table_and_a_packed_file_do_as_well(tmp_path: Path) -> None:
    table = stars_over_the_sky(500, 2)
    columns = [
        fits.Column("RA_DEG", "D", array=table.ra_deg),
        fits.Column("dec_deg", "D", array=table.dec_deg),
        fits.Column("mag", "E", array=np.nan_to_num(table.vt_mag, nan=9.0)),
        fits.Column("label", "4A", array=np.full(500, "x")),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "own.fits")
    assert len(open_catalogue(tmp_path / "own.fits", use="instead").cone(0, 0, 180, epoch_year=2000.0)) == 500
    (tmp_path / "own.skycat").write_bytes(as_bytes(pack_columns(table), source="own", licence="own"))
    packed = open_catalogue(tmp_path / "own.skycat", use="instead")
    assert len(packed.cone(0, 0, 180, epoch_year=2000.0)) == 500


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"ra": 1, "dec": 2, "mag": 3}], "no column ra_deg, dec_deg"),
        ([row("dec_deg", 95.2)], "star 1 of bad.csv: dec_deg is 95.2, -90 to 90"),
        ([row("mag", "bright")], "star 1 of bad.csv: mag is 'bright', a number"),
        ([row("mag", "")], "mag is '', a number"),
        ([row("mag", "nan")], "mag is nan"),
        ([row("pmra_mas", 1e6)], "pmra_mas is 1e"),
    ],
)
def test_a_bad_file_gets_one_sentence(tmp_path: Path, rows: list[dict[str, object]], words: str) -> None:
    path = write_csv(tmp_path / "bad.csv", rows)
    with pytest.raises(BadInput, match=words) as caught:
        open_catalogue(path)
    assert "\n" not in caught.value.message and "ra_deg, dec_deg, mag" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"ra_deg,dec_deg,mag\n", bytes(range(256)) * 20, b"SIMPLE  =    junk" * 300])
def test_a_file_that_is_no_catalogue_gets_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.dat"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.dat"):
        open_catalogue(path)


def test_a_missing_file_and_a_wrong_word_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no file"):
        open_catalogue(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="'replace'"):
        open_catalogue(None, use="replace")


@pytest.mark.parametrize("harm", ["cut", "cells", "dtype", "garbled"])
def test_a_damaged_packed_file_is_refused(tmp_path: Path, harm: str) -> None:
    content = as_bytes(pack_columns(stars_over_the_sky(100, 2)), source="own", licence="own")
    length = int.from_bytes(content[8:12], "little")
    description = json.loads(content[12 : 12 + length])
    if harm == "cells":
        description["n_cells"] = 12
    if harm == "dtype":
        description["columns"]["vt"]["dtype"] = "<f4"
    text = json.dumps(description).encode().ljust(length)
    content = content[:12] + (b"{" * length if harm == "garbled" else text) + content[12 + length :]
    path = tmp_path / "own.skycat"
    path.write_bytes(content[:-7] if harm == "cut" else content)
    with pytest.raises(BadInput, match=r"own\.skycat is damaged"):
        open_packed(path)
