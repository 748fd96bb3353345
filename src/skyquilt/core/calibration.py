"""What takes the camera out of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skyquilt.core.arrays import F32, I32, I64, Mask

__all__ = ["Calibration"]


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def defect_rows(self) -> tuple[I64, I32]:
        """
        Where the defects lie, row by row: (starts, columns).

        starts : int64 (height + 1,), columns : int32 (n,)
            The defects of row y stand at ``columns[starts[y]:starts[y + 1]]``, ascending; no starts without defects.
        """
        if self.defects is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(np.count_nonzero(self.defects, axis=1))]).astype(np.int64)
        return starts, (np.flatnonzero(self.defects) % self.defects.shape[1]).astype(np.int32)
