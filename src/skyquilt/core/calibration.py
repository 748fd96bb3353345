"""What takes the camera out of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.core.arrays import F32, Mask

__all__ = ["Calibration"]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """
    The arrays that calibrate the frames of one group: calibrated = (raw - dark) * inverse_flat.

    Attributes
    ----------
    dark : float32 (y, x), ADU, or None
        Everything to subtract: master dark, or bias, or a scaled dark plus bias. None subtracts nothing.
    inverse_flat : float32 (y, x), or None
        1 / flat, the flat normalised to mean 1 per CFA colour; 0 where the flat cannot be used (those pixels are
        defects).
    defects : bool (y, x), or None
        True where a pixel is hot, cold or without a usable flat: replaced from its neighbours of the same colour and
        marked as a stopgap.
    """

    dark: F32 | None = None
    inverse_flat: F32 | None = None
    defects: Mask | None = None

    @property
    def is_empty(self) -> bool:
        return self.dark is None and self.inverse_flat is None and self.defects is None
