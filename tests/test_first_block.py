"""Pool1 of overlapping crops against each crop by itself (Sect. 3.2)."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_nets import (
  SMALL,
  assert_close,
  random_images,
  small_params,
  to_nchw,
  to_nhwc,
  torch_net,
)

import vggjax
from vggjax.evaluate.first_block import pool1_of_crops, windows

pytestmark = pytest.mark.usefixtures("quick_compile")


@given(st.integers(0, 15), st.integers(0, 7), st.integers(0, 7))
@settings(max_examples=20)
def test_windows(top, left, other):
  maps = random_images(2, 31, 23)
  found = windows(
    maps, np.array([top, 15 - top]), np.array([[left, other], [7, left]]), 16
  )
  assert found.shape == (2, 2, 16, 16, 3)
  np.testing.assert_array_equal(
    found[0, 1], maps[0, top : top + 16, other : other + 16]
  )
  np.testing.assert_array_equal(found[1, 0], maps[1, 15 - top : 31 - top, 7:23])


@pytest.mark.parametrize("network", ["A", "A-LRN", "B-shallow", "D"])
@pytest.mark.parametrize("shape", [(45, 66), (47, 33)])
def test_equals_each_crop_by_itself(network, shape):
  """Crops at even and odd places and in all corners."""
  height, width = shape
  images = random_images(2, height, width)
  params = small_params(network)
  model = vggjax.create_model(network, **SMALL)
  tops = [np.array(t) for t in ((0, height - 32), (7, 2))]
  lefts = np.array([[0, 1, width - 32], [1, 0, 1]])

  @jax.jit
  def ours(params, images):
    pool1 = pool1_of_crops(model, params, images)
    return [pool1(windows(images, top, lefts, 32), top, lefts) for top in tops]

  net = torch_net(network, params)
  for top, found in zip(tops, ours(params, images), strict=True):
    crops = [
      images[i, top[i] : top[i] + 32, left : left + 32]
      for i in range(2)
      for left in lefts[i]
    ]
    _, outputs = net(to_nchw(np.stack(crops)))
    assert_close(found, to_nhwc(outputs["pool1"]), 1e-5, network)
