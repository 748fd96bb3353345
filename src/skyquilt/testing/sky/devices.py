"""How each device names its files and folders and words its headers (docs: what the devices write)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from skyquilt.core import FrameKind
from skyquilt.testing.sky.coordinates import julian_year, precess_from_j2000
from skyquilt.testing.sky.fits import COMMENTARY, Card
from skyquilt.testing.sky.scenario import Scenario

__all__ = [
    "calibration_cards",
    "calibration_path",
    "device_stack_path",
    "light_cards",
    "light_paths",
    "master_path",
    "shots_info",
]

_UNSIGNED = (
    Card("BZERO", 32768, "offset data range to that of unsigned short"),
    Card("BSCALE", 1, "default scaling factor"),
)
_GENERIC_FOLDERS = {
    FrameKind.DARK: ("darks", "DARK"),
    FrameKind.FLAT: ("flats", "FLAT"),
    FrameKind.BIAS: ("biases", "BIAS"),
    FrameKind.FLAT_DARK: ("flat_darks", "DARKFLAT"),
}
_DWARF_FILTERS = {"VIS": 0, "Astro": 1, "Duo-Band": 2}


def light_paths(scenario: Scenario, folder: Path, starts: Sequence[datetime]) -> list[Path]:
    """Return where the device puts its lights below `folder`, one path a start of exposure."""
    local = [start + timedelta(hours=scenario.utc_offset_h) for start in starts]
    if scenario.device == "seestar":
        return [_seestar_path(scenario, folder, start) for start in local]
    if scenario.device == "generic":
        lights = folder / "lights"
        part = f"_{scenario.filter}" if scenario.filter else ""
        stem = f"{scenario.target}_LIGHT{part}_{scenario.exposure_s:.2f}s"
        return [lights / f"{stem}_{k:04d}.fits" for k in range(len(starts))]
    session = folder / "Astronomy" / _dwarf_folder(scenario, local[0] if local else None)
    names = [_dwarf_name(scenario, k, start) for k, start in enumerate(local)]
    return [session / (f"failed_{name}" if k >= scenario.n_frames else name) for k, name in enumerate(names)]


def _seestar_path(scenario: Scenario, folder: Path, start: datetime) -> Path:
    """Return the path of a sub; its time is local and about 3 s after the end of the exposure."""
    saved = start + timedelta(seconds=scenario.exposure_s + 3.0)
    is_mosaic = len(scenario.panels) > 1
    prefix, suffix = ("Light_mosaic", "_mosaic_sub") if is_mosaic else ("Light", "_sub")
    name = f"{prefix}_{scenario.target}_{scenario.exposure_s:.1f}s_{scenario.filter}_{saved:%Y%m%d-%H%M%S}.fit"
    return folder / "MyWorks" / f"{scenario.target}{suffix}" / name


def _dwarf_folder(scenario: Scenario, start: datetime | None) -> str:
    """Return the name of the session's folder."""
    exposure, stamp = f"{scenario.exposure_s:g}", _long_stamp(start or datetime.fromisoformat(scenario.start_utc))
    lens = "TELE_" if scenario.device == "dwarf3" else ""
    return f"DWARF_RAW_{lens}{_dwarf_target(scenario)}_EXP_{exposure}_GAIN_{scenario.gain}_{stamp}"


def _dwarf_target(scenario: Scenario) -> str:
    return scenario.target if scenario.device == "dwarf3" else scenario.target.replace(" ", "")


def _dwarf_name(scenario: Scenario, index: int, start: datetime) -> str:
    exposure, target = f"{scenario.exposure_s:g}", _dwarf_target(scenario)
    if scenario.device == "dwarf2":
        return f"raw_{target}_{exposure}s_{scenario.gain}_{index:04d}.fits"
    saved = start + timedelta(seconds=scenario.exposure_s + 1.0)
    temperature = round(_dwarf_temperature(scenario, index))
    return f"{target}_{exposure}s{scenario.gain}_{scenario.filter}_{_short_stamp(saved)}_{temperature}C.fits"


def _dwarf_temperature(scenario: Scenario, index: int) -> float:
    """Return the temperature of an uncooled sensor: the night takes 4 C in 50 frames."""
    return scenario.temperature_c - 4.0 * min(1.0, index / 50.0)


