"""`python -m drawing SEED SPLIT DIFFICULTY START STOP STEP` writes examples.

For the indices range(START, STOP, STEP), in that order. Each is a line of
JSON, the fields of `paint.Example` but with the length of the JPEG for its
bytes, which follow. Run in this package's parent folder.
"""

import json
import sys

from . import draw_example


def main():
  seed, split, difficulty, *bounds = sys.argv[1:]
  out = sys.stdout.buffer
  for index in range(*map(int, bounds)):
    jpeg, *fields = draw_example(int(seed), split, index, difficulty)
    out.write(json.dumps([len(jpeg), *fields]).encode() + b"\n")
    out.write(jpeg)
  out.flush()


if __name__ == "__main__":
  main()
