"""Dense evaluation of net D against PyTorch, an image at a time (Sect. 3.2)."""

import numpy as np

from benchmarks import _peers
from vggjax import images
from vggjax.evaluate import dense
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.rows import Rows
from vggjax.models import vgg


def print_padding(
  model: vgg.VGG, photos: list[np.ndarray], scales: list[int]
) -> None:
  """Prints what wasted slots and padding add, by the shapes alone."""
  buckets = Buckets(
    lambda params, batch: batch["sizes"],
    {"none": np.zeros(1)},
    padded_shape=dense.pad_whole_images(model),
  )
  rows = [Rows(len(photos)) for _ in scales]
  buckets.map(dense.rescaled(photos, scales), rows)
  work = buckets.work
  print(
    f"{len(photos)} images at Q {scales}: {work.slots} slots for {work.images} "
    f"rescaled images, {len(work.shapes)} programs; wasted slots and padding: "
    f"{100 * (1 - work.pixels / work.slot_pixels):.1f} % of the pixels",
    flush=True,
  )


def plain_posteriors(net, photo: np.ndarray, scale: int) -> np.ndarray:
  """An image and its mirror image as a batch of two; [K]."""
  import torch

  x = images.rescale(photo, scale).astype(np.float32) - np.float32(_peers.MEAN)
  with torch.inference_mode():
    scores = net(np.stack([x, x[:, ::-1]])).mean(dim=(2, 3))
    return scores.softmax(dim=1).mean(dim=0).numpy()


def run(options) -> None:
  """Prints the padding, what is compared, both times and the ratio."""
  photos = _peers.load_photos(options.images)
  model, params = _peers.random_weights(options.width)
  print_padding(model, photos, options.scales)
  if not options.full:
    photos = _peers.spread(photos, options.count)
  print(f"timed: {len(photos)} images and their mirror images")
  buckets = dense.dense_buckets(model, params, mean=_peers.MEAN)

  def ours():
    return dense.mean_over_scales(buckets, model, photos, options.scales, False)

  def theirs(net):
    return [
      np.mean([plain_posteriors(net, p, q) for q in options.scales], axis=0)
      for p in photos
    ]

  _peers.compare(model, params, ours, theirs, rounds=options.rounds)
