"""The mean and the class names in MatConvNet's files."""

import numpy as np
import pytest
from mat_bytes import ALL_WRITERS
from mat_files import WRITERS, write_v6
from matconvnet_files import (
  MEAN,
  MEAN_PIXEL,
  WORDS,
  make_net,
  saved,
  simple_net,
)

from vggjax.errors import InputError
from vggjax.weights.load import load_weights


@pytest.mark.parametrize("form", WRITERS)
def test_mean_images(tmp_path, form):
  _, params = make_net("A")
  image = np.ones((64, 48, 1), np.float32) * np.float32(MEAN)
  weights = saved(tmp_path / "x", simple_net(params, mean=image), form)
  assert weights.mean == MEAN
  assert "mean" not in weights.card
  # Rows, columns and colors differ.
  image = image + np.arange(64)[:, None, None] - np.arange(48)[:, None] / 7
  image = image.astype(np.float32)
  weights = saved(tmp_path / "x", simple_net(params, mean=image), form)
  np.testing.assert_allclose(weights.mean, image.mean((0, 1)), rtol=1e-6)
  assert weights.card["mean"] == "the average of a mean image"
  for pixel in (np.array(MEAN), np.array(MEAN)[:, None], MEAN_PIXEL):
    weights = saved(tmp_path / "x", simple_net(params, mean=pixel), form)
    assert weights.mean == MEAN
  nothing = simple_net(params, mean=np.zeros((0, 0)))
  assert saved(tmp_path / "x", nothing, form).mean == (0, 0, 0)


def test_the_mean_is_the_callers_where_the_file_lacks_it(tmp_path):
  _, params = make_net("A")
  net = simple_net(params)
  del net["meta"]["normalization"]["averageImage"]
  write_v6(tmp_path / "x", net)
  with pytest.raises(InputError, match="mean must be 3 numbers"):
    load_weights(tmp_path / "x")
  assert load_weights(tmp_path / "x", mean=(3, 2, 1)).mean == (3, 2, 1)


@pytest.mark.parametrize("form", ALL_WRITERS)
def test_class_names(tmp_path, form):
  _, params = make_net("A")
  words = simple_net(params, classes={"name": [], "description": WORDS})
  assert saved(tmp_path / "x", words, form).class_names == tuple(WORDS)
  none = simple_net(params, classes=np.zeros((0, 0)), layout="beta8")
  assert saved(tmp_path / "x", none, form).class_names == ()


def test_a_thousand_unnamed_classes_are_imagenets(tmp_path):
  _, params = make_net("A", num_outputs=1000)
  weights = saved(tmp_path / "x", simple_net(params))
  assert weights.class_names[:2] == ("n01440764", "n01443537")
  # In another order, as the file says.
  names = list(reversed(weights.class_names))
  net = simple_net(params, classes={"name": names})
  weights = saved(tmp_path / "x", net)
  assert weights.class_names == tuple(names)
