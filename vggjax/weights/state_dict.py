"""The layers of torchvision's and timm's state dicts."""

import re
from collections.abc import Mapping, Sequence

from vggjax.errors import InputError
from vggjax.weights.foreign import (
  Array,
  Foreign,
  ForeignLayer,
  Kernel,
  check_names,
)

IMAGENET_MEAN = tuple(255 * m for m in (0.485, 0.456, 0.406))
IMAGENET_STD = tuple(255 * s for s in (0.229, 0.224, 0.225))
# Layouts of the FC layers: torchvision's, and timm's convolutional head.
HEADS = (
  ("classifier.0", "classifier.3", "classifier.6"),
  ("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
)
FLATTENED = ("O", "IHW")


def read_state_dict(
  tensors: Mapping[str, Array],
  *,
  mean: Sequence[float] = IMAGENET_MEAN,
  std: Sequence[float] = IMAGENET_STD,
) -> Foreign:
  """The layers of a state dict.

  Args:
    tensors: by name, as torchvision or timm names them; a prefix that all
      names share, e.g. "module.", is ignored.
    mean: of the images they take, RGB, 0-255.
    std: likewise.

  Raises:
    InputError: if it is of another network, or one with batch normalization.
  """
  if batch_norm := [n for n in tensors if n.endswith("running_mean")]:
    raise InputError(
      f"has batch normalization ({batch_norm[0]}); the paper's networks have "
      "none"
    )
  prefix = _prefix(tensors)
  tensors = {name.removeprefix(prefix): a for name, a in tensors.items()}
  names = sorted(
    (name[: -len(".weight")] for name in tensors if _is_conv(name)),
    key=lambda name: int(name.split(".")[1]),
  )
  for head in HEADS:
    if f"{head[0]}.weight" in tensors:
      names += head
  keys = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
  check_names(tensors, keys)
  layers = []
  for name in names:
    kernel, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    axes = "OIHW"
    if len(kernel.shape) == 2:
      axes = FLATTENED if name == HEADS[0][0] else "OI"
    layers.append(ForeignLayer(name, Kernel(kernel, axes), bias))
  return Foreign(
    layers,
    mean=mean,
    std=std,
    imagenet_order=True,
    card={"layout": "timm" if HEADS[1][2] in names else "torchvision"},
  )


def _is_conv(name: str) -> bool:
  return re.fullmatch(r"features\.\d+\.weight", name) is not None


def _prefix(tensors: Mapping[str, Array]) -> str:
  """What stands before "features.0.weight"."""
  for name in tensors:
    if name.endswith("features.0.weight"):
      return name[: -len("features.0.weight")]
  found = ", ".join(list(tensors)[:3]) or "nothing"
  raise InputError(
    f"is not a VGG: it has no features.0.weight; it holds {found}"
  )
