"""Masters on coarser pixels for previews, and what a form is told of the settings of a step."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finish_masters import HEIGHT, WCS, WIDTH, colour_image, write_maps, write_master

from skyquilt.engine.finish import (
    OPERATIONS,
    Chain,
    Step,
    mask_form,
    open_master,
    operation_form,
    preset_chain,
    preview_chain,
    reduce_master,
)
from skyquilt.errors import UsageError
from skyquilt.io.fits import frame_source, open_frame, read_header


def plain_means(image: np.ndarray, factor: int) -> np.ndarray:
    """The definition: the mean of the known pixels of every whole cell."""
    channels, height, width = (image.shape[0], image.shape[1] // factor, image.shape[2] // factor)
    out = np.full((channels, height, width), np.nan, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for y in range(height):
            for x in range(width):
                cell = image[:, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
                out[:, y, x] = np.nanmean(cell.astype(np.float64), axis=(1, 2))
    return out


@pytest.mark.parametrize("band", [1, 5, 7, 64, 1000])
def test_a_reduced_master_is_the_mean_of_its_cells_however_its_rows_come(tmp_path: Path, band: int) -> None:
    image = colour_image()
    master = open_master(write_master(tmp_path, image))
    cut = replace(master, bands=lambda: iter([(y, image[:, y : y + band]) for y in range(0, HEIGHT, band)]))
    reduced = reduce_master(cut, 8_000)
    assert reduced.factor == 3
    np.testing.assert_allclose(reduced.master.pixels(), plain_means(image, 3), rtol=1e-6)


def test_a_reduced_master_keeps_its_place_and_its_exposure(tmp_path: Path) -> None:
    path = write_master(tmp_path, wcs=WCS)
    write_maps(tmp_path)
    reduced = reduce_master(open_master(path), 8_000)
    assert reduced.master.shape == (3, HEIGHT // 3, WIDTH // 3)
    there, here = reduced.master.wcs.to_sky(10.0, 20.0), WCS.to_sky(31.0, 61.0)  # the middle of a cell
    np.testing.assert_allclose(there, here, atol=1e-9)
    coverage = reduced.master.coverage()
    assert coverage.shape == reduced.master.shape[1:]
    assert set(np.unique(coverage[:6])) == {100.0} and set(np.unique(coverage[7:])) == {200.0}


def test_a_small_master_is_taken_as_it_is(tmp_path: Path) -> None:
    master = open_master(write_master(tmp_path))
    reduced = reduce_master(master)
    assert reduced.master is master and reduced.factor == 1


def test_a_preview_shows_what_the_chain_makes_and_says_where(tmp_path: Path) -> None:
    path = write_master(tmp_path, wcs=WCS)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    crop = Step.of("crop", box=[30, 60, 210, 180])
    chain = Chain((crop, *preset_chain("preview").steps[1:]))
    reduced = reduce_master(open_master(path), 8_000)
    done = preview_chain(reduced, chain, tmp_path / "preview.fits")
    assert (done.factor, done.box, done.is_picture) == (3, (30, 60, 210, 180), True)
    assert [step.operation for step in done.steps] == list(chain.names)
    source = frame_source(open_frame(tmp_path / "preview.fits"))
    pixels = source.read(source.bounds).pixels
    assert pixels.shape == (3, 40, 60)
    assert pixels.min() >= 0.0 and pixels.max() <= 1.0 and 0.1 < np.median(pixels) < 0.35
    assert read_header(tmp_path / "preview.fits").text("BUNIT") == "stretched"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


NEEDED: dict[str, dict[str, Any]] = {"lrgb": {"luminance": "l.fits"}}
"""Settings without which a step means nothing."""


def test_a_form_has_every_setting_of_every_operation_with_its_default() -> None:
    for name in OPERATIONS:
        form = operation_form(name)
        plain = Step.of(name, **NEEDED.get(name, {})).values()
        for key, field in form.items():
            if key in NEEDED.get(name, {}):
                continue
            outer, _, inner = key.partition(".")
            value = plain.get(outer)
            assert field["default"] == (value[inner] if inner else value), (name, key)
        assert {key.partition(".")[0] for key in form} >= set(plain) - {"operation"}


def _meant(name: str, key: str, value: Any) -> Step:
    outer, _, inner = key.partition(".")
    return Step.of(name, **NEEDED.get(name, {}), **{outer: {inner: value} if inner else value})


def test_every_word_and_both_ends_of_every_range_of_a_form_can_be_meant() -> None:
    needs_another = {("contrast", "largest"), ("balance", "gains")}  # goes with `smallest`; a list of numbers
    n = 0
    for name in OPERATIONS:
        for key, field in operation_form(name).items():
            for word in field.get("enum", ()):
                n += 1
                _meant(name, key, word)
            if (name, key) not in needs_another and "minimum" in field:
                n += 2
                _meant(name, key, field["minimum"])
                _meant(name, key, field["maximum"])
                with pytest.raises(UsageError):
                    _meant(name, key, field["maximum"] * 2 + 100)
    for word in mask_form()["kind"]["enum"]:
        Step.of("noise", mask={"kind": word})
    assert n > 120
