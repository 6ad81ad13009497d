"""VGGs in Keras, named as in keras.applications; its older files by hand."""

import h5py
import numpy as np
import pytest
from torch_nets import CHANNELS, KERNELS

from vggjax.errors import InputError
from vggjax.weights.load import load_weights

keras = pytest.importorskip("keras")
if keras.backend.backend() == "tensorflow":
  import tensorflow as tf

  # Keras would take all of a GPU's memory.
  tf.config.set_visible_devices([], "GPU")
layers = keras.layers

WIDTH = 1 / 16
NETWORKS = ("A", "B", "C", "D", "E")
# keras.applications.vgg16.preprocess_input, blue first.
BGR_MEAN = (103.939, 116.779, 123.68)


def convolutions(network, x, width=WIDTH, same_pool=False, zero_pad=False):
  """The layers up to pool5."""
  for block, kernels in enumerate(KERNELS[network], 1):
    for index, side in enumerate(kernels, 1):
      pad = "same"
      if zero_pad and side > 1:
        x = layers.ZeroPadding2D(side // 2)(x)
        pad = "valid"
      channels = int(CHANNELS[block - 1] * width)
      x = layers.Conv2D(
        channels,
        side,
        padding=pad,
        activation="relu",
        name=f"block{block}_conv{index}",
      )(x)
    padding = "same" if same_pool else "valid"
    x = layers.MaxPooling2D(2, 2, padding, name=f"block{block}_pool")(x)
  return x


def dense(x, num_outputs=7, width=WIDTH, names=("fc1", "fc2", "predictions")):
  """The layers from fc6 on, the last one without its soft-max."""
  hidden = int(4096 * width)
  x = layers.Flatten(name="flatten")(x)
  x = layers.Dense(hidden, activation="relu", name=names[0])(x)
  x = layers.Dropout(0.5)(x)
  x = layers.Dense(hidden, activation="relu", name=names[1])(x)
  return layers.Dense(num_outputs, name=names[2])(x)


def make(network="A", *, side=64, top=True, seed=0, **options):
  """A whole network, or its convolutions, with random weights."""
  inputs = keras.Input((side, side, 3))
  x = convolutions(network, inputs, **options)
  model = keras.Model(inputs, dense(x) if top else x, name="vgg")
  return randomized(model, seed)


def randomized(model, seed=0):
  """Gives a model weights with which signals reach the end."""
  random = np.random.default_rng(seed)
  weights = []
  for array in model.get_weights():
    if array.ndim == 1:
      array = random.uniform(-0.3, 0.3, array.shape)
    else:
      std = np.sqrt(2 / np.prod(array.shape[:-1]))
      array = random.normal(0, std, array.shape)
    weights.append(array)
  model.set_weights(weights)
  return model


def scores(model, images, mean=BGR_MEAN, order=(2, 1, 0)):
  """What a model returns of uint8 RGB images."""
  x = images[..., list(order)].astype(np.float32) - np.float32(mean)
  return keras.ops.convert_to_numpy(model(x, training=False))


def arrays_of(model):
  """[(layer, kernel, bias)] of a model's own layers."""
  pairs = [(a.name, a.get_weights()) for a in model.layers]
  return [(name, *arrays) for name, arrays in pairs if len(arrays) == 2]


# Names of a layer's kernel and bias, by the version of Keras.
STYLES = {
  "1": ("{}_W_1:0", "{}_b_1:0"),
  "2": ("{}/kernel:0", "{}/bias:0"),
  "2-again": ("{}_1/kernel_2:0", "{}_1/bias_2:0"),
  "3.0": ("kernel", "bias"),
  "3.3": ("{}/kernel", "{}/bias"),
}


def write_legacy(path, content, style="2", split=False, root=""):
  """The older HDF5 layout.

  Args:
    path: of the file.
    content: [(group, [(layer, kernel, bias), ...])], one layer a group, those
      of a model in a model, or none.
    style: a key of STYLES.
    split: whether the lists are split among several attributes.
    root: the group with everything, of a whole model.
  """
  with h5py.File(path, "w") as file:
    top = file.create_group(root) if root else file
    set_list(top, "layer_names", [name for name, _ in content], split)
    top.attrs["backend"] = b"tensorflow"
    if style != "1":
      top.attrs["keras_version"] = f"{style[0]}.9.0".encode()
    # Groups in another order than the list's.
    for name, inner in sorted(content, key=lambda c: c[0], reverse=True):
      group = top.create_group(name)
      named = [
        (pattern.format(layer), array)
        for layer, *arrays in inner
        for pattern, array in zip(STYLES[style], arrays, strict=True)
      ]
      set_list(group, "weight_names", [n for n, _ in named], split)
      for weight, array in named:
        group.create_dataset(weight, data=array)


def set_list(group, name, values, split):
  """An attribute of bytes, as Keras 2 writes it; or several."""
  values = np.asarray([v.encode() for v in values], "S64")
  if not split:
    group.attrs[name] = values
    return
  for i, part in enumerate(np.array_split(values, 3)):
    group.attrs[f"{name}{i}"] = part


def as_content(model):
  """`write_legacy`'s content of a model, with layers without weights."""
  content = []
  for layer in model.layers:
    arrays = layer.get_weights()
    content.append((layer.name, [(layer.name, *arrays)] if arrays else []))
  return content


def save_h5(model, path):
  """A whole model in the older layout."""
  model.save(path.with_suffix(".h5"))
  path.with_suffix(".h5").rename(path)


def save_keras(model, path):
  model.save(path.with_suffix(".keras"))
  path.with_suffix(".keras").rename(path)


def save_weights_h5(model, path):
  model.save_weights(path.with_suffix(".weights.h5"))
  path.with_suffix(".weights.h5").rename(path)


def save_by_hand(model, path):
  write_legacy(path, as_content(model))


SAVES = [save_h5, save_keras, save_weights_h5, save_by_hand]


def refused(path, message):
  """That a file gets one line, and is closed."""
  with pytest.raises(InputError, match=message) as error:
    load_weights(path)
  text = str(error.value)
  assert text.startswith(f"{path}: ")
  assert "\n" not in text
  assert len(text) < 500 + len(str(path))
  kinds = h5py.h5f.OBJ_FILE | h5py.h5f.OBJ_GROUP | h5py.h5f.OBJ_DATASET
  assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds) == 0
