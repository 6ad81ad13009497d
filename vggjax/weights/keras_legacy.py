"""Keras's older HDF5 layout: weights (.h5), and whole models in HDF5.

Each layer has a group, which lists its weights. Their names differ among the
versions: block1_conv1_W_1:0 (Keras 1), block1_conv1/kernel:0 (2), kernel or
block1_conv1/kernel (3); a model within a model lists those of all its layers.
"""

import re
from collections.abc import Sequence
from typing import Any

from vggjax.errors import InputError
from vggjax.weights import hdf5, keras_check, keras_config, keras_layers
from vggjax.weights.foreign import Foreign, ForeignLayer
from vggjax.weights.hdf5_dataset import Dataset

LAYERS = "layer_names"
MODEL = "model_weights"
# What batch normalization alone has: moving_mean, in Keras 1 running_mean.
BATCH_NORM = re.compile("(moving|running)_")


def is_legacy(file: Any) -> bool:
  """Whether an open HDF5 file has this layout."""
  attributes = (LAYERS, f"{LAYERS}0", "nb_layers")
  return hdf5.has(file, MODEL) or any(name in file.attrs for name in attributes)


def read(source: hdf5.Source) -> Foreign:
  """Reads the layers; their numbers stay on the disk until they are used.

  Raises:
    InputError: if it is not one of the paper's networks, or damaged.
  """
  with source.open() as file:
    if "nb_layers" in file.attrs:
      raise InputError(
        "is a file of Keras 0, which knows Theano's order of axes alone; take "
        "one of Keras 2"
      )
    text = hdf5.text_attribute(file, "model_config")
    config = keras_config.parse(text) if text else []
    pool = keras_check.check(config)
    is_model = hdf5.list_attribute(file, LAYERS) is None
    reader = _Reader(source, file, config)
    layers = reader.layers(f"{MODEL}/" if is_model else "")
    mean = keras_layers.read_mean(file)
  return keras_layers.to_foreign(layers, pool, mean)


class _Reader:
  """The layers of an open file."""

  def __init__(
    self,
    source: hdf5.Source,
    file: Any,
    config: Sequence[keras_config.Layer],
  ):
    self._source, self._file = source, file
    self._order = {layer.name: i for i, layer in enumerate(config)}

  def layers(self, root: str) -> list[ForeignLayer]:
    """All with weights, in their order.

    Args:
      root: path of their groups, "" or with a slash at its end.
    """
    group = hdf5.find(self._file, root[:-1]) if root else self._file
    names = hdf5.list_attribute(group, LAYERS)
    if names is None:
      names = hdf5.names(group)
    found: list[ForeignLayer] = []
    for name in names:
      path = root + name
      weights = hdf5.list_attribute(hdf5.find(self._file, path), "weight_names")
      if weights is None:
        raise InputError(
          f"{hdf5.shown(name)} lacks the attribute weight_names; it is damaged"
        )
      if len(found) + len(weights) > hdf5.MAX_NAMES:
        raise InputError(f"lists over {hdf5.MAX_NAMES} weights; it is damaged")
      found += self._layers_of(name, path, weights)
    return found

  def _layers_of(
    self, name: str, path: str, weights: Sequence[str]
  ) -> list[ForeignLayer]:
    """A layer, the layers of a model, or nothing."""
    for weight in weights:
      if BATCH_NORM.search(weight.split("/")[-1]):
        keras_check.refuse_batch_norm(hdf5.shown(name))
    arrays = {
      weight: Dataset(self._source, self._file, f"{path}/{weight}")
      for weight in weights
    }
    if len(arrays) <= 2:
      found = list(arrays.values())
      return [keras_layers.pair(hdf5.shown(name), found)] if found else []
    inner: dict[str, list[Dataset]] = {}
    for weight, array in arrays.items():
      inner.setdefault(_layer_name(weight), []).append(array)
    # What is trained is listed first, so that a model of which a part was
    # frozen is out of order.
    known = all(key in self._order for key in inner)
    order = self._order.__getitem__ if known else hdf5.natural
    return [
      keras_layers.pair(hdf5.shown(f"{name}/{key}"), inner[key])
      for key in sorted(inner, key=order)
    ]


def _layer_name(weight: str) -> str:
  """The layer of a weight, e.g. of block1_conv1/kernel:0."""
  *path, last = weight.split("/")
  if path:
    return path[-1]
  match = re.fullmatch("(.+)_(?:W|b|kernel|bias)(?:_[0-9]+)?(?::[0-9]+)?", last)
  return match[1] if match else last
