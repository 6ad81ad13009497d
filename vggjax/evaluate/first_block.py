"""The first block of a network, once for all crops of an image (Sect. 3.2).

Where crops overlap, its convolutions give the same; only within two pixels of a
crop's edges do they see the zeros around it. So they are computed on the whole
image, and the outermost row or column of each crop's pool1 from a strip of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vggjax.models import vgg

# A row of pool1 is two rows of the convolutions, which see two more of the
# image: one layer with a 5x5 kernel, or at most two with 3x3.
_STRIP = 4


def windows(
  maps: jax.Array, tops: jax.Array, lefts: jax.Array, side: int
) -> jax.Array:
  """Square windows of each map, all begun in the same row.

  Args:
    maps: [N, H, W, C].
    tops: int32 [N].
    lefts: int32 [N, k].
    side: of the windows.

  Returns:
    [N, k, side, side, C].
  """

  def cut(one, top, left):
    sizes = (side, side, one.shape[-1])
    return jax.lax.dynamic_slice(one, (top, left, 0), sizes)

  return jax.vmap(jax.vmap(cut, (None, None, 0)))(maps, tops, lefts)


def pool1_of_crops(model: vgg.VGG, params: dict, x: jax.Array) -> Callable:
  """What gives pool1 of crops of these images.

  Args:
    model: a network.
    params: its parameters.
    x: float [N, H, W, 3], images minus the mean.

  Returns:
    A function of the crops [N, k, S, S, 3] of the images, S even, their tops
    int32 [N] and lefts int32 [N, k], to pool1 [N * k, S / 2, S / 2, C].
  """
  layers = [layer.name for layer in vgg.block_layers(model.network)]
  last_conv = layers[layers.index("pool1") - 1]

  def block(x, until="pool1"):
    _, outputs = model.apply({"params": params}, x, until=until)
    return outputs[until]

  height, width = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
  y = block(x, last_conv)
  # The maximum over 2x2 at every pixel: crops begin at odd ones too.
  for axis in (1, 2):
    y = jnp.maximum(y, jnp.roll(y, -1, axis))
  images, height, width, channels = y.shape
  pooled = y.reshape(images, height // 2, 2, width // 2, 2, channels)

  def pool1(crops, tops, lefts):
    side = crops.shape[2] // 2

    def cut(one, top, left):
      start = (top // 2, top % 2, left // 2, left % 2, 0)
      found = jax.lax.dynamic_slice(one, start, (side, 1, side, 1, channels))
      return found[:, 0, :, 0]

    inside = jax.vmap(jax.vmap(cut, (None, None, 0)))(pooled, tops, lefts)
    inside = inside.reshape(-1, side, side, channels)
    crops = crops.reshape(-1, *crops.shape[2:])
    inside = inside.at[:, 0].set(block(crops[:, :_STRIP])[:, 0])
    inside = inside.at[:, -1].set(block(crops[:, -_STRIP:])[:, -1])
    inside = inside.at[:, :, 0].set(block(crops[:, :, :_STRIP])[:, :, 0])
    inside = inside.at[:, :, -1].set(block(crops[:, :, -_STRIP:])[:, :, -1])
    return inside

  return pool1
