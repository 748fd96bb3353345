"""The report of a stack: what was done to every frame, for people (HTML, Markdown) and for programs (JSON)."""

from skyquilt.engine.report.facts import LeftOutGroup, group_left_out, magnitude_rows, sky_sentence
from skyquilt.engine.report.language import ENGLISH, Language
from skyquilt.engine.report.translation import TRANSLATIONS, translated_page
from skyquilt.engine.report.words import amount, bytes_text, duration, per_channel, percent
from skyquilt.engine.report.write import write_reports

__all__ = [
    "ENGLISH",
    "TRANSLATIONS",
    "Language",
    "LeftOutGroup",
    "amount",
    "bytes_text",
    "duration",
    "group_left_out",
    "magnitude_rows",
    "per_channel",
    "percent",
    "sky_sentence",
    "translated_page",
    "write_reports",
]
