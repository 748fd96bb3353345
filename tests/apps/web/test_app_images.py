"""Frames, growing pictures and products as images: tiles, values, overlays, and saving them."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_app import FAKE, RunningApp

from skyquilt import stack
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.testing.sky import Scenario, make_session

SCENARIO = Scenario(device="generic", n_frames=5, width=160, height=120, seed=5, n_faint_stars=120)


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """An app in whose output folder a finished stack lies."""
    folder = tmp_path_factory.mktemp("stacked")
    make_session(folder / "sky" / "night", SCENARIO)
    stack(folder / "sky" / "night", folder / "out")
    (folder / "secret.fits").write_bytes(b"secret")
    with RunningApp((folder / "sky",), folder / "out", FAKE) as app:
        yield app


def decode(content: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return values (channel, y, x) and the known pixels of a tile, as a page reads them."""
    magic, kind, channels, _, gutter, width, height, zero = struct.unpack_from("<4sBBBBHHI", content)
    assert (magic, gutter, zero) == (b"SQT1", 1, 0)
    pairs = np.frombuffer(content, "<f4", 2 * channels, 16).reshape(channels, 2).astype(np.float64)
    dtype = {1: "<f2", 2: "<f4"}[kind]
    numbers = np.frombuffer(content, dtype, offset=16 + 8 * channels).reshape(height, width, channels + 1)
    values = np.moveaxis(numbers[:, :, :channels].astype(np.float64), 2, 0)
    known = numbers[:, :, channels]
    assert set(np.unique(known)) <= {0, 1}
    return values * pairs[:, 1, None, None] + pairs[:, 0, None, None], known == 1


def product(app: RunningApp, name: str) -> Any:
    group = app.get("/api/products")["groups"][0]
    return next(one for one in group["products"] if one["name"] == name)


