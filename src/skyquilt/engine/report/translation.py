"""The page of a report in another language, made from its manifest."""

from __future__ import annotations

import base64
import re
from types import MappingProxyType

from skyquilt.engine.manifest import Manifest
from skyquilt.engine.report.french import FRENCH
from skyquilt.engine.report.page import report_html

__all__ = ["TRANSLATIONS", "translated_page"]

TRANSLATIONS = MappingProxyType({FRENCH.code: FRENCH})
"""The languages of the page other than that of the file, by code."""

# a page has one picture, and names cannot bring another: their brackets are escaped
_PICTURE = re.compile(rb'<img src="data:image/png;base64,([A-Za-z0-9+/=]+)"')


def translated_page(page: bytes, manifest: Manifest, code: str) -> bytes:
    """
    Return a report as a page of another language.

    Parameters
    ----------
    page : bytes
        report.html, whose picture is taken over.
    manifest : Manifest
        Of the same run.
    code : str
        One of `TRANSLATIONS`.
    """
    picture = _PICTURE.search(page)
    thumbnail_png = base64.b64decode(picture[1]) if picture else None
    text = report_html(manifest, thumbnail_png, TRANSLATIONS[code])
    return text.encode("utf-8", "backslashreplace")
