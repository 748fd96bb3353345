"""What finishing writes: files of every format, the record, the same bits again, and never the master."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from finish_masters import HEIGHT, SKY, WCS, WIDTH, colour_image, write_maps, write_master

from skyquilt.core import Box, Wcs
from skyquilt.engine.finish import (
    Chain,
    FinishSettings,
    Step,
    combine_lrgb_masters,
    combine_palette_masters,
    continuum_settings,
    duoband_settings,
    finish_master,
    load_chain,
    lrgb_settings,
    open_master,
    palette_settings,
    preset_chain,
    record_path,
    separate_bands,
    subtract_continuum_masters,
)
from skyquilt.errors import NotRegistered, NoUsableInput, UnreadableFrame, UsageError, VerificationFailed
from skyquilt.io.fits import frame_source, open_frame, read_header, read_wcs
from skyquilt.io.images import read_image, read_xisf

QUICK = Chain((Step.of("neutral"), Step.of("scnr"), Step.of("auto_stretch")))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fits_pixels(path: Path) -> np.ndarray:
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("products")
    write_master(folder, wcs=WCS)
    write_maps(folder)
    return folder


def test_the_record_replays_to_the_same_bits_and_the_master_stays(folder: Path, tmp_path: Path) -> None:
    master = folder / "master_linear.fits"
    before = digest(master)
    settings = FinishSettings(chain=preset_chain("preview"), outputs=(tmp_path / "a.png", tmp_path / "a.fits"))
    first = finish_master(master, settings)
    record = json.loads(record_path(tmp_path / "a.png").read_text())
    assert record["master"]["sha256"] == before == digest(master)
    assert {output["file"]: output["sha256"] for output in record["outputs"]} == {
        name: digest(tmp_path / name) for name in ("a.png", "a.fits")
    }
    again = finish_master(
        master,
        FinishSettings(
            chain=load_chain(tmp_path / "a.finish.json"), outputs=(tmp_path / "b.png", tmp_path / "b.fits"), n_threads=1
        ),
    )
    assert again.record.result_sha256 == first.record.result_sha256 == record["result_sha256"]
    for ending in ("png", "fits"):
        assert digest(tmp_path / f"b.{ending}") == digest(tmp_path / f"a.{ending}")


def test_an_undone_step_is_as_if_it_had_never_been(folder: Path) -> None:
    master = folder / "master_linear.fits"
    shorter = finish_master(master, FinishSettings(chain=Chain(QUICK.steps[:2])))
    longer = QUICK.with_step("saturation", factor=2.0)
    assert finish_master(master, FinishSettings(chain=longer.undone(2))).record.result_sha256 == (
        shorter.record.result_sha256
    )


def test_a_master_that_changes_meanwhile_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyquilt.engine.finish import finishing

    master = write_master(tmp_path)
    write = finishing.write_product

    def meddle(path: Path, *args: object, **more: object) -> None:
        write(path, *args, **more)  # type: ignore[arg-type]
        master.write_bytes(master.read_bytes() + bytes(2880))

    monkeypatch.setattr(finishing, "write_product", meddle)
    with pytest.raises(VerificationFailed, match="changed while"):
        finish_master(master, FinishSettings(chain=QUICK, outputs=(tmp_path / "a.png",)))


@pytest.mark.parametrize(
    ("name", "bits", "top"),
    [("a.png", None, 255), ("a.png", 16, 65535), ("a.tif", None, 65535), ("a.tif", 32, 1.0), ("a.jpg", None, 255)],
)
def test_pictures_hold_the_image_to_their_rounding(
    name: str, bits: int | None, top: float, folder: Path, tmp_path: Path
) -> None:
    settings = FinishSettings(chain=QUICK, outputs=(tmp_path / name,), bits=bits, quality=100)
    result = finish_master(folder / "master_linear.fits", settings)
    stored = read_image(tmp_path / name).astype(np.float64) / top
    expected = np.nan_to_num(result.pixels).transpose(1, 2, 0)
    error = np.abs(stored - expected)
    if name == "a.jpg":  # keeps brightness, and colours of 2x2 pixels
        assert np.abs(stored.mean(axis=2) - expected.mean(axis=2)).mean() < 0.02
    else:
        assert error.max() <= (0.51 / top if top > 1 else 1e-7)
    assert b"ICC_PROFILE" in (tmp_path / name).read_bytes() or name != "a.jpg"


def test_linear_image_and_model_add_up_to_the_master(folder: Path, tmp_path: Path) -> None:
    settings = FinishSettings(
        chain=Chain((Step.of("gradient", keep_level=False), Step.of("auto_stretch"))),
        outputs=(tmp_path / "a.fits",),
        save_linear=tmp_path / "linear.fits",
        save_model=tmp_path / "model.xisf",
    )
    finish_master(folder / "master_linear.fits", settings)
    linear, model = fits_pixels(tmp_path / "linear.fits"), read_xisf(tmp_path / "model.xisf").pixels
    np.testing.assert_allclose((linear + model)[:, :, 4:], colour_image()[:, :, 4:], atol=1e-7)
    np.testing.assert_allclose(np.median(model, axis=(1, 2)), SKY, rtol=0.01)
    assert read_header(tmp_path / "a.fits").text("BUNIT") == "stretched"
    assert read_header(tmp_path / "linear.fits").text("BUNIT") == "adu/65535"


def test_coordinates_follow_the_crop(folder: Path, tmp_path: Path) -> None:
    chain = Chain((Step.of("crop", box=[50, 30, 250, 180]), Step.of("auto_stretch")))
    outputs = (tmp_path / "a.fits", tmp_path / "a.xisf")
    finish_master(folder / "master_linear.fits", FinishSettings(chain=chain, outputs=outputs))
    for path in outputs:
        wcs = open_master(path).wcs
        assert wcs is not None
        np.testing.assert_allclose(wcs.to_sky(10.0, 20.0), WCS.to_sky(60.0, 50.0), atol=1e-9)
    assert read_header(outputs[0]).text("OBJECT") == "Iris"
    assert read_wcs(outputs[0]).scale_arcsec == pytest.approx(3.0)


def test_sixteen_bits_keep_the_image_to_their_step(folder: Path, tmp_path: Path) -> None:
    settings = FinishSettings(chain=QUICK, outputs=(tmp_path / "a.fits",), bits=16)
    result = finish_master(folder / "master_linear.fits", settings)
    header = read_header(tmp_path / "a.fits")
    values = header.number("SCALEZER") + header.number("SCALESTP") * fits_pixels(tmp_path / "a.fits")
    np.testing.assert_allclose(values[:, :, 4:], result.pixels[:, :, 4:], atol=1.0 / 65000)


def test_a_master_in_xisf_gives_the_picture_of_the_one_in_fits(folder: Path, tmp_path: Path) -> None:
    plain = FinishSettings(chain=Chain(()), outputs=(tmp_path / "copy.xisf",))
    finish_master(folder / "master_linear.fits", plain)
    both = [
        finish_master(path, FinishSettings(chain=QUICK)).record.result_sha256
        for path in (folder / "master_linear.fits", tmp_path / "copy.xisf")
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(("unit", "bounds"), [(1.0, b'bounds="0:1"'), (65535.0, b'bounds="0:65535"')])
def test_the_white_of_an_xisf_is_that_of_its_unit(unit: float, bounds: bytes, tmp_path: Path) -> None:
    path = write_master(tmp_path, colour_image() * np.float32(unit))
    finish_master(path, FinishSettings(chain=Chain(()), outputs=(tmp_path / "a.xisf",)))
    assert bounds in (tmp_path / "a.xisf").read_bytes()[:4096]


def test_a_picture_of_rows_stored_upside_down_is_turned(tmp_path: Path) -> None:
    from skyquilt.io.fits import write_image

    image = np.zeros((64, 64), dtype=np.float32)
    image[:8] = 1.0
    write_image(tmp_path / "m.fits", image, [("ROWORDER", "BOTTOM-UP", "")])
    chain = Chain((Step.of("manual_stretch"),))
    finish_master(tmp_path / "m.fits", FinishSettings(chain=chain, outputs=(tmp_path / "a.png",)))
    picture = read_image(tmp_path / "a.png")
    assert (picture[-8:] == 255).all()
    assert (picture[:-8] == 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": ("a.gif",)}, "no ending of an image"),
        ({"outputs": ("a.jpg",), "bits": 16}, "cannot have 16 bits"),
        ({"outputs": ("a.png", "a.png")}, "the same name"),
        ({"outputs": ("a.png",), "chain": Chain(())}, "ends in linear light"),
        ({"outputs": ("a.png",), "chain": Chain((Step.of("duoband"), Step.of("auto_stretch")))}, "2 channels"),
        ({"save_model": "m.fits", "chain": Chain((Step.of("auto_stretch"),))}, "no gradient was taken off"),
        ({"outputs": ("master_linear.fits",)}, "is the master itself"),
    ],
)
def test_what_cannot_be_written_is_refused(change: dict[str, object], words: str, folder: Path, tmp_path: Path) -> None:
    def placed(name: object) -> Path:
        return (folder if name == "master_linear.fits" else tmp_path) / str(name)

    given = {**change, "outputs": tuple(placed(name) for name in change.get("outputs", ()))}  # type: ignore[attr-defined]
    if "save_model" in given:
        given["save_model"] = placed(given["save_model"])
    before = digest(folder / "master_linear.fits")
    with pytest.raises(UsageError) as caught:
        finish_master(folder / "master_linear.fits", FinishSettings(**{"chain": QUICK, **given}))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert not list(tmp_path.glob("a.*"))
    assert digest(folder / "master_linear.fits") == before


def test_what_is_no_master_is_refused(tmp_path: Path) -> None:
    from skyquilt.io.fits import write_image

    (tmp_path / "a.fits").write_bytes(b"hello")
    write_image(tmp_path / "raw.fits", np.ones((64, 64), dtype=np.uint16), [("BAYERPAT", "RGGB", "")])
    for name, error, words in (
        ("none.fits", NoUsableInput, "there is no file"),
        ("a.fits", UnreadableFrame, "a.fits"),
        ("", UsageError, "is a folder"),
        ("raw.fits", UsageError, "colour filter array"),
    ):
        with pytest.raises(error, match=words):
            open_master(tmp_path / name)


# combine


def mono(folder: Path, name: str, channel: int, wcs: Wcs | None = None, box: Box | None = None) -> Path:
    box = box or Box(0, 0, WIDTH, HEIGHT)
    part = colour_image()[channel : channel + 1, box.y0 : box.y1, box.x0 : box.x1]
    return write_master(folder, part, wcs=None if wcs is None else wcs.shifted(box.x0, box.y0), name=name)


def test_masters_of_other_canvases_are_laid_on_the_first_by_coordinates(tmp_path: Path) -> None:
    files = {
        "red": mono(tmp_path, "r.fits", 0, WCS),
        "green": mono(tmp_path, "g.fits", 1, WCS, Box(10, 6, 280, 220)),
        "blue": mono(tmp_path, "b.fits", 2, WCS, Box(4, 0, 288, 200)),
    }
    combined = combine_lrgb_masters(files, tmp_path / "rgb.fits", lrgb_settings())
    assert combined.facts["masters"]["green"]["by"] == "coordinates"
    inner = (slice(None), slice(20, 190), slice(20, 270))
    np.testing.assert_allclose(fits_pixels(tmp_path / "rgb.fits")[inner], colour_image()[inner], atol=2e-5)


def test_masters_without_coordinates_are_laid_on_the_first_by_their_stars(tmp_path: Path) -> None:
    files = {
        "red": mono(tmp_path, "r.fits", 0),
        "green": mono(tmp_path, "g.fits", 1, box=Box(12, 8, 288, 216)),
        "blue": mono(tmp_path, "b.fits", 2),
    }
    combined = combine_lrgb_masters(files, tmp_path / "rgb.fits", lrgb_settings())
    assert combined.facts["masters"]["green"]["by"] == "stars"
    laid, true = fits_pixels(tmp_path / "rgb.fits")[1, 30:-40, 40:-30], colour_image()[1, 30:-40, 40:-30]
    bright = true > 0.03
    assert np.abs(laid[bright] / true[bright] - 1.0).mean() < 0.03


def test_masters_that_nothing_lays_on_each_other_are_refused_with_a_hint(tmp_path: Path) -> None:
    flat = np.full((1, 90, 100), 0.01, dtype=np.float32)
    files = {
        "colour": write_master(tmp_path, name="c.fits"),
        "luminance": write_master(tmp_path, flat, name="l.fits"),
    }
    with pytest.raises(NotRegistered, match="skyquilt solve"):
        combine_lrgb_masters(files, tmp_path / "lrgb.fits", lrgb_settings())


def test_a_direct_luminance_takes_over_the_light_and_leaves_the_colours(tmp_path: Path) -> None:
    colour = np.nan_to_num(colour_image(), nan=0.01)
    light = 3.0 * (0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2])
    files = {
        "colour": write_master(tmp_path, colour, name="c.fits"),
        "luminance": write_master(tmp_path, light[None].astype(np.float32), name="l.fits"),
    }
    combined = combine_lrgb_masters(files, tmp_path / "lrgb.fits", lrgb_settings())
    assert combined.facts["luminance_scale"] == pytest.approx(1.0 / 3.0, rel=0.01)
    star = colour[1] > 0.05
    result = fits_pixels(tmp_path / "lrgb.fits")
    np.testing.assert_allclose(result[:, star], colour[:, star], rtol=0.02)
    picture = combine_lrgb_masters(files, tmp_path / "lrgb.png", lrgb_settings(method="lab"))
    assert list(picture.outputs) == ["picture"]


def test_palettes_take_the_bands_they_need(tmp_path: Path) -> None:
    files = {"H": mono(tmp_path, "h.fits", 0), "O": mono(tmp_path, "o.fits", 2)}
    combine_palette_masters(files, tmp_path / "hoo.fits", palette_settings(palette="HOO"))
    image = fits_pixels(tmp_path / "hoo.fits")[:, :, 8:]
    assert np.array_equal(image[1], image[2])
    assert abs(np.median(image)) < 5e-4
    with pytest.raises(UsageError, match="SII"):
        combine_palette_masters(files, tmp_path / "sho.fits", palette_settings(palette="SHO"))


def test_a_line_is_left_where_the_continuum_is_taken(tmp_path: Path) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    line = 0.004 * np.exp(-0.5 * np.hypot(x - 200, y - 60) ** 2 / 15.0**2)
    broad = np.nan_to_num(colour_image()[1:2], nan=0.01)
    narrow = (0.25 * broad + line).astype(np.float32)
    paths = write_master(tmp_path, narrow, name="n.fits"), write_master(tmp_path, broad, name="b.fits")
    combined = subtract_continuum_masters(*paths, tmp_path / "line.fits", continuum_settings())
    assert combined.facts["share"] == pytest.approx(0.25, rel=0.02)
    left = fits_pixels(tmp_path / "line.fits")[0]
    assert np.corrcoef(left.ravel(), line.ravel())[0, 1] > 0.98


def test_the_bands_of_a_duoband_filter_are_told_apart(tmp_path: Path) -> None:
    response = np.array([[1.0, 0.04], [0.08, 0.90], [0.03, 0.60]])
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    lines = np.stack([0.02 * np.exp(-0.5 * ((x - at) ** 2 + (y - 110) ** 2) / 400.0) for at in (100, 190)])
    random = np.random.default_rng(1)
    image = np.einsum("cl,lyx->cyx", response, lines) + 0.01 + random.normal(0.0, 2e-4, (3, HEIGHT, WIDTH))
    path = write_master(tmp_path, image.astype(np.float32))
    combined = separate_bands(path, tmp_path, duoband_settings())
    for k, name in enumerate(("ha", "oiii")):
        found = fits_pixels(combined.outputs[name])[0]
        assert float((found * lines[k]).sum() / (lines[k] ** 2).sum()) == pytest.approx(1.0, abs=0.01)
        assert abs(float((found * lines[1 - k]).sum() / (lines[1 - k] ** 2).sum())) < 0.02
    with pytest.raises(UsageError, match="six or nine numbers"):
        duoband_settings("1,2,3")
