"""Warm start: which layers are copied, and what is refused (Sect. 3.1)."""

import numpy as np
import pytest

import vggjax
from vggjax.errors import InputError
from vggjax.models import parameters
from vggjax.models.warm_start import PAPER_LAYERS, warm_start

PAPER = ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"]


def make_params(network, start, **options):
  """Arrays of the network's shapes, each filled with a number of its own."""
  options = {"num_outputs": 3, "width": 1 / 64, "crop_size": 32} | options
  shapes = parameters.param_shapes(vggjax.create_model(network, **options))
  return {
    name: {
      key: np.full(a.shape, start + 2 * i + (key == "bias"), np.float32)
      for key, a in layer.items()
    }
    for i, (name, layer) in enumerate(shapes.items())
  }


def assert_taken(result, fresh, source, copied):
  assert set(result) == set(fresh)
  for name, layer in result.items():
    wanted = source[name] if name in copied else fresh[name]
    assert set(layer) == {"kernel", "bias"}
    for key in layer:
      np.testing.assert_array_equal(layer[key], wanted[key], name)


def test_paper_layers():
  assert list(PAPER_LAYERS) == PAPER


@pytest.mark.parametrize("network", ["B", "C", "D", "E"])
def test_paper_layers_of_a(network):
  source, fresh = make_params("A", 1000), make_params(network, 0)
  before = {name: dict(layer) for name, layer in fresh.items()}
  result = warm_start(fresh, source)
  assert_taken(result, fresh, source, PAPER)
  assert fresh == before  # Nothing is changed in place.
  # A's conv2_1 is its second convolution; the others' second is conv1_2.
  assert result["conv1_2"]["kernel"].max() < 1000
  assert result["conv2_1"]["kernel"].min() >= 1000


def test_all_layers():
  source, fresh = make_params("D", 1000), make_params("D", 0)
  assert_taken(warm_start(fresh, source, "all"), fresh, source, set(fresh))


@pytest.mark.parametrize("names", [["conv1_1", "conv5_2"], ("fc6",), ()])
def test_names(names):
  source, fresh = make_params("A", 1000), make_params("B", 0)
  assert_taken(warm_start(fresh, source, names), fresh, source, names)


def test_named_layers_leave_another_last_layer():
  source = make_params("A", 1000, num_outputs=5)
  fresh = make_params("A", 0)
  names = [name for name in fresh if name != "fc8"]
  assert_taken(warm_start(fresh, source, names), fresh, source, names)


@pytest.mark.parametrize(
  ("network", "source", "options", "layers", "words"),
  [
    ("A", "A", {"num_outputs": 5}, "paper", ["fc8", "64, 5)", "64, 3)"]),
    ("A", "A", {"crop_size": 64}, "all", ["fc6", "(2, 2, 8", "(1, 1, 8"]),
    ("A", "A", {"width": 1 / 32}, "paper", ["conv1_1", "3, 2)", "3, 1)"]),
    ("D", "A", {}, "all", ["conv1_2", "source"]),
    ("A", "D", {}, ["conv1_2"], ["conv1_2", "this network"]),
    ("A", "A", {}, ["fc9"], ["fc9"]),
    ("B-shallow", "A", {}, "paper", ["conv1_1", "(5, 5", "(3, 3"]),
  ],
)
def test_errors(network, source, options, layers, words):
  fresh = make_params(network, 0)
  source = make_params(source, 1000, **options)
  with pytest.raises(InputError) as caught:
    warm_start(fresh, source, layers)
  for word in ["warm start", *words]:
    assert word in str(caught.value)
  assert "\n" not in str(caught.value)
