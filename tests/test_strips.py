"""Batches cut into strips and put together again."""

import jax
import numpy as np
import pytest

from vggjax.models import strips
from vggjax.models.strips import Strips

# Images, height and width; the most rows of tiles; a tile's side.
CASES = {
  "all at once": ((3, 8, 6), 100, 1),
  "whole images": ((7, 9, 10), 12, 4),
  "rows, none over": ((2, 16, 5), 2, 4),
  "rows, some over": ((2, 22, 5), 4, 4),
  "no room for one": ((2, 9, 5), 0, 2),
}


@pytest.mark.parametrize("margin", [0, 1, 2])
@pytest.mark.parametrize("name", CASES)
def test_strips_hold_each_pixel_once_and_what_is_around(name, margin):
  shape, most, tile = CASES[name]
  cuts = Strips.of(shape, most, tile)
  images, rows, columns = cuts.size
  x = np.random.default_rng(0).standard_normal((*shape, 2), np.float32)
  far = margin + tile * 100
  padded = np.pad(x, ((0, far), (margin, far), (margin, far), (0, 0)))
  for index in range(cuts.counts[0] * cuts.counts[1]):
    first, top = divmod(index, cuts.counts[1])
    wanted = padded[
      first * images : (first + 1) * images,
      top * rows : (top + 1) * rows + 2 * margin,
      : columns + 2 * margin,
    ]
    np.testing.assert_array_equal(cuts.cut(x, index, margin), wanted)


@pytest.mark.parametrize("name", CASES)
def test_strips_join_to_the_batch_and_sum_to_its_sum(name):
  shape, most, tile = CASES[name]
  cuts = Strips.of(shape, most, tile)
  x = np.random.default_rng(0).standard_normal((*shape, 2), np.float32)
  joined = jax.jit(lambda x: cuts.join(cuts.cut, x))(x)
  np.testing.assert_array_equal(joined, x)
  total = jax.jit(lambda x: cuts.sum(lambda x, i: cuts.cut(x, i).sum(), x))(x)
  assert total == pytest.approx(x.sum(), abs=1e-4)


@pytest.mark.parametrize(
  ("number", "most", "size"),
  [(5, 9, 5), (56, 14, 14), (53, 7, 6), (25, 10, 5), (13, 1, 1), (7, 4, 4)],
)
def test_pieces_leave_little_over(number, most, size):
  assert strips._equal_share(number, most) == size
