"""The room that says what is where: grid, stars, objects and their names on a picture of the sky."""

from skyquilt.steps.annotate.drawing import Annotation, TextWidth, annotate_sky
from skyquilt.steps.annotate.grid import GridLine, sky_lines
from skyquilt.steps.annotate.star_names import names_of

__all__ = ["Annotation", "GridLine", "TextWidth", "annotate_sky", "names_of", "sky_lines"]
