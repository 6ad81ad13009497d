"""A small net on the built-in data set, in two minutes on two CPU cores.

  python -m vggjax.main --config=configs/quickstart.py --workdir=runs/quickstart
  python -m vggjax.main --config=configs/quickstart.py:evaluate \\
    --workdir=runs/quickstart

Net A at an eighth of its width on 1,500 easy pictures of ten shapes. README has
the errors measured.
"""

from ml_collections import ConfigDict

from vggjax.configs import classification
from vggjax.errors import InputError


def get_config(task: str = "train") -> ConfigDict:
  """The config to train, or to evaluate what was trained."""
  if task not in ("train", "evaluate"):
    raise InputError(f"quickstart {task!r} is not one of train, evaluate")
  config = classification.get_config("A-256,mini")
  config.task = task
  config.run = "quickstart"
  config.dataset.source = "shapes/easy"
  config.width = 0.125
  config.batch_size = 32
  config.learning_rate = 1e-2
  config.num_steps, config.boundaries = 2600, (1900, 2400)
  config.test_scales = (64, 73, 82)
  return config
