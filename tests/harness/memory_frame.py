"""Registered frames in memory, as the integration takes them."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.core import F32, U8, Box


@dataclass
class MemoryFrame:
    """
    A frame in memory, 0 beyond its edges.

    Attributes
    ----------
    values : float32 (n_channels, y, x)
    weights : uint8 (n_channels or 1, y, x)
    """

    values: F32
    weights: U8

    @property
    def n_channels(self) -> int:
        return len(self.values)

    @property
    def weight_channels(self) -> int:
        return len(self.weights)

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        values[...] = 0
        weights[...] = 0
        own = Box.of_shape(*self.values.shape[1:])
        common = box.intersect(own)
        target, source = common.slices(box), common.slices(own)
        values[:, *target] = self.values[:, *source]
        weights[:, *target] = self.weights[:, *source]
