"""The training step of net D at full width on CPUs against PyTorch (Sect. 3.1).

  python -m benchmarks.train_step [--batch_size=32] [--rounds=3] [--width=1]
      [--crop_size=224]

In float32, from a batch in memory to the new parameters: forward, backward, SGD
with momentum and weight decay, dropout. First both do the same step without
dropout: the loss and two layers' gradients are compared. Compilation is not
timed. The last line is PyTorch's time over ours.
"""

from benchmarks import _train
from vggjax import huge_pages


def main() -> None:
  """Prints the comparison, both times and the ratio."""
  options = _train.arguments(
    __doc__, batch_size=32, rounds=3, width=1.0, crop_size=224
  )
  bench = _train.make_bench(options.width, options.crop_size, 1000)
  ratio = _train.measure(bench, "D", options.batch_size, options.rounds)
  print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
  huge_pages.begin_again()
  main()
