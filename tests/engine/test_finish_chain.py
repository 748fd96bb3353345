"""Chains: written, read, changed, done, done again."""

from __future__ import annotations

import json
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finish_masters import HEIGHT, WCS, WIDTH, catalogue_image, colour_image, opened, write_maps, write_master

from skyquilt.core import Wcs
from skyquilt.engine.finish import (
    OPERATIONS,
    Chain,
    FinishSettings,
    Step,
    finish_master,
    load_chain,
    open_master,
    operation_schema,
    parse_value,
    preset_chain,
    preset_names,
    read_step,
    setting_docs,
)
from skyquilt.engine.finish.run import Finisher
from skyquilt.errors import BadInput, NoUsableInput, UsageError
from skyquilt.io.images import read_image, write_png

LIGHT = np.float32(0.35) + np.zeros((HEIGHT, WIDTH), dtype=np.float32)
STRETCH = Step.of("auto_stretch")

# every setting of every operation, with a value that must change the picture, and what it needs beside
EFFECTS: dict[str, dict[str, Any]] = {
    "crop": {"coverage": 0.4, "box": [10, 20, 200, 150]},
    "gradient": {
        "model": "radial", "order": 3, "mode": "divide", "keep_level": False, "cell_px": 20, "kappa": 10.0,
        "grow_cells": 0, "tolerance": 0.05, "smoothing_cells": 8.0, "use_colours": None,
    },
    "bayer": {"limit": 1.01},
    "neutral": {"by": "share", "target": 0.02},
    "balance": {
        "method": "gray_world", "gains": ([1.5, 1.0, 0.7], {"method": "manual"}), "white": None,
        "keep_background": (False, {"method": "stars"}), "normalise": "largest",
    },
    "matrix": {"matrix": "vivid", "boost": 0.5, "keep_luminance": False},
    "deconvolution": {"fwhm_share": 0.9, "least_fwhm_px": 3.0, "iterations": 4, "threshold": 2.0},
    "scnr": {
        "colour": "magenta", "method": "maximum", "strength": 0.3, "keep_lightness": True, "spare_sigma": 2.0,
        "keep_background": False,
    },
    "duoband": {"response": [[1.0, 0.1], [0.2, 0.9], [0.1, 0.5]]},
    "noise": {"strength": 0.3, "colour_strength": 0.2, "threshold": 8.0, "colour_threshold": 9.0, "n_scales": 2},
    "smooth": {"method": "gaussian", "size_px": 7, "protect_sigma": 0.0},
    "contrast": {"strength": 1.5, "smallest": 1, "largest": 4, "threshold": 0.5},
    "stars": {
        "stars": {"kappa": 40.0}, "core_sigma": 60.0, "noise": 0.0, "seed": 5, "star_share": 0.5, "rest_share": 0.5,
    },
    "palette": {"palette": "bicolour", "bands_in_order": "OH", "level": 5.0},
    "auto_stretch": {"colours": "kept", "target": 0.1, "shadows_sigma": -6.0},
    "asinh_stretch": {
        "colours": "each", "target": 0.1, "black_sigma": -6.0, "white_quantile": 0.9, "black": 0.001, "white": 0.5,
        "strength": 30.0,
    },
    "two_stage_stretch": {
        "colours": "each", "target": 0.1, "black_sigma": -6.0, "white_quantile": 0.9999, "black": 0.001, "white": 0.5,
        "faint": 30.0, "core": 50.0, "knee_quantile": 0.9,
    },
    "hyperbolic_stretch": {
        "colours": "each", "target": 0.1, "black_sigma": -6.0, "white_quantile": 0.9, "black": 0.001, "white": 0.5,
        "stretch_factor": 3.0, "shape": 1.0, "symmetry": 0.1, "protect_low": (0.05, {"symmetry": 0.1}),
        "protect_high": 0.3,
    },
    "manual_stretch": {
        "shadows": [0.005], "midtones": [0.1], "highlights": [0.5],
        "colours": ("kept", {"highlights": [0.2], "midtones": [0.05]}),
    },
    "lrgb": {"method": "hsv", "weight": 0.5, "chroma": 2.0, "luminance": "other.png"},
    "saturation": {"factor": 2.0, "method": ("lab", {"factor": 1.5}), "shadows": (0.5, {"factor": 1.5})},
    "colourmap": {"name": "warm"},
}  # fmt: skip
NEEDS: dict[str, dict[str, Any]] = {
    "gradient": {"model": "mesh", "cell_px": 16, "order": 1},
    "lrgb": {"luminance": "light.png"},
    "two_stage_stretch": {"white_quantile": 0.999},
}
PART = Step.of("crop", box=(60, 30, 220, 190))  # the galaxy and enough stars: what is slow is done on less
BEFORE: dict[str, tuple[Step, ...]] = {
    "deconvolution": (PART,),
    "stars": (PART,),
    "contrast": (PART,),
    "palette": (Step.of("duoband"),),
    "lrgb": (STRETCH,),
    "saturation": (STRETCH,),
    "colourmap": (STRETCH,),
    "bayer": (Step.of("balance", method="manual", gains=[1.3, 1.0, 1.4], keep_background=False),),
}
ELSEWHERE = {("gradient", "use_colours"), ("balance", "white")}  # tests of their own, below or in tests/steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finish")
    write_master(folder)
    write_maps(folder)
    for name, seed in (("light.png", 1), ("other.png", 2)):
        random = np.random.default_rng(seed)
        write_png(folder / name, random.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8))
    return folder


