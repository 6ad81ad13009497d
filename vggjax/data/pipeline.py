"""The data pipeline's public names: numpy batches in, nothing of TensorFlow.

`training` holds the batches of Sect. 3.1, `evaluation` the images of Sect. 3.2.
"""

from vggjax.data.evaluation import crop_batches, rescaled_images
from vggjax.data.order import steps_per_epoch
from vggjax.data.preprocess import ColorShift
from vggjax.data.training import train_batches

__all__ = (
  "ColorShift",
  "crop_batches",
  "rescaled_images",
  "steps_per_epoch",
  "train_batches",
)
