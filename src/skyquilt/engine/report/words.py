"""Numbers and names as a reader wants them: units, rounding, durations; the same everywhere in a report."""

from __future__ import annotations

from math import floor, isfinite, log10

__all__ = ["DASH", "amount", "bytes_text", "channel_names", "duration", "per_channel", "percent"]

DASH = "–"


def amount(value: float | None, digits: int = 3) -> str:
    """
    Return a number with that many significant digits, without an exponent; a dash where there is none.

    Digits before the decimal point are always kept. The decimal separator is a dot everywhere.
    """
    if value is None or not isfinite(value):
        return DASH
    if isinstance(value, int):
        return str(value)
    if value == 0:
        return "0"
    decimals = digits - 1 - floor(log10(abs(value)))
    return f"{value:.{max(0, min(decimals, 9))}f}"


def percent(share: float | None) -> str:
    """Return a share as a percentage: 0.0123 is "1.23 %"."""
    return DASH if share is None or not isfinite(share) else f"{amount(100 * share)} %"


def duration(seconds: float | None) -> str:
    """Return a span of time: "45 s", "12 min 30 s", "3 h 05 min"."""
    if seconds is None or not isfinite(seconds):
        return DASH
    if seconds < 60:
        return f"{amount(float(seconds))} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(size: float) -> str:
    """Return a number of bytes in decimal units: 1 MB is 1,000,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{amount(float(size)) if unit != 'B' else int(size)} {unit}"
        size /= 1000
    return f"{amount(float(size))} TB"


def channel_names(n_channels: int) -> tuple[str, ...]:
    """Return what the channels of a stack are called."""
    if n_channels == 3:
        return "R", "G", "B"
    return ("mono",) if n_channels == 1 else tuple(str(index) for index in range(n_channels))


def per_channel(values: list[float]) -> str:
    """Return one figure for each channel, named: "R 1.23, G 0.98, B 1.31"; the bare number for one channel."""
    if len(values) == 1:
        return amount(values[0])
    return ", ".join(f"{name} {amount(value)}" for name, value in zip(channel_names(len(values)), values, strict=True))
