"""From the pixels of a sky canvas to those of one frame."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, Sip, SkyGrid, Wcs
from skyquilt.core.sky import tangent_frame
from skyquilt.kernels.sky_map import map_pixels

__all__ = ["SkyMap"]

# A node of the resampling grid lies at most 23 canvas pixels from a pixel of its cell: those around the frame's edge
# must be known. Half as many again, for what projections stretch.
_REACH_CANVAS_PX = 36.0
_REACH_PX = 16.0
_EDGE_POINTS = 8
_NO_TERMS = np.zeros((2, 0, 0))


class SkyMap:
    """
    The map from canvas to frame that `steps.resample` takes, for any two images of the sky.

    Parameters
    ----------
    canvas : Wcs
    frame : SkyGrid
        Coordinates and size of the frame.

    Notes
    -----
    Calling it with float64 (x, y) of one shape, canvas px, gives (x, y) of the frame, px. NaN where the point lies
    farther from the frame than a bilinear cell of the resampling reaches (36 canvas px and 16 frame px), behind the
    frame's horizon, or where its distortion has no such point. Each point is computed by itself, the same bits
    everywhere.

    Definition:: frame.wcs.to_pixels(*canvas.to_sky(x, y)) ; kernels.sky_map.map_pixels equals it to 1e-8 px.
    Cost: about 15 ns a point, 60 ns with a SIP distortion of order 3; 20 us to make one, 0.5 ms where the
    way back of a distortion has to be fitted.
    """

    def __init__(self, canvas: Wcs, frame: SkyGrid) -> None:
        self.canvas = canvas
        self.frame = frame
        wcs = frame.wcs
        self._from_plane = np.concatenate([canvas.crpix0, np.radians(canvas.cd).ravel()])
        self._to_plane = np.concatenate([wcs.crpix0, np.linalg.inv(np.radians(wcs.cd)).ravel()])
        self._rotation = tangent_frame(*wcs.crval_deg) @ tangent_frame(*canvas.crval_deg).T
        self._is_equal_area = np.array([canvas.projection == "ZEA", wcs.projection == "ZEA"])
        self._from_terms = _NO_TERMS if canvas.sip is None else _triangle(canvas.sip.a, canvas.sip.b)
        self._to_terms = self._to_start = _NO_TERMS
        reach = _REACH_PX + _REACH_CANVAS_PX * canvas.scale_arcsec / wcs.scale_arcsec
        self._limits = _limits(frame, reach)
        if wcs.sip is not None:
            self._to_terms, self._to_start = _triangle(wcs.sip.a, wcs.sip.b), _way_back(wcs.sip, frame)

    def __call__(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Return (x, y) in frame pixels of canvas pixels; see the class."""
        out = np.empty((2, x.size))
        map_pixels(
            np.ascontiguousarray(x).reshape(-1),
            np.ascontiguousarray(y).reshape(-1),
            self._from_plane,
            self._from_terms,
            self._rotation,
            self._to_plane,
            self._to_terms,
            self._to_start,
            self._is_equal_area,
            self._limits,
            out,
        )
        return out[0].reshape(x.shape), out[1].reshape(x.shape)

    def area_ratio(self, x: F64, y: F64) -> F64:
        """
        Return the area of canvas pixels in frame pixels, px2 (canvas px, shapes kept): the Jacobian of the map.

        A pixel value times it keeps the flux. NaN where the map is.
        """
        at_x, at_y = self(x, y)
        ratio: F64 = self.canvas.pixel_area_arcsec2(x, y) / self.frame.wcs.pixel_area_arcsec2(at_x, at_y)
        return ratio


def _triangle(a: F64, b: F64) -> F64:
    """Return two sets of coefficients (2, k, k), zero where i + j >= k, whatever shape they came in."""
    order = max(int(sum(power)) for terms in (a, b) for power in [*np.argwhere(terms != 0.0), (0, 0)])
    triangle = np.zeros((2, order + 1, order + 1))
    for along, terms in enumerate((a, b)):
        part = terms[: order + 1, : order + 1]
        triangle[along, : part.shape[0], : part.shape[1]] = part
    return triangle


def _way_back(sip: Sip, frame: SkyGrid) -> F64:
    """Return the polynomials that come near to undoing a distortion: its own, else fitted."""
    if sip.ap is None or sip.bp is None:
        sip = sip.with_inverse(frame.wcs.crpix0, frame.width, frame.height)
    assert sip.ap is not None and sip.bp is not None
    return _triangle(sip.ap, sip.bp)


def _limits(frame: SkyGrid, reach_px: float) -> F64:
    """Return the limits that `map_pixels` takes: what lies within `reach_px` of the frame."""
    x0, y0 = frame.wcs.crpix0
    edges = np.array([-0.5 - x0, frame.width - 0.5 - x0, -0.5 - y0, frame.height - 0.5 - y0])
    edges += np.array([-reach_px, reach_px, -reach_px, reach_px])
    if frame.wcs.sip is None:
        return np.concatenate([edges, edges])
    along = np.linspace(0.0, 1.0, _EDGE_POINTS)
    u, v = edges[0] + (edges[1] - edges[0]) * along, edges[2] + (edges[3] - edges[2]) * along
    across = np.full(_EDGE_POINTS, 1.0)
    round_u = np.concatenate([u, u, edges[0] * across, edges[1] * across])
    round_v = np.concatenate([edges[2] * across, edges[3] * across, v, v])
    to_u, to_v = frame.wcs.sip.apply(round_u, round_v)
    return np.concatenate([[to_u.min(), to_u.max(), to_v.min(), to_v.max()], edges])
