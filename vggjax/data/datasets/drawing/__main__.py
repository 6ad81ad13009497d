"""`python -m drawing SEED SPLIT START STOP STEP`: pickled examples to stdout.

Each is a plain tuple with the fields of `paint.Example`, for the indices
range(START, STOP, STEP), in that order. Run in this package's parent folder.
"""

import pickle
import sys

from . import draw_example


def main():
  seed, split, *bounds = sys.argv[1:]
  for index in range(*map(int, bounds)):
    example = draw_example(int(seed), split, index)
    pickle.dump(tuple(example), sys.stdout.buffer)
  sys.stdout.buffer.flush()


if __name__ == "__main__":
  main()