def done(folder: Path, *steps: Step, image: np.ndarray | None = None) -> np.ndarray:
    master = open_master(folder / "master_linear.fits") if image is None else opened(folder, image)
    finished = Finisher(master, folder=folder, n_threads=1).run(Chain(steps)).image
    return finished.read(_all_of(finished.shape))


def _all_of(shape: tuple[int, int, int]) -> Any:
    from skyquilt.core import Box

    return Box.of_shape(*shape[1:])


def test_the_table_of_effects_names_every_setting() -> None:
    named = {name: set(values) for name, values in EFFECTS.items()}
    assert named == {name: {f.name for f in fields(op.settings)} for name, op in OPERATIONS.items()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_setting_of_an_operation_changes_the_result(name: str, folder: Path, tmp_path: Path) -> None:
    image = colour_image().mean(axis=0, keepdims=True) if name == "colourmap" else None
    place = tmp_path if image is not None else folder
    before, needed = BEFORE.get(name, ()), NEEDS.get(name, {})
    plain: dict[str, np.ndarray] = {}
    for setting, given in EFFECTS[name].items():
        if (name, setting) in ELSEWHERE:
            continue
        value, beside = given if isinstance(given, tuple) else (given, {})
        key = json.dumps(beside)
        if key not in plain:
            plain[key] = done(place, *before, Step.of(name, **{**needed, **beside}), image=image)
        changed = done(place, *before, Step.of(name, **{**needed, **beside, setting: value}), image=image)
        assert not np.array_equal(plain[key], changed, equal_nan=True), setting


def test_every_setting_is_told_in_docstrings_and_schema() -> None:
    for operation in OPERATIONS.values():
        for doc in setting_docs(operation.settings):
            assert doc.help or doc.kind, f"{operation.name}.{doc.name} is not told"
        assert set(operation_schema(operation.name)["properties"]) == {f.name for f in fields(operation.settings)}


def test_docstrings_tell_the_same_without_their_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    # as Python 3.13 keeps them
    for operation in OPERATIONS.values():
        told = setting_docs(operation.settings)
        with monkeypatch.context() as patch:
            patch.setattr(operation.settings, "__doc__", cleandoc(operation.settings.__doc__ or ""))
            assert setting_docs(operation.settings) == told


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("crop", "lrgb")])
def test_tiles_and_the_disk_give_the_bits_of_the_whole_image(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyquilt.engine.finish import run

    image = colour_image().mean(axis=0, keepdims=True) if name == "colourmap" else colour_image()
    master = opened(tmp_path, image)
    chain = Chain((*BEFORE.get(name, ()), Step.of(name)))
    whole = Finisher(master, folder=folder, n_threads=1)
    monkeypatch.setattr(run, "_tiles", lambda shape, halo, n: iter([_all_of(shape)]))
    expected = whole.run(chain)
    monkeypatch.setattr(run, "_tiles", _small_tiles)
    tiled = Finisher(master, folder=folder, scratch=tmp_path, n_threads=2)
    tiled.is_on_disk = True
    found = tiled.run(chain)
    assert found.sha256() == expected.sha256()
    assert [step.facts for step in found.steps] == [step.facts for step in expected.steps]


def _small_tiles(shape: tuple[int, int, int], halo: int, n_bytes: int) -> Any:
    from skyquilt.core import Box

    for y in range(0, shape[1], 97):
        for x in range(0, shape[2], 131):
            yield Box(x, y, x + 131, y + 97).intersect(_all_of(shape))


def test_presets_survive_toml_and_json(tmp_path: Path) -> None:
    for name in preset_names():
        chain = preset_chain(name).with_step("matrix", matrix=[[1.2, -0.1, -0.1], [0, 1, 0], [0, 0, 1]])
        chain = chain.with_step("smooth", mask={"kind": "object", "grow_px": 2.0}, mask_inverted=True)
        for ending in ("toml", "json"):
            chain.save(tmp_path / f"chain.{ending}")
            assert load_chain(tmp_path / f"chain.{ending}") == chain


def test_a_chain_is_changed_by_steps_left_out_put_in_and_undone() -> None:
    chain = preset_chain("preview")
    assert chain.names == ("crop", "gradient", "neutral", "scnr", "noise", "auto_stretch")
    assert chain.undone().names == chain.names[:-1]
    assert chain.undone(9).names == ()
    assert chain.without(["gradient", "noise"]).names == ("crop", "neutral", "scnr", "auto_stretch")
    assert chain.only(["noise"]).names == ("noise",)
    assert chain.with_step("balance").names[3] == "balance"
    assert chain.with_step("asinh_stretch").names[-1] == "asinh_stretch"
    assert chain.with_step("asinh_stretch").names.count("auto_stretch") == 0
    changed = chain.with_step("gradient", order=2)
    assert changed.names == chain.names
    assert changed.steps[1].settings.order == 2


def test_a_step_in_one_line_is_read() -> None:
    assert read_step("gradient order=2 model=mesh keep_level=false") == (
        "gradient", {"order": 2, "model": "mesh", "keep_level": False},
    )  # fmt: skip
    assert read_step("noise mask.kind=star mask_inverted=true")[1] == {"mask": {"kind": "star"}, "mask_inverted": True}
    assert parse_value("1.5,1,0.5") == [1.5, 1, 0.5]
    assert parse_value("none") is None
    assert parse_value("C:/my light.png") == "C:/my light.png"


@pytest.mark.parametrize(
    ("document", "error", "words"),
    [
        ('{"steps": [{"operation": "gradiant"}]}', UsageError, "did you mean gradient?"),
        ('{"steps": [{"operation": "gradient", "ordr": 1}]}', UsageError, "did you mean order?"),
        ('{"steps": [{"operation": "gradient", "order": "many"}]}', UsageError, "order = many"),
        ('{"steps": [{"operation": "gradient", "order": 7}]}', UsageError, "order 7"),
        ('{"steps": [{"operation": "stars", "stars": {"kapa": 7}}]}', UsageError, "did you mean kappa?"),
        ('{"steps": [{"operation": "noise", "mask": {"kind": "stars"}}]}', UsageError, "'stars' is no kind of mask"),
        ('{"steps": [{"operation": "noise", "mask_inverted": true}]}', UsageError, "no mask to be inverted"),
        ('{"steps": [{"order": 1}]}', UsageError, "does not say its operation"),
        ('{"steps": [3]}', UsageError, "no table"),
        ('{"steps": 3}', UsageError, "no list"),
        ('{"stps": []}', UsageError, "stps"),
        ('{"steps": [], "schema_version": 9}', UsageError, "version 9"),
        ("[1]", BadInput, "holds no table"),
        ("{", BadInput, "is no chain"),
    ],
)
def test_a_wrong_chain_is_refused_in_one_sentence(
    document: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "chain.json").write_text(document)
    with pytest.raises(error) as caught:
        load_chain(tmp_path / "chain.json")
    assert words in str(caught.value)
    assert "\n" not in caught.value.message  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((STRETCH, Step.of("gradient")), "gradient works on light"),
        ((Step.of("colourmap"),), "colourmap works on a stretched picture"),
        ((Step.of("saturation", method="lab", factor=2.0),), "after the stretch"),
        ((Step.of("scnr", method="additive_mask"),), "after the stretch"),
        ((Step.of("palette", palette="dynamic_HOO"),), "after the stretch"),
        ((Step.of("duoband"), Step.of("palette", bands_in_order="HOS")), "channels"),
        ((Step.of("crop", box=[900, 900, 950, 950]),), "lies outside"),
        ((Step.of("crop", mask={"kind": "star"}),), "mask cannot hold back"),
    ],
)
def test_steps_that_do_not_fit_are_refused(steps: tuple[Step, ...], words: str, folder: Path) -> None:
    with pytest.raises((UsageError, NoUsableInput)) as caught:
        done(folder, *steps)
    assert words in str(caught.value)


