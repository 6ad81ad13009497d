"""vggjax.geometry against exact fractions and hand-computed cases."""

import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggjax import geometry

sides = st.integers(1, 20_000)


@given(sides, sides, st.integers(1, 1024))
def test_rescaled_size_rounds_the_exact_long_side(height, width, smallest):
  short, long = sorted((height, width))
  exact = Fraction(long * smallest, short) + Fraction(1, 2)
  rescaled = geometry.rescaled_size(height, width, smallest)
  assert sorted(rescaled) == [smallest, math.floor(exact)]
  assert rescaled[0 if height <= width else 1] == smallest


@pytest.mark.parametrize(
  ("source", "smallest", "rescaled"),
  [
    ((375, 500), 256, (256, 341)),
    ((500, 375), 256, (341, 256)),
    ((4, 6), 3, (3, 5)),  # 4.5 rounds up.
    ((300, 300), 224, (224, 224)),
    ((1, 5000), 256, (256, 1_280_000)),
  ],
)
def test_rescaled_size_by_hand(source, smallest, rescaled):
  assert geometry.rescaled_size(*source, smallest) == rescaled


@pytest.mark.parametrize("sizes", [(0, 5, 5), (5, 0, 5), (5, 5, 0), (-1, 2, 3)])
def test_rescaled_size_refuses_empty_images(sizes):
  with pytest.raises(ValueError, match="at least 1"):
    geometry.rescaled_size(*sizes)


@pytest.mark.parametrize(
  ("size", "window"),
  [
    ((256, 341), ((0, 0), (256, 341))),
    ((10, 80), ((0, 0), (10, 80))),
    ((10, 81), ((0, 0), (10, 80))),
    ((10, 82), ((0, 1), (10, 80))),
    ((100, 10), ((10, 0), (80, 10))),
  ],
)
def test_capped_window(size, window):
  assert geometry.capped_window(*size) == window


def test_center_offset_rounds_down():
  assert geometry.center_offset((7, 10), (4, 4)) == (1, 3)


@given(st.integers(1, 2000))
def test_pooled_size_counts_the_windows(size):
  for pool, rounded in (("ceil", math.ceil), ("floor", math.floor)):
    pooled = size
    for _ in range(5):
      pooled = rounded(Fraction(pooled, 2))
    assert geometry.pooled_size(size, pool) == pooled
  assert geometry.pooled_size(size, "ceil", num_pools=0) == size


@pytest.mark.parametrize(
  ("size", "ceil", "floor"),
  [(224, 1, 1), (225, 2, 1), (256, 2, 2), (341, 5, 4), (384, 6, 6)],
)
def test_score_map_side(size, ceil, floor):
  assert geometry.score_map_side(size, 224, "ceil") == ceil
  assert geometry.score_map_side(size, 224, "floor") == floor


def test_score_map_side_tells_too_small_images():
  assert geometry.score_map_side(160, 224, "ceil") < 1


@given(st.integers(2, 9), st.integers(1, 600), st.integers(0, 4000))
def test_grid_offset_is_even_and_rounds_half_up(count, inner, more):
  offsets = [
    geometry.grid_offset(i, count, inner + more, inner) for i in range(count)
  ]
  for i, offset in enumerate(offsets):
    exact = Fraction(i * more, count - 1)
    assert offset == math.floor(exact + Fraction(1, 2))
  assert (offsets[0], offsets[-1]) == (0, more)


@pytest.mark.parametrize(
  ("count", "outer", "inner", "offsets"),
  [
    (5, 256, 224, [0, 8, 16, 24, 32]),
    (5, 45, 32, [0, 3, 7, 10, 13]),  # 3.25, 6.5, 9.75
    (5, 341, 224, [0, 29, 59, 88, 117]),  # 29.25, 58.5, 87.75
    (5, 224, 224, [0, 0, 0, 0, 0]),
    (2, 256, 224, [0, 32]),
    (3, 257, 224, [0, 17, 33]),
    (1, 256, 224, [16]),
    (1, 257, 224, [16]),
  ],
)
def test_grid_offset_by_hand(count, outer, inner, offsets):
  indices = range(count)
  found = [geometry.grid_offset(i, count, outer, inner) for i in indices]
  assert found == offsets
  array = geometry.grid_offset(np.arange(count), count, outer, inner)
  assert array.tolist() == offsets
  sides = geometry.grid_offset(0, count, np.array([outer, inner]), inner)
  assert sides.tolist() == [offsets[0], 0]


def test_scales_follow_the_crop():
  paper = [224, 256, 288, 352, 384, 416, 480, 512, 544]
  assert [geometry.scale_for_crop(scale, 224) for scale in paper] == paper
  sevenths = [32, 37, 41, 50, 55, 59, 69, 73, 78]
  assert [geometry.scale_for_crop(scale, 32) for scale in paper] == sevenths
  mini = [geometry.scale_for_crop(scale, 64) for scale in (256, 384, 512)]
  assert mini == [73, 110, 146]


boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
  lambda b: (min(b[0], b[1]), min(b[2], b[3]), max(b[:2]) + 1, max(b[2:]) + 1)
)


@given(boxes, boxes)
def test_iou_counts_pixels_as_the_devkit_does(a, b):
  """On a grid; the inclusive pixels are those between the edges."""
  pixels = [
    {(x, y) for x in range(left, right) for y in range(top, bottom)}
    for left, top, right, bottom in (a, b)
  ]
  wanted = len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
  assert geometry.iou(np.array(a), np.array(b)) == pytest.approx(wanted)


def test_iou_broadcasts_and_takes_jax_arrays():
  a = np.array([[0, 0, 2, 2], [1, 1, 3, 3.0]])
  table = geometry.iou(a[:, None], a[None])
  np.testing.assert_allclose(table, [[1, 1 / 7], [1 / 7, 1]])
  both = geometry.iou(jnp.asarray(a), jnp.asarray(a[::-1]))
  np.testing.assert_allclose(both, [1 / 7, 1 / 7], rtol=1e-6)


@pytest.mark.parametrize(
  ("size", "box", "wanted"),
  [
    ((100, 200), (0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
    # Sixteen times as wide as high: the middle half is used.
    ((10, 160), (0, 0, 1, 1), (0.25, 0, 0.75, 1)),
    ((160, 10), (0.5, 0.5, 1, 1), (0.5, 0.5, 1, 0.75)),
  ],
)
def test_uncap(size, box, wanted):
  found = geometry.uncap(np.array([box]), *size, 10)
  np.testing.assert_allclose(found, [wanted])


@pytest.mark.parametrize("pool", ["ceil", "floor"])
@given(st.integers(64, 400))
def test_offsets_take_turns(pool, size):
  """The positions of both offsets, put in their places, leave no gap."""
  before = geometry.pooled_size(size, pool, num_pools=4)
  counts = [
    geometry.pooled_size(before - offset, pool, num_pools=1) - 1
    for offset in (0, 1)
  ]
  places = [2 * i for i in range(counts[0])]
  places += [2 * i + 1 for i in range(counts[1])]
  count = geometry.score_map_side(size, 64, pool, 2)
  assert sorted(places) == list(range(count))
