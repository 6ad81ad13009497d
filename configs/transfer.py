"""Features of trained networks on other data sets (App. B, Tables 11 and 12).

  python -m vggjax.main --config=configs/transfer.py:PROTOCOL[,PROFILE] \\
    --config.transfer.networks=oxford:vgg16,oxford:vgg19 --workdir=runs/PROTOCOL

PROTOCOL is a key of PROTOCOLS. The networks are weights, or folders of training
runs; several are stacked. Nothing of them is trained: a linear SVM is, on their
fc7. Expected, from the paper, for D, E and both: voc2007 89.3, 89.3, 89.7 % mAP
on the test set; voc2012 89.0, 89.0, 89.3 % on the hidden test set
(`--config.split=test` writes the files for its server); caltech101 91.8, 92.3,
92.7 % and caltech256 85.0, 85.1, 86.2 % mean class recall; actions 84.0 % mAP
with both, of the hidden test set.

Protocols `classes` and `labels` are for one's own data, `dataset.source`, of
one class or of several an image.

PROFILE imagenet (the default) has the paper's scales; mini has those of
networks trained with profile mini of `configs/classification.py`.
"""

from ml_collections import ConfigDict

from vggjax.configs import base
from vggjax.errors import InputError
from vggjax.geometry import scale_for_crop

FIVE, THREE = (256, 384, 512, 640, 768), (256, 384, 512)
# protocol: (source, splits to train on and to choose C on, the one to test,
# what is measured, Q, how the scales are combined)
PROTOCOLS = {
  "voc2007": ("voc/2007", "train", "validation", "test", "ap11", FIVE,
              "average"),
  # C is not chosen on the images that are tested.
  "voc2012": ("voc/2012", "train", "", "validation", "ap", FIVE, "average"),
  "caltech101": ("caltech101", "train", "", "test", "recall", THREE, "stack"),
  "caltech256": ("caltech256", "train", "", "train", "recall", THREE, "stack"),
  "actions": ("voc2012_actions", "train", "", "validation", "ap", FIVE,
              "average"),
  "classes": ("", "train", "validation", "test", "recall", THREE, "stack"),
  "labels": ("", "train", "validation", "test", "ap", FIVE, "average"),
}  # fmt: skip
# protocol: (random splits, images of a class to train on, at most to test)
RANDOM_SPLITS = {"caltech101": (3, 30, 50), "caltech256": (3, 60, 0)}
PROFILES = {"imagenet": 224, "mini": 64}


def get_config(arguments: str = "voc2007") -> ConfigDict:
  """The config of PROTOCOL[,PROFILE].

  Raises:
    InputError: if there is no such protocol or profile.
  """
  name, _, profile = arguments.partition(",")
  profile = profile or "imagenet"
  if name not in PROTOCOLS:
    raise InputError(f"protocol {name!r} is not one of {', '.join(PROTOCOLS)}")
  if profile not in PROFILES:
    raise InputError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
  source, train, validation, test, measure, scales, aggregate = PROTOCOLS[name]
  config = base.get_config()
  config.run = name
  config.task = "transfer"
  config.crop_size = PROFILES[profile]
  config.dataset.source = source
  config.dataset.train_split = train
  config.dataset.validation_split = validation
  config.split = test
  config.test_scales = tuple(
    scale_for_crop(q, config.crop_size) for q in scales
  )
  config.transfer.measure = measure
  config.transfer.aggregate = aggregate
  if name == "actions":
    config.transfer.region = "both"
  if name in RANDOM_SPLITS:
    (
      config.transfer.random_splits,
      config.transfer.train_per_class,
      config.transfer.test_per_class,
    ) = RANDOM_SPLITS[name]
  return config
