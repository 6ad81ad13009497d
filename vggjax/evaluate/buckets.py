"""Runs a function over images of all shapes in padded batches (Sect. 3.2).

Images are grouped by their padded shape, so that few programs are compiled and
no image waits long; the padding has no effect on the results.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
import tqdm

from vggjax import parallel
from vggjax.errors import InputError
from vggjax.evaluate.rows import Rows

Shape = tuple[int, int]
# The scale's number, the index and the image of a slot.
Member = tuple[int, int, np.ndarray]

# Without a batch size: as many images as hold about this many pixels per
# device, a power of two. Larger batches outgrow a CPU's caches; a photo at
# Q = 256 is one, so that no slot is wasted.
PIXELS_PER_BATCH = 2**19
PIXELS_PER_CPU_BATCH = 2**17
MAX_BATCH = 64


@dataclasses.dataclass
class Work:
  """What has been computed so far.

  Attributes:
    images: images computed, over all scales.
    slots: places in batches, those of padding included.
    pixels: of the images, over all scales.
    slot_pixels: of all slots.
    shapes: (slots, height, width) of the batches, each a compiled program.
  """

  images: int = 0
  slots: int = 0
  pixels: int = 0
  slot_pixels: int = 0
  shapes: set[tuple[int, ...]] = dataclasses.field(default_factory=set)


class Buckets:
  """Computes function(params, batch) for images grouped by padded shape.

  Args:
    function: of the parameters and {"image": uint8 [n, H, W, 3], padded at the
      bottom and the right, "sizes": int32 [n, 2]} to an array [n, ...].
    params: on the host or devices.
    padded_shape: from an image's (h, w) to its batch's (H, W), each at least
      as large, e.g. `pad_long_side`.
    pixels: computed for an image of a padded shape (H, W).
    trim: from an image's row of the result and its (h, w) to what is kept of
      it; None: the row.
    batch_size: images at once over all devices; 0: by their `pixels`.
    devices: to run on; None: all.
    precision: of matrix products, "highest", "high" or "default".

  Raises:
    InputError: if the batch size does not split over the devices.
  """

  def __init__(
    self,
    function: Callable,
    params: dict,
    *,
    padded_shape: Callable[[Shape], Shape],
    pixels: Callable[[Shape], int] = math.prod,
    trim: Callable[[np.ndarray, Shape], np.ndarray] | None = None,
    batch_size: int = 0,
    devices: list[jax.Device] | None = None,
    precision: str = "highest",
  ):
    self._devices = devices or parallel.select_devices()
    if batch_size < 0 or batch_size % len(self._devices):
      raise InputError(
        f"the evaluation's batch size is {batch_size}; it must be a multiple "
        f"of the {len(self._devices)} devices"
      )
    self._function = parallel.parallel_map(function, self._devices)
    self._params = parallel.replicate(params, self._devices)
    self._padded_shape = padded_shape
    self._pixels = pixels
    # Not where crops are cut from the padded images.
    self.computes_padding = pixels is math.prod
    self._trim = trim or (lambda row, shape: row)
    self._batch_size = batch_size
    self._precision = precision
    self.work = Work()

  def map(
    self,
    stream: Iterable[tuple[int, Sequence[np.ndarray]]],
    rows: Sequence[Rows],
    *,
    extras: Mapping[str, np.ndarray] | None = None,
    progress: bool = False,
  ) -> None:
    """Computes the function for each image at each scale.

    Args:
      stream: an image's index in [0, N), and the image rescaled to each scale:
        uint8 [h, w, 3].
      rows: for each scale, where the N results go; images done there are not
        computed again.
      extras: further entries of the batches, arrays of N rows.
      progress: whether to show a bar.

    Raises:
      RuntimeError: if an index is out of range or comes twice.
    """
    pending = collections.defaultdict(list)
    # As of now, so that an image that comes twice is found out.
    done = [set(np.flatnonzero(target.done)) for target in rows]
    running = collections.deque()

    def start(shape):
      members = pending.pop(shape)
      running.append((members, self._start(shape, members, extras or {})))
      # The devices compute the last batch while the host prepares the next.
      if len(running) > 1:
        self._store(*running.popleft(), rows)

    bar = tqdm.tqdm(
      total=sum(len(target.done) for target in rows),
      initial=sum(map(len, done)),
      disable=not progress,
      unit="image",
    )
    try:
      for index, versions in stream:
        for scale, (image, ready) in enumerate(
          zip(versions, done, strict=True)
        ):
          if index in ready:
            continue
          shape = self._padded_shape(image.shape[:2])
          pending[shape].append((scale, index, image))
          if len(pending[shape]) == self._full_batch(shape):
            start(shape)
          bar.update()
      for shape in sorted(pending):
        start(shape)
    finally:
      bar.close()
      # What was started is kept, also where the stream is stopped.
      for members, values in running:
        self._store(members, values, rows)

  def _full_batch(self, shape: Shape) -> int:
    if self._batch_size:
      return self._batch_size
    is_cpu = self._devices[0].platform == "cpu"
    budget = PIXELS_PER_CPU_BATCH if is_cpu else PIXELS_PER_BATCH
    fitting = max(1, budget // self._pixels(shape))
    power_of_two = 1 << (fitting.bit_length() - 1)
    return len(self._devices) * min(MAX_BATCH, power_of_two)

  def _start(
    self,
    shape: Shape,
    members: Sequence[Member],
    extras: Mapping[str, np.ndarray],
  ) -> jax.Array:
    """Starts a batch; a bucket's last is padded to a power of two."""
    _, indices, images = zip(*members, strict=True)
    devices = len(self._devices)
    needed = -(-len(images) // devices)
    full = self._full_batch(shape) // devices
    slots = devices * min(full, 1 << (needed - 1).bit_length())
    batch = {
      "image": np.zeros((slots, *shape, 3), np.uint8),
      # A slot without an image is black; its result is not used.
      "sizes": np.full((slots, 2), min(shape), np.int32),
    }
    for name, rows in extras.items():
      extra = rows[list(indices)]
      batch[name] = np.zeros((slots, *extra.shape[1:]), extra.dtype)
      batch[name][: len(extra)] = extra
    for slot, image in enumerate(images):
      height, width = image.shape[:2]
      batch["image"][slot, :height, :width] = image
      batch["sizes"][slot] = height, width
      self.work.pixels += height * width
    self.work.images += len(images)
    self.work.slots += slots
    self.work.slot_pixels += slots * shape[0] * shape[1]
    self.work.shapes.add((slots, *shape))
    with jax.default_matmul_precision(self._precision):
      return self._function(self._params, parallel.shard(batch, self._devices))

  def _store(
    self, members: Sequence[Member], values: jax.Array, rows: Sequence[Rows]
  ) -> None:
    """Waits for a batch's results and puts them where they belong."""
    by_scale = collections.defaultdict(list)
    # Slots without an image come last.
    for (scale, index, image), row in zip(
      members, parallel.unshard(values), strict=False
    ):
      by_scale[scale].append((index, self._trim(row, image.shape[:2])))
    for scale, found in by_scale.items():
      indices, results = zip(*found, strict=True)
      rows[scale].put(list(indices), results)


def pad_long_side(shape: Shape, granule: int) -> Shape:
  """The shape with its long side padded to a multiple of `granule` pixels."""
  short = min(shape)
  return tuple(
    side if side == short else -(-side // granule) * granule for side in shape
  )
