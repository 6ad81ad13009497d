"""Draws the pictures of the built-in data set: numpy and Pillow alone.

A picture is a function of (seed, split, index, difficulty): a cluttered ground
with one to three textured shapes, the largest of which names its class. Colors,
textures, positions, rotations and scales are drawn independently of the class;
the shapes, and the clutter, are lighter than the ground.

outlines.py has the classes, scene.py what stands where, paint.py the pixels;
`python -m drawing` (see __main__.py) writes a stream of examples, so that the
builder draws in processes that import neither TensorFlow nor the caller's main
module. The imports here are relative, and so must stay.

Random numbers come from numpy's RandomState, whose streams are frozen, and
pixels from float64 or integer arithmetic, so the pixels are the same on every
machine. The JPEG bytes are those of the libjpeg-turbo inside Pillow: another
Pillow release may encode, or rasterize a polygon's edge, differently.
"""

from .outlines import CLASSES
from .paint import Example, draw, draw_example
from .scene import AREA_RATIO, DIFFICULTIES, SPLITS, plan

__all__ = [
  "AREA_RATIO",
  "CLASSES",
  "DIFFICULTIES",
  "SPLITS",
  "Example",
  "draw",
  "draw_example",
  "plan",
]
