"""Training of the localization networks (App. A, Tables 8 to 10).

  python -m vggjax.main --config=configs/localization.py:RUN[,PROFILE] \\
    --config.dataset.source=SOURCE --workdir=runs/RUN
  python -m vggjax.main --config=configs/localization.py:RUN,PROFILE,evaluate \\
    --config.protocol=dense --config.classifier=D-256-512 --workdir=runs/RUN

RUN is a key of RUNS: net D, whose last layer predicts a box, shared by all
classes (scr) or one for each (pcr). It starts from the classification run of
the same S, which it expects beside its own workdir (runs/D-256 for
runs/D-256-pcr); the last layer is new. Only images with boxes are used.

Evaluated with protocol center (the default), the box of the true class is seen
in the central crop (Table 8); with protocol dense and a classifier, the boxes
of its five most probable classes are seen at every position, merged and rated
(Tables 9 and 10).

PROFILE imagenet (the default) is the paper's, on data set ilsvrc2012_loc or the
folder of Kaggle's archive. Expected, from the paper: Table 8, e.g. D-384-pcr
33.1 % top-5 localization error in the central crop. Not in the paper: as many
epochs as for classification.

PROFILE mini is that of `configs/classification.py` with 1,800 steps: ten
minutes a run on two CPU cores. README has the errors measured.
"""

from ml_collections import ConfigDict

from vggjax.configs import classification
from vggjax.errors import InputError

# run: (initialized from, what the last layer predicts, trained layers)
RUNS = {
  "D-256-pcr": ("D-256", "pcr", "all"),
  "D-384-scr-fc": ("D-384", "scr", "fc"),
  "D-384-pcr-fc": ("D-384", "pcr", "fc"),
  "D-384-pcr": ("D-384", "pcr", "all"),
}
# (steps, boundaries of the fixed schedule), mini profile
MINI_STEPS = 1800, (1200, 1600)


def get_config(arguments: str = "D-256-pcr") -> ConfigDict:
  """The config of RUN[,PROFILE[,TASK]].

  Raises:
    InputError: if there is no such run, profile or task.
  """
  run, profile, task = (*arguments.split(","), "", "")[:3]
  if run not in RUNS:
    raise InputError(f"run {run!r} is not one of {', '.join(RUNS)}")
  if task not in ("", "train", "evaluate"):
    raise InputError(f"task {task!r} is not one of train, evaluate")
  source, objective, layers = RUNS[run]
  config = classification.get_config(f"{source},{profile}")
  config.run = run
  config.task = task or "train"
  config.objective = objective
  config.train_layers = layers
  config.init_from = source
  config.init_layers = "body"
  config.learning_rate = 1e-3
  # The mirror image's boxes are not in the paper.
  config.test_mirror = False
  config.protocol = "center"
  if profile == "mini":
    # At the paper's rate the new layer has hardly moved after so few steps.
    config.learning_rate = 1e-2
    config.num_steps, config.boundaries = MINI_STEPS
  else:
    config.dataset.source = "ilsvrc2012_loc"
  return config
