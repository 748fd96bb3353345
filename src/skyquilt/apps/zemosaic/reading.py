"""From ZeMosaic's values to ours: settings of a mosaic, folders, and what of a run stays on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyquilt.apps.zemosaic.given import Given
from skyquilt.apps.zemosaic.table import Key, look_up, nearest_key
from skyquilt.errors import BadInput, UsageError

__all__ = ["CONVERSIONS", "Conversion", "Reading", "from_options", "read_config", "read_solver_settings"]

_LARGEST = 16 << 20
_NORMALISE = {"none": "none", "linear_fit": "both", "sky_mean": "additive"}
_WEIGHTS = {"none": "none", "noise_variance": "noise", "noise_fwhm": "fwhm"}
_REJECTION = {
    "none": "none",
    "kappa_sigma": "sigma",
    "winsorized_sigma_clip": "winsorized",
    "linear_fit_clip": "linear_fit",
}
_COMBINE = {"mean": "mean", "median": "median"}
_ORIENTATION = {"north_up": "north", "median_pc": "auto"}
_RESUME = {"auto": "", "force": "", "off": "off"}
_LIMITS_OF_WORKERS = (
    "assembly_process_workers",
    "winsor_worker_limit",
    "num_processing_workers",
    "parallel_max_cpu_workers",
)
_USUAL_FRACTION = 0.8  # of the half diagonal, where a taper that is asked for without a fraction begins


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a setting, option or argument of ours is made from keys of theirs; None leaves it alone."""

    to: str
    keys: tuple[str, ...]
    value: Callable[[Given], Any]

    @property
    def is_setting(self) -> bool:
        """Whether it is a field of the recipe."""
        return self.to != "FOLDER" and not self.to.startswith("--")


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What was read.

    Attributes
    ----------
    origin : str
        The name of the file, or "" for options of the command line.
    settings : dict
        Fields of `MosaicRecipe`.
    origins : dict
        Where each of them was written, e.g. "stacking_kappa_low in zemosaic_config.json".
    input, output, scratch : Path or None
        Folders; relative ones are meant from the folder of the file.
    keep_canvas : bool or None
    is_fresh : bool
        Whether the run is to begin anew.
    values : dict
        All that the file holds.
    keys : tuple of Key
        The known ones of it, in their order.
    unknown : dict of str to str
        The others, with the known name that each is nearest to, or "".
    """

    origin: str
    settings: dict[str, Any]
    origins: dict[str, str]
    input: Path | None = None
    output: Path | None = None
    scratch: Path | None = None
    keep_canvas: bool | None = None
    is_fresh: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)

    def of_fate(self, fate: str) -> list[Key]:
        """Return the keys of a fate: "mapped", "always" or "none"."""
        return [key for key in self.keys if key.fate == fate]

    def changed(self) -> list[Key]:
        """Return the keys without an effect of their own that do not stand at ZeMosaic's default."""
        return [key for key in self.keys if key.fate != "mapped" and key.is_changed(self.values[key.name])]


def read_config(path: Path, *, free_memory: Callable[[], int]) -> Reading:
    """
    Return what a configuration file of ZeMosaic means here.

    Parameters
    ----------
    path : Path
        Its zemosaic_config.json, whole or in parts.
    free_memory : callable
        Returns the bytes of memory that are free: a share of it may be asked for.

    Raises
    ------
    UsageError
        If there is no such file, or a value that is taken over is of a wrong type or out of its range.
    BadInput
        If the file cannot be read, is no JSON object, or has no key of ZeMosaic.
    """
    values = _json_object(path, "--config")
    if values and not any(look_up(name) for name in values):
        raise BadInput(f"{path} is no settings file of ZeMosaic: it holds none of its keys", _HINT)
    return _read(Given(values, path.name), path.parent, free_memory)


def read_solver_settings(path: Path) -> Reading:
    """
    Return what a file with ZeMosaic's solver settings means here: which solver is chosen, and nothing else.

    Raises
    ------
    UsageError, BadInput
        As `read_config`.
    """
    values = _json_object(path, "--solver-settings")
    given = Given(values, path.name)
    chosen = _solve(
        Given({"solver_method": values.get("solver_choice")}, path.name, {"solver_method": "solver_choice"})
    )
    settings = {} if chosen is None else {"solve": chosen}
    return Reading(path.name, settings, dict.fromkeys(settings, given.called("solver_choice")), values=values)


def from_options(values: Mapping[str, Any], names: Mapping[str, str]) -> Reading:
    """
    Return what options of ZeMosaic's worker mean here.

    Parameters
    ----------
    values : mapping of str to any
        By the key that an option stands for.
    names : mapping of str to str
        The option by that key, for errors and origins.

    Raises
    ------
    UsageError
        If a value is out of its range.
    """
    return _read(Given(values, "", names), Path(), lambda: 0)


