"""The choice of calibration frames."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skyquilt.core import Cfa, FrameFile, FrameKind, FrameMeta
from skyquilt.steps.calibrate import CalibrationMatch, MatchRules, match_calibration

LIGHT = FrameMeta(
    1920,
    1080,
    kind=FrameKind.LIGHT,
    exposure_s=10.0,
    gain=80.0,
    temperature_c=20.0,
    cfa=Cfa("GRBG"),
    filter="IRCUT",
    date_obs="2025-03-27T01:20:00",
)
NIGHT = "2025-03-27T03:00:00"


def shots(kind: FrameKind, n: int, folder: str = "", **changes: Any) -> list[FrameFile]:
    meta = replace(LIGHT, kind=kind, **{"date_obs": NIGHT, **changes})
    folder = folder or f"{kind.value}s"
    return [FrameFile(Path(f"/lib/{folder}/{kind.value}_{k:03d}.fit"), meta) for k in range(n)]


def darks(n: int = 5, folder: str = "darks", **changes: Any) -> list[FrameFile]:
    return shots(FrameKind.DARK, n, folder, **changes)


def match(light: FrameMeta = LIGHT, rules: MatchRules | None = None, **offers: list[FrameFile]) -> CalibrationMatch:
    keys = ("darks", "flats", "biases", "flat_darks", "masters")
    return match_calibration(light, *(offers.get(key, []) for key in keys), rules)


def test_darks_that_fit_are_chosen_with_the_reason() -> None:
    found = match(darks=darks(temperature_c=22.0))
    assert len(found.dark) == 5 and found.dark_scale is None and not found.dark_is_master
    assert "darks: 5 frames from darks: same gain 80, 10 s, 2.0 C apart" in found.reasons
    assert found.warnings == ()
    assert [(row.verdict, row.n_frames) for row in found.table] == [("used", 5)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gain": 100.0}, "gain 100, the lights have 80"),
        ({"exposure_s": 20.0}, "20 s, the lights have 10 s"),
        ({"exposure_s": 10.3}, "10.3 s"),
        ({"temperature_c": 25.5}, "5.5 C apart (25.5 against 20.0): more than 5 C"),
        ({"width": 960, "height": 540}, "960x540 px"),
        ({"binning": (2, 2)}, "binned 2x2, the lights 1x1"),
        ({"cfa": Cfa("RGGB")}, "CFA RGGB"),
        ({"offset": 30.0}, "offset 30"),
        ({"camera": "WIDE"}, "camera WIDE"),
        ({"row_order": "BOTTOM-UP"}, "upside down"),
    ],
)
def test_a_mismatch_is_refused_and_named(changes: dict[str, Any], why: str) -> None:
    light = replace(LIGHT, offset=10.0, camera="TELE", row_order="TOP-DOWN")
    found = match(light, darks=darks(**{"offset": 10.0, "camera": "TELE", "row_order": "TOP-DOWN", **changes}))
    assert found.dark == () and found.is_empty
    assert found.table[0].verdict == "refused" and why in found.table[0].reason
    assert any(reason.startswith("no darks used") and why in reason for reason in found.reasons)


@pytest.mark.parametrize("unknown", ["gain", "exposure_s", "temperature_c"])
def test_what_nobody_knows_is_accepted_with_a_warning(unknown: str) -> None:
    found = match(darks=darks(**{unknown: None}))
    assert len(found.dark) == 5
    word = {"exposure_s": "exposure", "temperature_c": "temperature"}.get(unknown, unknown)
    assert any(f"darks: the {word} of the set is not known" in warning for warning in found.warnings)


def test_an_exposure_within_two_percent_is_the_same() -> None:
    assert len(match(darks=darks(exposure_s=10.15)).dark) == 5


def test_the_set_of_the_nearest_temperature_is_taken() -> None:
    found = match(darks=darks(9, "warm", temperature_c=24.5) + darks(3, "near", temperature_c=20.5))
    assert {frame.path.parent.name for frame in found.dark} == {"near"}
    assert [row.verdict for row in found.table] == ["used", "fits"]
    assert "another set fits better" in found.table[1].reason


def test_of_a_drifting_sensor_the_darks_near_the_lights_are_taken() -> None:
    drift = [frame for k in range(30) for frame in darks(1, f"d{k:02d}", temperature_c=12.0 + 0.5 * k)]
    found = match(darks=drift)
    temperatures = [frame.meta.temperature_c for frame in found.dark]
    assert temperatures and all(t is not None and abs(t - 20.0) <= 1.5 for t in temperatures)
    assert len(temperatures) == 7
    assert sum(row.n_frames for row in found.table) == 30


def test_darks_of_another_exposure_are_scaled_if_there_is_a_bias() -> None:
    offers = {"darks": darks(5, "long", exposure_s=30.0) + darks(5, "short", exposure_s=5.0)}
    assert match(**offers).dark == ()
    found = match(**offers, biases=shots(FrameKind.BIAS, 10, exposure_s=0.0, temperature_c=None))
    assert {frame.path.parent.name for frame in found.dark} == {"long"}
    assert found.dark_scale == pytest.approx(1 / 3) and len(found.bias) == 10
    assert any("scaled by 0.333" in warning for warning in found.warnings)
    assert next(row for row in found.table if row.where == "long").verdict == "scaled"
    off = match(rules=MatchRules(allow_dark_scaling=False), **offers, biases=shots(FrameKind.BIAS, 3))
    assert off.dark == () and len(off.bias) == 3


def test_darks_of_another_gain_are_never_scaled() -> None:
    found = match(darks=darks(exposure_s=30.0, gain=100.0), biases=shots(FrameKind.BIAS, 3))
    assert found.dark == () and any("only the bias is subtracted" in reason for reason in found.reasons)


def test_nothing_found_is_said_for_every_kind() -> None:
    found = match()
    assert found.is_empty and found.table == ()
    assert found.reasons == ("no darks found", "no flats found", "no bias frames found", "no flat darks found")
    assert any("Seestar subtracts its own dark" in r for r in match(replace(LIGHT, device="seestar")).reasons)


def test_flats_go_by_filter_and_the_nearest_night_whatever_their_exposure_and_gain() -> None:
    flats = shots(FrameKind.FLAT, 5, "old", date_obs="2025-03-01T20:00:00", exposure_s=0.5, gain=0.0)
    flats += shots(FrameKind.FLAT, 4, "new", exposure_s=0.4, temperature_c=5.0)
    flats += shots(FrameKind.FLAT, 9, "LP", filter="LP")
    found = match(flats=flats)
    assert {frame.path.parent.name for frame in found.flat} == {"new"}
    table = {row.where: row for row in found.table}
    assert table["LP"].verdict == "refused" and "filter LP, the lights have IRCUT" in table["LP"].reason
    assert "25 days apart" in table["old"].reason or "26 days apart" in table["old"].reason


def test_a_flat_of_unknown_filter_is_used_with_a_warning_only_if_no_other_fits() -> None:
    unknown = shots(FrameKind.FLAT, 5, "unknown", filter=None)
    assert any("flats: the filter of the set is not known" in w for w in match(flats=unknown).warnings)
    found = match(flats=unknown + shots(FrameKind.FLAT, 2, "known"))
    assert {frame.path.parent.name for frame in found.flat} == {"known"}


def test_flat_darks_are_matched_to_the_flats() -> None:
    flats = shots(FrameKind.FLAT, 5, exposure_s=0.5)
    good = shots(FrameKind.FLAT_DARK, 5, "good", exposure_s=0.5)
    found = match(flats=flats, flat_darks=good + shots(FrameKind.FLAT_DARK, 5, "wrong", exposure_s=2.0))
    assert {frame.path.parent.name for frame in found.flat_dark} == {"good"}
    assert match(flat_darks=good).flat_dark == ()


def factory(kind: FrameKind, name: str, **changes: Any) -> FrameFile:
    meta = replace(LIGHT, kind=kind, **{"date_obs": None, "exposure_s": None, "temperature_c": None, **changes})
    return FrameFile(Path(f"/CALI_FRAME/{kind.value}/cam_0/{name}"), meta)


def test_factory_masters_of_a_dwarf_are_used_with_their_caveats() -> None:
    light = replace(
        LIGHT, gain=60.0, exposure_s=15.0, camera="TELE", filter="Astro", temperature_c=16.0, device="dwarf"
    )
    masters = [
        factory(FrameKind.BIAS, "bias_gain_2_bin_1.fits", gain=None, camera="TELE", filter=None),
        factory(FrameKind.BIAS, "bias_wide.fits", gain=None, camera="WIDE", filter=None),
        factory(FrameKind.FLAT, "flat_ir_0.fits", gain=None, camera="TELE", filter="VIS"),
        factory(FrameKind.FLAT, "flat_ir_1.fits", gain=None, camera="TELE", filter="Astro"),
        factory(FrameKind.DARK, "dark_130.fits", gain=130.0, camera="TELE", exposure_s=15.0, temperature_c=16.0),
        factory(
            FrameKind.DARK, "dark_60.fits", gain=60.0, camera="TELE", exposure_s=15.0, temperature_c=19.0, n_stacked=10
        ),
    ]
    found = match(light, masters=masters)
    assert [frame.name for frame in (*found.dark, *found.flat, *found.bias)] == [
        "dark_60.fits",
        "flat_ir_1.fits",
        "bias_gain_2_bin_1.fits",
    ]
    assert found.dark_is_master and found.flat_is_master and found.bias_is_master
    assert any("3.0 C apart" in warning for warning in found.warnings)
    assert any("gain index" in warning for warning in found.warnings)
    assert "darks: 1 master of 10 from dark_60.fits" in " ".join(found.reasons)
    off = match(light, MatchRules(allow_device_masters=False), masters=masters)
    assert off.is_empty and all(row.verdict == "refused" for row in off.table)


def test_own_darks_come_before_an_equal_factory_master() -> None:
    master = factory(FrameKind.DARK, "dark.fits", exposure_s=10.0, temperature_c=20.0, n_stacked=50)
    found = match(darks=darks(5, temperature_c=21.0), masters=[master])
    assert len(found.dark) == 5 and not found.dark_is_master


def test_the_order_of_the_files_changes_nothing() -> None:
    offers = {
        "darks": darks(4, "a", temperature_c=18.0) + darks(4, "b", temperature_c=22.0) + darks(2, "c", gain=None),
        "flats": shots(FrameKind.FLAT, 4, "f1") + shots(FrameKind.FLAT, 4, "f2", filter=None),
        "biases": shots(FrameKind.BIAS, 5) + shots(FrameKind.BIAS, 5, "other", gain=1.0),
        "masters": [factory(FrameKind.DARK, f"m{k}.fits", exposure_s=10.0) for k in range(3)],
    }
    expected = match(**offers)
    rng = random.Random(1)
    for _ in range(5):
        again = match(**{key: rng.sample(frames, len(frames)) for key, frames in offers.items()})
        assert again == expected
