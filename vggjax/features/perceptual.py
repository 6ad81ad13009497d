"""Content and style losses over a network's layers, with their gradients.

Not in the paper: what Gatys et al. (2016) and Johnson et al. (2016) use its
networks for.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from vggjax.errors import InputError
from vggjax.features.extract import layer_names
from vggjax.weights.weights import Weights

# Of Gatys et al.
CONTENT = {"conv4_2": 1.0}
STYLE = {f"conv{block}_1": 0.2 for block in range(1, 6)}
Loss = Callable[[jax.Array, jax.Array], jax.Array]


def content_loss(
  weights: Weights, layers: Mapping[str, float] = CONTENT
) -> Loss:
  """A loss by the layers' values.

  Args:
    weights: of a network, with or without FC layers; they stay as they are.
    layers: each layer's name before fc6 and its share.

  Returns:
    A function of images and targets, float [N, H, W, 3] RGB of 0-255, of equal
    shapes, to the mean squared difference, summed over the layers by their
    shares; `jax.grad` of it is with respect to the images.

  Raises:
    InputError: if there is no such layer.
  """
  maps = feature_maps(weights, layers)

  def loss(images: jax.Array, targets: jax.Array) -> jax.Array:
    return weighted_sum(layers, maps(images), maps(targets))

  return loss


def style_loss(weights: Weights, layers: Mapping[str, float] = STYLE) -> Loss:
  """A loss by the layers' Gram matrices, wherever in the image things are.

  Args:
    weights: see `content_loss`.
    layers: likewise.

  Returns:
    As `content_loss`; images and targets may differ in height and width.

  Raises:
    InputError: if there is no such layer.
  """
  maps = feature_maps(weights, layers)

  def loss(images: jax.Array, targets: jax.Array) -> jax.Array:
    ours, theirs = (
      {name: gram_matrix(a) for name, a in maps(x).items()}
      for x in (images, targets)
    )
    return weighted_sum(layers, ours, theirs)

  return loss


def gram_matrix(x: jax.Array) -> jax.Array:
  """The products of all pairs of channels, averaged over positions.

  Args:
    x: [N, H, W, C].

  Returns:
    [N, C, C].
  """
  return jnp.einsum("nhwc,nhwd->ncd", x, x) / (x.shape[1] * x.shape[2])


def weighted_sum(
  layers: Mapping[str, float],
  ours: Mapping[str, jax.Array],
  theirs: Mapping[str, jax.Array],
) -> jax.Array:
  """The layers' mean squared differences, weighted."""
  return sum(
    share * jnp.mean(jnp.square(ours[name] - theirs[name]))
    for name, share in layers.items()
  )


def feature_maps(
  weights: Weights, layers: Mapping[str, float]
) -> Callable[[jax.Array], dict[str, jax.Array]]:
  """A function of images, RGB 0-255, to the named layers after the ReLU.

  What comes after the last of the layers is not computed under `jax.jit`.

  Args:
    weights: of a network.
    layers: their names are its keys.

  Raises:
    InputError: if there is none, or one that is not there.
  """
  net = dataclasses.replace(weights, num_outputs=0, class_names=())
  model = net.create_model()
  names = layer_names(model)
  if not layers:
    raise InputError("layers is empty; give at least one")
  for name in layers:
    if name not in names:
      raise InputError(f"layer {name!r} is not one of {', '.join(names)}")
  params = {n: p for n, p in weights.params.items() if not n.startswith("fc")}
  mean = jnp.asarray(weights.mean, jnp.float32)

  def maps(images: jax.Array) -> dict[str, jax.Array]:
    _, outputs = model.apply({"params": params}, images - mean)
    return {name: outputs[name] for name in layers}

  return maps
