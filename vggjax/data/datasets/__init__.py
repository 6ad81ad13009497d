"""The data sets this package builds itself; the import registers them."""

from vggjax.data.datasets.ilsvrc2012_loc import Ilsvrc2012Loc
from vggjax.data.datasets.shapes import Shapes, ShapesConfig

__all__ = ["Ilsvrc2012Loc", "Shapes", "ShapesConfig"]
