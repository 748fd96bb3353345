"""The header of a master, in the words that Siril, PixInsight, ASTAP and DeepSkyStacker read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

from skyquilt import __version__
from skyquilt.core import Cfa, FrameKind, FrameMeta
from skyquilt.engine.light import Light
from skyquilt.engine.sampling import Sampling

__all__ = ["Card", "camera_cards", "history_lines", "master_cards"]

Card = tuple[str, str | float | int | bool | None, str]

_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_JD_OF_MJD = 2400000.5
_LINE = 68


def master_cards(
    lights: Sequence[Light],
    sampling: Sampling,
    *,
    unit: str,
    full_scale_adu: float,
    mosaic: Cfa | None,
    created: str | None,
    row_order: str | None = None,
) -> list[Card]:
    """
    Return the cards of a master light.

    Parameters
    ----------
    lights : sequence of Light
        Those that were stacked.
    unit : "normalised" or "adu"
    full_scale_adu : float
        The ADU that became 1 in the normalised unit.
    mosaic : Cfa or None
        The pattern, as the canvas begins, of a colour filter array that is still in the pixels.
    created : str or None
        DATE; left out when None, so that the same run writes the same bytes.
    row_order : str or None
        ROWORDER; None: that of the frames.
    """
    metas = [light.file.meta for light in lights]
    exposures = [meta.exposure_s for meta in metas if meta.exposure_s]
    cards: list[Card] = [
        ("BUNIT", "adu" if unit == "adu" else f"adu/{full_scale_adu:g}", "unit of the pixel values"),
        ("IMAGETYP", "Master Light", "type of image"),
        ("STACKCNT", len(lights), "number of frames stacked"),
        ("NCOMBINE", len(lights), "number of frames stacked"),
    ]
    if exposures:
        cards += [
            ("EXPTIME", median(exposures), "[s] exposure of one frame"),
            ("EXPOSURE", median(exposures), "[s] exposure of one frame"),
            ("LIVETIME", sum(exposures), "[s] sum of all exposures"),
            ("TOTALEXP", sum(exposures), "[s] sum of all exposures"),
        ]
    cards += _times(metas)
    if created:
        cards.append(("DATE", created, "when this file was made (UTC)"))
    cards += _equipment(metas, sampling.cell)
    if mosaic:
        cards.append(("BAYERPAT", mosaic.name, "colour filter array as stored"))
    cards += [
        (
            "ROWORDER",
            row_order or _unanimous([meta.row_order for meta in metas]) or "TOP-DOWN",
            "order of the rows as stored",
        ),
        ("PROGRAM", f"skyquilt {__version__}", "made by"),
        ("SWCREATE", f"skyquilt {__version__}", "made by"),
        ("CREATOR", f"skyquilt {__version__}", "made by"),
    ]
    if calibrated := _calibration_status(lights):
        cards.append(("CALSTAT", calibrated, "bias, dark, flat applied"))
    return cards


def _calibration_status(lights: Sequence[Light]) -> str:
    darks = any(light.calibration.dark is not None for light in lights)
    flats = any(light.calibration.inverse_flat is not None for light in lights)
    return ("BD" if darks else "") + ("F" if flats else "")


def _times(metas: Sequence[FrameMeta]) -> list[Card]:
    """First start, last end and middle of the session, as far as the headers tell."""
    spans = []
    for meta in metas:
        if meta.date_obs:
            start = datetime.fromisoformat(meta.date_obs).replace(tzinfo=UTC)
            spans.append((start, start + timedelta(seconds=meta.exposure_s or 0.0)))
    if not spans:
        return []
    begin, end = min(span[0] for span in spans), max(span[1] for span in spans)
    middle = begin + sum(((a - begin) + (b - begin) for a, b in spans), timedelta()) / (2 * len(spans))
    return [
        ("DATE-OBS", _iso(begin), "start of the first exposure (UTC)"),
        ("DATE-BEG", _iso(begin), "start of the first exposure (UTC)"),
        ("DATE-AVG", _iso(middle), "mean of the mid-exposures (UTC)"),
        ("DATE-END", _iso(end), "end of the last exposure (UTC)"),
        ("TIMESYS", "UTC", "time scale"),
        ("MJD-OBS", _mjd(begin), "start of the first exposure"),
        ("MJD-AVG", _mjd(middle), "mean of the mid-exposures"),
        ("EXPSTART", _mjd(begin) + _JD_OF_MJD, "[JD] start of the first exposure"),
        ("EXPEND", _mjd(end) + _JD_OF_MJD, "[JD] end of the last exposure"),
    ]


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _mjd(moment: datetime) -> float:
    return (moment - _MJD_EPOCH).total_seconds() / 86400.0


def _equipment(metas: Sequence[FrameMeta], cell: int) -> list[Card]:
    """What all frames agree on."""
    cards: list[Card] = []

    def add(keyword: str, of: Callable[[FrameMeta], str | float | None], comment: str) -> None:
        value = _unanimous([of(meta) for meta in metas])
        if value is not None:
            cards.append((keyword, value, comment))

    add("OBJECT", lambda meta: meta.object_name, "target")
    add("TELESCOP", lambda meta: meta.telescope, "telescope")
    add("INSTRUME", lambda meta: meta.instrument, "camera")
    add("FOCALLEN", lambda meta: meta.focal_mm, "[mm] focal length")
    add("APERTURE", lambda meta: meta.aperture_mm, "[mm] aperture")
    add("XPIXSZ", lambda meta: meta.pixel_um and meta.pixel_um * cell, "[um] pixel size")
    add("YPIXSZ", lambda meta: meta.pixel_um and meta.pixel_um * cell, "[um] pixel size")
    add("XBINNING", lambda meta: meta.binning[0], "binning")
    add("YBINNING", lambda meta: meta.binning[1], "binning")
    add("GAIN", lambda meta: meta.gain, "gain as the camera counts it")
    add("OFFSET", lambda meta: meta.offset, "offset as the camera counts it")
    add("EGAIN", lambda meta: meta.gain_e_per_adu, "[e/adu] gain")
    temperatures = [meta.temperature_c for meta in metas if meta.temperature_c is not None]
    if temperatures:
        cards.append(("CCD-TEMP", round(fmean(temperatures), 2), "[C] mean sensor temperature"))
    filters = {meta.filter for meta in metas if meta.filter}
    if filters:
        cards.append(("FILTER", filters.pop() if len(filters) == 1 else "mixed", "filter"))
    return cards


def camera_cards(meta: FrameMeta) -> list[Card]:
    """Return what a master calibration frame must say of the camera, so that it can be matched again."""
    cards: list[Card] = [("XBINNING", meta.binning[0], "binning"), ("YBINNING", meta.binning[1], "binning")]
    if meta.offset is not None:
        cards.append(("OFFSET", meta.offset, "offset as the camera counts it"))
    if meta.instrument:
        cards.append(("INSTRUME", meta.instrument, "camera"))
    if meta.filter and meta.kind is FrameKind.FLAT:
        cards.append(("FILTER", meta.filter, "filter"))
    if meta.cfa:
        cards.append(("BAYERPAT", meta.cfa.name, "colour filter array as stored"))
    cards.append(("ROWORDER", meta.row_order or "TOP-DOWN", "order of the rows as stored"))
    return cards


def _unanimous(values: Sequence[str | float | None]) -> str | float | None:
    """Return the value that all agree on, or None."""
    return values[0] if values and all(value == values[0] for value in values) else None


def history_lines(lines: Sequence[str]) -> list[Card]:
    """Return HISTORY cards: ASCII, wrapped at blanks to the length of a card."""
    cards: list[Card] = []
    for line in lines:
        text = line.encode("ascii", "replace").decode()
        while len(text) > _LINE:
            cut = text.rfind(" ", 0, _LINE)
            cut = cut if cut > 0 else _LINE
            cards.append(("HISTORY", text[:cut], ""))
            text = "  " + text[cut:].lstrip()
        cards.append(("HISTORY", text, ""))
    return cards
