"""Maps from pixels to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.core.box import Box

__all__ = ["Distortion", "Linear", "Transform"]

_NEWTON_STEPS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """
    A projective map: (x, y, 1) times `matrix`, divided by the third component.

    Attributes
    ----------
    matrix : float64 (3, 3), row-major, ``matrix[2, 2] == 1``
    """

    matrix: F64

    def apply(self, x: F64, y: F64) -> tuple[F64, F64]:
        m = self.matrix
        u = m[0, 0] * x + m[0, 1] * y + m[0, 2]
        v = m[1, 0] * x + m[1, 1] * y + m[1, 2]
        if m[2, 0] == 0.0 and m[2, 1] == 0.0:
            return u, v
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        return u / w, v / w

    def inverse(self) -> Linear:
        inverse = np.linalg.inv(self.matrix)
        return Linear(inverse / inverse[2, 2])


@dataclass(frozen=True, slots=True, eq=False)
class Distortion:
    """
    A smooth polynomial displacement: (x, y) + P((x - cx) / radius, (y - cy) / radius).

    Attributes
    ----------
    order : int
        Highest total degree; terms x^i y^j with 2 <= i + j <= order, sorted by (i + j, j).
    centre : (float, float), px
    radius : float, px
    coefficients : float64 (2, n_terms), px
    is_inverse : bool
        True: the map that undoes this displacement, solved by Newton steps to 1e-9 px.
    """

    order: int
    centre: tuple[float, float]
    radius: float
    coefficients: F64
    is_inverse: bool = False

    @staticmethod
    def terms(order: int) -> list[tuple[int, int]]:
        """Return the exponents (i, j) of x and y, in the order of the coefficients."""
        return [(total - j, j) for total in range(2, order + 1) for j in range(total + 1)]

    def displacement(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Return the displacement (dx, dy) in px of the direct map at (x, y)."""
        u = (x - self.centre[0]) / self.radius
        v = (y - self.centre[1]) / self.radius
        dx = np.zeros_like(u)
        dy = np.zeros_like(v)
        for k, (i, j) in enumerate(self.terms(self.order)):
            term = u**i * v**j
            dx = dx + self.coefficients[0, k] * term
            dy = dy + self.coefficients[1, k] * term
        return dx, dy

    def apply(self, x: F64, y: F64) -> tuple[F64, F64]:
        if not self.is_inverse:
            dx, dy = self.displacement(x, y)
            return x + dx, y + dy
        px, py = x, y
        for _ in range(_NEWTON_STEPS):  # fixed-point steps: the displacement's slope is far below 1
            dx, dy = self.displacement(px, py)
            px, py = x - dx, y - dy
        return px, py

    def inverse(self) -> Distortion:
        return Distortion(self.order, self.centre, self.radius, self.coefficients, not self.is_inverse)


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """
    A map from the pixels of one image to those of another: stages applied one after the other.

    Attributes
    ----------
    stages : tuple of Linear and Distortion
    kind : str
        "identity", "shift", "similarity", "affine", "homography" or "polynomial": the model that was fitted.
    """

    stages: tuple[Linear | Distortion, ...] = ()
    kind: str = "identity"

    @classmethod
    def identity(cls) -> Transform:
        return cls()

    @classmethod
    def from_matrix(cls, matrix: F64 | Sequence[Sequence[float]], kind: str = "affine") -> Transform:
        """Return the transform of a 3x3 matrix."""
        array = np.asarray(matrix, dtype=np.float64)
        if array.shape != (3, 3):
            raise ValueError(f"a transform takes a 3x3 matrix, not one of shape {array.shape}")
        return cls((Linear(array / array[2, 2]),), kind)

    @classmethod
    def shift(cls, dx: float, dy: float) -> Transform:
        return cls.from_matrix([[1, 0, dx], [0, 1, dy], [0, 0, 1]], "shift")

    @classmethod
    def similarity(cls, *, scale: float = 1.0, angle_deg: float = 0.0, dx: float = 0.0, dy: float = 0.0) -> Transform:
        """Return scale, then rotation (from +x towards +y) about the origin, then shift."""
        c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
        return cls.from_matrix([[c, -s, dx], [s, c, dy], [0, 0, 1]], "similarity")

    def __call__(self, x: F64 | float, y: F64 | float) -> tuple[F64, F64]:
        """Return the image of the points (x, y); float64 in, float64 out, shapes kept."""
        u, v = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        for stage in self.stages:
            u, v = stage.apply(u, v)
        return u, v

    def inverse(self) -> Transform:
        return Transform(tuple(stage.inverse() for stage in reversed(self.stages)), self.kind)

    def then(self, after: Transform) -> Transform:
        """Return this map followed by `after`; neighbouring linear stages are merged."""
        stages = list(self.stages)
        for stage in after.stages:
            if stages and isinstance(stage, Linear) and isinstance(stages[-1], Linear):
                product = stage.matrix @ stages[-1].matrix
                stages[-1] = Linear(product / product[2, 2])
            else:
                stages.append(stage)
        return Transform(tuple(stages), after.kind if len(after.stages) >= len(self.stages) else self.kind)

    @property
    def matrix(self) -> F64:
        """The linear part as (3, 3); distortion stages are left out."""
        product: F64 = np.eye(3)
        for stage in self.stages:
            if isinstance(stage, Linear):
                product = stage.matrix @ product
        normed: F64 = product / product[2, 2]
        return normed

    @property
    def rotation_deg(self) -> float:
        """Rotation of the linear part, degrees, from +x towards +y."""
        m = self.matrix
        return float(np.degrees(np.arctan2(m[1, 0] - m[0, 1] * self.parity, m[0, 0] + m[1, 1] * self.parity)))

    @property
    def scale(self) -> float:
        """Linear magnification."""
        m = self.matrix
        return float(np.sqrt(abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])))

    @property
    def parity(self) -> int:
        """-1 if the map mirrors, else 1."""
        m = self.matrix
        return -1 if m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0] < 0 else 1

    def image_of(self, box: Box) -> tuple[float, float, float, float]:
        """Return (x_min, y_min, x_max, y_max) of the pixel centres of the box, from points along its edge."""
        xs = np.linspace(box.x0, box.x1 - 1, 9)
        ys = np.linspace(box.y0, box.y1 - 1, 9)
        edge_x = np.concatenate([xs, xs, np.full(9, xs[0]), np.full(9, xs[-1])])
        edge_y = np.concatenate([np.full(9, ys[0]), np.full(9, ys[-1]), ys, ys])
        u, v = self(edge_x, edge_y)
        return float(u.min()), float(v.min()), float(u.max()), float(v.max())

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; `from_dict` gives the same bits back."""
        stages: list[dict[str, Any]] = []
        for stage in self.stages:
            if isinstance(stage, Linear):
                stages.append({"matrix": stage.matrix.tolist()})
            else:
                stages.append(
                    {
                        "order": stage.order,
                        "centre": list(stage.centre),
                        "radius": stage.radius,
                        "coefficients": stage.coefficients.tolist(),
                        "is_inverse": stage.is_inverse,
                    }
                )
        return {"kind": self.kind, "stages": stages}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Transform:
        stages: list[Linear | Distortion] = []
        for stage in data["stages"]:
            if "matrix" in stage:
                stages.append(Linear(np.array(stage["matrix"], dtype=np.float64)))
            else:
                stages.append(
                    Distortion(
                        int(stage["order"]),
                        (float(stage["centre"][0]), float(stage["centre"][1])),
                        float(stage["radius"]),
                        np.array(stage["coefficients"], dtype=np.float64),
                        bool(stage["is_inverse"]),
                    )
                )
        return cls(tuple(stages), str(data["kind"]))
