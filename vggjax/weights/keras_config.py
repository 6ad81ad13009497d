"""The configuration of a Keras model: names and options, nothing that runs."""

import dataclasses
import json
from typing import Any

from vggjax.errors import InputError
from vggjax.weights.hdf5 import shown

# More than any VGG has.
MAX_BYTES = 2**22
MAX_LAYERS = 1000
MAX_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer that holds no others.

  Attributes:
    place: of the models around it and of itself, each the class's name in
      lower case and how many of this class stand before it in the same model.
    name: its own.
    kind: its class.
    options: its configuration.
  """

  place: tuple[tuple[str, int], ...]
  name: str
  kind: str
  options: dict[str, Any]


def parse(text: str | bytes) -> list[Layer]:
  """The layers in their order; none where the model is not made of layers.

  Args:
    text: JSON, of a file config.json or an attribute model_config.

  Raises:
    InputError: if it is damaged, or larger than any VGG's.
  """
  if len(text) > MAX_BYTES:
    raise InputError(f"has a configuration of {len(text)} bytes")
  try:
    model = json.loads(text)
  except RecursionError as error:
    raise InputError("has a configuration that nests too deep") from error
  except ValueError as error:
    raise InputError(
      f"has a configuration that is damaged: {' '.join(str(error).split())}"
    ) from error
  entries = _inner(model)
  return [] if entries is None else _flatten(entries, ())


def _inner(entry: Any) -> list | None:
  """The layers within a model; None: it is a layer itself."""
  if not isinstance(entry, dict):
    raise InputError("has a configuration that is damaged: a layer must be {}")
  config = entry.get("config")
  # Keras 1 has a list alone for a Sequential model.
  layers = config.get("layers") if isinstance(config, dict) else config
  return layers if isinstance(layers, list) else None


def _flatten(entries: list, place: tuple[tuple[str, int], ...]) -> list[Layer]:
  if len(place) >= MAX_DEPTH:
    raise InputError("has a configuration that nests too deep")
  found: list[Layer] = []
  counts: dict[str, int] = {}
  for entry in entries:
    inner = _inner(entry)
    kind = str(entry.get("class_name", ""))
    key = kind.lower()
    here = (*place, (key, counts.get(key, 0)))
    counts[key] = here[-1][1] + 1
    if inner is not None:
      found += _flatten(inner, here)
    else:
      config = entry.get("config")
      options = config if isinstance(config, dict) else {}
      name = shown(str(options.get("name", entry.get("name", kind))))
      found.append(Layer(here, name, kind, options))
    if len(found) > MAX_LAYERS:
      raise InputError(f"has a configuration of over {MAX_LAYERS} layers")
  return found
