"""How a picture is stretched, as the page and the lines for the engine say it: one model for both doors."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["HyperbolaGiven", "StretchGiven"]

_Share = Annotated[float, Field(ge=0, le=1)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class HyperbolaGiven(_Given):
    """The generalised hyperbolic curve, between shadows and highlights."""

    factor: float = Field(ge=0, le=15, description="ln(D + 1); 0 changes nothing.")
    shape: float = Field(4.0, ge=-5, le=15, description="b.")
    symmetry: _Share = Field(0.0, description="SP: where the contrast grows most.")
    low: _Share = Field(0.0, description="LP: straight below; at most SP.")
    high: _Share = Field(1.0, description="HP: straight above; at least SP.")


class StretchGiven(_Given):
    """
    What the viewer shows, in the unit of the image: shadows and highlights, one curve between them, saturation.

    Shadows, highlights and midtones are one number for all channels, or one a channel. Exactly one of midtones, asinh
    and hyperbolic is given.
    """

    shadows: float | list[float] = Field(description="Becomes black.")
    midtones: _Share | list[_Share] | None = Field(None, description="The balance, 0 to 1: what of it becomes half.")
    highlights: float | list[float] = Field(description="Becomes white.")
    asinh: float | None = Field(None, ge=0.01, le=1e6, description="Strength a of the curve asinh(a t) / asinh(a).")
    hyperbolic: HyperbolaGiven | None = Field(None, description="The generalised hyperbolic curve.")
    saturation: float = Field(
        1.0, ge=0, le=4, description="After the curve; 0 is grey, 1 changes nothing. Of three channels."
    )

    @model_validator(mode="after")
    def _one_curve(self) -> StretchGiven:
        if sum(curve is not None for curve in (self.midtones, self.asinh, self.hyperbolic)) != 1:
            raise ValueError("give one of midtones, asinh and hyperbolic")
        return self
