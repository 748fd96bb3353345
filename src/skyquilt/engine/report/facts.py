"""What a report tells, drawn from the manifest: who was left out and why, who was best, what was done step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from skyquilt.engine.manifest import FrameRecord, Manifest, MasterRecord, SkyRecord
from skyquilt.engine.photometry import Photometry
from skyquilt.engine.report.language import Language, Phrase
from skyquilt.engine.report.mosaic_facts import mosaic_sentences
from skyquilt.engine.report.words import DASH

__all__ = [
    "KINDS",
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
    "discover": Phrase("✕ left out when the folder was read: {reason}"),
    "calibrate": Phrase("✕ left out at calibration: {reason}"),
    "measure": Phrase("✕ left out when it was measured: {reason}"),
    "select": Phrase("✕ left out at selection: {reason}"),
    "register": Phrase("✕ left out at registration: {reason}"),
    "integrate": Phrase("✕ left out at integration: {reason}"),
}

KINDS = {
    "bias": Phrase("bias"),
    "dark": Phrase("dark"),
    "flat": Phrase("flat"),
    "flat_dark": Phrase("flat-dark"),
}

_UNNAMED = "unnamed"

_MAGNITUDES = (
    (Phrase("Zero point, mag (VT of 1 ADU/s)"), "zero_point_mag"),
    (Phrase("Colour term, mag per mag of BT - VT"), "colour_term"),
    (Phrase("Limiting magnitude, 5 sigma"), "limiting_mag"),
    (Phrase("Sky, mag per square arcsecond"), "sky_mag_arcsec2"),
)

_LEVELS = {
    "none": Phrase("The level of the frames was left as it was."),
    "additive": Phrase("The sky of each frame was brought to the reference's level."),
    "multiplicative": Phrase("The star brightness of each frame was brought to the reference's."),
}

_WEIGHTS = {
    "none": Phrase("All frames count alike."),
    "point_source": Phrase(
        "The weight of a frame follows how well faint stars stand out in it (transparency, noise and sharpness)."
    ),
    "fwhm": Phrase("The weight of a frame follows its sharpness."),
    "stars": Phrase("The weight of a frame follows its number of stars."),
    "noise": Phrase("The weight of a frame follows its noise."),
    "transparency": Phrase("The weight of a frame follows its transparency."),
    "exposure": Phrase("The weight of a frame follows its exposure."),
}

_COMBINED = {
    "mean": Phrase("The mean of what remained is the stack."),
    "median": Phrase("The median of what remained is the stack."),
    "sum": Phrase("The sum of what remained is the stack."),
    "min": Phrase("The min of what remained is the stack."),
    "max": Phrase("The max of what remained is the stack."),
}


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

    def told(self, language: Language) -> str:
        """Return the code in the words of a language."""
        if self.code == _UNNAMED:
            return language.say("unnamed")
        return language.reasons.get(self.code, self.title)


def group_left_out(frames: list[FrameRecord]) -> list[LeftOutGroup]:
    """Return the frames that were left out, grouped by code, the largest group first."""
    groups: dict[str, list[FrameRecord]] = {}
    for frame in frames:
        if frame.status == "left_out":
            groups.setdefault(frame.code or _UNNAMED, []).append(frame)
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


def master_sentence(master: MasterRecord, language: Language) -> str:
    """Return one sentence on a master calibration frame: what it was made of and why it fits."""
    facts = [language.count(master.n_frames, "{n} frame", "{n} frames")]
    if master.exposure_s is not None:
        facts.append(language.measure(master.exposure_s, "s"))
    if master.gain is not None:
        facts.append(language.say("gain {gain}", gain=language.amount(master.gain)))
    if master.temperature_c is not None:
        facts.append(language.measure(master.temperature_c, "°C"))
    if master.dark_scale is not None:
        facts.append(language.say("scaled by {factor}", factor=language.amount(master.dark_scale)))
    kind = language.tell(KINDS[master.kind])
    text = language.say("master {kind} of {facts}", kind=kind, facts=", ".join(facts))
    return language.say("{text}: {reason}", text=text, reason=master.reason) if master.reason else text


def story(manifest: Manifest, language: Language) -> list[tuple[str, str]]:
    """Return what was done to the frames, step by step, as (step, sentences) in the order of the work."""
    is_mosaic = manifest.mosaic is not None
    steps = [
        (language.say("Choose"), _choose(manifest, language)),
        (language.say("Calibrate"), _calibrate(manifest, language)),
        (language.say("Place") if is_mosaic else language.say("Register"), _register(manifest, language)),
        (language.say("Colour"), _colour(manifest, language)),
        (language.say("Normalise and weigh"), _weigh(manifest, language)),
        (language.say("Reject and combine"), _combine(manifest, language)),
    ]
    if manifest.sky is not None and not is_mosaic:
        steps.append((language.say("Place"), _place(manifest.sky, language)))
    return [*steps, (language.say("Write"), _write(manifest, language))]


def _choose(manifest: Manifest, language: Language) -> str:
    n_found = len(manifest.frames)
    n_left_out = sum(frame.status == "left_out" for frame in manifest.frames)
    if not n_left_out:
        return language.count(
            n_found,
            "{n} light frame was found and stacked.",
            "{n} light frames were found and all of them were stacked.",
        )
    found = language.count(n_found, "{n} light frame was found", "{n} light frames were found")
    left_out = language.count(
        n_left_out,
        "{n} was left out, each with its reason below.",
        "{n} were left out, each with its reason below.",
    )
    return language.say("{found}; {left_out}", found=found, left_out=left_out)


def _calibrate(manifest: Manifest, language: Language) -> str:
    sentences = [_calibrated(master, manifest, language) for master in manifest.calibration]
    if not sentences:
        sentences.append(language.say("No dark, flat or bias frames were used."))
    if manifest.n_defects:
        sentences.append(
            language.count(
                manifest.n_defects,
                "{n} hot, cold or dead pixel was replaced from its neighbours.",
                "{n} hot, cold or dead pixels were replaced from their neighbours.",
            )
        )
    if manifest.saturation_adu is not None and manifest.saturation_adu < manifest.full_scale_adu:
        sentences.append(
            language.say(
                "Pixels pile up at {ceiling} ADU, below the {full_scale} ADU that the files could hold: that is where "
                "they were taken to be saturated.",
                ceiling=language.number(f"{manifest.saturation_adu:g}"),
                full_scale=language.number(f"{manifest.full_scale_adu:g}"),
            )
        )
    return " ".join(sentences)


def _calibrated(master: MasterRecord, manifest: Manifest, language: Language) -> str:
    """Return what was done with a master."""
    text = master_sentence(master, language)
    has_dark = any(one.kind == "dark" for one in manifest.calibration)
    if master.kind == "flat":
        return language.say("The {master}, was divided out of every frame.", master=text)
    if master.kind == "dark" or (master.kind == "bias" and not has_dark):
        return language.say("The {master}, was subtracted from every frame.", master=text)
    return language.say("The {master}, was subtracted from the flats.", master=text)


def _register(manifest: Manifest, language: Language) -> str:
    if manifest.mosaic is not None:
        n_stacked = sum(frame.status == "stacked" for frame in manifest.frames)
        return mosaic_sentences(manifest.mosaic, n_stacked, language)
    if manifest.reference:
        sentences = [
            language.say(
                "The stars of each frame were matched with those of the reference frame {file}.",
                file=manifest.reference,
            )
        ]
    else:
        sentences = [language.say("The stars of each frame were matched with those of the reference frame.")]
    residual = median_of(manifest.frames, lambda frame: None if frame.is_reference else frame.residual_px)
    if residual is not None:
        told = language.amount(residual, 2)
        sentences.append(language.say("They agree to {residual} px (median residual per axis).", residual=told))
    turned = manifest.statistics.rotation_range_deg if manifest.statistics else 0.0
    if turned >= 0.05:
        told = language.amount(turned)
        sentences.append(language.say("The field turned by {angle} degrees during the session.", angle=told))
    return " ".join(sentences)


def _colour(manifest: Manifest, language: Language) -> str:
    method = manifest.debayer_method
    if method == "mosaic":
        return language.say(
            "The frames were moved by whole cells of the colour filter array: no pixel was interpolated."
        )
    if method == "planes":
        colour = language.say("The frames have no colour filter array, so there was nothing to debayer.")
    elif method == "cfa":
        colour = language.say(
            "Each colour was sampled straight from the pixels of that colour; no frame was debayered."
        )
    else:
        colour = _debayered(manifest, language)
    interpolated = language.say(
        "Each pixel was interpolated once ({kernel}), straight onto the canvas.",
        kernel=manifest.kernel.replace("_", "-"),
    )
    return f"{colour} {interpolated}"


def _debayered(manifest: Manifest, language: Language) -> str:
    if manifest.star_colour is None or manifest.star_colour == (1.0, 1.0):
        return language.say("Colour was made with the {method} method.", method=manifest.debayer_method)
    red, blue = (language.amount(value, 2) for value in manifest.star_colour)
    return language.say(
        "Colour was made with the {method} method, balanced to stars that have {red} in red and {blue} in blue for 1 "
        "in green.",
        method=manifest.debayer_method,
        red=red,
        blue=blue,
    )


def _place(sky: SkyRecord, language: Language) -> str:
    if not sky.solved:
        return language.say("Where on the sky the stack lies is not known: {reason}.", reason=sky.reason)
    found = language.say(
        "The stars of the reference were found in the catalogue ({n} of them, {residual} px apart): {place}.",
        n=sky.n_matched,
        residual=language.amount(sky.rms_px, 2),
        place=sky_sentence(sky, language),
    )
    return " ".join([found, *(f"{note[:1].upper()}{note[1:]}." for note in sky.notes)])


def sky_sentence(sky: SkyRecord, language: Language) -> str:
    """Return centre, scale and orientation of a stack that has been placed on the sky."""
    if sky.ra_deg is None or sky.dec_deg is None:
        return ""
    hours = round(sky.ra_deg / 15.0 * 3600.0) % 86400
    tenths = round(abs(sky.dec_deg) * 3600.0)
    ra = f"{hours // 3600:02d}h {hours // 60 % 60:02d}m {hours % 60:02d}s"
    dec = f"{'-' if sky.dec_deg < 0 else '+'}{tenths // 3600:02d}° {tenths // 60 % 60:02d}' {tenths % 60:02d}\""
    return language.say(
        "centre RA {ra}, Dec {dec}, {scale} arcsec a pixel, y axis at position angle {angle} degrees",
        ra=ra,
        dec=dec,
        scale=language.amount(sky.scale_arcsec),
        angle=language.amount(sky.rotation_deg),
    )


def magnitude_rows(photometry: Photometry, language: Language) -> list[tuple[str, str]]:
    """Return what is known of the stack in magnitudes, as (figure, value of each channel)."""
    rows = []
    for name, field in _MAGNITUDES:
        values = [getattr(channel, field) for channel in photometry.channels]
        if any(value is not None for value in values):
            told = [
                f"{channel.channel} {DASH if value is None else language.number(f'{value:.2f}')}"
                for channel, value in zip(photometry.channels, values, strict=True)
            ]
            rows.append((language.tell(name), " / ".join(told)))
    return rows


def _weigh(manifest: Manifest, language: Language) -> str:
    if manifest.mosaic is not None:
        return _weigh_mosaic(manifest, language)
    level = _LEVELS.get(str(manifest.recipe.get("normalise")))
    weights = str(manifest.recipe.get("weights", "none"))
    sentences = [
        language.tell(level)
        if level
        else language.say("Sky level and star brightness of each frame were brought to the reference's."),
        language.tell(_WEIGHTS[weights])
        if weights in _WEIGHTS
        else language.say("The weight of a frame follows its {figure}.", figure=weights),
    ]
    return " ".join(sentences)


def _weigh_mosaic(manifest: Manifest, language: Language) -> str:
    text = language.say(
        "One flux scale for each frame makes the stars that frames share agree; one surface for each frame makes the "
        "sky agree wherever frames overlap, so that what the sky itself holds stays."
    )
    feather = manifest.recipe.get("feather_px")
    if not feather:
        return text
    width = language.number(f"{feather:g}")
    return f"{text} {language.say('Frames fade out over {width} px from their edges.', width=width)}"


def _combine(manifest: Manifest, language: Language) -> str:
    sentences = [_rejected(manifest, language)]
    trails = sum(frame.n_trails or 0 for frame in manifest.frames)
    if trails:
        sentences.append(
            language.count(
                trails,
                "{n} trail was found and masked over its whole length.",
                "{n} trails were found and masked over their whole length.",
            )
        )
    how = str(manifest.recipe.get("combine", "mean"))
    sentences.append(
        language.tell(_COMBINED[how])
        if how in _COMBINED
        else language.say("The {how} of what remained is the stack.", how=how)
    )
    if manifest.statistics and manifest.statistics.exposure_s:
        total = language.duration(manifest.statistics.exposure_s)
        sentences.append(language.say("In all {duration} of exposure.", duration=total))
    return " ".join(sentences)


def _rejected(manifest: Manifest, language: Language) -> str:
    """Return by which rule strays were rejected, and how many."""
    rule = manifest.rejection_rule.replace("_", " ")
    statistics = manifest.statistics
    if manifest.rejection_rule == "none":
        return language.say("No samples were rejected.")
    if statistics is None:
        return language.say("Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule.", rule=rule)
    return language.say(
        "Strays (satellites, cosmic rays, hot pixels) were rejected by the {rule} rule: {share}.",
        rule=rule,
        share=language.percent(statistics.rejected_low + statistics.rejected_high),
    )


def _write(manifest: Manifest, language: Language) -> str:
    if manifest.recipe.get("unit") == "adu":
        return language.say("The stack is linear and in ADU, like the raw frames.")
    return language.say(
        "The stack is linear; {full_scale} ADU became 1. Nothing was stretched or cut off.",
        full_scale=language.number(f"{manifest.full_scale_adu:g}"),
    )
