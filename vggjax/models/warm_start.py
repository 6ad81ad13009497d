"""Initialization of a network from another one's parameters (Sect. 3.1)."""

from collections.abc import Sequence

from vggjax.errors import InputError
from vggjax.models.vgg import FC_LAYERS

# "The first four convolutional layers and the last three fully-connected
# layers" of net A, matched by (block, index).
PAPER_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", *FC_LAYERS)
# Names for lists of layers, and what they leave out of a network's.
LAYER_SETS = ("paper", "all", "body", "convs")


def warm_start(
  params: dict, source: dict, layers: Sequence[str] | str = "paper"
) -> dict:
  """Replaces layers of fresh parameters by those of a trained network.

  Args:
    params: the new network's parameters by layer.
    source: the trained network's.
    layers: "paper": PAPER_LAYERS; "all": every layer of the new network;
      "body": all but fc8, for other classes; "convs": all but the FC layers;
      or names of layers, or one name.

  Returns:
    Parameters of the new network; those not named are `params`' own.

  Raises:
    InputError: if a layer to copy is missing or of another shape.
  """
  if layers == "paper":
    names = PAPER_LAYERS
  elif layers in LAYER_SETS:
    left_out = {"all": (), "body": FC_LAYERS[-1:], "convs": FC_LAYERS}[layers]
    names = tuple(name for name in params if name not in left_out)
  else:
    names = (layers,) if isinstance(layers, str) else tuple(layers)
  result = dict(params)
  for name in names:
    for where, tree in (("this", params), ("the source", source)):
      if name not in tree:
        raise InputError(f"warm start: {where} network has no layer {name}")
    wanted = {key: tuple(a.shape) for key, a in params[name].items()}
    found = {key: tuple(a.shape) for key, a in source[name].items()}
    if wanted != found:
      raise InputError(
        f"warm start: layer {name} is {found} in the source network and "
        f"{wanted} in this one; use the same width, crop_size and classes, "
        "or do not copy this layer"
      )
    result[name] = source[name]
  return result
