"""The room that says what is where: grid, stars, objects and their names on a picture of the sky."""

from skyquilt.steps.annotate.drawing import Annotation, TextWidth, annotate_sky

__all__ = ["Annotation", "TextWidth", "annotate_sky"]
