"""What a report tells, drawn from the manifest: who was left out and why, who was best, what was done step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from skyquilt.engine.manifest import FrameRecord, Manifest, MasterRecord, SkyRecord
from skyquilt.engine.photometry import Photometry
from skyquilt.engine.report.mosaic_facts import mosaic_sentences
from skyquilt.engine.report.words import DASH, amount, duration, percent

__all__ = [
    "STAGES",
    "LeftOutGroup",
    "best_and_worst",
    "group_left_out",
    "magnitude_rows",
    "master_sentence",
    "median_of",
    "rejected_share",
    "sky_sentence",
    "story",
    "table_columns",
]

STAGES = {
    "discover": "when the folder was read",
    "calibrate": "at calibration",
    "measure": "when it was measured",
    "select": "at selection",
    "register": "at registration",
    "integrate": "at integration",
}


_MAGNITUDES = (
    ("Zero point, mag (VT of 1 ADU/s)", "zero_point_mag"),
    ("Colour term, mag per mag of BT - VT", "colour_term"),
    ("Limiting magnitude, 5 sigma", "limiting_mag"),
    ("Sky, mag per square arcsecond", "sky_mag_arcsec2"),
)


@dataclass(frozen=True, slots=True)
class LeftOutGroup:
    """Frames that were left out for the same kind of reason; `example` is the reason of the first."""

    code: str
    stage: str
    example: str
    files: tuple[str, ...]

    @property
    def title(self) -> str:
        """The code in words."""
        return self.code.replace("_", " ")


def group_left_out(frames: list[FrameRecord]) -> list[LeftOutGroup]:
    """Return the frames that were left out, grouped by code, the largest group first."""
    groups: dict[str, list[FrameRecord]] = {}
    for frame in frames:
        if frame.status == "left_out":
            groups.setdefault(frame.code or "unnamed", []).append(frame)
    found = [
        LeftOutGroup(code, members[0].stage or "", members[0].reason or "", tuple(frame.file for frame in members))
        for code, members in groups.items()
    ]
    return sorted(found, key=lambda group: (-len(group.files), group.code))


def best_and_worst(frames: list[FrameRecord], n_each: int = 5) -> tuple[list[FrameRecord], list[FrameRecord]]:
    """Return the stacked frames with the highest and with the lowest score; no frame is in both lists."""
    scored = [frame for frame in frames if frame.status == "stacked" and frame.score is not None]
    scored.sort(key=lambda frame: (-(frame.score or 0.0), frame.file))
    best = scored[:n_each]
    return best, scored[n_each:][-n_each:][::-1]


def median_of(frames: list[FrameRecord], figure: Callable[[FrameRecord], float | None]) -> float | None:
    """Return the median of a figure over the stacked frames that have it, or None."""
    values = [value for frame in frames if frame.status == "stacked" and (value := figure(frame)) is not None]
    return median(values) if values else None


def rejected_share(frame: FrameRecord) -> float | None:
    """Return the share of a frame's samples that the rejection refused, low and high together."""
    if frame.rejected_low is None and frame.rejected_high is None:
        return None
    return (frame.rejected_low or 0.0) + (frame.rejected_high or 0.0)


