"""Weights that we write as Keras's, loaded by Keras itself."""

import h5py
import keras_nets
import numpy as np
import pytest
import torch_nets
from foreign_nets import crops, difference, our_scores
from keras_nets import BGR_MEAN, NETWORKS, keras

import vggjax
from vggjax.weights.load import load_weights
from vggjax.weights.save import save_weights
from vggjax.weights.weights import Weights

pytestmark = pytest.mark.usefixtures("quick_compile")


def ours_as_keras(tmp_path, network, mean):
  """A file that `save_weights` wrote, and what it holds."""
  model = keras_nets.make(network)
  model.save_weights(tmp_path / "x.weights.h5")
  loaded = load_weights(tmp_path / "x.weights.h5")
  weights = Weights(
    network, loaded.params, mean, width=1 / 16, num_outputs=7, crop_size=64
  )
  save_weights(tmp_path / "ours.h5", weights, format="keras")
  return weights, tmp_path / "ours.h5"


@pytest.mark.parametrize("network", NETWORKS)
def test_keras_loads_what_we_write(tmp_path, network):
  mean = (101.5, 99.25, 97.0)
  weights, path = ours_as_keras(tmp_path, network, mean)
  model = keras_nets.make(network, seed=1)
  model.load_weights(path)
  wanted = our_scores(weights, crops())
  found = keras_nets.scores(model, crops(), mean=mean[::-1])
  assert difference(found, wanted) < 1e-4
  # Our own reader finds the mean.
  back = load_weights(path)
  assert back.mean == mean
  assert difference(our_scores(back, crops()), wanted) < 1e-5


# What keras.applications.vgg16.WEIGHTS_PATH holds, at 1/64 of the channels.
VGG16 = [
  (f"block{block}_conv{index}", (3, 3, inputs if index == 1 else out, out))
  for block, count, inputs, out in (
    (1, 2, 3, 1),
    (2, 2, 1, 2),
    (3, 3, 2, 4),
    (4, 3, 4, 8),
    (5, 3, 8, 8),
  )
  for index in range(1, count + 1)
]
VGG16 += [("fc1", (392, 64)), ("fc2", (64, 64)), ("predictions", (64, 1000))]


def random_weights(network, **options):
  model = vggjax.create_model(network, **options)
  params = torch_nets.random_params(model)
  return Weights(network, params, BGR_MEAN[::-1], **options)


def test_names_and_shapes_are_those_of_kerass_application(tmp_path):
  weights = random_weights("D", width=1 / 64)
  save_weights(tmp_path / "d.h5", weights, format="keras")
  with h5py.File(tmp_path / "d.h5") as file:
    names = list(file.attrs["layer_names"])
    assert names == [name for name, _ in VGG16]
    for name, shape in VGG16:
      weight_names = list(file[name].attrs["weight_names"])
      assert weight_names == [f"{name}/kernel:0", f"{name}/bias:0"]
      assert file[name][weight_names[0]].shape == shape
      assert file[name][weight_names[1]].shape == shape[-1:]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), [("D", "VGG16"), ("E", "VGG19")])
@pytest.mark.parametrize("top", [True, False])
def test_kerass_application_loads_it(tmp_path, network, name, top):
  options = {"num_outputs": 1000 if top else 0}
  weights = random_weights(network, **options)
  path = tmp_path / "whole.h5"
  save_weights(path, weights, format="keras")
  build = getattr(keras.applications, name)
  model = build(weights=path, include_top=top, classifier_activation=None)
  images = crops(2, side=224)
  wanted = keras_nets.scores(model, images)
  del model
  back = load_weights(path)
  x = images - np.asarray(back.mean, np.float32)
  scores, found = back.create_model().apply({"params": back.params}, x)
  ours = scores[:, 0, 0] if top else found["pool5"]
  assert difference(np.asarray(ours), wanted) < 1e-4
