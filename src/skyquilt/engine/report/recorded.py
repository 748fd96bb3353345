"""What the run recorded in English, within a page of any language: reasons, values, notes."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.report.language import ENGLISH, Language, Phrase
from skyquilt.engine.report.words import DASH

__all__ = ["column_name", "english", "plain", "reason_html", "reason_text"]

_COLUMNS = {
    "file": Phrase("file"),
    "code": Phrase("code"),
    "reason": Phrase("reason"),
    "kind": Phrase("kind"),
    "n_frames": Phrase("n frames"),
    "exposure_s": Phrase("exposure s"),
    "gain": Phrase("gain"),
    "temperature_c": Phrase("temperature c"),
    "filter": Phrase("filter"),
    "is_master": Phrase("is master"),
    "where": Phrase("where"),
    "verdict": Phrase("verdict"),
}


def english(language: Language) -> str:
    """Return the attribute of an element whose text is English, "" in a page that is English."""
    return "" if language.code == ENGLISH.code else f' lang="{ENGLISH.code}"'


def reason_text(frame: FrameRecord, language: Language) -> str:
    """Return why a frame is left out: its code in the words of the language, else the recorded reason."""
    code = language.reasons.get(frame.code or "")
    return frame.reason or "" if code is None else f"{code[:1].lower()}{code[1:]}"


def reason_html(frame: FrameRecord, language: Language) -> str:
    """Return why a frame is left out; behind the words of the language the recorded reason, which has the figures."""
    text = escape(reason_text(frame, language) or frame.code or "")
    if frame.code not in language.reasons or not frame.reason:
        return text
    return f"{text} (<span{english(language)}>{escape(frame.reason)}</span>)"


def column_name(key: str, language: Language) -> str:
    """Return what a column of recorded rows is called."""
    return language.tell(_COLUMNS[key]) if key in _COLUMNS else key.replace("_", " ")


def plain(value: Any, language: Language) -> str:
    """Return a recorded value as a reader wants it."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return language.say("yes") if value else language.say("no")
    if isinstance(value, float):
        return language.amount(value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(item, language) for item in value) or DASH
    return json.dumps(value, sort_keys=True, default=str)
