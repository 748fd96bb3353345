"""The judgement of calibration frames, on made-up faults and on the real ones of two cameras."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from skyquilt.core import F32, U16, FrameKind
from skyquilt.steps.calibrate import Verdict, find_row_bands, frame_profile, judge_profiles, stored_profile

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))


def make_dark(seed: int, level: float = 900.0, shape: tuple[int, int] = (240, 200)) -> F32:
    """A dark of a CFA sensor whose rows alternate, with hot pixels, amplifier glow and banding."""
    rng = np.random.default_rng(seed)
    sensor = np.random.default_rng(1)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    hot = np.where(sensor.random(shape) < 0.03, sensor.exponential(3000.0, shape), 0.0)
    glow = 300.0 * np.exp(-((x - shape[1]) ** 2 + (y - shape[0]) ** 2) / 50.0**2)
    rows = rng.normal(0.0, 1.5, (shape[0], 1)) + 25.0 * (y % 2)
    return (level + hot + glow + rows + rng.normal(0.0, 30.0, shape)).astype(np.float32)


def spoil(dark: F32, y0: int, y1: int, level: float = 300.0) -> F32:
    spoiled = dark.copy()
    spoiled[y0:y1] = np.random.default_rng(2).normal(level, 10.0, spoiled[y0:y1].shape)
    return spoiled


def judge(kind: FrameKind, frames: list[F32], **rules: float) -> list[Verdict]:
    names = [f"frame {k}" for k in range(len(frames))]
    verdicts = judge_profiles(kind, names, [frame_profile(frame) for frame in frames], **rules)
    if all(np.isfinite(frame).all() for frame in frames):  # most cameras store whole numbers: the same verdicts
        profiles = [stored_profile(as_stored(frame)) for frame in frames]
        stored = judge_profiles(kind, names, profiles, **rules)
        assert [(one.is_good, one.code) for one in stored] == [(one.is_good, one.code) for one in verdicts]
    return verdicts


def as_stored(frame: F32) -> U16:
    """Return a frame as the words of a FITS file with BZERO 32768."""
    return (np.clip(np.rint(frame), 0, 65535).astype(np.uint16) ^ np.uint16(0x8000)).byteswap()


@pytest.mark.parametrize("shape", [(240, 200), (241, 201), (130, 900)])
def test_the_profile_of_stored_words_is_that_of_their_values(shape: tuple[int, int]) -> None:
    dark = np.clip(np.rint(make_dark(3, shape=shape)), 0, 65535)
    dark[7, ::3] = 65535.0
    of_words, of_values = stored_profile(as_stored(dark), 65000.0), frame_profile(dark, 65000.0)
    np.testing.assert_allclose(of_words.row_medians, of_values.row_medians, atol=1.0)
    np.testing.assert_allclose(of_words.row_tails, of_values.row_tails, atol=8.0)
    # the lower of the two values in the middle, instead of their mean
    np.testing.assert_allclose(of_words.column_medians, of_values.column_medians, atol=10.0)
    assert of_words.median == pytest.approx(of_values.median, abs=1.0)
    assert of_words.sigma == pytest.approx(of_values.sigma, abs=1.5)
    assert of_words.saturated_share == of_values.saturated_share > 0.0
    assert of_words.finite_share == 1.0
    assert stored_profile(as_stored(dark), 70000.0).saturated_share == 0.0


@pytest.mark.parametrize("bias", [None, 300.0])
@pytest.mark.parametrize("rows", [(180, 240), (181, 240), (0, 33), (100, 151), (60, 240)])
def test_rows_at_bias_level_are_found_even_where_most_frames_show_them(
    bias: float | None, rows: tuple[int, int]
) -> None:
    frames = [make_dark(k) for k in range(5)]
    for k in (0, 2, 4):
        frames[k] = spoil(frames[k], *rows)
    verdicts = judge(FrameKind.DARK, frames, **({} if bias is None else {"bias_level_adu": bias}))
    assert [v.is_good for v in verdicts] == [False, True, False, True, False]
    bad = verdicts[0]
    assert bad.code == "glitch_rows" and "readout glitch" in bad.reason
    assert (bad.figures["first_row"], bad.figures["last_row"]) == (rows[0], rows[1] - 1)


def test_a_glitch_that_every_frame_shows_is_known_by_its_missing_exposure() -> None:
    frames = [spoil(make_dark(k), 180, 240) for k in range(3)]
    verdicts = judge(FrameKind.DARK, frames)
    assert not any(v.is_good for v in verdicts)
    assert "without their hot pixels" in verdicts[0].reason
    assert "at the bias level (300 ADU)" in judge(FrameKind.DARK, frames, bias_level_adu=300.0)[0].reason


def test_a_step_that_all_frames_share_and_that_keeps_its_hot_pixels_belongs_to_the_sensor() -> None:
    frames = [make_dark(k) for k in range(4)]
    for frame in frames:
        frame[120:] -= 60.0
    verdicts = judge(FrameKind.DARK, frames)
    assert all(v.is_good and v.code == "row_step" for v in verdicts)
    verdicts = judge(FrameKind.DARK, [frames[0], *(make_dark(k) for k in (1, 2, 3))])
    assert [v.is_good for v in verdicts] == [False, True, True, True]


def test_rows_that_only_lost_their_hot_pixels_are_found() -> None:
    frames = [make_dark(k, level=300.0, shape=(240, 1200)) for k in range(3)]
    frames[1] = spoil(frames[1], 130, 190, level=312.0)
    verdicts = judge(FrameKind.DARK, frames)
    assert [v.is_good for v in verdicts] == [True, False, True]
    assert verdicts[1].reason.startswith("rows 130 to 189 have sharp edges and lost their hot pixels")


def test_good_darks_with_glow_and_banding_are_kept_without_a_word() -> None:
    assert all(v.is_good and not v.code for v in judge(FrameKind.DARK, [make_dark(k) for k in range(6)]))


def test_the_edges_of_a_band_are_found_to_the_row() -> None:
    rows = np.random.default_rng(4).normal(500.0, 1.0, 300) + 40.0 * (np.arange(300) % 2) + np.arange(300) * 0.5
    rows[101:177] -= 50.0
    assert [(band.y0, band.y1) for band in find_row_bands(rows, 10.0)] == [(0, 101), (101, 177), (177, 300)]
    slope = np.linspace(0.0, 3000.0, 300) ** 1.2 + np.random.default_rng(4).normal(0.0, 1.0, 300)
    assert len(find_row_bands(slope, 10.0)) == 1


def test_a_dark_that_saw_light_is_left_out() -> None:
    frames = [make_dark(k) for k in range(4)] + [make_dark(9, level=1300.0)]
    verdicts = judge(FrameKind.DARK, frames)
    assert [v.is_good for v in verdicts] == [True] * 4 + [False]
    assert verdicts[4].code == "level"
    both = judge(FrameKind.DARK, [frames[0], frames[4]])
    assert all(v.is_good and v.code == "level" for v in both)  # of two frames nobody knows which is right


def make_flat(seed: int, flicker: float = 0.0, phase: float = 0.0, level: float = 30000.0) -> F32:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:240, 0:200]
    vignette = 1.0 - 0.35 * ((y - 120.0) ** 2 + (x - 100.0) ** 2) / (120.0**2 + 100.0**2)
    bands = 1.0 + flicker * np.sin(2.0 * np.pi * y / 37.0 + phase)
    colour = np.where((y + x) % 2 == 0, 1.0, 0.6)
    return (level * vignette * bands * colour * rng.normal(1.0, 0.01, y.shape)).astype(np.float32)


def test_flickering_flats_are_refused_and_steady_ones_kept() -> None:
    assert all(v.is_good and not v.code for v in judge(FrameKind.FLAT, [make_flat(k) for k in range(4)]))
    verdicts = judge(FrameKind.FLAT, [make_flat(k, 0.25, 2.4 * k) for k in range(4)])
    assert all(not v.is_good and v.code == "flicker" for v in verdicts)
    alone = judge(FrameKind.FLAT, [make_flat(1, 0.25)])
    assert alone[0].code == "flicker" and not alone[0].is_good
    assert judge(FrameKind.FLAT, [make_flat(1)])[0].code == ""


def test_one_flickering_flat_among_steady_ones_is_left_out_alone() -> None:
    frames = [make_flat(k) for k in range(4)] + [make_flat(9, 0.1)]
    assert [v.is_good for v in judge(FrameKind.FLAT, frames)] == [True] * 4 + [False]


def test_a_little_flicker_is_kept_with_a_warning() -> None:
    verdicts = judge(FrameKind.FLAT, [make_flat(k, 0.02, 2.4 * k) for k in range(6)])
    assert all(v.is_good for v in verdicts) and any(v.code == "flicker" for v in verdicts)


def test_saturated_and_faint_flats_are_left_out() -> None:
    bright = np.minimum(make_flat(1, level=90000.0), 65520.0).astype(np.float32)
    verdicts = judge(FrameKind.FLAT, [bright, make_flat(2), make_flat(3, level=400.0)])
    assert [(v.is_good, v.code) for v in verdicts] == [(False, "saturated"), (True, ""), (False, "faint")]


def test_frames_without_signal_are_left_out() -> None:
    nothing = np.zeros((240, 200), dtype=np.float32)
    broken = make_dark(1)
    broken[:50] = np.nan
    verdicts = judge(FrameKind.DARK, [nothing, broken, make_dark(2), make_dark(3)])
    assert [v.code for v in verdicts] == ["empty", "empty", "", ""]


def test_the_order_of_the_frames_changes_no_verdict() -> None:
    frames = [make_dark(0), spoil(make_dark(1), 100, 160), make_dark(2), make_dark(3, level=1300.0), make_dark(4)]
    profiles = [frame_profile(frame) for frame in frames]
    names = [str(k) for k in range(5)]
    expected = {v.name: v for v in judge_profiles(FrameKind.DARK, names, profiles)}
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        got = judge_profiles(FrameKind.DARK, [names[k] for k in order], [profiles[k] for k in order])
        assert {v.name: v for v in got} == expected


def read_plain(path: Path) -> F32 | None:
    """Pixels of an uncompressed 16-bit frame, or None where the file is cut short."""
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77)
    cards = {content[k : k + 8].strip(): content[k + 10 : k + 30] for k in range(0, end, 80)}
    width, height = int(cards[b"NAXIS1"]), int(cards[b"NAXIS2"])
    values = np.frombuffer(content[(end // 2880 + 1) * 2880 :], dtype=">i2")
    if len(values) < width * height:
        return None
    return (values[: width * height].reshape(height, width).astype(np.float32) + np.float32(32768.0)).astype(np.float32)


def real(camera: str, folder: str) -> tuple[list[str], list[F32]]:
    root = DATA / "zwo-calibration" / camera / folder
    if not root.is_dir():
        pytest.skip("the real calibration frames are not at hand")
    read = [(path.name, read_plain(path)) for path in sorted(root.glob("*.fit"))]
    return [name for name, pixels in read if pixels is not None], [p for _, p in read if p is not None]


@pytest.mark.real
def test_of_the_real_darks_exactly_the_glitched_ones_are_left_out_and_the_master_is_right_there() -> None:
    names, frames = real("ASI120", "Dark/Dark_100s")
    _, biases = real("ASI120", "Bias")
    profiles = [frame_profile(frame) for frame in frames]
    bias_level = float(np.median([frame_profile(bias).median for bias in biases]))
    for level in (bias_level, None):
        verdicts = judge_profiles(FrameKind.DARK, names, profiles, bias_level_adu=level)
        assert [v.is_good for v in verdicts] == [False, True, False, True, False]
        assert {(v.figures["first_row"], v.figures["last_row"]) for v in verdicts if not v.is_good} == {(782, 959)}
    for k, profile in enumerate(profiles):  # each one alone: no majority is needed
        assert judge_profiles(FrameKind.DARK, names[:1], [profile])[0].is_good == (k in (1, 3))
    master = np.mean([f for f, v in zip(frames, verdicts, strict=True) if v.is_good], axis=0)
    assert abs(float(np.median(master[782:])) - float(np.median(master[:782]))) < 40.0  # 750 in a median of all five


@pytest.mark.real
def test_the_real_flickering_flats_are_refused() -> None:
    names, frames = real("ASI120", "Flat")
    verdicts = judge_profiles(FrameKind.FLAT, names, [frame_profile(frame) for frame in frames])
    assert len(verdicts) == 2 and all(v.code == "flicker" and not v.is_good for v in verdicts)


@pytest.mark.real
@pytest.mark.parametrize(
    ("camera", "folder", "kind"),
    [
        ("ASI120", "Bias", FrameKind.BIAS),
        ("ASI178", "Bias", FrameKind.BIAS),
        ("ASI178", "Dark/Dark_100s", FrameKind.DARK),
        ("ASI178", "Dark/Dark_10s", FrameKind.DARK),
    ],
)
def test_good_real_frames_are_kept_without_a_word(camera: str, folder: str, kind: FrameKind) -> None:
    names, frames = real(camera, folder)
    verdicts = judge_profiles(kind, names, [frame_profile(frame) for frame in frames])
    assert len(verdicts) >= 3 and all(v.is_good and not v.code for v in verdicts)
