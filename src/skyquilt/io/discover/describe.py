"""A session in sentences, for a dry run and for the head of a report."""

from __future__ import annotations

from collections import Counter

from skyquilt.core import FrameFile, LightGroup, Session

__all__ = ["describe"]

_DEVICES = {"seestar": "a Seestar", "dwarf": "a DWARF", "generic": "a camera"}


def describe(session: Session) -> list[str]:
    """Return what was found, one sentence each: lights, calibration frames, what is left out, oddities."""
    n_lights = sum(len(group.lights) for group in session.groups)
    device = _DEVICES.get(session.device, session.device)
    lines = [f"{_count(n_lights, 'light')} of {device} in {_count(len(session.groups), 'group')} below {session.root}"]
    lines += [_describe_group(group) for group in session.groups]
    for noun, frames in (
        ("dark", session.darks),
        ("flat", session.flats),
        ("bias frame", session.biases),
        ("flat dark", session.flat_darks),
    ):
        if frames:
            lines.append(f"{_count(len(frames), noun)}: {_settings(frames)}")
    if session.masters:
        kinds = Counter(master.meta.kind.value for master in session.masters)
        listed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        lines.append(f"{_count(len(session.masters), 'master')} found: {listed}")
    reasons = Counter(one.code for one in session.left_out)
    if reasons:
        listed = ", ".join(f"{n} {code}" for code, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
        lines.append(f"{_count(len(session.left_out), 'file')} left out: {listed}")
    return [*lines, *session.notes]


def _describe_group(group: LightGroup) -> str:
    meta = group.lights[0].meta
    pixels = meta.cfa.name if meta.cfa else ("colour" if meta.n_planes == 3 else "mono")
    parts = [f"{group.name}: {_count(len(group.lights), 'light')}"]
    if group.exposure_s > 0.0:
        parts.append(f"{group.exposure_s / 60.0:.1f} min")
    parts.append(f"{meta.width}x{meta.height} px {pixels}")
    parts.append(_settings(group.lights))
    if group.filter:
        parts.append(f"filter {group.filter}")
    days = sorted({light.meta.date_obs[:10] for light in group.lights if light.meta.date_obs})
    if days:
        parts.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} dates)")
    return ", ".join(parts)


def _settings(frames: tuple[FrameFile, ...]) -> str:
    """Exposures, gains and temperatures of some frames."""
    exposures = sorted({frame.meta.exposure_s for frame in frames if frame.meta.exposure_s is not None})
    gains = sorted({frame.meta.gain for frame in frames if frame.meta.gain is not None})
    temperatures = sorted(frame.meta.temperature_c for frame in frames if frame.meta.temperature_c is not None)
    parts = []
    if exposures:
        parts.append("/".join(f"{value:g}" for value in exposures[:6]) + (" ..." if len(exposures) > 6 else "") + " s")
    if gains:
        parts.append("gain " + "/".join(f"{value:g}" for value in gains))
    if temperatures:
        low, high = temperatures[0], temperatures[-1]
        parts.append(f"{low:g} C" if low == high else f"{low:g} to {high:g} C")
    return ", ".join(parts) or "settings not known"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
