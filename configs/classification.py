"""Training of the classification networks (Sect. 3.1, Tables 3 to 6).

  python -m vggjax.main --config=configs/classification.py:RUN[,PROFILE] \\
    --workdir=runs/RUN

RUN is a key of RUNS. A run that starts from another one expects it beside its
own workdir (runs/A-256 for runs/D-256).

PROFILE imagenet (the default) is the paper's: 74 epochs of batch 256 on
ImageNet. Expected, from the paper: Table 3, e.g. A-256 29.6/10.4, D-256
27.0/8.8 % top-1/top-5 validation error. Cost: the paper's nets took two to
three weeks on four GPUs of 2014.

PROFILE mini is a quarter of the width with 64-pixel crops, S and Q scaled by
64/224 (73, 110 and 146 for 256, 384 and 512), on a small data set; each stage
has a fixed number of steps, so the cost does not depend on the set: A-256 takes
seven minutes on two CPU cores, all fourteen runs an estimated 100. README has
the errors measured.
"""

from ml_collections import ConfigDict

from vggjax.configs import base
from vggjax.errors import InputError
from vggjax.geometry import scale_for_crop

# run: (network, (S_min, S_max), initialized from, initial learning rate)
RUNS = {
  "A-256": ("A", (256, 256), None, 1e-2),
  "A-LRN-256": ("A-LRN", (256, 256), None, 1e-2),
  "B-256": ("B", (256, 256), "A-256", 1e-2),
  "B-shallow-256": ("B-shallow", (256, 256), None, 1e-2),
  "C-256": ("C", (256, 256), "A-256", 1e-2),
  "C-384": ("C", (384, 384), "C-256", 1e-3),
  "C-256-512": ("C", (256, 512), "C-384", 1e-3),
  "D-256": ("D", (256, 256), "A-256", 1e-2),
  "D-384": ("D", (384, 384), "D-256", 1e-3),
  "D-256-512": ("D", (256, 512), "D-384", 1e-3),  # Rate: not in the paper.
  "D-256-512-fc": ("D", (256, 512), "D-384", 1e-3),
  "E-256": ("E", (256, 256), "A-256", 1e-2),
  "E-384": ("E", (384, 384), "E-256", 1e-3),
  "E-256-512": ("E", (256, 512), "E-384", 1e-3),
}


# stage: (steps, boundaries of the fixed schedule), mini profile
MINI_STEPS = {
  "random": (2400, (1600, 2200)),
  "warm": (1800, (1200, 1600)),
  "384": (600, (400,)),
  "256-512": (800, (550,)),
}


def stage_of(run: str) -> str:
  """The training stage of a run: a key of MINI_STEPS (Sect. 3.1)."""
  _, scale, source, _ = RUNS[run]
  if scale != (256, 256):
    return "-".join(map(str, sorted(set(scale))))
  return "warm" if source else "random"


def imagenet(config: ConfigDict) -> None:
  """The paper's settings are the base's."""
  config.dataset.source = "imagenet2012"


def mini(config: ConfigDict) -> None:
  """The same recipe for small photo sets and two CPU cores."""
  config.dataset.source = "shapes"
  config.crop_size = 64
  config.width = 0.25
  config.train_scale = tuple(
    scale_for_crop(scale, config.crop_size) for scale in config.train_scale
  )
  # With ceil, a map of 73 pixels ends 3 wide where training's ends 2 wide, the
  # third column mostly padding; it cost 5 points of top-1 on clothing144.
  config.pool = "floor"
  # N(0, 0.01^2) makes the signal vanish at this width.
  config.initializer = "glorot"
  # A batch of 256 would leave a dozen steps in an epoch of 3,000 photos.
  config.batch_size = 64
  # By the square root of the batch's ratio to 256: at the paper's rate D and E
  # fall back to chance after a hundred steps.
  config.learning_rate *= 0.5
  # The error of a few hundred validation images is too noisy to tell when it
  # has stalled.
  config.schedule = "fixed"
  config.num_steps, config.boundaries = MINI_STEPS[stage_of(config.run)]
  config.num_epochs = 0
  config.split = "test"
  config.checkpoint_every = 500


PROFILES = {"imagenet": imagenet, "mini": mini}


def get_config(arguments: str = "A-256") -> ConfigDict:
  """The config of RUN[,PROFILE].

  Raises:
    InputError: if there is no such run or profile.
  """
  run, _, profile = arguments.partition(",")
  profile = profile or "imagenet"
  if run not in RUNS:
    raise InputError(f"run {run!r} is not one of {', '.join(RUNS)}")
  if profile not in PROFILES:
    raise InputError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
  network, scale, source, learning_rate = RUNS[run]
  config = base.get_config()
  config.run = run
  config.network = network
  config.train_scale = scale
  config.learning_rate = learning_rate
  if source:
    config.init_from = source
    same_network = RUNS[source][0] == network
    config.init_layers = "all" if same_network else "paper"
  if run.endswith("-fc"):
    config.train_layers = "fc"
  PROFILES[profile](config)
  return config
