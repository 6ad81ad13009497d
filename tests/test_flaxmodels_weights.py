"""flaxmodels' files, written by hand, against PyTorch's forward pass."""

import foreign_nets
import h5py
import numpy as np
import pytest
from foreign_nets import difference, our_scores
from torch_nets import nn, torch

from vggjax.errors import InputError
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")
# flaxmodels has VGG-16 and 19.
CONVOLUTIONS = {"D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}


def write(net, network, path, top=True):
  """flaxmodels' layout: HWIO and [in, out], fc6 flattened as in PyTorch."""
  names = [
    f"conv{block}_{index}"
    for block, count in enumerate(CONVOLUTIONS[network], 1)
    for index in range(1, count + 1)
  ]
  names += ["fc6", "fc7", "fc8"]
  modules = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
  pairs = list(zip(names, modules, strict=True))
  with h5py.File(path, "w") as file:
    for name, module in reversed(pairs if top else pairs[:-3]):
      kernel = module.weight.detach().numpy()
      kernel = kernel.transpose((2, 3, 1, 0) if kernel.ndim == 4 else (1, 0))
      file[f"{name}/weight"] = kernel
      file[f"{name}/bias"] = module.bias.detach().numpy()


@pytest.mark.parametrize("network", CONVOLUTIONS)
@pytest.mark.parametrize("side", [32, 64])
def test_scores_are_torchs(tmp_path, network, side):
  net = foreign_nets.make(network, crop_size=side)
  write(net, network, tmp_path / "a.h5")
  weights = load_weights(tmp_path / "a.h5")
  assert (weights.network, weights.crop_size) == (network, side)
  assert (weights.num_outputs, weights.pool) == (7, "floor")
  assert weights.card == {"layout": "flaxmodels"}
  images = foreign_nets.crops(side=side)
  wanted = foreign_nets.scores(net, images)
  assert difference(our_scores(weights, images), wanted) < 1e-4


def test_each_slip_would_be_noticed(tmp_path):
  """fc6 flattened as in Keras, its sides swapped, and BGR."""
  net = foreign_nets.make("D")
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net, images)
  first = net.classifier[0].weight.data.clone()
  for shape, axes in (
    # Of O, I, H, W; and what is flattened as H, W, I read as I, H, W.
    ((-1, 32, 2, 2), (0, 1, 3, 2)),
    ((-1, 2, 2, 32), (0, 3, 1, 2)),
  ):
    slipped = first.reshape(shape).permute(axes).reshape(first.shape)
    net.classifier[0].weight.data = slipped
    write(net, "D", tmp_path / "a.h5")
    ours = our_scores(load_weights(tmp_path / "a.h5"), images)
    assert difference(ours, wanted) > 1e-2
  net.classifier[0].weight.data = first
  write(net, "D", tmp_path / "a.h5")
  weights = load_weights(tmp_path / "a.h5")
  assert difference(our_scores(weights, images[..., ::-1]), wanted) > 1e-2
  keras_mean = {"mean": (123.68, 116.779, 103.939), "std": (1, 1, 1)}
  weights = load_weights(tmp_path / "a.h5", **keras_mean)
  assert difference(our_scores(weights, images), wanted) > 1e-2


def test_without_fc_layers(tmp_path):
  net = foreign_nets.make("E")
  write(net, "E", tmp_path / "a.h5", top=False)
  weights = load_weights(tmp_path / "a.h5")
  assert (weights.network, weights.num_outputs) == ("E", 0)
  images = foreign_nets.crops()
  x = images - np.asarray(weights.mean, np.float32)
  _, found = weights.create_model().apply({"params": weights.params}, x)
  with torch.no_grad():
    wanted = net.features(foreign_nets.normalized(images))
  wanted = wanted.permute(0, 2, 3, 1).numpy()
  assert difference(np.asarray(found["pool5"]), wanted) < 1e-4


def test_a_thousand_classes_are_imagenets(tmp_path):
  net = foreign_nets.make("D", num_outputs=1000)
  write(net, "D", tmp_path / "a.h5")
  weights = load_weights(tmp_path / "a.h5")
  assert weights.class_names[:2] == ("n01440764", "n01443537")
  assert len(weights.class_names) == 1000


def without(name):
  def change(file):
    del file[name]

  return change


def added(name, array):
  def change(file):
    file[name] = array

  return change


def replaced(name, array):
  def change(file):
    del file[name]
    file[name] = array

  return change


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (without("conv3_2/bias"), "conv3_2 must have weight and bias; it has"),
    (without("conv3_2"), "these are none of the networks"),
    (without("fc8"), "these are none of the networks"),
    (added("extra", np.ones(3)), "flaxmodels'.* it has .* and holds extra"),
    (replaced("fc7/weight", np.ones((256, 256, 1))), "must have 2 axes"),
    (replaced("fc7/weight", np.ones((255, 256))), "does not fit 256 input"),
    (replaced("fc6/bias", np.ones(255)), "256 output channels and a bias of"),
    (replaced("fc6/bias", np.full(256, np.nan)), "fc6's bias holds nan"),
    (replaced("fc6/bias", np.ones(256, int)), "no floating-point numbers"),
    (replaced("conv1_1", np.ones(3)), "conv1_1 is not a group"),
    (replaced("conv1_1/bias", np.float32(1)), "has no axes"),
  ],
)
def test_bad_files_get_one_line(tmp_path, change, message):
  path = tmp_path / "a.h5"
  write(foreign_nets.make("D"), "D", path)
  with h5py.File(path, "r+") as file:
    change(file)
  with pytest.raises(InputError, match=message) as error:
    load_weights(path)
  assert str(error.value).startswith(f"{path}: ")
  assert "\n" not in str(error.value)
