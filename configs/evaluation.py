"""Dense evaluation of a trained network (Sect. 3.2, Tables 3 and 4).

  python -m vggjax.main --config=configs/evaluation.py:RUN[,PROFILE] \\
    --config.test_scales="(256,384,512)" --workdir=runs/RUN

Prints a line for each scale, then all scales combined. Posteriors are kept
under runs/RUN/posteriors. Expected: see `configs/classification.py`.
"""

from ml_collections import ConfigDict

from vggjax.configs import classification


def get_config(arguments: str = "A-256") -> ConfigDict:
  """The config of RUN[,PROFILE], as in `classification`, to evaluate."""
  config = classification.get_config(arguments)
  config.task = "evaluate"
  return config
