"""Runs a function over images of all shapes in padded batches (Sect. 3.2).

Images are grouped by their padded shape, so that few programs are compiled and
no image waits long; the padding has no effect on the results.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
import tqdm

from vggjax import parallel
from vggjax.errors import InputError

# Without a batch size: as many images as hold about this many pixels per
# device, a power of two. Larger batches gain nothing on a CPU.
PIXELS_PER_BATCH = 2**19
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

  An image's short side is the scale Q; its long side is padded to a multiple
  of `granule`.

  Args:
    function: of the parameters and {"image": uint8 [n, H, W, 3], padded at the
      bottom and the right, "sizes": int32 [n, 2]} to an array [n, ...].
    params: on the host or devices.
    granule: pixels.
    batch_size: images at once over all devices; 0: by their size.
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
    granule: int,
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
    self._granule = granule
    self._batch_size = batch_size
    self._precision = precision
    self.work = Work()

  def map(
    self,
    stream: Iterable[tuple[int, Sequence[np.ndarray]]],
    num_images: int,
    num_scales: int,
    *,
    progress: bool = False,
  ) -> np.ndarray:
    """The function's results for each image at each scale.

    Args:
      stream: each index in [0, num_images) once, with the image rescaled to
        each scale: uint8 [h, w, 3].
      num_images: how many the stream yields.
      num_scales: versions of each image.
      progress: whether to show a bar.

    Returns:
      [num_scales, num_images, ...].

    Raises:
      RuntimeError: if the stream misses or repeats an index.
    """
    results = None
    counts = np.zeros((num_scales, num_images), int)
    pending = collections.defaultdict(list)

    def finish(shape):
      nonlocal results
      members = pending.pop(shape)
      values = self._run(shape, [image for *_, image in members])
      if results is None:
        results = np.zeros((*counts.shape, *values.shape[1:]), values.dtype)
      for (scale, index, _), value in zip(members, values, strict=True):
        results[scale, index] = value
        counts[scale, index] += 1

    bar = tqdm.tqdm(
      stream, total=num_images, disable=not progress, unit="image"
    )
    for index, versions in bar:
      if not 0 <= index < num_images:
        raise RuntimeError(f"index {index} is not in [0, {num_images})")
      for scale, image in enumerate(versions):
        shape = self.padded_shape(image.shape)
        pending[shape].append((scale, index, image))
        if len(pending[shape]) == self._full_batch(shape):
          finish(shape)
    for shape in sorted(pending):
      finish(shape)
    if results is None or np.any(counts != 1):
      raise RuntimeError(
        f"{int(np.sum(counts != 1))} of {counts.size} images were not "
        "computed exactly once"
      )
    return results

  def padded_shape(self, shape: Sequence[int]) -> tuple[int, int]:
    """The padded height and width of an image's shape (h, w, ...)."""
    short = min(shape[:2])
    granule = self._granule
    return tuple(
      side if side == short else -(-side // granule) * granule
      for side in shape[:2]
    )

  def _full_batch(self, shape: tuple[int, int]) -> int:
    if self._batch_size:
      return self._batch_size
    fitting = max(1, PIXELS_PER_BATCH // (shape[0] * shape[1]))
    power_of_two = 1 << (fitting.bit_length() - 1)
    return len(self._devices) * min(MAX_BATCH, power_of_two)

  def _run(
    self, shape: tuple[int, int], images: Sequence[np.ndarray]
  ) -> np.ndarray:
    """Computes a batch; a bucket's last is padded to a power of two."""
    devices = len(self._devices)
    needed = -(-len(images) // devices)
    full = self._full_batch(shape) // devices
    slots = devices * min(full, 1 << (needed - 1).bit_length())
    batch = {
      "image": np.zeros((slots, *shape, 3), np.uint8),
      # A slot without an image is black; its result is not used.
      "sizes": np.full((slots, 2), min(shape), np.int32),
    }
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
      values = self._function(
        self._params, parallel.shard(batch, self._devices)
      )
    return parallel.unshard(values)[: len(images)]
