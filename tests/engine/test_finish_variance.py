"""Noise reduction by the master's map of the variance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from finish_masters import write_master

from skyquilt.engine.finish import Chain, FinishSettings, Step, finish_master, open_master
from skyquilt.io.fits import ExtensionLayout, ImageWriter

HEIGHT, WIDTH = 320, 416
SKY, NOISE = 0.01, 0.0002
N_SAMPLES = 20


def noise_of() -> np.ndarray:
    """Sigma of the pixels (y, x): a corner that a third of the frames reached, and columns that one frame missed."""
    sigma = np.full((HEIGHT, WIDTH), NOISE)
    sigma[:150, :170] *= 3.0**0.5
    sigma[:, 280:300] *= 3.0
    return sigma


def stars_of() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    light = np.zeros((HEIGHT, WIDTH))
    for k, (a, b) in enumerate([(60.3, 70.2), (210.7, 60.1), (240.2, 220.6), (100.4, 250.3), (370.1, 150.8)]):
        light += (0.02 + 0.03 * k) * (1.0 + ((x - a) ** 2 + (y - b) ** 2) / 9.0) ** -3.0
    return light


def write_with_maps(folder: Path) -> tuple[Path, np.ndarray]:
    """A master, its maps as a stack writes them (the variance as 20 samples tell it), and the truth without noise."""
    random = np.random.default_rng(6)
    shades = np.array([0.8, 1.0, 0.7])[:, None, None]
    clean = SKY * shades + stars_of() * shades
    sigma = noise_of()[None] * np.sqrt(clean / SKY)
    image = (clean + sigma * random.standard_normal(clean.shape)).astype(np.float32)
    told = sigma**2 * random.chisquare(N_SAMPLES - 1, clean.shape) / (N_SAMPLES - 1)
    path = write_master(folder, image)
    layout: list[ExtensionLayout] = [("VARIANCE", clean.shape, np.float32, [])]
    with ImageWriter(folder / "master_maps.fits", (HEIGHT, WIDTH), np.float32, [("BUNIT", "s", "")], layout) as maps:
        maps.write_rows(0, np.full((HEIGHT, WIDTH), 200.0, dtype=np.float32))
        maps.write_rows(0, told.astype(np.float32), extension="VARIANCE")
    return path, clean


CHAIN = Chain((Step.of("crop", box=(8, 0, WIDTH, HEIGHT)), Step.of("neutral"), Step.of("noise")))


def test_the_map_tells_noise_to_the_pixel_and_stars_stay(tmp_path: Path) -> None:
    path, clean = write_with_maps(tmp_path)
    with_map = finish_master(path, FinishSettings(chain=CHAIN))
    (tmp_path / "master_maps.fits").unlink()
    without = finish_master(path, FinishSettings(chain=CHAIN))
    assert [r.record.steps_done[2].facts["by_variance"] for r in (with_map, without)] == [True, False]
    far = stars_of()[:, 8:] < 0.02 * NOISE
    before = np.random.default_rng(6).standard_normal(clean.shape)[1] * noise_of() * np.sqrt(clean[1] / SKY)
    left = {name: (r.pixels[1] - clean[1, :, 8:]) for name, r in (("map", with_map), ("none", without))}
    edge = np.zeros((HEIGHT, WIDTH - 8), dtype=bool)
    edge[:, 272:292] = True  # the columns of three times the noise
    for place in (far & ~edge, far & edge):
        assert left["map"][place].std() < 0.5 * before[:, 8:][place].std()
    assert left["map"][far & edge].std() < 0.8 * left["none"][far & edge].std()
    y, x = np.mgrid[0:HEIGHT, 0 : WIDTH - 8]
    for k, (a, b) in enumerate([(232.2, 220.6), (92.4, 250.3), (362.1, 150.8)], start=2):  # their own noise: 0.3 %
        near = np.hypot(x - a, y - b) < 9.0
        flux = (0.02 + 0.03 * k) * np.pi * 9.0 / 2.0
        assert abs((left["map"] - before[:, 8:])[near].sum()) < 0.005 * flux


def test_a_map_is_not_believed_where_the_noise_was_changed(tmp_path: Path) -> None:
    path, _ = write_with_maps(tmp_path)
    for steps in (
        (Step.of("smooth"), Step.of("noise")),
        (Step.of("matrix"), Step.of("noise")),
        (Step.of("noise"), Step.of("noise")),
    ):
        result = finish_master(path, FinishSettings(chain=Chain(steps)))
        assert result.record.steps_done[1].facts["by_variance"] is False


def test_a_map_of_another_shape_is_none(tmp_path: Path) -> None:
    master = open_master(write_with_maps(tmp_path)[0])
    assert master.variance(master.shape) is not None
    assert master.variance((3, HEIGHT // 2, WIDTH // 2)) is None
