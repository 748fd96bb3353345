"""What the names of files and folders tell about a frame: its kind, and facts that a header may lack."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

from skyquilt.core import FrameKind

__all__ = ["NameFacts", "kind_of_file", "kind_of_folder", "read_file_name", "read_folder_name", "target_of_folder"]

_WORDS = {
    FrameKind.FLAT_DARK: r"flat ?darks?|darks? ?(?:de |of )?flats?",
    FrameKind.LIGHT: r"lights?|brutes?|lumieres?",
    FrameKind.DARK: r"darks?|noirs?",
    FrameKind.FLAT: r"flats?|plus?",
    FrameKind.BIAS: r"bias(?:es)?|offsets?|zeros?",
}
_KIND_FIRST = {
    kind: re.compile(rf"(?:(?P<master>masters?) ?)?(?:{words})(?=$| |\d)(?P<rest>.*)") for kind, words in _WORDS.items()
}
_SETTING = re.compile(
    r".*\d.*|frames?|fits?|gain|exp|exposures?|temp|bin|iso|offset|sec|min|ms|s|c|deg|filters?|filtre|library|lib|raw|masters?"
    r"|l|r|g|b|ha|h|oiii|o|sii|lum|lp|uhc|vis|astro|duo|band|ircut|ir|cut|red|green|blue|old|new|set|tele|wide|cam"
)
"""Words that may follow a kind in the name of a folder; anything else ("Dark Shark") makes it a target."""
_CAPITAL_KINDS = {
    "LIGHT": FrameKind.LIGHT,
    "DARK": FrameKind.DARK,
    "FLAT": FrameKind.FLAT,
    "BIAS": FrameKind.BIAS,
    "DARKFLAT": FrameKind.FLAT_DARK,
    "FLATDARK": FrameKind.FLAT_DARK,
}


@dataclass(frozen=True, slots=True)
class NameFacts:
    """
    Facts read from a name; None where it says nothing.

    Attributes
    ----------
    kind : FrameKind or None
    gain : float or None
        The photographic gain; a factory master's gain *index* is not taken for one.
    camera : str or None
        "TELE" or "WIDE" (DWARF).
    n_stacked : int or None
        Exposures in a factory master.
    is_mosaic : bool
        Taken in the device's mosaic mode.
    """

    kind: FrameKind | None = None
    target: str | None = None
    exposure_s: float | None = None
    gain: float | None = None
    filter: str | None = None
    temperature_c: float | None = None
    binning: tuple[int, int] | None = None
    camera: str | None = None
    n_stacked: int | None = None
    is_master: bool = False
    is_mosaic: bool = False
    device: str | None = None

    def over(self, other: NameFacts) -> NameFacts:
        """Return these facts, and those of `other` where this says nothing."""
        known = {
            name: getattr(self, name)
            for name in ("kind", "target", "exposure_s", "gain", "filter", "temperature_c", "binning", "camera")
            if getattr(self, name) is not None
        }
        return replace(
            other,
            **known,
            n_stacked=self.n_stacked if self.n_stacked is not None else other.n_stacked,
            is_master=self.is_master or other.is_master,
            is_mosaic=self.is_mosaic or other.is_mosaic,
            device=self.device or other.device,
        )


def _plain(text: str) -> str:
    """Lower case, accents taken off, every separator a single blank."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[\s_\-.()+,]+", " ", bare.casefold()).strip()


def _stem(name: str) -> str:
    """Return the name without its (double) ending."""
    return re.sub(r"\.(fits?|fts)(\.\w+)?$|\.fz$", "", name, flags=re.IGNORECASE)


def kind_of_folder(name: str) -> FrameKind | None:
    """Return the kind that the whole name of a folder stands for, in English or French, or None."""
    plain = _plain(name)
    for kind, pattern in _KIND_FIRST.items():
        match = pattern.fullmatch(plain)
        if match and all(_SETTING.fullmatch(word) for word in match["rest"].split()):
            return kind
    return None


def kind_of_file(name: str) -> tuple[FrameKind | None, bool]:
    """
    Return (kind, is_master) from the first word of a file's name, or a word in capitals further on (N.I.N.A.).

    A blank after the word must be followed by a number: "Dark Shark 001.fit" is no dark.
    """
    stem = _stem(name)
    plain = _plain(stem)
    for kind, pattern in _KIND_FIRST.items():
        match = pattern.match(plain)
        if match:
            after = stem[len(stem) - len(stem.lstrip()) :]
            words = re.match(r"(?:masters?[\s_\-.]*)?[^\W\d_]+(.?)(.?)", after, flags=re.IGNORECASE)
            if words and words[1].isspace() and not (words[2].isdigit() or kind_of_folder(stem)):
                continue
            return kind, match["master"] is not None
    found = {_CAPITAL_KINDS[word] for word in re.split(r"[_\-\s]+", stem) if word in _CAPITAL_KINDS}
    return (found.pop(), False) if len(found) == 1 else (None, False)


