"""The report in French: whole, well set, and made of the same facts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from html import unescape
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any

import pytest
from invented_manifest import ONE_PIXEL_PNG, Outline, invented_manifest

import skyquilt.engine.report
from skyquilt.core import LEFT_OUT_CODES, FrameKind
from skyquilt.engine.manifest import Manifest, MasterRecord, MosaicRecord, OverlapRecord, PanelRecord, SkyRecord
from skyquilt.engine.photometry import ChannelPhotometry, Photometry
from skyquilt.engine.report import ENGLISH
from skyquilt.engine.report.facts import story
from skyquilt.engine.report.french import FRENCH
from skyquilt.engine.report.language import NO_BREAK_SPACE, Language
from skyquilt.engine.report.page import report_html
from skyquilt.engine.report.translation import translated_page
from skyquilt.steps.calibrate import MatchRow

ROOM = Path(skyquilt.engine.report.__file__).parent
COORDINATES = {
    "NAXIS1": 1080,
    "NAXIS2": 1920,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 10.0,
    "CRVAL2": 20.0,
    "CRPIX1": 540.0,
    "CRPIX2": 960.0,
    "CD1_1": -0.001,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.001,
}


def calls(name: str) -> Iterator[list[ast.expr]]:
    """The arguments of every call of a method or function of the room with a name."""
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called == name and path.name != "language.py":
                    yield node.args


def texts(arguments: list[ast.expr]) -> list[str]:
    found = [one.value for one in arguments if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    assert len(found) == len(arguments), f"a template is not written out: {[ast.unparse(one) for one in arguments]}"
    return found


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def mosaic(**changes: Any) -> MosaicRecord:
    panels = [
        PanelRecord(name="P1", ra_deg=10.0, dec_deg=20.0, n_frames=15, exposure_s=150.0, transparency=0.93),
        PanelRecord(name="P2", ra_deg=10.2, dec_deg=20.0, n_frames=15, exposure_s=None),
    ]
    overlap = OverlapRecord(
        first="P1",
        second="P2",
        area_deg2=0.125,
        n_stars=31,
        flux_ratio=1.01,
        sky_step_sigma=0.2,
        sky_step_before_sigma=4.4,
    )
    facts: dict[str, Any] = {
        "projection": "TAN",
        "covered_deg2": 2.1,
        "holes_deg2": 0.01,
        "n_holes": 2,
        "coverage_median_s": 120.0,
        "coverage_max_s": 150.0,
        "n_ties": 412,
        "tie_rms_px": 0.12,
        "catalogue_rms_arcsec": 0.5,
        "flux_rms": 0.011,
        "sky_rms_sigma": 0.1,
        "surface_order": 1,
        "distortion_order": {"seestar": 3},
        "canvas_wcs": COORDINATES,
        "panels": panels,
        "overlaps": [overlap],
    }
    return MosaicRecord(**{**facts, **changes})


def manifests() -> list[Manifest]:
    """Runs of every kind: what the page can say, it says of one of them."""
    found = [invented_manifest(), invented_manifest(200), invented_manifest(0, statistics=None, outputs=[])]
    magnitudes = [
        ChannelPhotometry(channel="R", zero_point_mag=18.2, colour_term=0.12),
        ChannelPhotometry(channel="G", limiting_mag=15.2, sky_mag_arcsec2=20.1),
    ]
    facts = {"catalogue": "Tycho-2", "epoch_year": 2025.2, "scale_arcsec": 2.4, "n_catalogue": 120}
    solved = SkyRecord(
        solved=True, ra_deg=192.7, dec_deg=-41.1, scale_arcsec=2.37, rotation_deg=31.4, n_matched=181, rms_px=0.31
    )
    found.append(invented_manifest(sky=solved, photometry=Photometry(**facts, channels=magnitudes)))
    choices = [
        ("planes", "none", "none", "median"),
        ("mosaic", "fwhm", "additive", "sum"),
        ("cfa", "stars", "multiplicative", "min"),
        ("rcd", "noise", "both", "max"),
        ("rcd", "transparency", "both", "mean"),
        ("rcd", "exposure", "both", "trimmed"),
        ("rcd", "luck", "both", "mean"),
    ]
    kinds = ("bias", "dark", "flat", "flat_dark", "bias", "dark", "flat")
    for (method, weights, level, combine), kind in zip(choices, kinds, strict=True):
        master = MasterRecord(
            kind=kind, n_frames=3, exposure_s=None, gain=None, temperature_c=None, files=[], dark_scale=1.5
        )
        recipe = {
            "weights": weights,
            "normalise": level,
            "combine": combine,
            "unit": "adu",
            "is_given": weights == "fwhm",
        }
        found.append(invented_manifest(9, debayer_method=method, recipe=recipe, calibration=[master], reference=None))
    unplaced = SkyRecord(solved=False, reason="too few stars")
    bare = {"calibration": [], "statistics": None, "saturation_adu": 4000.0, "star_colour": (0.62, 0.48)}
    found.append(invented_manifest(9, sky=unplaced, **bare))
    row = MatchRow(FrameKind.DARK, 20, 10.0, 80.0, 21.0, "IRCUT", False, "darks", "used", "same gain")
    found.append(invented_manifest(9, rejection_rule="none", calibration_table=[asdict(row)]))
    frames = [frame.model_copy(update={"wcs": COORDINATES}) for frame in invented_manifest(30).frames]
    frames[0] = frames[0].model_copy(update={"date_obs": "2025-03-25T21:20:46"})
    records = (mosaic(), mosaic(tie_rms_px=None, n_holes=0, overlaps=[]))
    found += [invented_manifest(frames=frames, mosaic=one, recipe={"feather_px": 40.0}) for one in records]
    unnamed = {"status": "left_out", "code": None, "reason": "no stars"}
    left_out = [frame.model_copy(update=unnamed) for frame in frames[:9]]
    stages = (None, "discover", "calibrate", "measure", "select", "register", "integrate", None, None)
    frames = [one.model_copy(update={"stage": stage}) for one, stage in zip(left_out, stages, strict=True)]
    return [*found, invented_manifest(frames=[one.model_copy(update={"date_obs": None}) for one in frames])]


@pytest.fixture(scope="module")
def french() -> str:
    return report_html(invented_manifest(), ONE_PIXEL_PNG, FRENCH)


def test_the_catalogue_holds_every_sentence_and_no_other() -> None:
    said = {texts(arguments[:1])[0] for name in ("say", "Phrase") for arguments in calls(name)}
    assert len(said) > 200
    assert set(FRENCH.phrases) == said
    assert set(FRENCH.counted) == {texts(arguments[1:3])[1] for arguments in calls("count")}


def test_both_languages_fill_in_the_same_facts() -> None:
    for english, french in FRENCH.phrases.items():
        assert placeholders(english) == placeholders(french), english
    for one, several in (texts(arguments[1:3]) for arguments in calls("count")):
        for template in (one, *FRENCH.counted[several]):
            assert placeholders(template) == placeholders(several) >= {"n"}, template


def test_every_code_of_a_frame_that_is_left_out_has_french_words() -> None:
    assert set(FRENCH.reasons) == LEFT_OUT_CODES


def test_french_is_set_as_in_print() -> None:
    pairs = [text for pair in FRENCH.counted.values() for text in pair]
    for text in (*FRENCH.phrases.values(), *pairs, *FRENCH.reasons.values()):
        assert not re.search(r"[^\u00a0\d][:;?!%]", text), text
        assert not re.search(r"['\"<>&]|\.\.\.| \u00a0|\u00a0 |  ", text), text
        assert not re.search(r"} (px|s|ADU|σ)\b", text), text


def test_the_page_says_nothing_that_is_not_in_the_catalogue() -> None:
    """A language that says nothing but the facts leaves only what the run recorded."""
    mute = Language(
        "xx",
        phrases=MappingProxyType({text: _only_facts(text) for text in FRENCH.phrases}),
        counted=MappingProxyType({text: (_only_facts(text),) * 2 for text in FRENCH.counted}),
    )
    own = {"min", "adu", "sha", "skyquilt", "verify"}
    for manifest in manifests():
        recorded = set(re.findall(r"[a-z]{3,}", manifest.model_dump_json().lower()))
        assert set(re.findall(r"[a-z]{3,}", _shown(report_html(manifest, ONE_PIXEL_PNG, mute)))) <= recorded | own


def _shown(page: str) -> str:
    """What a page shows and says, in small letters: its texts, and the attributes that are read out."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    spoken = re.findall(r' (?:title|alt|aria-label)="([^"]*)"', body)
    return unescape(" ".join([re.sub(r"<[^>]*>", " ", body), *spoken])).lower()


def _only_facts(template: str) -> str:
    return " ".join(f"{{{name}}}" for name in sorted(placeholders(template)))


def test_every_sentence_is_said_of_some_run() -> None:
    """So that the page of every branch is made in French, and no sentence is left that nobody says."""
    said: set[str] = set()

    class Heard(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            said.add(key)
            return super().get(key, default)

    listening = replace(FRENCH, phrases=Heard(FRENCH.phrases), counted=Heard(FRENCH.counted))
    for manifest in manifests():
        assert 'lang="fr"' in report_html(manifest, ONE_PIXEL_PNG if manifest.statistics else None, listening)
    unsaid = {*FRENCH.phrases, *FRENCH.counted} - said
    assert unsaid == set()


def test_the_page_is_french_and_its_recorded_sentences_are_marked_english(french: str) -> None:
    outline = Outline(french)
    assert ("html", "lang", "fr") in outline.attributes
    for words in ("Ce qui a été fait", "Brutes empilées", "Toutes les brutes", "champ tourné de", "Réglages"):
        assert words in outline.text
    assert '<ul lang="en"><li>no flat frames were found: vignetting remains' in french
    assert 'étoiles étirées (<span lang="en">trailed: eccentricity 0.72 &gt; 0.60</span>)' in french


def test_reasons_are_told_in_french_with_the_figures_of_the_program(french: str) -> None:
    text = Outline(french).text
    assert f"✕ écartée à la sélection{NO_BREAK_SPACE}: étoiles étirées (trailed: eccentricity 0.72 > 0.60)" in text
    assert "Fichier tronqué" in text and "file ends after 61 % of it" in text
    assert f", écartée{NO_BREAK_SPACE}: fichier tronqué" in text


def test_a_code_without_words_is_told_by_its_sentence() -> None:
    frame = invented_manifest(1).frames[0]
    unknown = frame.model_copy(update={"status": "left_out", "code": "eclipse", "reason": "the moon <went>"})
    page = report_html(invented_manifest(frames=[unknown]), None, FRENCH)
    assert f"✕ écartée{NO_BREAK_SPACE}: the moon &lt;went&gt;<td>" in page


def test_recorded_texts_cannot_become_markup_or_placeholders() -> None:
    evil = "<script>{n}</script>\"'&{"
    manifest = invented_manifest(120, target=evil, session=evil, filter=evil, reference=evil, warnings=[evil])
    frames = [one.model_copy(update={"file": evil, "reason": evil, "notes": [evil]}) for one in manifest.frames]
    outline = Outline(report_html(manifest.model_copy(update={"frames": frames}), None, FRENCH))
    assert "script" not in outline.tags
    assert f"étoiles étirées ({evil}) ({evil})" in outline.text


def test_numbers_have_a_comma_and_stay_with_their_units() -> None:
    said = [
        FRENCH.amount(3.14159),
        FRENCH.percent(0.0123),
        FRENCH.duration(11100),
        FRENCH.duration(9.5),
        FRENCH.bytes_text(24883200),
        FRENCH.bytes_text(12),
        FRENCH.per_channel([1.0, 2.0, 3.0]),
        FRENCH.measure(None, "px"),
    ]
    assert [text.replace(NO_BREAK_SPACE, "_") for text in said] == [
        "3,14",
        "1,23_%",
        "3_h_05_min",
        "9,50_s",
        "24,9_Mo",
        "12_o",
        "R_1,00_; G_2,00_; B_3,00",
        "–_px",
    ]
    assert [ENGLISH.bytes_text(24883200), ENGLISH.measure(1.5, "px")] == ["24.9 MB", "1.50 px"]


@pytest.mark.parametrize(
    ("n", "english", "french"),
    [(0, "0 frames", "0 pose"), (1, "1 frame", "1 pose"), (2, "2 frames", "2 poses")],
)
def test_each_language_counts_in_its_own_way(n: int, english: str, french: str) -> None:
    assert ENGLISH.count(n, "{n} frame", "{n} frames") == english
    assert FRENCH.count(n, "{n} frame", "{n} frames") == french


def test_one_frame_is_told_in_the_singular() -> None:
    kept = invented_manifest(9).frames[:1]
    manifest = invented_manifest(frames=kept, n_defects=1)
    told = {language.code: " ".join(text for _, text in story(manifest, language)) for language in (ENGLISH, FRENCH)}
    assert told["en"].startswith("1 light frame was found and stacked.")
    assert "1 hot, cold or dead pixel was replaced from its neighbours." in told["en"]
    assert told["fr"].startswith("1 brute a été trouvée et empilée.")
    assert "1 pixel chaud, froid ou mort a été remplacé d’après ses voisins." in told["fr"]


def test_a_translated_page_keeps_the_picture_of_the_file() -> None:
    manifest = invented_manifest(target='M 94 <img src="data:image/png;base64,AAAA">')
    page = report_html(manifest, ONE_PIXEL_PNG, ENGLISH).encode()
    assert translated_page(page, manifest, "fr") == report_html(manifest, ONE_PIXEL_PNG, FRENCH).encode()
    bare = report_html(manifest, None, ENGLISH).encode()
    assert translated_page(bare, manifest, "fr") == report_html(manifest, None, FRENCH).encode()
