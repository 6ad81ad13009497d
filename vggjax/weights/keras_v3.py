"""Keras's HDF5 layout since 2.12: .weights.h5, and within .keras.

Layers are named after their classes: layers/conv2d_3/vars/0 is the kernel of
the fourth convolution, vars/1 its bias; a model within a model has its own
`layers`.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from vggjax.errors import InputError
from vggjax.weights import hdf5, keras_check, keras_config, keras_layers
from vggjax.weights.foreign import Foreign, ForeignLayer
from vggjax.weights.hdf5_dataset import Dataset

# Keras 2.12 to 2.14 have the second.
TOPS = ("layers", "_layer_checkpoint_dependencies")
KNOWN = ("conv2d", "dense")
# More than a file of any VGG has.
MAX_DEPTH = 8
MAX_ENTRIES = 10_000


@dataclasses.dataclass(frozen=True)
class _Found:
  """A layer with weights.

  Attributes:
    place: see keras_config.Layer.
    layer: the weights.
  """

  place: tuple[tuple[str, int], ...]
  layer: ForeignLayer


def is_v3(file: Any) -> bool:
  """Whether an open HDF5 file has this layout."""
  return any(hdf5.has(file, top) for top in TOPS)


def read(
  source: hdf5.Source, config: Sequence[keras_config.Layer] = ()
) -> Foreign:
  """Reads the layers; their numbers stay on the disk until they are used.

  Args:
    source: of the HDF5 file.
    config: of the model, where it is known.

  Raises:
    InputError: if it is not one of the paper's networks, or damaged.
  """
  pool = keras_check.check(config)
  with source.open() as file:
    found = list(_Walk(source, file).layers("", ()))
  order = {layer.place: i for i, layer in enumerate(config)}
  places = [f.place for f in found]
  if all(place in order for place in places):
    found.sort(key=lambda f: order[f.place])
  return keras_layers.to_foreign([f.layer for f in found], pool)


class _Walk:
  """The way through a file's groups, which may lead in circles."""

  def __init__(self, source: hdf5.Source, file: Any):
    self._source, self._file = source, file
    self._entries = 0

  def layers(
    self, path: str, place: tuple[tuple[str, int], ...]
  ) -> Iterator[_Found]:
    """The layers with weights in a model, those of models in it first.

    Args:
      path: of the model's group, "" or with a slash at its end.
      place: of the model, see keras_config.Layer.
    """
    entries = self._names(path)
    if "vars" in entries and self._names(f"{path}vars"):
      raise InputError(f"has weights in {hdf5.shown(path)}vars, of no layer")
    own = []
    for top in TOPS:
      if top not in entries:
        continue
      counts: dict[str, int] = {}
      for name in self._names(path + top):
        kind = re.sub("_[0-9]+$", "", name)
        # The numbers may skip some, e.g. conv2d, conv2d_2.
        key = kind.replace("_", "")
        here = (*place, (key, counts.get(key, 0)))
        counts[key] = here[-1][1] + 1
        child = f"{path}{top}/{name}"
        inner = self._names(child)
        if any(top in inner for top in TOPS):
          yield from self.layers(f"{child}/", here)
        elif layer := self._layer(child, kind, inner):
          own.append(_Found(here, layer))
    yield from own

  def _layer(
    self, path: str, kind: str, entries: Sequence[str]
  ) -> ForeignLayer | None:
    """A layer, None if it has no weights."""
    name, arrays = hdf5.shown(path), []
    if "vars" in entries:
      group = hdf5.find(self._file, f"{path}/vars")
      name = hdf5.shown(hdf5.text_attribute(group, "name")) or name
      for key in self._names(f"{path}/vars"):
        array = f"{path}/vars/{key}"
        arrays.append(Dataset(self._source, self._file, array))
    if arrays and kind == "batch_normalization":
      keras_check.refuse_batch_norm(name)
    # A layer around others keeps their weights in groups of their own.
    inner = [e for e in entries if e not in ("vars", "seed_generator")]
    if (arrays and kind not in KNOWN) or self._has_weights(path, inner):
      raise InputError(
        f"{name} is a layer with weights of a kind ({hdf5.shown(kind)}) that "
        "the paper's networks lack"
      )
    return keras_layers.pair(name, arrays) if arrays else None

  def _has_weights(self, path: str, entries: Sequence[str]) -> bool:
    """Whether there is any dataset below some groups."""
    waiting = [f"{path}/{entry}" for entry in entries]
    while waiting:
      path = waiting.pop()
      if not hdf5.is_group(self._file, path):
        return True
      waiting += [f"{path}/{name}" for name in self._names(path)]
    return False

  def _names(self, path: str) -> list[str]:
    path = path.rstrip("/")
    # A model in a model is two groups deeper.
    if path.count("/") > 2 * MAX_DEPTH + 2:
      raise InputError(f"nests over {MAX_DEPTH} deep; it is damaged")
    names = hdf5.names(hdf5.find(self._file, path) if path else self._file)
    self._entries += len(names)
    if self._entries > MAX_ENTRIES:
      raise InputError(f"has over {MAX_ENTRIES} entries; it is damaged")
    return names
