"""Whether a Keras model is one of the paper's networks.

The weights alone do not tell how layers are put together; what would make it
another network than Table 1's is refused.
"""

import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights.hdf5 import shown
from vggjax.weights.keras_config import Layer

CONVOLUTIONS = ("Conv2D", "Convolution2D")
WITH_WEIGHTS = (*CONVOLUTIONS, "Dense")
# What else may stand between them: the paper's layers, and what changes no
# scores.
OTHERS = ("InputLayer", "Flatten", "Reshape", "Dropout", "SpatialDropout2D")
POOLING = "MaxPooling2D"
PADDING = "ZeroPadding2D"
# Image augmentation, which is off when images are classified.
RANDOM = "Random"
# Each option's only value, where the option is given; of two sides, for both.
OPTIONS = {
  "Conv2D": {"strides": 1, "dilation_rate": 1, "groups": 1, "use_bias": True},
  "Convolution2D": {"subsample": 1, "bias": True},
  POOLING: {"pool_size": 2, "strides": 2},
  "Dense": {"use_bias": True, "bias": True},
}


def check(layers: Sequence[Layer]) -> str:
  """How the pooling layers round, "floor" or "ceil".

  Args:
    layers: of `keras_config.parse`; none: nothing is known, "floor" is usual.

  Raises:
    InputError: if the layers are not those of one of the paper's networks.
  """
  if not layers:
    return "floor"
  for layer in layers:
    if layer.kind == "BatchNormalization":
      refuse_batch_norm(layer.name)
  kinds: list[str] = []
  pools: set[str] = set()
  padding = 0
  paddings: list[tuple[Layer, int, bool]] = []
  linear, without_relu = "", ""
  for layer in _relevant(layers):
    _check_options(layer)
    if layer.kind == PADDING:
      padding = _side(layer, "padding", 1)
    elif layer.kind == POOLING:
      kinds.append("pool")
      same = _option(layer, "padding", "border_mode") == "same"
      pools.add("ceil" if same else "floor")
    elif _is_relu(layer):
      linear = ""
    elif layer.kind in WITH_WEIGHTS:
      without_relu = without_relu or linear
      linear = "" if _activation(layer) == "relu" else layer.name
      is_fc = layer.kind == "Dense" or kinds.count("pool") >= 5
      kinds.append("fc" if is_fc else "conv")
      if layer.kind in CONVOLUTIONS:
        paddings.append((layer, padding, is_fc))
      padding = 0
    elif layer.kind not in OTHERS and not layer.kind.startswith(RANDOM):
      raise InputError(
        f"{layer.name} is a layer of class {shown(layer.kind)}, which the "
        "paper's networks lack; if it only prepares the images, save the "
        "weights alone (model.save_weights)"
      )
  _check_order(kinds)
  for found in paddings:
    _check_padding(*found)
  if without_relu or (linear and "fc" not in kinds):
    raise InputError(f"{without_relu or linear} is not followed by a ReLU")
  if len(pools) > 1:
    raise InputError(
      "rounds odd sides up in one pooling layer, down in another"
    )
  return pools.pop() if pools else "floor"


def refuse_batch_norm(name: str) -> NoReturn:
  """Raises InputError on a layer that none of the networks has."""
  raise InputError(
    f"{name} is batch normalization; the paper's networks have none; merge it "
    "into the convolutions"
  )


def _relevant(layers: Sequence[Layer]) -> list[Layer]:
  """All up to the last one with weights, and what ends a feature net."""
  at = [i for i, layer in enumerate(layers) if layer.kind in WITH_WEIGHTS]
  end = max(at, default=-1) + 1
  rest = [a for a in layers[end:] if a.kind == POOLING or _is_relu(a)]
  return [*layers[:end], *rest]


def _check_options(layer: Layer) -> None:
  for option, wanted in OPTIONS.get(layer.kind, {}).items():
    value = layer.options.get(option)
    # None: Keras's default, which is the wanted one.
    values = value if isinstance(value, list) else [value]
    if any(v is not None and v != wanted for v in values):
      raise InputError(
        f"{layer.name} has {option} {shown(str(value))}; the paper's networks "
        f"have {wanted}"
      )
  if _activation(layer) not in ("relu", "linear", "softmax"):
    raise InputError(
      f"{layer.name} has the activation {shown(_activation(layer))}; the "
      "paper's networks have ReLU"
    )


def _activation(layer: Layer) -> str:
  return str(layer.options.get("activation") or "linear")


def _is_relu(layer: Layer) -> bool:
  """Whether it is an activation by itself."""
  if layer.kind == "Activation":
    return _activation(layer) == "relu"
  plain = {"max_value": None, "negative_slope": 0, "threshold": 0}
  return layer.kind == "ReLU" and all(
    layer.options.get(name, value) in (value, [value])
    for name, value in plain.items()
  )


def _check_padding(layer: Layer, padding: int, is_fc: bool) -> None:
  """Raises InputError unless a convolution is padded like the paper's."""
  side = _side(layer, "kernel_size", layer.options.get("nb_row", 1))
  same = _option(layer, "padding", "border_mode") == "same"
  found = padding + (side // 2 if same else 0)
  wanted = 0 if is_fc else side // 2
  if found != wanted:
    raise InputError(
      f"{layer.name} has a padding of {found}; the paper's networks have "
      f"{wanted} for its {side}x{side} kernel"
    )


def _option(layer: Layer, *names: str) -> Any:
  """An option by its names in Keras 2 and in Keras 1."""
  return next((layer.options[n] for n in names if n in layer.options), None)


def _side(layer: Layer, option: str, default: int) -> int:
  """An option that is the same for all sides, as [3, 3] or [[1, 1], [1, 1]]."""
  value = layer.options.get(option, default)
  while isinstance(value, list) and value and all(v == value[0] for v in value):
    value = value[0]
  if not isinstance(value, int):
    raise InputError(f"{layer.name} has {option} {shown(str(value))}")
  return value


def _check_order(kinds: Sequence[str]) -> None:
  """Raises InputError unless a network has layers of these kinds."""
  for network in vgg.NETWORKS:
    convs = [a.kind for a in vgg.block_layers(network) if a.kind != "lrn"]
    # Feature nets may end before the last pooling.
    if kinds in (convs[:-1], convs, [*convs, *["fc"] * len(vgg.FC_LAYERS)]):
      return
  text = textwrap.shorten(" ".join(kinds), 200, placeholder=" ...")
  raise InputError(
    f"its layers are {text}; none of the networks {', '.join(vgg.NETWORKS)} "
    "with 0 or 3 FC layers has them in this order"
  )