def test_a_master_opens_with_all_that_the_page_needs(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    assert (image["width"], image["height"], image["channels"]) == (160, 120, 3)
    assert image["levels"] == 1 and image["rough_from"] is None
    assert {one["name"] for one in image["maps"]} == {"coverage", "variance", "rejected_low", "rejected_high"}
    assert len(image["stretch"]["unlinked"]["midtones"]) == 3
    assert image["statistics"][1]["minimum"] < image["statistics"][1]["median"] < image["statistics"][1]["maximum"]
    assert stacked.get(f"/api/image/{image['handle']}")["handle"] == image["handle"]


def test_tiles_and_probe_give_the_pixels_of_the_file(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    path = next(stacked.out.glob("*/stacked/master_linear.fits"))
    source = frame_source(open_frame(path))
    truth = source.read(source.bounds)
    address = f"/api/image/{image['handle']}/tile/0/0/0?v=1"
    exact, known = decode(stacked.client.get(address + "&exact=1").content)
    assert np.array_equal(known[1:-1, 1:-1], truth.mask)
    assert np.array_equal(exact[:, 1:-1, 1:-1][:, truth.mask], truth.pixels[:, truth.mask])
    answer = stacked.client.get(address)
    assert "immutable" in answer.headers["cache-control"]
    halves, _ = decode(answer.content)
    offset = np.median(truth.pixels[:, truth.mask], axis=1)[:, None]
    error = np.abs(halves[:, 1:-1, 1:-1] - truth.pixels)[:, truth.mask]
    assert (error <= 2.0**-10 * np.abs(truth.pixels[:, truth.mask] - offset) + 1e-7).all()
    again = stacked.client.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    probed = stacked.get(f"/api/image/{image['handle']}/pixel?x=80.3&y=59.6")
    assert probed["values"] == [float(value) for value in truth.pixels[:, 60, 80]]
    assert stacked.get(f"/api/image/{image['handle']}/pixel?x=-3&y=5")["values"] == [None] * 3


@pytest.mark.parametrize("place", ["0/1/0", "0/0/1", "1/0/0", "40/0/0", "41/0/0"])
def test_there_are_no_tiles_beyond_the_image(stacked: RunningApp, place: str) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    assert stacked.client.get(f"/api/image/{image['handle']}/tile/{place}").status_code == 404


def test_maps_are_images_on_the_pixels_of_the_master(stacked: RunningApp) -> None:
    coverage = stacked.post("/api/image", product=product(stacked, "master_maps/COVERAGE")["id"])
    assert (coverage["unit"], coverage["channels"], coverage["kind"]) == ("s", 1, "map")
    assert coverage["statistics"][0]["maximum"] > 0
    low = stacked.post("/api/image", product=product(stacked, "master_maps/REJ_LOW")["id"])
    assert low["channels"] == 3
    refused = stacked.post(f"/api/image/{low['handle']}/save", 400, format="fits", name="x")
    assert "alone" in refused["error"]["message"]


def test_a_histogram_counts_every_pixel(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    for channel in stacked.get(f"/api/image/{image['handle']}/histogram")["channels"]:
        assert sum(channel["counts"]) + channel["below"] + channel["above"] == 160 * 120
        assert len(channel["counts"]) == 4096


def test_an_image_without_coordinates_has_no_overlays(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    if image["wcs"] is None:
        assert stacked.client.get(f"/api/image/{image['handle']}/overlay/grid").status_code == 409
    assert stacked.client.get(f"/api/image/{image['handle']}/overlay/none").status_code == 404


def test_products_that_a_manifest_names_elsewhere_are_not_served(stacked: RunningApp) -> None:
    manifest = next(stacked.out.glob("*/run_manifest.json"))
    text = manifest.read_text()
    group = manifest.parent
    (group / "link.fits").symlink_to(stacked.out.parent / "secret.fits")
    try:
        for bad in ("../../secret.fits", "link.fits", "/etc/passwd"):
            manifest.write_text(text.replace("stacked/master_linear.fits", bad))
            names = [one["name"] for one in stacked.get("/api/products")["groups"][0]["products"]]
            assert "master_linear" not in names and "master_maps/COVERAGE" in names
    finally:
        manifest.write_text(text)


def test_the_report_lies_in_a_sandbox(stacked: RunningApp) -> None:
    report = stacked.get("/api/products")["groups"][0]["report"]
    for theme, expected in (("dark", b'data-theme="dark"'), ("purple", b'<html lang="en">')):
        assert expected in stacked.client.get(f"/report/{report}", params={"theme": theme}).content[:100]
    answer = stacked.client.get(f"/report/{report}")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none';")
    assert answer.headers["content-type"].startswith("text/html") and b"<html" in answer.content
    assert stacked.get(f"/api/report/{report}")["schema_id"] == "skyquilt.report"


def test_the_report_speaks_french_with_the_same_picture(stacked: RunningApp) -> None:
    report = stacked.get("/api/products")["groups"][0]["report"]
    english = stacked.client.get(f"/report/{report}")
    for language in ("en", "de", "FR", ""):
        answer = stacked.client.get(f"/report/{report}", params={"language": language})
        assert answer.content == english.content, language
    french = stacked.client.get(f"/report/{report}", params={"theme": "dark", "language": "fr"})
    assert b'<html data-theme="dark" lang="fr">' in french.content[:100]
    assert "Ce qui a été écarté" in french.text and "What was left out" not in french.text
    pictures = [re.findall(r'src="data:image/png;base64,[^"]+"', answer.text) for answer in (english, french)]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 1
    assert french.headers.keys() == english.headers.keys()
    for name in ("content-security-policy", "content-type", "x-content-type-options", "cache-control"):
        assert french.headers[name] == english.headers[name]


def _without_coordinates(text: str) -> str:
    """Return a manifest whose canvas lies nowhere on the sky: it can be read, but its map not be drawn."""
    document = json.loads(text)
    figures = dict.fromkeys(("coverage_median_s", "coverage_max_s", "tie_rms_px", "catalogue_rms_arcsec", "flux_rms"))
    counts = dict.fromkeys(("covered_deg2", "holes_deg2", "n_holes", "n_ties", "surface_order"), 0)
    document["mosaic"] = {
        **figures,
        **counts,
        "projection": "TAN",
        "sky_rms_sigma": None,
        "panels": [],
        "overlaps": [],
        "canvas_wcs": {"CRVAL1": 0.0},
    }
    return json.dumps(document)


@pytest.mark.parametrize("damage", [lambda text: text[:-100], lambda text: "{}", _without_coordinates])
def test_a_report_whose_manifest_cannot_be_told_is_english(stacked: RunningApp, damage: Callable[[str], str]) -> None:
    report = stacked.get("/api/products")["groups"][0]["report"]
    manifest = next(stacked.out.glob("*/run_manifest.json"))
    text = manifest.read_text()
    manifest.write_text(damage(text))
    try:
        answer = stacked.client.get(f"/report/{report}", params={"language": "fr"})
        assert answer.status_code == 200
        assert answer.content == (manifest.parent / "report.html").read_bytes()
    finally:
        manifest.write_text(text)


def test_the_sky_is_told_even_where_it_is_not_known(stacked: RunningApp) -> None:
    group = stacked.get("/api/sky")["groups"][0]
    assert group["coverage"] and (group["solved"] or group["reason"])


def test_an_image_is_saved_below_the_output_and_never_over_a_file(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    stretch = image["stretch"]["linked"]
    names = []
    for _ in range(2):
        started = stacked.post(f"/api/image/{image['handle']}/save", 202, format="png", name="M 94 é", stretch=stretch)
        saved = stacked.finish(started)["result"]
        names.append(saved["file"])
        answer = stacked.client.get(f"/api/saved/{saved['saved']}")
        assert answer.content.startswith(b"saved as png\n")
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert int(answer.headers["content-length"]) == len(answer.content)
    assert names == ["M 94 é.png", "M 94 é 2.png"]
    assert all((stacked.out / "saved" / name).is_file() for name in names)


STF = {"shadows": [0.0], "highlights": [1.0]}


@pytest.mark.parametrize(
    "stretch",
    [
        STF,
        {**STF, "midtones": [0.5], "asinh": 3.0},
        {**STF, "midtones": [1.5]},
        {**STF, "asinh": 0.0},
        {**STF, "hyperbolic": {"factor": 16}},
        {**STF, "hyperbolic": {"factor": 6, "curve": 1}},
        {**STF, "asinh": 3.0, "saturation": -1},
        {**STF, "asinh": 3.0, "curve": "asinh"},
        {"shadows": [0.0], "asinh": 3.0},
    ],
)
def test_a_stretch_of_the_page_is_checked_at_the_door(stacked: RunningApp, stretch: dict[str, Any]) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    stacked.post(f"/api/image/{image['handle']}/save", 400, format="png", name="x", stretch=stretch)


def test_the_whole_stretch_reaches_the_engine(stacked: RunningApp) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    hyperbolic = {"factor": 6.0, "shape": 4.0, "symmetry": 0.1, "low": 0.0, "high": 1.0}
    asked = {**STF, "hyperbolic": hyperbolic, "saturation": 1.5}
    started = stacked.post(f"/api/image/{image['handle']}/save", 202, format="tiff", name="bent", stretch=asked)
    saved = stacked.finish(started)["result"]
    assert json.loads(stacked.client.get(f"/api/saved/{saved['saved']}").content.partition(b"\n")[2]) == asked


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a\\b", "x\x00", "x\n", "." * 3, ".hidden", "x.", " x", "a:b", "y" * 101, "\u202ex"]
)
def test_a_name_is_a_name(stacked: RunningApp, name: str) -> None:
    image = stacked.post("/api/image", product=product(stacked, "master_linear")["id"])
    stacked.post(f"/api/image/{image['handle']}/save", 400, format="png", name=name)


def test_a_frame_is_read_by_the_engine(stacked: RunningApp, sessions_folder: Path) -> None:
    with RunningApp((sessions_folder,), sessions_folder.parent / "out", FAKE) as running:
        running.open_night()
        rows = {row[1]: row[0] for row in running.get("/api/frames")["rows"]}
        image = running.post("/api/image", frame=rows["a.fit"])
        assert (image["kind"], image["levels"], image["level_sizes"]) == ("frame", 2, [[700, 600], [350, 300]])
        content = running.client.get(f"/api/image/{image['handle']}/tile/0/1/1").content
        values, known = decode(content)
        assert values.shape == (1, 600 - 512 + 2, 700 - 512 + 2) and known.all()
        assert values[0, 5, 1:4].tolist() == [10.0, 10.0 + 2 / 1024, 10.0 + 4 / 1024]
        assert running.get(f"/api/image/{image['handle']}/pixel?x=7&y=1")["values"] == [7.0]
        assert running.get(f"/api/image/{image['handle']}/histogram")["is_sampled"]
        assert not list((running.out / ".skyquilt" / "app").glob("exchange-*/*")), "handed over files are removed"
        running.post(f"/api/image/{image['handle']}/close", 204)
        assert running.client.get(f"/api/image/{image['handle']}").status_code == 404


def test_the_picture_of_a_run_grows(running: RunningApp) -> None:
    running.open_night()
    running.post("/api/run", 202, kind="stack")
    job = running.job(until=lambda job: job["live"] is not None)
    image = running.post("/api/image", live=True)
    assert image["handle"] == job["live"] and image["kind"] == "live"
    running.job(until=lambda job: job["percent"] > 0.7)
    assert running.get(f"/api/image/{image['handle']}")["revision"] > image["revision"]
    running.client.post("/api/job/stop")  # it may have ended meanwhile
    running.job(until=lambda job: job["state"] in ("stopped", "done"))
