"""The peer of the input pipeline: Pillow in torch's DataLoader."""

import numpy as np
import torch
from PIL import Image

from benchmarks._input import CROP
from vggjax.cores import core_count


class Crops(torch.utils.data.Dataset):
  """The crops of windows, again and again, as torchvision makes them."""

  def __init__(self, windows):
    self._windows = windows

  def __len__(self):
    return 10**7

  def __getitem__(self, place):
    path, full, (top, left), mirrored = self._windows[
      place % len(self._windows)
    ]
    with Image.open(path) as opened:
      image = opened.convert("RGB")
    image = image.resize(full[::-1], Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + CROP, top + CROP))
    if mirrored:
      image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(image)


def batches(windows, batch_size):
  """uint8 [B, CROP, CROP, 3] each, by a worker a core."""
  loader = torch.utils.data.DataLoader(
    Crops(windows),
    batch_size=batch_size,
    num_workers=core_count(),
    multiprocessing_context="spawn",
  )
  for images in loader:
    yield images.numpy()