def test_the_noise_of_a_large_image_is_that_of_each_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyquilt.engine.finish import look

    monkeypatch.setattr(look, "_LARGEST_PART", 192)
    random = np.random.default_rng(3)
    sigma = np.where(np.arange(512) < 256, 1e-4, 4e-4)
    image = (0.01 + random.normal(0.0, 1.0, (3, 448, 512)) * sigma).astype(np.float32)
    left = done(tmp_path, Step.of("noise"), image=image).std(axis=(0, 1))
    for half in (slice(32, 208), slice(304, 480)):
        assert left[half].mean() < 0.5 * sigma[half][0]


def test_deep_work_on_a_part_stands_for_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyquilt.engine.finish import look

    steps = (Step.of("stars", star_share=0.0),)
    whole = done(tmp_path, *steps, image=colour_image())
    monkeypatch.setattr(look, "_LARGEST_PART", 200)
    monkeypatch.setattr(look, "_POINT_TILE", 128)
    master = opened(tmp_path, colour_image())
    finished = Finisher(master, n_threads=1).run(Chain(steps))
    assert "middle" in finished.steps[0].notes[0]
    by_part = finished.image.read(_all_of(finished.image.shape))
    stars = np.nansum(colour_image() - whole)
    assert np.nansum(colour_image() - by_part) == pytest.approx(stars, rel=0.05)


