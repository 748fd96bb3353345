"""Lights that belong together: one target, one filter, one kind of pixels."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from skyquilt.core import FrameFile, FrameMeta, LightGroup

__all__ = ["group_lights", "normalise_target", "safe_name"]

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_LONGEST_NAME_BYTES = 120


def normalise_target(name: str) -> str:
    """Return a form in which "M 94", "m94" and "M_94" are the same, accents in one encoding."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name)).casefold()


def group_lights(lights: Sequence[FrameFile], fallback: str) -> tuple[LightGroup, ...]:
    """
    Return the groups, largest first; the order of the input is of no consequence.

    The key is target, filter, size, planes, CFA, binning and camera. Exposures and gains may differ within a group:
    weights and calibration are chosen frame by frame.

    Parameters
    ----------
    lights : sequence of FrameFile
        `meta.object_name` is completed already.
    fallback : str
        Name for lights without a target.
    """
    members: dict[Hashable, list[FrameFile]] = defaultdict(list)
    for light in lights:
        members[_key(light.meta, fallback)].append(light)
    ordered = [tuple(sorted(group, key=_moment)) for group in members.values()]
    ordered.sort(key=lambda group: (-len(group), _moment(group[0])))
    names = _name_groups(ordered, fallback)
    return tuple(
        LightGroup(
            name, _spelling([light.meta.object_name or fallback for light in group]), group[0].meta.filter, group
        )
        for name, group in zip(names, ordered, strict=True)
    )


def _moment(frame: FrameFile) -> tuple[str, str, str]:
    return frame.meta.date_obs or "", frame.name, str(frame.path)


def _key(meta: FrameMeta, fallback: str) -> Hashable:
    return (
        normalise_target(meta.object_name or fallback),
        (meta.filter or "").strip().casefold(),
        meta.width,
        meta.height,
        meta.n_planes,
        meta.cfa.name if meta.cfa else "",
        meta.binning,
        (meta.camera or "").strip().casefold(),
    )


def _spelling(names: Sequence[str]) -> str:
    """Return the most common spelling; of equally common ones the first in the alphabet."""
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name))


def _name_groups(groups: Sequence[tuple[FrameFile, ...]], fallback: str) -> list[str]:
    """Return unique, file-system-safe names: the target, and what tells it from others of the same target."""
    targets = [_spelling([light.meta.object_name or fallback for light in group]) for group in groups]
    metas = [group[0].meta for group in groups]
    shared = Counter(safe_name(target).casefold() for target in targets)
    names: list[str] = []
    taken: set[str] = set()
    for target, meta in zip(targets, metas, strict=True):
        same = [
            m for t, m in zip(targets, metas, strict=True) if safe_name(t).casefold() == safe_name(target).casefold()
        ]
        parts = [target]
        if shared[safe_name(target).casefold()] > 1:
            tellers = (_filter_word, _camera_word, _size_word, _cfa_word, _binning_word)
            parts += [word(meta) for word in tellers if len({word(other).casefold() for other in same}) > 1]
        name = safe_name("_".join(parts))
        number = 2
        while name.casefold() in taken:
            name = safe_name("_".join([*parts, str(number)]))
            number += 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _filter_word(meta: FrameMeta) -> str:
    return (meta.filter or "no filter").strip()


def _camera_word(meta: FrameMeta) -> str:
    return meta.camera or "camera"


def _size_word(meta: FrameMeta) -> str:
    return f"{meta.width}x{meta.height}"


def _cfa_word(meta: FrameMeta) -> str:
    return meta.cfa.name if meta.cfa else ("rgb" if meta.n_planes == 3 else "mono")


def _binning_word(meta: FrameMeta) -> str:
    return f"bin{meta.binning[0]}"


def safe_name(text: str) -> str:
    """Return a name that every file system takes: no separators, no reserved words, at most 120 bytes."""
    name = unicodedata.normalize("NFC", text)
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", name)
    name = re.sub(r"\s+", " ", name).strip().rstrip(". ").lstrip(".")
    encoded = name.encode("utf-8", "replace")
    if len(encoded) > _LONGEST_NAME_BYTES:
        # the tail tells groups apart as often as the head does, so both are kept
        head = encoded[: _LONGEST_NAME_BYTES - 41].decode("utf-8", "ignore")
        name = f"{head.rstrip()}~{encoded[-40:].decode('utf-8', 'ignore').lstrip()}"
    if not name:
        name = "unnamed"
    return f"{name}_" if _RESERVED.fullmatch(name.partition(".")[0]) else name
