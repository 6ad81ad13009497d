"""The data sets this package builds itself; the import registers them."""

from vggjax.data.datasets.shapes import Shapes, ShapesConfig

__all__ = ["Shapes", "ShapesConfig"]