def test_a_mono_master_goes_through_a_preset_without_its_colours(tmp_path: Path) -> None:
    path = write_master(tmp_path, colour_image()[1:2])
    result = finish_master(path, FinishSettings(chain=preset_chain("galaxy")))
    skipped = {step.operation for step in result.record.steps_done if step.skipped}
    assert skipped == {"neutral", "balance", "scnr", "saturation"}
    assert any("scnr takes an image of 3 channels, this one has 1" in note for note in result.record.notes)
    assert result.record.is_picture
    with pytest.raises(UsageError, match="scnr takes an image of 3 channels"):
        finish_master(path, FinishSettings(chain=Chain((Step.of("scnr"),))))


def test_an_empty_image_is_refused(tmp_path: Path) -> None:
    path = write_master(tmp_path, np.full((3, 64, 64), np.nan, dtype=np.float32))
    with pytest.raises(NoUsableInput):
        finish_master(path, FinishSettings(chain=Chain((Step.of("auto_stretch"),))))


def test_pixels_without_data_stay_so(folder: Path) -> None:
    finished = done(folder, *[Step.of(s.operation) for s in preset_chain("preview").steps if s.operation != "crop"])
    assert np.isnan(finished[:, :, :4]).all()
    assert np.isfinite(finished[:, :, 4:]).all()


