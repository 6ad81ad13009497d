"""Training steps of the mini networks on CPUs against PyTorch (Sect. 3.1).

  python -m benchmarks.train_step_mini [--networks A D E] [--batch_size=64]
      [--rounds=15] [--width=0.25] [--crop_size=64] [--steps=2]

A quarter of the width, 64 pixels, as in the profile mini; else as
benchmarks.train_step. The last line is PyTorch's time over ours, the geometric
mean over the networks.
"""

import statistics

from benchmarks import _train
from vggjax import huge_pages


def main() -> None:
  """Prints both times of each network and the mean ratio."""
  options = _train.arguments(
    __doc__,
    networks=["A", "D", "E"],
    batch_size=64,
    rounds=15,
    width=0.25,
    crop_size=64,
    steps=2,
  )
  bench = _train.make_bench(options.width, options.crop_size, 10)
  ratios = [
    _train.measure(
      bench, network, options.batch_size, options.rounds, options.steps
    )
    for network in options.networks
  ]
  print(f"ratio {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
  huge_pages.begin_again()
  main()