_TIME = r"\d{8}-\d{6,9}"
_DEVICE_NAMES = (
    (
        re.compile(
            rf"(?P<kind>light)_(?P<mosaic>mosaic_)?(?P<target>.+?)_(?P<exposure>[\d.]+)s(_(?P<filter>[^_]+))?_{_TIME}",
            re.IGNORECASE,
        ),
        "seestar",
    ),
    (
        re.compile(rf"(?P<kind>raw)_(?P<exposure>[\d.]+)s_(?P<gain>\d+)_\d+_{_TIME}(_(?P<temperature>-?\d+)C)?"),
        "dwarf",
    ),
    (re.compile(r"raw_(?P<target>.+)_(?P<exposure>[\d.]+)s_(?P<gain>\d+)_\d+"), "dwarf"),
    (
        re.compile(
            rf"(?P<target>.+)_(?P<exposure>[\d.]+)s(?P<gain>\d+)_(?P<filter>[^_]+)_{_TIME}(_(?P<temperature>-?\d+)C)?"
        ),
        "dwarf",
    ),
    (re.compile(r"light_(?P<filter>[LRGB]|Ha|OIII|SII)_(?P<milliseconds>\d+)ms_\d+", re.IGNORECASE), None),
)
_FACTORY = re.compile(
    r"(?P<kind>bias|dark|flat)(_exp_(?P<exposure>[\d.]+))?_gain_(?P<gain>\d+)_bin_(?P<bin>\d)"
    r"(_ir_(?P<ir>\d))?(_(?P<temperature>-?\d+)C)?(_stack_(?P<stack>\d+))?.*",
    re.IGNORECASE,
)
_FACTORY_FILTERS = ("VIS", "Astro", "Duo-Band")
_CAMERAS = {"cam_0": "TELE", "cam_1": "WIDE"}


def read_file_name(name: str) -> NameFacts:
    """Return what the name of a file tells, for the naming of Seestar, DWARF and Jocular, and for kinds in general."""
    stem = _stem(name)
    kind, is_master = kind_of_file(name)
    for pattern, device in _DEVICE_NAMES:
        match = pattern.fullmatch(stem)
        if not match:
            continue
        said = match.groupdict()
        exposure = _float(said.get("exposure"))
        if said.get("milliseconds"):
            exposure = float(said["milliseconds"]) / 1000.0
        is_dark = said.get("kind") == "raw"
        return NameFacts(
            kind=FrameKind.DARK if is_dark else FrameKind.LIGHT,
            target=said.get("target"),
            exposure_s=exposure,
            gain=_float(said.get("gain")),
            filter=said.get("filter"),
            temperature_c=_float(said.get("temperature")),
            is_mosaic=bool(said.get("mosaic")),
            device=device,
        )
    return NameFacts(kind=kind, is_master=is_master)


def read_factory_name(name: str, folders: tuple[str, ...]) -> NameFacts | None:
    """Return the facts of a DWARF factory master, told only by its name and folder; None for other files."""
    match = _FACTORY.fullmatch(_stem(name))
    if not match:
        return None
    kind = FrameKind(match["kind"].lower())
    camera = next((_CAMERAS[folder.lower()] for folder in reversed(folders) if folder.lower() in _CAMERAS), None)
    ir = int(match["ir"]) if match["ir"] else None
    binning = int(match["bin"])
    return NameFacts(
        kind=kind,
        exposure_s=_float(match["exposure"]),
        gain=_float(match["gain"]) if kind is FrameKind.DARK else None,
        filter=_FACTORY_FILTERS[ir] if ir is not None and ir < len(_FACTORY_FILTERS) else None,
        temperature_c=_float(match["temperature"]),
        binning=(binning, binning),
        camera=camera,
        n_stacked=int(match["stack"]) if match["stack"] else None,
        is_master=True,
        device="dwarf",
    )


_DWARF_SESSION = re.compile(
    r"(?:restacked_)?(?:dwarf|draco)_raw_(?:(?P<camera>tele|wide)_)?(?P<mosaic>mosaic_)?(?:(?P<target>.+)_)??"
    r"exp_(?P<exposure>[\d.]+)_gain_(?P<gain>\d+)_(?P<time>[\d-]+)",
    re.IGNORECASE,
)
_DWARF_DARKS = re.compile(
    r"(?:(?P<camera>tele|wide)_)?exp_(?P<exposure>[\d.]+)_gain_(?P<gain>\d+)_bin_(?P<bin>\d)(?P<rest>.*)", re.IGNORECASE
)


@lru_cache(maxsize=1024)  # a folder has thousands of frames
def read_folder_name(name: str) -> NameFacts:
    """Return what the name of a device's session folder tells; of other folders only the kind."""
    match = _DWARF_SESSION.fullmatch(name)
    if match:
        return NameFacts(
            kind=FrameKind.LIGHT,
            target=match["target"] or None,
            exposure_s=_float(match["exposure"]),
            gain=_float(match["gain"]),
            camera=match["camera"].upper() if match["camera"] else None,
            is_mosaic=bool(match["mosaic"]),
            device="dwarf",
        )
    match = _DWARF_DARKS.fullmatch(name)
    if match:
        binning = int(match["bin"])
        return NameFacts(
            kind=FrameKind.DARK,
            exposure_s=_float(match["exposure"]),
            gain=_float(match["gain"]),
            binning=(binning, binning),
            camera=match["camera"].upper() if match["camera"] else None,
            device="dwarf",
        )
    if name.upper() == "DWARF_DARK":
        return NameFacts(kind=FrameKind.DARK, device="dwarf")
    if name.casefold().endswith("_sub"):
        return NameFacts(
            kind=FrameKind.LIGHT,
            target=target_of_folder(name),
            is_mosaic=name.casefold().endswith("_mosaic_sub"),
        )
    return NameFacts(kind=kind_of_folder(name))


@lru_cache(maxsize=1024)
def target_of_folder(name: str) -> str | None:
    """Return the target that a folder is named after, or None where the name stands for something else."""
    match = _DWARF_SESSION.fullmatch(name)
    if match:
        return match["target"] or None
    bare = re.sub(r"(_mosaic)?_sub$", "", name, flags=re.IGNORECASE).strip()
    generic = {
        "myworks",
        "astronomy",
        "dwarf_dark",
        "cali_frame",
        "fits",
        "images",
        "captures",
        "data",
        "raw",
        "rawdata",
    }
    if not bare or kind_of_folder(bare) is not None or bare.casefold() in generic:
        return None
    return bare


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # "1.2.3"
        return None