def _long_stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d-%H-%M-%S}-{time.microsecond // 1000:03d}"


def _short_stamp(time: datetime) -> str:
    return f"{time:%Y%m%d-%H%M%S}{time.microsecond // 1000:03d}"


def light_cards(scenario: Scenario, structure: list[Card], start: datetime, index: int) -> list[Card]:
    """Return the header of a light: the structure cards of its pixels, then what the device says."""
    if scenario.device == "seestar":
        return _seestar_cards(scenario, structure, start)
    if scenario.device == "dwarf3":
        return _dwarf3_cards(scenario, structure, start, index, is_dark=False)
    if scenario.device == "dwarf2":
        return _dwarf2_cards(scenario, structure, start, is_dark=False)
    return _generic_cards(scenario, structure, start, "LIGHT", scenario.exposure_s)


def _seestar_cards(scenario: Scenario, structure: list[Card], start: datetime) -> list[Card]:
    """Return the header of firmware 4.27; RA and DEC are of date, and the same through the session."""
    first = datetime.fromisoformat(scenario.start_utc)
    ra, dec = precess_from_j2000(scenario.ra_deg, scenario.dec_deg, julian_year(first))
    pixel = 2.90000009536743  # 2.9 as a float32
    cards = [
        Card("CREATOR", "ZWO Seestar S50", "Capture software"),
        Card("PRODUCER", "ZWO", "Powered by ZWO"),
        Card("XORGSUBF", 0, "Subframe X position in binned pixels"),
        Card("YORGSUBF", 0, "Subframe Y position in binned pixels"),
        Card("FOCALLEN", 250, "Focal length of telescope in mm"),
        Card("APERTURE", 5.0, "Name of field of view aperture"),
        Card("PROGRAM", "4.27", "The name of the software task that created the"),
        Card("XBINNING", 1, "Camera X Bin"),
        Card("YBINNING", 1, "Camera Y Bin"),
        Card("CCDXBIN", 1, "Camera X Bin"),
        Card("CCDYBIN", 1, "Camera Y Bin"),
        Card("XPIXSZ", pixel, "pixel size in microns (with binning)"),
        Card("YPIXSZ", pixel, "pixel size in microns (with binning)"),
        Card("IMAGETYP", "Light", "Type of image"),
        Card("EXPOSURE", scenario.exposure_s, "Exposure time in seconds"),
        Card("EXPTIME", scenario.exposure_s, "Exposure time in seconds"),
        Card("CCD-TEMP", scenario.temperature_c, "sensor temperature in C"),
        Card("RA", round(ra, 6), "Object Right Ascension in degrees"),
        Card("DEC", round(dec, 6), "Object Declination in degrees"),
        Card("SITELONG", -70.0),
        Card("SITELAT", 45.0),
        Card("DATE-OBS", start.isoformat(timespec="microseconds"), "Image created time"),
        Card("FILTER", scenario.filter, "Filter used when taking image"),
        Card("INSTRUME", "Seestar S50", "Camera model"),
    ]
    if scenario.cfa:
        cards.append(Card("BAYERPAT", scenario.cfa, "Bayer pattern"))
    cards += [
        Card("GAIN", scenario.gain, "Gain Value"),
        Card("FOCUSPOS", 1555, "Focuser position in steps"),
        Card("TELESCOP", "S50_00000000", "Telescope name"),
        Card("OBJECT", scenario.target, "name or catalog number of object being imaged"),
        Card("TOTALEXP", scenario.exposure_s, "Total Exposure Time in seconds"),
    ]
    return [*structure, *COMMENTARY, *_UNSIGNED, *cards]


def _dwarf3_cards(
    scenario: Scenario, structure: list[Card], start: datetime, index: int, *, is_dark: bool
) -> list[Card]:
    """Return the header of a DWARF 3 raw frame (firmware of 2026): no IMAGETYP, RA in degrees."""
    pattern = [Card("BAYERPAT", scenario.cfa)] if scenario.cfa else []
    return [
        *structure,
        *_UNSIGNED,
        *pattern,
        Card("CAMERA", "TELE"),
        Card("DATE-OBS", start.isoformat(timespec="milliseconds")),
        Card("DEC", 0.0 if is_dark else scenario.dec_deg),
        Card("DET-TEMP", round(_dwarf_temperature(scenario, index))),
        Card("EXPTIME", scenario.exposure_s),
        Card("FILTER", "" if is_dark else scenario.filter),
        Card("FOCALLEN", 150.0),
        Card("GAIN", scenario.gain),
        Card("INSTRUME", "DWARF 3"),
        Card("OBJECT", "" if is_dark else scenario.target),
        Card("ORIGIN", "DWARFLAB"),
        Card("RA", 0.0 if is_dark else scenario.ra_deg),
        Card("RESTACK", 0),
        Card("TELESCOP", "DWARF 3"),
        Card("XBINNING", 1),
        Card("XPIXSZ", 2.0),
        Card("YBINNING", 1),
        Card("YPIXSZ", 2.0),
    ]


def _dwarf2_cards(scenario: Scenario, structure: list[Card], start: datetime, *, is_dark: bool) -> list[Card]:
    """Return the header of a DWARF II raw frame (2023): EXP instead of EXPTIME, RA in hours."""
    saved = start + timedelta(seconds=scenario.exposure_s + 1.496)
    pattern = [Card("BAYERPAT", scenario.cfa, "Bayer pattern")] if scenario.cfa else []
    return [
        *structure,
        *_UNSIGNED,
        Card("DATE-OBS", start.isoformat(timespec="milliseconds"), "Time start to exposure"),
        Card("DATE", saved.isoformat(timespec="milliseconds"), "Fits written to sd card"),
        Card("EXP", scenario.exposure_s, "[s] Sub Exposure Time"),
        Card("GAIN", scenario.gain, "Sub Gain"),
        Card("BINNING", "2*2", "n*n pixels add together"),
        Card("RA", 0.0 if is_dark else scenario.ra_deg / 15.0, "[h] Observe object RA coordinate (J2000)"),
        Card("DEC", 0.0 if is_dark else scenario.dec_deg, "[deg] Observe object DEC coordinate (J2000)"),
        Card("OBJECT", "" if is_dark else _dwarf_target(scenario), "Observe object"),
        *pattern,
        Card("TELESCOP", "DWARFII", "DWARF II telescope"),
        Card("INSTRUME", "DWARFII", "DWARF II instrument"),
        Card("ORIGIN", "DWARFLAB", "DWARF II's creator"),
    ]


def _generic_cards(
    scenario: Scenario, structure: list[Card], start: datetime, kind: str, exposure_s: float
) -> list[Card]:
    """Return the header of a capture program (N.I.N.A.): pixel size and focal length, J2000, row order."""
    local = start + timedelta(hours=scenario.utc_offset_h)
    optics = scenario.optics
    cards = [
        Card("IMAGETYP", kind, "Type of exposure"),
        Card("EXPOSURE", exposure_s, "[s] Exposure duration"),
        Card("EXPTIME", exposure_s, "[s] Exposure duration"),
        Card("DATE-LOC", local.isoformat(timespec="milliseconds"), "Time of observation (local)"),
        Card("DATE-OBS", start.isoformat(timespec="milliseconds"), "Time of observation (UTC)"),
        Card("XBINNING", 1, "X axis binning factor"),
        Card("YBINNING", 1, "Y axis binning factor"),
        Card("GAIN", scenario.gain, "Sensor gain"),
        Card("OFFSET", 30, "Sensor gain offset"),
        Card("EGAIN", scenario.gain_e_per_adu, "[e-/ADU] Electrons per A/D unit"),
        Card("XPIXSZ", optics.pixel_um, "[um] Pixel X axis size"),
        Card("YPIXSZ", optics.pixel_um, "[um] Pixel Y axis size"),
        Card("INSTRUME", "Synthetic camera", "Imaging instrument name"),
        Card("SET-TEMP", scenario.temperature_c, "[degC] CCD temperature setpoint"),
        Card("CCD-TEMP", scenario.temperature_c, "[degC] CCD temperature"),
        Card("FOCALLEN", optics.focal_mm, "[mm] Focal length"),
    ]
    if scenario.cfa:
        cards.append(Card("BAYERPAT", scenario.cfa, "Sensor Bayer pattern"))
        cards.append(Card("XBAYROFF", 0, "Bayer pattern X axis offset"))
        cards.append(Card("YBAYROFF", 0, "Bayer pattern Y axis offset"))
    if scenario.filter and kind in ("LIGHT", "FLAT"):
        cards.append(Card("FILTER", scenario.filter, "Active filter name"))
    if kind == "LIGHT":
        cards.append(Card("OBJECT", scenario.target, "Name of the object of interest"))
        cards.append(Card("RA", scenario.ra_deg, "[deg] RA of telescope"))
        cards.append(Card("DEC", scenario.dec_deg, "[deg] Declination of telescope"))
    cards.append(Card("ROWORDER", "TOP-DOWN", "FITS Image Orientation"))
    cards.append(Card("EQUINOX", 2000.0, "Equinox of celestial coordinate system"))
    cards.append(Card("SWCREATE", "N.I.N.A. 1.10.2.90", "Software that created this file"))
    return [*structure, *_UNSIGNED, *cards]


def calibration_path(scenario: Scenario, folder: Path, kind: FrameKind, index: int) -> Path:
    """Return where raw calibration frame `index` lies; Seestar users keep theirs in folders of their own."""
    start = datetime.fromisoformat(scenario.start_utc) + timedelta(hours=scenario.utc_offset_h - 2.0)
    exposure = f"{scenario.exposure_s:g}"
    if kind is FrameKind.DARK and scenario.device == "dwarf3":
        label = f"tele_exp_{exposure}_gain_{scenario.gain}_bin_1_{_long_stamp(start)}"
        saved = start + timedelta(seconds=(index + 1) * (scenario.exposure_s + 1.0))
        name = f"raw_{exposure}s_{scenario.gain}_{index:04d}_{_short_stamp(saved)}_{scenario.temperature_c:.0f}C.fits"
        return folder / "Astronomy" / "DWARF_DARK" / label / name
    if kind is FrameKind.DARK and scenario.device == "dwarf2":
        label = f"exp_{exposure}_gain_{scenario.gain}_bin_1"
        return folder / "Astronomy" / "DWARF_DARK" / label / f"{index:04d}.fits"
    place, word = _GENERIC_FOLDERS[kind]
    return folder / place / f"{word}_{index:04d}.fits"


def calibration_cards(
    scenario: Scenario, structure: list[Card], kind: FrameKind, index: int, exposure_s: float
) -> list[Card]:
    """Return the header of a raw calibration frame."""
    start = datetime.fromisoformat(scenario.start_utc) + timedelta(hours=-2.0, seconds=index * (exposure_s + 1.0))
    if kind is FrameKind.DARK and scenario.device == "dwarf3":
        return _dwarf3_cards(scenario, structure, start, 0, is_dark=True)
    if kind is FrameKind.DARK and scenario.device == "dwarf2":
        return _dwarf2_cards(scenario, structure, start, is_dark=True)
    return _generic_cards(scenario, structure, start, _GENERIC_FOLDERS[kind][1], exposure_s)


def master_path(scenario: Scenario, folder: Path, kind: FrameKind) -> Path:
    """Return where a DWARF keeps the factory master flat or bias of its tele camera."""
    band = f"_ir_{_DWARF_FILTERS.get(scenario.filter, 0)}" if kind is FrameKind.FLAT else ""
    return folder / "CALI_FRAME" / kind.value / "cam_0" / f"{kind.value}_gain_2_bin_1{band}.fits"


def device_stack_path(scenario: Scenario, lights: Path, start: datetime) -> Path:
    """Return where the device puts its own stack: Seestar beside the folder of the subs, DWARF among them."""
    local = start + timedelta(hours=scenario.utc_offset_h)
    if scenario.device == "seestar":
        stamp = f"{local:%Y%m%d-%H%M%S}"
        name = f"Stacked_{scenario.n_frames}_{scenario.target}_{scenario.exposure_s:.1f}s_{scenario.filter}_{stamp}.fit"
        return lights.parent / lights.name.removesuffix("_sub") / name
    kept = f"{_dwarf_target(scenario)}_{scenario.exposure_s:g}s{scenario.gain}_{scenario.filter}_{_short_stamp(local)}"
    return lights / f"stacked-{scenario.n_frames}_{kept}.fits"


def shots_info(scenario: Scenario) -> str:
    """Return the text of a DWARF's shotsInfo.json: RA in hours here, the exposure a string."""
    facts: dict[str, object] = {
        "DEC": round(scenario.dec_deg, 8),
        "RA": round(scenario.ra_deg / 15.0, 9),
        "binning": "1*1",
        "exp": f"{scenario.exposure_s:g}",
        "format": "FITS",
        "gain": scenario.gain,
        "ir": scenario.filter or "PASS",
        "shotsStacked": scenario.n_frames,
        "shotsTaken": scenario.n_frames + scenario.n_failed,
        "shotsToTake": max(300, scenario.n_frames + scenario.n_failed),
        "target": _dwarf_target(scenario),
    }
    if scenario.device == "dwarf3":
        facts |= {"maxTemp": round(scenario.temperature_c), "minTemp": round(scenario.temperature_c - 4.0)}
    return json.dumps(facts)
