"""Fine-tuning of trained weights on one's own classes (Sect. 3.1, App. B).

  python -m vggjax.main --config=configs/finetuning.py:NETWORK[,PROFILE] \\
    --config.init_from=FILE|RUN|NAME --config.dataset.source=folder:PHOTOS \\
    --workdir=runs/photos

All layers but fc8 come from the weights, and so does the mean that is
subtracted; fc8 is new.
--config.train_layers=fc trains the FC layers alone; weights without these
need --config.init_layers=convs.

PROFILE imagenet (the default) suits the released weights: full width, crops of
224 pixels, S = 256, batch 64, 20 epochs at a tenth of the rate of training from
scratch. PROFILE mini is that of `configs/classification.py`, 600 steps at its
full rate: two minutes for net A on two CPU cores.
docs/weights.md shows a run and its errors.
"""

from ml_collections import ConfigDict

from vggjax.configs import base, classification
from vggjax.errors import InputError
from vggjax.models.vgg import NETWORKS


def get_config(arguments: str = "D") -> ConfigDict:
  """The config of NETWORK[,PROFILE].

  Raises:
    InputError: if there is no such network or profile.
  """
  network, _, profile = arguments.partition(",")
  if network not in NETWORKS:
    raise InputError(f"network {network!r} is not one of {', '.join(NETWORKS)}")
  if profile not in ("", *classification.PROFILES):
    profiles = ", ".join(classification.PROFILES)
    raise InputError(f"profile {profile!r} is not one of {profiles}")
  config = base.get_config()
  config.run = f"{network}-256"
  config.network = network
  config.learning_rate = 1e-3
  config.init_layers = "body"
  config.batch_size = 64
  config.num_epochs = 20
  if profile == "mini":
    # At a tenth of it, 600 steps from `shapes` to photos were no better than
    # random initialization.
    config.learning_rate = 1e-2
    classification.mini(config)
    config.num_steps, config.boundaries = 600, (400,)
  config.run = f"{network}-finetuned"
  return config
