"""Keras models with layers or options that the paper's networks lack."""

import json

import h5py
import keras_nets
import numpy as np
import pytest
from keras_nets import keras, layers, refused

from vggjax.weights.load import load_weights

# With the three layouts that Keras writes.
SUFFIXES = (".h5", ".keras", ".weights.h5")


def build(change=None, before=None, after=None, top=True):
  """Network A with layers changed, or put before or after the first block."""
  inputs = keras.Input((64, 64, 3))
  x = before(inputs) if before else inputs
  model = keras_nets.make("A", top=top)
  for layer in model.layers[1:]:
    config = layer.get_config()
    if change:
      config.update(change.get(layer.name, {}))
    x = layer.__class__.from_config(config)(x)
    if after and layer.name == "block1_conv1":
      x = after(x)
  return keras.Model(inputs, x)


def save(model, tmp_path, suffix):
  path = tmp_path / f"a{suffix}"
  if suffix == ".weights.h5":
    model.save_weights(path)
  else:
    model.save(path)
  return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unchanged_model(tmp_path, suffix):
  path = save(build(), tmp_path, suffix)
  assert load_weights(path).network == "A"


def test_state_of_random_numbers(tmp_path):
  """Some versions of Keras 3 keep it among the weights."""
  path = save(build(), tmp_path, ".weights.h5")
  with h5py.File(path, "r+") as file:
    state = np.array([0, 1], np.uint32)
    file["layers/dropout/seed_generator/vars/0"] = state
  assert load_weights(path).network == "A"


def keras_1_layers(model, border_mode="same"):
  """The configuration of a Sequential model in Keras 1."""
  config = []
  for layer in model.layers[1:]:
    kind, options = layer.__class__.__name__, {"name": layer.name}
    if kind == "Conv2D":
      kind = "Convolution2D"
      options |= {"nb_row": 3, "nb_col": 3, "border_mode": border_mode}
      options |= {"subsample": [1, 1], "activation": "relu", "bias": True}
    elif kind == "MaxPooling2D":
      options |= {"pool_size": [2, 2], "strides": [2, 2]}
      options |= {"border_mode": "valid"}
    elif kind == "Dense":
      options |= {"activation": "relu", "bias": True}
    config.append({"class_name": kind, "config": options})
  return config


def test_a_model_of_keras_1(tmp_path):
  path = tmp_path / "a.h5"
  model = keras_nets.make("A")
  for mode, message in (("same", ""), ("valid", "has a padding of 0")):
    content = keras_nets.as_content(model)
    keras_nets.write_legacy(path, content, "1", root="model_weights")
    config = keras_1_layers(model, mode)
    text = json.dumps({"class_name": "Sequential", "config": config})
    with h5py.File(path, "r+") as file:
      file.attrs["model_config"] = text.encode()
    if message:
      refused(path, message)
    else:
      assert load_weights(path).network == "A"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
  ("layer", "group"),
  [
    (layers.BatchNormalization, ""),
    (layers.PReLU, "p_re_lu"),
    (layers.LayerNormalization, "layer_normalization"),
    (lambda: layers.DepthwiseConv2D(3, name="it"), "depthwise_conv2d"),
    (lambda: layers.TimeDistributed(layers.Dense(4)), "time_distributed"),
  ],
)
def test_other_layers_with_weights(tmp_path, layer, group, suffix):
  layer = layer()
  path = save(build(after=layer), tmp_path, suffix)
  # The configuration tells the class, the weights alone the group.
  message = f"{layer.name} is a layer of class {layer.__class__.__name__}, "
  if not group:
    message = f"{layer.name} is batch normalization; the paper's networks"
  elif suffix == ".weights.h5":
    message = f"{layer.name} is a layer with weights of a kind .{group}. that"
  refused(path, message)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      {"change": {"block2_conv1": {"strides": (2, 2)}}},
      r"block2_conv1 has strides \[2, 2\]; the paper's networks have 1",
    ),
    ({"change": {"block2_conv1": {"dilation_rate": 2}}}, "has dilation_rate"),
    ({"change": {"fc1": {"activation": "tanh"}}}, "fc1 has the activation tan"),
    (
      {"change": {"block4_conv1": {"activation": None}}},
      "block4_conv1 is not followed by a ReLU",
    ),
    ({"change": {"block1_conv1": {"padding": "valid"}}}, "a padding of 0; the"),
    ({"change": {"block1_pool": {"padding": "same"}}}, "rounds odd sides up"),
    ({"change": {"block1_pool": {"pool_size": 3}}}, "has pool_size"),
    ({"change": {"fc2": {"use_bias": False}}}, "fc2 has no bias|has use_bias"),
    ({"after": layers.AveragePooling2D(1)}, "of class AveragePooling2D"),
    ({"after": layers.LeakyReLU()}, "of class LeakyReLU"),
    ({"after": layers.MaxPooling2D(2, padding="same")}, "conv pool pool conv"),
    ({"before": layers.Rescaling(1 / 255)}, "of class Rescaling.*prepares"),
  ],
)
def test_other_options(tmp_path, options, message, suffix):
  refused(save(build(**options), tmp_path, suffix), message)


def pooled_head():
  base = keras_nets.make("A", side=32, top=False)
  x = layers.GlobalAveragePooling2D()(base.output)
  for units in (256, 256, 7):
    x = layers.Dense(units, activation="relu")(x)
  return keras.Model(base.input, x)


def test_a_mean_over_the_map_in_place_of_fc6(tmp_path):
  path = save(pooled_head(), tmp_path, ".keras")
  refused(path, "of class GlobalAveragePooling2D")
  base = keras_nets.make("A", side=64, top=False)
  x = layers.GlobalAveragePooling2D()(base.output)
  path = save(keras.Model(base.input, x), tmp_path, ".keras")
  assert load_weights(path).num_outputs == 0


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_nothing_is_run(tmp_path, suffix):
  """A function in the file, after the network and within it."""
  victim = tmp_path / "victim"

  def function():
    # Keras keeps the code of what has no name.
    code = f"lambda x: __import__('pathlib').Path({str(victim)!r}).touch() or x"
    return layers.Lambda(eval(code), output_shape=lambda shape: shape)

  outside = keras.Sequential([keras.Input((64, 64, 3)), build(), function()])
  for model, message in (
    (outside, None),
    (build(after=function()), "of class Lambda"),
  ):
    path = save(model, tmp_path, suffix)
    victim.unlink(missing_ok=True)
    if message:
      refused(path, message)
    else:
      assert load_weights(path).network == "A"
    assert not victim.exists()
    # The function is in the file, and works.
    loaded = keras.models.load_model(path, safe_mode=False)
    loaded(keras.ops.zeros((1, 64, 64, 3)))
    assert victim.exists()
