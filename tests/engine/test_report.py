"""The report tells what was done to every frame, escapes every name and stays one small file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from invented_manifest import ONE_PIXEL_PNG, Outline, invented_manifest

from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.report import write_reports
from skyquilt.engine.report.facts import best_and_worst, group_left_out, story
from skyquilt.engine.report.language import ENGLISH
from skyquilt.engine.report.plots import FIGURES, plot_svg
from skyquilt.engine.report.words import amount, bytes_text, duration, per_channel, percent
from skyquilt.errors import OutputBlocked


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    return write_reports(folder, invented_manifest(), ONE_PIXEL_PNG)["report_html"].read_text("utf-8")


def test_three_files_are_written_and_no_others_stay(tmp_path: Path) -> None:
    (tmp_path / "M 94").mkdir()
    written = write_reports(tmp_path / "M 94", invented_manifest(), None)
    assert {name: path.name for name, path in written.items()} == {
        "report_json": "report.json",
        "report_md": "report.md",
        "report_html": "report.html",
    }
    assert sorted(path.name for path in (tmp_path / "M 94").iterdir()) == ["report.html", "report.json", "report.md"]


def test_the_same_manifest_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = write_reports(tmp_path / "a", invented_manifest(), ONE_PIXEL_PNG)
    second = write_reports(tmp_path / "b", invented_manifest(), ONE_PIXEL_PNG)
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)


def test_the_json_report_counts_every_frame(tmp_path: Path) -> None:
    document = json.loads(write_reports(tmp_path, invented_manifest(), None)["report_json"].read_text("utf-8"))
    assert document["schema_id"] == "skyquilt.report"
    assert document["summary"]["n_found"] == 120
    assert document["summary"]["n_stacked"] + sum(document["rejection_reasons"].values()) == 120
    assert len(document["left_out"]) == document["summary"]["n_left_out"]
    assert all(entry["reason"] for entry in document["left_out"])


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    outline = Outline(page)
    assert "script" not in outline.tags
    assert "link" not in outline.tags
    for _, key, value in outline.attributes:
        if key in {"src", "href", "data", "action", "poster"}:
            assert value.startswith(("#", "data:image/png;base64,")), value
        assert not key.startswith("on")
    assert not re.search(r"url\(|@import", page)


def test_the_page_shows_every_frame_with_its_reason(page: str) -> None:
    text = Outline(page).text
    for frame in invented_manifest().frames:
        assert frame.file in text
    assert "trailed: eccentricity 0.72 > 0.60" in text
    assert "file ends after 61 % of it" in text


def test_the_page_says_what_was_subtracted_and_what_was_not(page: str) -> None:
    text = Outline(page).text
    for words in ("same gain, 10 s, 2 C apart", "another filter (LP)", "dark_7.fit", "rows 512 to 640 are zero"):
        assert words in text
    assert "a stack by the telescope" in text
    assert "no flat frames were found: vignetting remains" in text


def test_the_page_can_be_read_by_ear(page: str) -> None:
    outline = Outline(page)
    assert outline.tags.count("h1") == 1
    assert outline.tags.count("caption") == outline.tags.count("table")
    assert all(value for tag, key, value in outline.attributes if (tag, key) == ("img", "alt"))
    n_plots = sum((tag, key, value) == ("svg", "role", "img") for tag, key, value in outline.attributes)
    n_labels = sum((tag, key) == ("svg", "aria-label") for tag, key, _ in outline.attributes)
    assert n_plots == n_labels == len(FIGURES)
    identifiers = [value for _, key, value in outline.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'|`&"
    manifest = invented_manifest(9, target=evil, session=evil, device=evil, filter=evil, reference=evil)
    manifest = manifest.model_copy(
        update={
            "frames": [f.model_copy(update={"file": evil, "reason": evil, "notes": [evil]}) for f in manifest.frames],
            "other_files": [{evil: evil}],
            "warnings": [evil],
            "notes": [evil],
            "recipe": {evil: evil},
            "environment": {evil: [evil]},
            "calibration_table": [{evil: evil}],
        }
    )
    written = write_reports(tmp_path, manifest, None)
    outline = Outline(written["report_html"].read_text("utf-8"))
    assert "script" not in outline.tags
    assert "<script>alert(1)" in outline.text
    assert "<script" not in written["report_md"].read_text("utf-8")
    json.loads(written["report_json"].read_text("utf-8"))


def test_ten_thousand_frames_stay_a_small_page(tmp_path: Path) -> None:
    manifest = invented_manifest(10_000)
    page = write_reports(tmp_path, manifest, None)["report_html"]
    assert page.stat().st_size < 5_000_000
    assert "Show all 10000 frames" in page.read_text("utf-8")


@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_a_report_of_hardly_any_frames_is_whole(tmp_path: Path, n_frames: int) -> None:
    manifest = invented_manifest(n_frames, statistics=None, calibration=[], outputs=[])
    written = write_reports(tmp_path, manifest, None)
    assert "</html>" in written["report_html"].read_text("utf-8")


def test_a_plot_without_any_value_is_left_away() -> None:
    frames = [FrameRecord(file="a.fit", status="left_out", code="truncated", reason="short")]
    assert all(plot_svg(frames, figure, ENGLISH) == "" for figure in FIGURES)


def test_a_plot_of_equal_or_wild_values_has_finite_coordinates() -> None:
    for values in ([3.0, 3.0], [0.0, 0.0], [1e-12, 1e12], [-5.0, 5.0], [2.5], [float("nan"), 2.0]):
        frames = [FrameRecord(file=f"{i}.fit", status="stacked", fwhm_px=value) for i, value in enumerate(values)]
        svg = plot_svg(frames, FIGURES[0], ENGLISH)
        assert svg.startswith("<svg")
        assert "nan" not in svg
        assert "inf" not in svg


def test_left_out_frames_are_grouped_by_their_reason() -> None:
    groups = group_left_out(invented_manifest().frames)
    assert [(group.code, len(group.files)) for group in groups] == [("trailed", 3), ("truncated", 1)]


def test_no_frame_is_among_the_best_and_the_worst() -> None:
    frames = invented_manifest(8).frames
    best, worst = best_and_worst(frames)
    assert len(best) == 5
    assert not {frame.file for frame in best} & {frame.file for frame in worst}
    assert min(frame.score or 0 for frame in best) >= max(frame.score or 0 for frame in worst)


def test_the_story_names_the_choices_of_the_run() -> None:
    text = " ".join(sentence for _, sentence in story(invented_manifest(), ENGLISH))
    for words in ("120 light frames", "same gain", "812", "rcd", "catmull-rom", "winsorized", "14.2 degrees"):
        assert words in text


def test_the_story_tells_the_colour_to_which_the_debayering_was_balanced() -> None:
    manifest = invented_manifest()
    assert "balanced" not in " ".join(sentence for _, sentence in story(manifest, ENGLISH))
    text = " ".join(
        sentence for _, sentence in story(manifest.model_copy(update={"star_colour": (0.625, 0.484375)}), ENGLISH)
    )
    assert "balanced to stars that have 0.62 in red and 0.48 in blue for 1 in green" in text


def test_numbers_read_well() -> None:
    assert [amount(v) for v in (None, 0.0, 3.14159, 1113.42, 0.000123, 7, float("nan"))] == [
        "–",
        "0",
        "3.14",
        "1113",
        "0.000123",
        "7",
        "–",
    ]
    assert percent(0.0123) == "1.23 %"
    assert [duration(v) for v in (9.5, 60, 750, 11100)] == ["9.50 s", "1 min", "12 min 30 s", "3 h 05 min"]
    assert [bytes_text(v) for v in (12, 24883200)] == ["12 B", "24.9 MB"]
    assert per_channel([1.0, 2.0, 3.0]) == "R 1.00, G 2.00, B 3.00"


def test_a_folder_that_is_gone_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputBlocked, match=r"report\.json"):
        write_reports(tmp_path / "gone", invented_manifest(3), None)
