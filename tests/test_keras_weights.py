"""Keras's files of all versions, against Keras's own forward pass."""

import os
import zipfile

import h5py
import keras_nets
import numpy as np
import pytest
from foreign_nets import crops, difference, our_scores
from keras_nets import (
  BGR_MEAN,
  NETWORKS,
  SAVES,
  keras,
  layers,
  save_by_hand,
  save_h5,
  save_keras,
  save_weights_h5,
)

from vggjax.weights import foreign
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")


def check_scores(path, model, side=64):
  """The loaded weights, if their scores are Keras's."""
  weights = load_weights(path)
  images = crops(side=side)
  wanted = keras_nets.scores(model, images)
  # The images differ, so that the scores can be wrong.
  assert np.ptp(wanted, axis=0).max() > 0.1 * np.abs(wanted).max()
  assert difference(our_scores(weights, images), wanted) < 1e-4
  return weights


@pytest.mark.parametrize("network", NETWORKS)
def test_scores_are_kerass(tmp_path, network):
  side = 64 if network in "BD" else 32
  model = keras_nets.make(network, side=side)
  for save in SAVES:
    # The name says nothing: the content does.
    path = tmp_path / save.__name__
    save(model, path)
    weights = check_scores(path, model, side)
    assert weights.network == network
    assert (weights.width, weights.num_outputs) == (1 / 16, 7)
    assert (weights.crop_size, weights.pool) == (side, "floor")
    assert weights.mean == BGR_MEAN[::-1]
    assert (weights.class_names, weights.card) == ((), {"layout": "Keras"})


def test_each_slip_would_be_noticed():
  """What the test above compares moves by 20 times its tolerance."""
  model = keras_nets.make("D")
  images = crops()
  wanted = keras_nets.scores(model, images)
  for slipped in (
    {"order": (0, 1, 2)},
    {"mean": BGR_MEAN[::-1]},
    {"mean": (110.0, 110.0, 110.0)},
  ):
    other = keras_nets.scores(model, images, **slipped)
    assert difference(other, wanted) > 2e-3, slipped
  fc1 = model.get_layer("fc1")
  kernel, bias = fc1.get_weights()
  split = kernel.reshape(2, 2, 32, -1)
  for axes in ((1, 0, 2, 3), (2, 0, 1, 3)):
    fc1.set_weights([split.transpose(axes).reshape(kernel.shape), bias])
    other = keras_nets.scores(model, images)
    assert difference(other, wanted) > 1e-2, axes
  fc1.set_weights([kernel, bias])
  for name in ("block3_conv2", "fc2"):
    layer = model.get_layer(name)
    kernel, bias = layer.get_weights()
    swapped = np.moveaxis(kernel, -1, -2)
    layer.set_weights([swapped, bias])
    assert difference(keras_nets.scores(model, images), wanted) > 1e-2, name
    layer.set_weights([kernel, bias])


@pytest.mark.parametrize("save", SAVES)
def test_without_fc_layers(tmp_path, save):
  model = keras_nets.make("D", top=False)
  save(model, tmp_path / "notop")
  weights = load_weights(tmp_path / "notop")
  assert (weights.network, weights.num_outputs) == ("D", 0)
  images = crops()
  x = images - np.asarray(weights.mean, np.float32)
  _, found = weights.create_model().apply({"params": weights.params}, x)
  wanted = keras_nets.scores(model, images)
  assert difference(np.asarray(found["pool5"]), wanted) < 1e-4


@pytest.mark.parametrize("style", keras_nets.STYLES)
def test_names_of_all_versions(tmp_path, style):
  model = keras_nets.make("A")
  for split in (False, True):
    for root in ("", "model_weights"):
      path = tmp_path / "a.h5"
      content = keras_nets.as_content(model)
      keras_nets.write_legacy(path, content, style, split, root)
      check_scores(path, model)


def frozen_order(name):
  """Blocks 4 and 5 first, the others, as they are not trained, then."""
  return name < "block4", name


