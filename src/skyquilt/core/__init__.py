"""The nouns: values over NumPy arrays, without disk, threads or logging."""

from skyquilt.core.arrays import F32, F64, I32, I64, U8, U16, Mask
from skyquilt.core.box import Box
from skyquilt.core.calibration import Calibration
from skyquilt.core.cfa import CFA_NAMES, Cfa
from skyquilt.core.drawing import Drawing, Label, Line, Ring
from skyquilt.core.event import Event, Listener, silent
from skyquilt.core.frame import LEFT_OUT_CODES, FrameFile, FrameKind, FrameMeta, LeftOut, Pointing
from skyquilt.core.measurement import Figures, Measurement, Normalisation, Registration
from skyquilt.core.session import LightGroup, Session
from skyquilt.core.sky import CatalogueStars, DeepSkyObject, Sip, SkyGrid, Wcs
from skyquilt.core.stars import Stars
from skyquilt.core.tile import CanvasTile, PixelSource, SampleSource, Tile
from skyquilt.core.trail import Trail
from skyquilt.core.transform import Distortion, Linear, Transform

__all__ = [
    "CFA_NAMES",
    "F32",
    "F64",
    "I32",
    "I64",
    "LEFT_OUT_CODES",
    "U8",
    "U16",
    "Box",
    "Calibration",
    "CanvasTile",
    "CatalogueStars",
    "Cfa",
    "DeepSkyObject",
    "Distortion",
    "Drawing",
    "Event",
    "Figures",
    "FrameFile",
    "FrameKind",
    "FrameMeta",
    "Label",
    "LeftOut",
    "LightGroup",
    "Line",
    "Linear",
    "Listener",
    "Mask",
    "Measurement",
    "Normalisation",
    "PixelSource",
    "Pointing",
    "Registration",
    "Ring",
    "SampleSource",
    "Session",
    "Sip",
    "SkyGrid",
    "Stars",
    "Tile",
    "Trail",
    "Transform",
    "Wcs",
    "silent",
]
