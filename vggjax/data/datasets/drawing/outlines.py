"""The ten classes and their outlines.

Each is its own mirror image up to a rotation, so a flip keeps the class.
"""

import numpy as np

CLASSES = (
  "arrow",
  "crescent",
  "cross",
  "ellipse",
  "heart",
  "hourglass",
  "ring",
  "square",
  "star",
  "triangle",
)
_TURN = 2 * np.pi


def rotation(angle):
  """The float64 [2, 2] matrix R such that p @ R turns p by `angle` radians."""
  c, s = np.cos(angle), np.sin(angle)
  return np.array([[c, s], [-s, c]])


def arc(start, stop, n=40, radius=1.0, center=0.0):
  """n points of a circle about (center, 0); angles in radians. [n, 2]."""
  angles = np.linspace(start, stop, n)
  return np.stack(
    [center + radius * np.cos(angles), radius * np.sin(angles)], 1
  )


def unit_contours(name, t):
  """The outline of a class inside the unit circle.

  Args:
    name: one of CLASSES.
    t: float in [0, 1], varies the proportions.

  Returns:
    List of float64 [n, 2]: the outline, and the hole if any.
  """
  return _OUTLINES[name](t)


def _regular(corners):
  return lambda t: [arc(0, _TURN, corners + 1)[:-1]]


def _ring(t):
  return [arc(0, _TURN), arc(0, _TURN, radius=0.5 + 0.15 * t)]


def _star(t):
  points = arc(0, _TURN, 11)[:-1]
  points[1::2] *= 0.36 + 0.08 * t
  return [points]


def _cross(t):
  a, b = 0.26 + 0.08 * t, 0.94
  arm = np.array([[b, -a], [b, a], [a, a]])
  return [np.concatenate([arm @ rotation(k * _TURN / 4) for k in range(4)])]


def _crescent(t):
  center, radius = 0.4 + 0.15 * t, 0.8
  cosine = (1 + center**2 - radius**2) / (2 * center)
  tip = np.arccos(cosine)
  inner = np.arctan2(np.sin(tip), cosine - center)
  outside = arc(tip, _TURN - tip)
  inside = arc(_TURN - inner, inner, radius=radius, center=center)
  return [np.concatenate([outside, inside])]


def _heart(t):
  a = np.linspace(0, _TURN, 60)
  y = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
  return [np.stack([(15 + 2 * t) * np.sin(a) ** 3, y + 2.5], 1) / 17.5]


def _hourglass(t):
  neck = 0.1 + 0.1 * t
  half = [[-0.68, -0.73], [0.68, -0.73], [neck, 0.0]]
  return [np.array([*half, *np.negative(half)])]


def _arrow(t):
  shaft, head = 0.16 + 0.08 * t, 0.1 + 0.2 * t
  side = [[-0.97, shaft], [head, shaft], [head, 0.66], [1.0, 0.0]]
  return [np.array([*side, *[[x, -y] for x, y in side[-2::-1]]])]


_OUTLINES = {
  "arrow": _arrow,
  "crescent": _crescent,
  "cross": _cross,
  "ellipse": _regular(48),
  "heart": _heart,
  "hourglass": _hourglass,
  "ring": _ring,
  "square": _regular(4),
  "star": _star,
  "triangle": _regular(3),
}
