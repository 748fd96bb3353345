"""From the raw frames of a duo-band session to H-alpha and [OIII], against the light that was put into them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from skyquilt.apps.cli.program import program
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.io.images import read_image
from skyquilt.steps.finish import DUOBAND_RESPONSE
from skyquilt.testing.judge import read_stacked
from skyquilt.testing.sky import Scenario, Truth, fits_bytes, light_cards, make_truth, raw_frame, structure_cards

SESSION = Scenario(
    target="NGC 7000",
    filter="LP",
    width=360,
    height=300,
    n_frames=8,
    seed=4,
    nebula=False,
    tycho=False,
    n_faint_stars=150,
    zero_point=22.0,
    gradient=0.0,
    sky_trend=0.0,
    transparency_scatter=0.0,
    gain_e_per_adu=2.0,
    n_hot_pixels=0,
    n_cold_pixels=0,
    n_cosmics_per_frame=0,
)
# x, y, sigma (px) and peaks (ADU) of H-alpha and [OIII]: alone, alone, together
CLOUDS = ((90.0, 200.0, 30.0, 400.0, 0.0), (270.0, 90.0, 25.0, 0.0, 300.0), (200.0, 170.0, 40.0, 150.0, 200.0))


def clouds_of(to_colours: np.ndarray) -> np.ndarray:
    """Rows of the truth's extended light: what each channel sees of the lines, `to_colours` (channel, line)."""
    rows = [[x, y, s**-2, 0.0, s**-2, *(to_colours @ np.array(peaks))] for x, y, s, *peaks in CLOUDS]
    return np.array(rows)


def write_session(folder: Path) -> Truth:
    truth = replace(make_truth(SESSION, folder), blobs=clouds_of(np.array(DUOBAND_RESPONSE)))
    truth.lights_folder.mkdir(parents=True)
    for frame in truth.frames:
        raw = raw_frame(truth, frame.index)
        frame.path.write_bytes(fits_bytes(light_cards(SESSION, structure_cards(raw), frame.start, frame.index), raw))
    return truth


def pixels_of(path: Path) -> np.ndarray:
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels.astype(np.float64) * 65535.0


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Path]:
    folder = tmp_path_factory.mktemp("duoband")
    truth = write_session(folder / "raw")
    result = CliRunner().invoke(program, ["combine", "duoband", str(truth.lights_folder), "--out", str(folder / "out")])
    assert result.exit_code == 0, result.output
    return truth, next((folder / "out").rglob("master_linear.fits"))


def test_both_lines_come_from_the_raw_frames_as_they_went_in(session: tuple[Truth, Path]) -> None:
    truth, master = session
    stacked = read_stacked(master.parent.parent, truth)
    starless = replace(truth.stars, flux=np.zeros_like(truth.stars.flux))
    of_lines = replace(truth, blobs=clouds_of(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])), stars=starless)
    lines = [replace(stacked, truth=of_lines).light(channel) for channel in (0, 2)]
    clouds = replace(stacked, truth=replace(truth, stars=starless)).light(0)
    dark = (stacked.light(0) - clouds < 1.0) & (stacked.coverage > 0.9 * stacked.coverage.max())
    terms = np.stack([*(line[dark] for line in lines), np.ones(dark.sum())], axis=1)
    for k, name in enumerate(("ha", "oiii")):
        found = pixels_of(master.with_name(f"master_linear_{name}.fits"))[0][dark]
        own, other = np.linalg.lstsq(terms, found, rcond=None)[0][[k, 1 - k]]
        assert own == pytest.approx(1.0, abs=0.02)
        assert abs(other) < 0.02


def test_the_preset_shows_one_line_red_and_the_other_blue_green(session: tuple[Truth, Path], tmp_path: Path) -> None:
    picture = tmp_path / "duoband.png"
    result = CliRunner().invoke(
        program, ["finish", str(session[1]), "--preset", "duoband", "--without", "crop", "--out", str(picture)]
    )
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "duoband.finish.json").read_text())
    assert [step["operation"] for step in record["steps_done"] if step["skipped"]] == []
    shown = np.median([read_image(picture)[dy : dy - 8, dx : dx - 8] for dy in range(8) for dx in range(8)], axis=0)
    (hx, hy), (ox, oy) = ((round(x), round(y)) for x, y, *_ in CLOUDS[:2])
    red, teal = shown[hy - 8, hx - 8], shown[oy - 8, ox - 8]
    assert red[0] > 1.3 * max(red[1], red[2])
    assert min(teal[1], teal[2]) > 1.3 * teal[0]