def table_columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the keys of all rows, in the order in which they first appear."""
    return list(dict.fromkeys(key for row in rows for key in row))


def master_sentence(master: MasterRecord) -> str:
    """Return one sentence on a master calibration frame: what it was made of and why it fits."""
    facts = [f"{master.n_frames} frames" if master.n_frames != 1 else "1 frame"]
    if master.exposure_s is not None:
        facts.append(f"{amount(master.exposure_s)} s")
    if master.gain is not None:
        facts.append(f"gain {amount(master.gain)}")
    if master.temperature_c is not None:
        facts.append(f"{amount(master.temperature_c)} °C")
    if master.dark_scale is not None:
        facts.append(f"scaled by {amount(master.dark_scale)}")
    text = f"master {master.kind.replace('_', '-')} of {', '.join(facts)}"
    return f"{text}: {master.reason}" if master.reason else text


def story(manifest: Manifest) -> list[tuple[str, str]]:
    """Return what was done to the frames, step by step, as (step, sentences) in the order of the work."""
    recipe = manifest.recipe
    is_mosaic = manifest.mosaic is not None
    steps = [
        ("Choose", _choose(manifest)),
        ("Calibrate", _calibrate(manifest)),
        ("Place" if is_mosaic else "Register", _register(manifest)),
        ("Colour", _colour(manifest)),
        ("Normalise and weigh", _weigh(manifest)),
        ("Reject and combine", _combine(manifest)),
    ]
    if manifest.sky is not None and not is_mosaic:
        steps.append(("Place", _place(manifest.sky)))
    if recipe.get("unit") == "adu":
        steps.append(("Write", "The stack is linear and in ADU, like the raw frames."))
    else:
        steps.append(
            (
                "Write",
                f"The stack is linear; {manifest.full_scale_adu:g} ADU became 1. Nothing was stretched or cut off.",
            )
        )
    return steps


def _choose(manifest: Manifest) -> str:
    left_out = sum(frame.status == "left_out" for frame in manifest.frames)
    text = f"{len(manifest.frames)} light frames were found"
    if not left_out:
        return f"{text} and all of them were stacked."
    return f"{text}; {left_out} {'was' if left_out == 1 else 'were'} left out, each with its reason below."


def _calibrate(manifest: Manifest) -> str:
    kinds = {master.kind for master in manifest.calibration}
    roles = {
        "dark": "was subtracted from every frame",
        "bias": "was subtracted from the flats" if "dark" in kinds else "was subtracted from every frame",
        "flat_dark": "was subtracted from the flats",
        "flat": "was divided out of every frame",
    }
    sentences = [f"The {master_sentence(master)}, {roles[master.kind]}." for master in manifest.calibration]
    if not sentences:
        sentences.append("No dark, flat or bias frames were used.")
    if manifest.n_defects:
        sentences.append(f"{manifest.n_defects} hot, cold or dead pixels were replaced from their neighbours.")
    if manifest.saturation_adu is not None and manifest.saturation_adu < manifest.full_scale_adu:
        sentences.append(
            f"Pixels pile up at {manifest.saturation_adu:g} ADU, below the {manifest.full_scale_adu:g} ADU that the "
            "files could hold: that is where they were taken to be saturated."
        )
    return " ".join(sentences)


def _register(manifest: Manifest) -> str:
    if manifest.mosaic is not None:
        return mosaic_sentences(manifest.mosaic, sum(frame.status == "stacked" for frame in manifest.frames))
    reference = f"the reference frame {manifest.reference}" if manifest.reference else "the reference frame"
    sentences = [f"The stars of each frame were matched with those of {reference}."]
    residual = median_of(manifest.frames, lambda frame: None if frame.is_reference else frame.residual_px)
    if residual is not None:
        sentences.append(f"They agree to {amount(residual, 2)} px (median residual per axis).")
    turned = manifest.statistics.rotation_range_deg if manifest.statistics else 0.0
    if turned >= 0.05:
        sentences.append(f"The field turned by {amount(turned)} degrees during the session.")
    return " ".join(sentences)


def _colour(manifest: Manifest) -> str:
    method = manifest.debayer_method
    if method == "planes":
        colour = "The frames have no colour filter array, so there was nothing to debayer."
    elif method == "mosaic":
        return "The frames were moved by whole cells of the colour filter array: no pixel was interpolated."
    elif method == "cfa":
        colour = "Each colour was sampled straight from the pixels of that colour; no frame was debayered."
    else:
        colour = f"Colour was made with the {method} method{_balance(manifest)}."
    return f"{colour} Each pixel was interpolated once ({manifest.kernel.replace('_', '-')}), straight onto the canvas."


def _balance(manifest: Manifest) -> str:
    if manifest.star_colour is None or manifest.star_colour == (1.0, 1.0):
        return ""
    red, blue = (amount(value, 2) for value in manifest.star_colour)
    return f", balanced to stars that have {red} in red and {blue} in blue for 1 in green"


def _place(sky: SkyRecord) -> str:
    if not sky.solved:
        return f"Where on the sky the stack lies is not known: {sky.reason}."
    sentences = [
        f"The stars of the reference were found in the catalogue ({sky.n_matched} of them, {amount(sky.rms_px, 2)} px "
        f"apart): {sky_sentence(sky)}."
    ]
    return " ".join([*sentences, *(f"{note[:1].upper()}{note[1:]}." for note in sky.notes)])


def sky_sentence(sky: SkyRecord) -> str:
    """Return centre, scale and orientation of a stack that has been placed on the sky."""
    if sky.ra_deg is None or sky.dec_deg is None:
        return ""
    hours = round(sky.ra_deg / 15.0 * 3600.0) % 86400
    tenths = round(abs(sky.dec_deg) * 3600.0)
    ra = f"{hours // 3600:02d}h {hours // 60 % 60:02d}m {hours % 60:02d}s"
    dec = f"{'-' if sky.dec_deg < 0 else '+'}{tenths // 3600:02d}° {tenths // 60 % 60:02d}' {tenths % 60:02d}\""
    turned = f"y axis at position angle {amount(sky.rotation_deg)} degrees"
    return f"centre RA {ra}, Dec {dec}, {amount(sky.scale_arcsec)} arcsec a pixel, {turned}"


def magnitude_rows(photometry: Photometry) -> list[tuple[str, str]]:
    """Return what is known of the stack in magnitudes, as (figure, value of each channel)."""
    rows = []
    for name, field in _MAGNITUDES:
        values = [getattr(channel, field) for channel in photometry.channels]
        if any(value is not None for value in values):
            told = [
                f"{channel.channel} {DASH if value is None else f'{value:.2f}'}"
                for channel, value in zip(photometry.channels, values, strict=True)
            ]
            rows.append((name, " / ".join(told)))
    return rows


def _weigh(manifest: Manifest) -> str:
    if manifest.mosaic is not None:
        return _weigh_mosaic(manifest)
    level = {
        "none": "The level of the frames was left as it was",
        "additive": "The sky of each frame was brought to the reference's level",
        "multiplicative": "The star brightness of each frame was brought to the reference's",
    }.get(
        str(manifest.recipe.get("normalise")),
        "Sky level and star brightness of each frame were brought to the reference's",
    )
    weights = str(manifest.recipe.get("weights", "none"))
    if weights == "none":
        return f"{level}. All frames count alike."
    follows = {
        "point_source": "how well faint stars stand out in it (transparency, noise and sharpness)",
        "fwhm": "its sharpness",
        "stars": "its number of stars",
    }.get(weights, f"its {weights}")
    return f"{level}. The weight of a frame follows {follows}."


def _weigh_mosaic(manifest: Manifest) -> str:
    text = (
        "One flux scale for each frame makes the stars that frames share agree; one surface for each frame makes the "
        "sky agree wherever frames overlap, so that what the sky itself holds stays."
    )
    feather = manifest.recipe.get("feather_px")
    return f"{text} Frames fade out over {feather:g} px from their edges." if feather else text


def _combine(manifest: Manifest) -> str:
    rule = manifest.rejection_rule.replace("_", " ")
    statistics = manifest.statistics
    sentences = []
    if manifest.rejection_rule == "none":
        sentences.append("No samples were rejected.")
    elif statistics:
        share = percent(statistics.rejected_low + statistics.rejected_high)
        sentences.append(f"Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule: {share}.")
    else:
        sentences.append(f"Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule.")
    trails = sum(frame.n_trails or 0 for frame in manifest.frames)
    if trails:
        found = (
            "1 trail was found and masked over its"
            if trails == 1
            else f"{trails} trails were found and masked over their"
        )
        sentences.append(f"{found} whole length.")
    how = str(manifest.recipe.get("combine", "mean"))
    sentences.append(f"The {how} of what remained is the stack.")
    if statistics and statistics.exposure_s:
        sentences.append(f"In all {duration(statistics.exposure_s)} of exposure.")
    return " ".join(sentences)
