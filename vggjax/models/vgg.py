"""The networks of Table 1, always fully convolutional (Sect. 2, 3.2)."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggjax import geometry
from vggjax.errors import InputError
from vggjax.models import layers
from vggjax.models.convolution import Conv

# Table 1: the convolutions of the five blocks as "kernel side-channels"; each
# block ends in a max-pool. B-shallow is the net of Sect. 4.1.
TABLE_1 = {
  "A": ("3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
  "A-LRN": ("3-64 LRN", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
  "B": (
    "3-64 3-64",
    "3-128 3-128",
    "3-256 3-256",
    "3-512 3-512",
    "3-512 3-512",
  ),
  "B-shallow": ("5-64", "5-128", "5-256", "5-512", "5-512"),
  "C": (
    "3-64 3-64",
    "3-128 3-128",
    "3-256 3-256 1-256",
    "3-512 3-512 1-512",
    "3-512 3-512 1-512",
  ),
  "D": (
    "3-64 3-64",
    "3-128 3-128",
    "3-256 3-256 3-256",
    "3-512 3-512 3-512",
    "3-512 3-512 3-512",
  ),
  "E": (
    "3-64 3-64",
    "3-128 3-128",
    "3-256 3-256 3-256 3-256",
    "3-512 3-512 3-512 3-512",
    "3-512 3-512 3-512 3-512",
  ),
}
FC_CHANNELS = 4096
FC_LAYERS = ("fc6", "fc7", "fc8")
NETWORKS = tuple(TABLE_1)
REMATERIALIZE = ("none", "blocks")


@dataclasses.dataclass(frozen=True)
class Layer:
  """One layer of a block.

  Attributes:
    name: "conv3_2", "norm1" or "pool3".
    kind: "conv", "lrn" or "pool".
    kernel: the side of a convolution's kernel, else 0.
    channels: of a convolution's output at width 1, else 0.
  """

  name: str
  kind: str
  kernel: int = 0
  channels: int = 0


def block_layers(network: str) -> tuple[Layer, ...]:
  """The layers before fc6 in their order, read from Table 1."""
  result = []
  for block, text in enumerate(TABLE_1[network], start=1):
    index = 0
    for word in text.split():
      if word == "LRN":
        result.append(Layer(f"norm{block}", "lrn"))
        continue
      index += 1
      kernel, channels = map(int, word.split("-"))
      result.append(Layer(f"conv{block}_{index}", "conv", kernel, channels))
    result.append(Layer(f"pool{block}", "pool"))
  return tuple(result)


def blocks(
  network: str, after: str = "", until: str = ""
) -> list[tuple[Layer, ...]]:
  """The layers before fc6, block by block.

  Args:
    network: a key of TABLE_1.
    after: only those behind this layer; "": all.
    until: only those up to this layer; "": all.
  """
  found = block_layers(network)
  names = [layer.name for layer in found]
  begin = names.index(after) + 1 if after else 0
  end = names.index(until) + 1 if until else len(names)
  # "conv3_2", "norm3" and "pool3" are of block 3.
  groups = itertools.groupby(found[begin:end], lambda layer: layer.name[4])
  return [tuple(group) for _, group in groups]


class VGG(nn.Module):
  """A network of Table 1; `create.create_model` checks the attributes.

  Attributes:
    network: a key of TABLE_1.
    num_outputs: channels of fc8; 0: the network ends with pool5.
    width: factor on every layer's channels but the last's.
    crop_size: the training crop's side in pixels; fc6 is crop_size / 32 wide.
    pool: "ceil" or "floor".
    lrn: "krizhevsky" or "caffe"; only A-LRN has such a layer.
    pool5_offsets: 2: outside of training pool5 begins at 0 and at 1 along each
      side, and the four score maps are interleaved (App. A); 1: only at 0.
    dropout_rate: of fc6 and fc7, in training.
    initializer: "normal" or "glorot".
    init_std: the standard deviation of "normal".
    dtype: of the computation.
    rematerialize: "blocks": in training only the blocks' inputs are kept for
      the gradient, and what is inside a block is computed again; "none".
  """

  network: str
  num_outputs: int = 1000
  width: float = 1.0
  crop_size: int = 224
  pool: str = "ceil"
  lrn: str = "krizhevsky"
  pool5_offsets: int = 1
  dropout_rate: float = 0.5
  initializer: str = "normal"
  init_std: float = 0.01
  dtype: jnp.dtype = jnp.float32
  rematerialize: str = "none"

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    sizes: jax.Array | None = None,
    *,
    train: bool = False,
    positions: jax.Array | None = None,
    after: str = "",
    until: str = "",
  ) -> tuple[jax.Array | None, dict[str, jax.Array]]:
    """Computes the class score map and every layer (Sect. 2.1, 3.2).

    Args:
      x: float [N, H, W, 3], RGB in 0-255 minus the mean, H and W at least
        the crop size (without FC layers at least 32).
      sizes: int32 [N, 2], the valid height and width of each image in a
        padded batch; what lies outside has no effect on what lies inside.
        None: all is valid.
      train: whether dropout is on; needs rngs={"dropout": key}.
      positions: int32 [N], each example's position in the global batch, for
        dropout; None: 0, 1, ..., N - 1.
      after: a layer before fc6, whose output x is: only what follows it is
        computed, and `sizes` are those of x. "": x are images.
      until: the last layer computed, one before fc6; "": all are.

    Returns:
      The scores before the soft-max, float32 (float64 where dtype is)
      [N, h, w, num_outputs], zero outside the valid positions, None without FC
      layers or with `until`; and the layers by name, "conv1_1" ... "pool5",
      "fc6", "fc7": after the ReLU, before dropout, of the compute dtype.
    """
    if not after and not until:
      check_input(x, self.crop_size if self.num_outputs else 32, self.pool)
    if train and positions is None:
      positions = jnp.arange(x.shape[0])
    outputs = {}
    x = layers.zero_outside(x.astype(self.dtype), sizes)
    remat = train and self.rematerialize == "blocks"
    for block in blocks(self.network, after, until):
      run = functools.partial(VGG._block, block=block)
      sizes_before = sizes
      found, sizes = (nn.remat(run) if remat else run)(self, x, sizes)
      outputs |= found
      before, x = [x, *(found[layer.name] for layer in block)][-2:]

    if until or not self.num_outputs:
      return None, outputs
    classify = self._fc_layers(train, positions)
    if self.pool5_offsets == 1 or train:
      outputs |= classify(x, sizes)
    else:
      outputs |= self._interleaved(classify, before, sizes_before)
    return outputs.pop("fc8").astype(self.param_dtype), outputs

  def _block(
    self, x: jax.Array, sizes: jax.Array | None, block: tuple[Layer, ...]
  ) -> tuple[dict[str, jax.Array], jax.Array | None]:
    """A block's layers by name, and the valid sizes after it."""
    outputs = {}
    for layer in block:
      if layer.kind == "conv":
        x = layers.relu(self._conv(layer)(x))
      elif layer.kind == "lrn":
        x = layers.local_response_norm(x, self.lrn)
      else:
        x = layers.max_pool(x, self.pool)
        if sizes is not None:
          sizes = geometry.pooled_size(sizes, self.pool, num_pools=1)
      x = outputs[layer.name] = layers.zero_outside(x, sizes)
    return outputs, sizes

  def score_map_sides(self, sizes: int | jax.Array) -> int | jax.Array:
    """Positions along the sides of images, see `geometry.score_map_side`."""
    return geometry.score_map_side(
      sizes, self.crop_size, self.pool, self.pool5_offsets
    )

  @property
  def param_dtype(self) -> jnp.dtype:
    """Of the parameters and scores: float32, or float64 where dtype is."""
    is_double = jnp.dtype(self.dtype) == jnp.float64
    return jnp.float64 if is_double else jnp.float32

  def _channels(self, channels: int) -> int:
    return round(channels * self.width)

  def _conv(self, layer: Layer) -> nn.Module:
    return Conv(
      self._channels(layer.channels),
      layer.kernel,
      dtype=self.dtype,
      param_dtype=self.param_dtype,
      kernel_init=layers.kernel_initializer(self.initializer, self.init_std),
      name=layer.name,
    )

  def _fc_layers(self, train: bool, positions: jax.Array | None) -> Callable:
    """fc6 to fc8 by name, as a function of pool5 and its valid sizes."""
    window = self.crop_size // 32
    hidden = {
      "fc6": self._dense("fc6", window, self._channels(FC_CHANNELS)),
      "fc7": self._dense("fc7", 1, self._channels(FC_CHANNELS)),
    }
    fc8 = self._dense("fc8", 1, self.num_outputs)

    def classify(x, sizes):
      if sizes is not None:
        sizes = sizes - window + 1
      outputs = {}
      for name, layer in hidden.items():
        x = outputs[name] = layers.zero_outside(layers.relu(layer(x)), sizes)
        if train and self.dropout_rate > 0:
          key = self.make_rng("dropout")
          x = layers.dropout(x, self.dropout_rate, key, positions)
      return {**outputs, "fc8": layers.zero_outside(fc8(x), sizes)}

    return classify

  def _interleaved(
    self, classify: Callable, x: jax.Array, sizes: jax.Array | None
  ) -> dict[str, jax.Array]:
    """What `classify` makes of all offsets of pool5, by turns (App. A)."""
    if sizes is None:
      sizes = jnp.tile(jnp.array(x.shape[1:3]), (len(x), 1))
    rows, columns = (
      geometry.pooled_size(side, self.pool, num_pools=1)
      for side in x.shape[1:3]
    )
    parts = []
    for top, left in itertools.product(range(self.pool5_offsets), repeat=2):
      pooled = layers.max_pool(x[:, top:, left:], self.pool)
      missing = rows - pooled.shape[1], columns - pooled.shape[2]
      pooled = jnp.pad(pooled, ((0, 0), *((0, n) for n in missing), (0, 0)))
      valid = geometry.pooled_size(
        sizes - jnp.array([top, left]), self.pool, num_pools=1
      )
      parts.append(classify(layers.zero_outside(pooled, valid), valid))
    # Before pool5 the image is a sixteenth as large.
    sides = [self.score_map_sides(16 * side) for side in x.shape[1:3]]
    return {
      name: layers.interleave([part[name] for part in parts])[
        :, : sides[0], : sides[1]
      ]
      for name in FC_LAYERS
    }

  def _dense(self, name: str, window: int, features: int) -> nn.Module:
    return layers.WindowDense(
      features,
      window,
      dtype=self.dtype,
      param_dtype=self.param_dtype,
      kernel_init=layers.kernel_initializer(self.initializer, self.init_std),
      name=name,
    )


def check_input(x: jax.Array, crop_size: int, pool: str) -> None:
  """Raises InputError unless x is [N, H, W, 3] and holds at least one crop."""
  if x.ndim != 4 or x.shape[-1] != 3:
    raise InputError(f"images must be [N, H, W, 3]; got {list(x.shape)}")
  height, width = x.shape[1:3]
  rows, columns = (
    geometry.score_map_side(side, crop_size, pool) for side in (height, width)
  )
  # One at a time: the sides of exported programs are symbols.
  if rows < 1 or columns < 1:
    raise InputError(
      f"images of {height}x{width} pixels are smaller than the network's "
      f"crop of {crop_size}; use a larger scale"
    )
