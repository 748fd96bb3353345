"""Values stored as 16-bit numbers, and the cards that say how to get them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from skyquilt.core import F32, U16
from skyquilt.io.fits.cards import CardToWrite

__all__ = ["SixteenBits"]

_STEPS = 65534


@dataclass(frozen=True, slots=True)
class SixteenBits:
    """
    Real values as 65535 equal steps, and one number for "not known".

    Attributes
    ----------
    low, high : float
        Stored as 1 and 65535; what lies beyond is brought to them. 0 is stored where a value is NaN.
    reads_as : "numbers" or "values"
        "numbers": any program reads 0 to 65535 (BZERO 32768, BSCALE 1: the unsigned 16-bit numbers of FITS), and the
        cards SCALEZER and SCALESTP say what they mean. "values": BZERO and BSCALE make every program that follows
        FITS read the values, and BLANK says where there are none; programs made for cameras read them as black.

    Notes
    -----
    Definition:: step = (high - low) / 65534 ; number = 1 + round((value - low) / step) ; value = SCALEZER + step number
    A value between low and high comes back within half a step.
    """

    low: float
    high: float
    reads_as: Literal["numbers", "values"] = "numbers"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"values from {self.low} to {self.high} cannot be stored in 16 bits")

    @property
    def step(self) -> float:
        """The smallest difference that is kept."""
        return (self.high - self.low) / _STEPS

    def encode(self, values: F32) -> U16:
        """Return the numbers of values, any shape."""
        number = np.rint((values.astype(np.float64) - self.low) / self.step) + 1.0
        number = np.where(np.isnan(number), 0.0, np.clip(number, 1.0, _STEPS + 1.0))
        return number.astype(np.uint16)

    def cards(self) -> list[CardToWrite]:
        """Return the cards that belong to the numbers."""
        zero = self.low - self.step
        if self.reads_as == "values":
            return [
                ("BZERO", zero + 32768 * self.step, "value = BZERO + BSCALE x stored"),
                ("BSCALE", self.step, "the smallest difference kept"),
                ("BLANK", -32768, "stored where nothing is known"),
            ]
        return [
            ("BZERO", 32768, "unsigned 16-bit"),
            ("BSCALE", 1, ""),
            ("SCALEZER", zero, "value = SCALEZER + SCALESTP x number"),
            ("SCALESTP", self.step, "number 0: nothing is known"),
        ]