def nested(fc_layers=3):
  base = keras_nets.make("B", top=False)
  model = keras.Sequential([keras.Input((64, 64, 3)), base, layers.Flatten()])
  for units in (256, 256, 7)[:fc_layers]:
    model.add(layers.Dense(units, activation="relu" if units > 7 else None))
  return base, keras_nets.randomized(model)


@pytest.mark.parametrize("save", [save_h5, save_keras, save_weights_h5])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_in_a_model(tmp_path, save, frozen):
  base, model = nested()
  for layer in base.layers:
    layer.trainable = not (frozen and layer.name < "block4")
  path = tmp_path / "nested"
  save(model, path)
  if save is save_h5:
    with h5py.File(path) as file:
      first = file["model_weights/vgg"].attrs["weight_names"][0]
    assert first.startswith("block4" if frozen else "block1")
  assert check_scores(path, model).network == "B"


@pytest.mark.parametrize("style", ["1", "2", "2-again", "3.3"])
def test_a_model_in_a_model_without_its_configuration(tmp_path, style):
  base, model = nested()
  inner = keras_nets.arrays_of(base)
  inner.sort(key=lambda layer: frozen_order(layer[0]))
  own = [(name, [(name, *a)]) for name, *a in keras_nets.arrays_of(model)]
  content = [("vgg", inner), ("flatten", []), *own]
  path = tmp_path / "nested.h5"
  keras_nets.write_legacy(path, content, style)
  check_scores(path, model)


def test_names_without_an_order_have_the_configurations(tmp_path):
  """Sorted by name, the layers of the inner model would be another network."""
  inputs = keras.Input((32, 32, 3))
  base = keras_nets.make("A", top=False, side=32)
  names = iter("zyxwvuts")
  clone = keras.models.clone_model(
    base,
    clone_function=lambda a: (
      a.__class__.from_config({**a.get_config(), "name": next(names)})
      if isinstance(a, layers.Conv2D)
      else a.__class__.from_config(a.get_config())
    ),
  )
  model = keras.Model(inputs, keras_nets.dense(clone(inputs)))
  keras_nets.randomized(model)
  for save in (save_h5, save_keras, save_weights_h5):
    save(model, tmp_path / "a")
    check_scores(tmp_path / "a", model, side=32)


def relabelled(path, label):
  """Renames the groups of Keras 3's layers."""
  with h5py.File(path, "r+") as file:
    layers_ = file["layers"]
    for kind in ("conv2d", "dense"):
      found = [n for n in layers_ if n.split("_")[0] == kind]
      found.sort(key=lambda n: int(n.partition("_")[2] or 0))
      for i in reversed(range(len(found))):
        del layers_[found[i]]["vars"].attrs["name"]
        if found[i] != label(kind, i):
          layers_.move(found[i], label(kind, i))
    file.move("layers", "_layer_checkpoint_dependencies")


@pytest.mark.parametrize("step", [1, 2])
def test_keras_2_12_to_2_14(tmp_path, step):
  model = keras_nets.make("E", side=32)
  path = tmp_path / "a.weights.h5"
  model.save_weights(path)
  relabelled(path, lambda kind, i: f"{kind}_{i * step}" if i else kind)
  with h5py.File(path) as file:
    groups = file["_layer_checkpoint_dependencies"]
    assert f"conv2d_{15 * step}" in groups
    assert "name" not in groups["conv2d/vars"].attrs
  check_scores(path, model, side=32)
  # The same in a .keras file, where the configuration says the order.
  model.save(tmp_path / "a.keras")
  with zipfile.ZipFile(tmp_path / "a.keras") as archive:
    config = archive.read("config.json")
  with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
    archive.writestr("config.json", config)
    archive.write(path, "model.weights.h5")
  check_scores(tmp_path / "b.keras", model, side=32)


