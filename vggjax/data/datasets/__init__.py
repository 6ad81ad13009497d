"""The data sets this package builds itself; the import registers them."""

from vggjax.data.datasets.caltech256 import Caltech256
from vggjax.data.datasets.ilsvrc2012_loc import Ilsvrc2012Loc
from vggjax.data.datasets.shapes import Shapes, ShapesConfig
from vggjax.data.datasets.voc2012_actions import Voc2012Actions

__all__ = [
  "Caltech256",
  "Ilsvrc2012Loc",
  "Shapes",
  "ShapesConfig",
  "Voc2012Actions",
]
