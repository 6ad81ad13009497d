"""Multi-crop evaluation, 50 crops of an image, against PyTorch (Sect. 3.2).

  python -m benchmarks.multicrop [--images=FOLDER] [--scales 256] [--count 1]
      [--full] [--rounds 7] [--width 1]

Net D in float32, from decoded images to posteriors; compilation is not timed.
PyTorch cuts the same crops and takes 25 at once, which it likes best. The last
line is its time over ours, the median of the rounds; --full takes all images.
"""

import numpy as np

from benchmarks import _peers
from vggjax import geometry, huge_pages, images
from vggjax.evaluate import dense, multicrop

GRID = 5
BATCH = 25


def plain_posteriors(net, photo, scale, crop_size):
  """The mean over the crops of an image and their mirror images, [K]."""
  import torch

  image = images.rescale(photo, scale)
  x = image.astype(np.float32) - np.float32(_peers.MEAN)
  tops, lefts = (
    [geometry.grid_offset(i, GRID, side, crop_size) for i in range(GRID)]
    for side in image.shape[:2]
  )
  crops = [
    x[top : top + crop_size, left : left + crop_size]
    for top in tops
    for left in lefts
  ]
  crops += [crop[:, ::-1] for crop in crops]
  total = 0
  with torch.inference_mode():
    for start in range(0, len(crops), BATCH):
      scores = net(np.stack(crops[start : start + BATCH]))[:, :, 0, 0]
      total += scores.softmax(dim=1).sum(dim=0)
  return total.numpy() / len(crops)


def main():
  """Prints what is compared, both times and the ratio."""
  options = _peers.arguments(__doc__, scales=(256,), count=1)
  photos = _peers.load_photos(options.images)
  if not options.full:
    photos = _peers.spread(photos, options.count)
  model, params = _peers.random_weights(options.width)
  print(
    f"{len(photos)} images, {2 * GRID**2} crops at each Q of {options.scales}"
  )
  buckets = multicrop.multicrop_buckets(model, params, mean=_peers.MEAN)

  def ours():
    return dense.mean_over_scales(buckets, model, photos, options.scales, False)

  def theirs(net):
    return [
      np.mean(
        [
          plain_posteriors(net, photo, scale, model.crop_size)
          for scale in options.scales
        ],
        axis=0,
      )
      for photo in photos
    ]

  _peers.compare(model, params, ours, theirs, rounds=options.rounds)


if __name__ == "__main__":
  huge_pages.begin_again()
  main()