def _read(given: Given, beside: Path, free_memory: Callable[[], int]) -> Reading:
    settings: dict[str, Any] = {}
    origins: dict[str, str] = {}
    options: dict[str, Any] = {}
    for one in CONVERSIONS:
        value = one.value(given)
        if value is None:
            continue
        if one.to == "memory":
            value = int(value * free_memory())
        if one.is_setting:
            settings[one.to] = value
            origins[one.to] = given.called(next(key for key in one.keys if key in given.values))
        else:
            options[one.to] = value
    known = [key for name in given.values if (key := look_up(name)) is not None]
    unknown = {name: nearest_key(name) for name in given.values if look_up(name) is None}
    folders = {to: beside / Path(options[to]).expanduser() for to in ("FOLDER", "--out", "--scratch") if to in options}
    return Reading(
        given.origin,
        settings,
        origins,
        folders.get("FOLDER"),
        folders.get("--out"),
        folders.get("--scratch"),
        options.get("--keep-canvas"),
        options.get("--cache-refresh", False),
        given.values,
        tuple(known),
        unknown,
    )


def _json_object(path: Path, flag: str) -> dict[str, Any]:
    if not path.exists():
        raise UsageError(f"{flag}: there is no file {path}", "check the path")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        document = json.loads(content.decode("utf-8-sig")) if len(content) <= _LARGEST else None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "it is no text of JSON"
        raise BadInput(f"{path} is no settings file of ZeMosaic: {reason}", _HINT) from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} is no settings file of ZeMosaic: it holds no JSON object of keys and values", _HINT)
    return document


_HINT = "give the zemosaic_config.json that ZeMosaic keeps; settings of skyquilt go into skyquilt.toml"


def _solve(given: Given) -> str | None:
    """Any solver of theirs finds a place by the stars, as ours does; "none" leaves it to the headers."""
    word = given.text("solver_method")
    if word is None:
        return None
    return "off" if word.lower() == "none" else "auto"


def _radial_feather(given: Given) -> float | None:
    fraction = given.number("radial_feather_fraction", 0.0, 1.0)
    is_asked = given.switch("apply_radial_weight")
    if is_asked is None:
        return None
    return round(1.0 - (fraction or _USUAL_FRACTION), 9) if is_asked else 0.0


def _threads(given: Given) -> int | None:
    """The smallest of the limits that are set: no part of the work may take more than it was granted."""
    limits = [given.whole(key, -1, 1024) for key in _LIMITS_OF_WORKERS]
    return min((limit for limit in limits if limit is not None and limit > 0), default=None)


def _share_of_memory(given: Given) -> float | None:
    share = given.number("parallel_target_ram_fraction", 0.0, 1.0)
    is_asked = given.switch("parallel_autotune_enabled")
    return None if is_asked is False else share


def _keep_canvas(given: Given) -> bool | None:
    is_removed = given.switch("coadd_cleanup_memmap")
    return None if is_removed is None else not is_removed


CONVERSIONS: tuple[Conversion, ...] = (
    Conversion("FOLDER", ("input_dir",), lambda given: given.text("input_dir")),
    Conversion("--out", ("output_dir",), lambda given: given.text("output_dir")),
    Conversion("--cache-refresh", ("resume",), lambda given: given.word("resume", _RESUME) == "off" or None),
    Conversion("solve", ("solver_method",), _solve),
    Conversion(
        "normalise", ("stacking_normalize_method",), lambda given: given.word("stacking_normalize_method", _NORMALISE)
    ),
    Conversion(
        "weights", ("stacking_weighting_method",), lambda given: given.word("stacking_weighting_method", _WEIGHTS)
    ),
    Conversion(
        "rejection",
        ("stacking_rejection_algorithm",),
        lambda given: given.word("stacking_rejection_algorithm", _REJECTION),
    ),
    Conversion("sigma_low", ("stacking_kappa_low",), lambda given: given.number("stacking_kappa_low", 0.0, 100.0)),
    Conversion("sigma_high", ("stacking_kappa_high",), lambda given: given.number("stacking_kappa_high", 0.0, 100.0)),
    Conversion(
        "combine",
        ("stacking_final_combine_method",),
        lambda given: given.word("stacking_final_combine_method", _COMBINE),
    ),
    Conversion("radial_feather", ("apply_radial_weight", "radial_feather_fraction"), _radial_feather),
    Conversion("size", ("global_wcs_res_override",), lambda given: given.size("global_wcs_res_override")),
    Conversion(
        "rotation", ("global_wcs_orientation",), lambda given: given.word("global_wcs_orientation", _ORIENTATION)
    ),
    Conversion("threads", _LIMITS_OF_WORKERS, _threads),
    Conversion("memory", ("parallel_target_ram_fraction", "parallel_autotune_enabled"), _share_of_memory),
    Conversion("--scratch", ("coadd_memmap_dir",), lambda given: given.text("coadd_memmap_dir")),
    Conversion("--keep-canvas", ("coadd_cleanup_memmap",), _keep_canvas),
)
"""All of them; the order is that of the table, and counts for nothing."""