def test_a_mask_holds_a_step_back(folder: Path) -> None:
    plain = done(folder)
    smooth = Step.of("smooth", size_px=9, protect_sigma=0.0)
    within = Step.of("smooth", size_px=9, protect_sigma=0.0, mask={"kind": "star"})
    beyond = Step.of("smooth", size_px=9, protect_sigma=0.0, mask={"kind": "star"}, mask_inverted=True)
    everywhere, inside, outside = (done(folder, step) - plain for step in (smooth, within, beyond))
    np.testing.assert_allclose(inside + outside, everywhere, atol=1e-7)
    assert 0.01 < np.nanmean(inside != 0.0) < 0.5


def test_the_crop_follows_the_map_of_exposure(folder: Path) -> None:
    assert done(folder, Step.of("crop")).shape == (3, HEIGHT - 20, WIDTH)
    assert done(folder, Step.of("crop", coverage=0.4)).shape == (3, HEIGHT, WIDTH)


def test_without_a_map_the_crop_follows_the_data(tmp_path: Path) -> None:
    write_master(tmp_path)
    assert done(tmp_path, Step.of("crop")).shape == (3, HEIGHT, WIDTH - 4)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wcs = Wcs(WCS.crval_deg, (499.5, 399.5), WCS.cd * 2.0)
    return write_master(tmp_path_factory.mktemp("solved"), catalogue_image(wcs, 800, 1000), wcs=wcs)


def balance_of(path: Path, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    chain = Chain((Step.of("balance", method="catalogue", **settings),))
    step = finish_master(path, FinishSettings(chain=chain)).record.steps_done[0]
    return step.facts, step.notes


def test_the_catalogue_makes_a_star_of_the_chosen_colour_white(solved: Path) -> None:
    told, notes = balance_of(solved)
    assert told["method"] == "catalogue"
    assert told["n_catalogue"] >= 10
    assert not notes
    magnitudes = 2.5 * np.log10(np.array(told["gains"]))
    np.testing.assert_allclose(magnitudes, [0.30, 0.0, 0.52], atol=0.03)
    bluer = 2.5 * np.log10(np.array(balance_of(solved, white=0.0)[0]["gains"]))
    np.testing.assert_allclose(bluer, [0.30 + 0.33 * 0.65, 0.0, 0.52 - 0.45 * 0.65], atol=0.06)


def test_without_coordinates_the_usual_star_is_white_and_the_record_says_so(folder: Path) -> None:
    told, notes = balance_of(folder / "master_linear.fits")
    assert told["method"] == "stars"
    assert "has no coordinates" in notes[0]


def test_a_luminance_is_laid_on_the_image_by_its_coordinates(tmp_path: Path) -> None:
    path = write_master(tmp_path, wcs=WCS)
    shifted = colour_image()[1:2, 20:-10, 30:-8]
    write_master(tmp_path, shifted, wcs=WCS.shifted(30, 20), name="light.fits")
    chain = Chain((Step.of("neutral"), STRETCH, Step.of("lrgb", luminance=str(tmp_path / "light.fits"))))
    result = finish_master(path, FinishSettings(chain=chain))
    told = result.record.steps_done[2].facts
    assert told["laid_on_by"] == "coordinates"
    before = finish_master(path, FinishSettings(chain=chain.undone())).pixels
    inner = (slice(None), slice(40, -40), slice(60, -40))
    assert abs(np.median(result.pixels[inner].mean(axis=0) - before[inner].mean(axis=0))) < 0.02
    after, light = result.pixels[inner].mean(axis=0).ravel(), before[1][inner[1:]].ravel()
    assert np.corrcoef(after, light)[0, 1] > 0.9  # of the noise too: it lies where it was


def test_a_picture_comes_in_as_a_picture(tmp_path: Path) -> None:
    write_png(tmp_path / "in.png", np.full((40, 50, 3), 51, dtype=np.uint8))
    chain = Chain((Step.of("saturation", factor=2.0),))
    finish_master(tmp_path / "in.png", FinishSettings(chain=chain, outputs=(tmp_path / "out.png",)))
    assert (read_image(tmp_path / "out.png") == 51).all()
    with pytest.raises(UsageError, match="stretched by then"):
        finish_master(tmp_path / "in.png", FinishSettings(chain=preset_chain("preview")))