def test_models_of_other_layers(tmp_path):
  """Convolutions in place of FC layers, paddings and ReLUs of their own."""
  inputs = keras.Input((64, 64, 3))
  x = layers.RandomFlip("horizontal")(inputs)
  x = keras_nets.convolutions("C", x, zero_pad=True)
  for side, units in ((2, 256), (1, 256)):
    x = layers.ReLU()(layers.Conv2D(units, side)(x))
  x = layers.Conv2D(7, 1)(x)
  model = keras.Model(inputs, x)
  keras_nets.randomized(model)
  model.compile("adam", "mse")
  for save in (save_h5, save_keras, save_weights_h5):
    save(model, tmp_path / "a")
    images = crops()
    wanted = keras_nets.scores(model, images)[:, 0, 0]
    ours = our_scores(load_weights(tmp_path / "a"), images)
    assert difference(ours, wanted) < 1e-4


def test_posteriors_and_rounding_up(tmp_path):
  """Maps of odd sides; the soft-max follows the last scores."""
  model = keras_nets.make("A", top=False, side=75, same_pool=True)
  model.save(tmp_path / "a.keras")
  weights = load_weights(tmp_path / "a.keras")
  assert weights.pool == "ceil"
  images = crops(side=75)
  wanted = keras_nets.scores(model, images)
  x = images - np.asarray(weights.mean, np.float32)
  _, found = weights.create_model().apply({"params": weights.params}, x)
  assert found["pool5"].shape == wanted.shape == (3, 3, 3, 32)
  assert difference(np.asarray(found["pool5"]), wanted) < 1e-4
  full = keras_nets.make("A")
  full.layers[-1].activation = keras.activations.softmax
  full.save(tmp_path / "b.keras")
  ours = our_scores(load_weights(tmp_path / "b.keras"), crops())
  ours = np.exp(ours - ours.max(axis=-1, keepdims=True))
  ours /= ours.sum(axis=-1, keepdims=True)
  np.testing.assert_allclose(ours, keras_nets.scores(full, crops()), atol=1e-4)


@pytest.mark.parametrize(
  ("dtype", "stored"), [("float16", "<f2"), ("bfloat16", "|V2")]
)
def test_half_precision(tmp_path, dtype, stored):
  keras.config.set_dtype_policy(dtype)
  try:
    half = keras_nets.make("A")
  finally:
    keras.config.set_dtype_policy("float32")
  model = keras_nets.make("A")
  arrays = [np.asarray(a, np.float32) for a in half.get_weights()]
  assert (arrays[0] != model.get_weights()[0]).any()
  model.set_weights(arrays)
  for save in (save_keras, save_weights_h5):
    save(half, tmp_path / "a")
    check_scores(tmp_path / "a", model)
  with h5py.File(tmp_path / "a") as file:
    assert file["layers/conv2d/vars/0"].dtype.str == stored


def test_compressed(tmp_path):
  model = keras_nets.make("A")
  save_by_hand(model, tmp_path / "a")
  with h5py.File(tmp_path / "a", "r+") as file:
    for name, *arrays in keras_nets.arrays_of(model):
      for kind, array in zip(("kernel:0", "bias:0"), arrays, strict=True):
        del file[name][name][kind]
        file[name][name].create_dataset(
          kind, data=array.astype(">f8"), compression="gzip"
        )
  check_scores(tmp_path / "a", model)


def test_nothing_stays_open_and_parts_are_read(tmp_path, monkeypatch):
  model = keras_nets.make("A")
  monkeypatch.setattr(foreign, "CHUNK", 1000)
  for save in SAVES:
    save(model, tmp_path / "a")
    check_scores(tmp_path / "a", model)
    kinds = h5py.h5f.OBJ_FILE | h5py.h5f.OBJ_GROUP | h5py.h5f.OBJ_DATASET
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds) == 0
    if os.path.isdir("/proc/self/fd"):
      links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
      opened = [os.readlink(link) for link in links if os.path.exists(link)]
      assert str(tmp_path / "a") not in opened
