"""Damaged input of every kind, by the thousand.

  python -m tests.fuzz.NAME [--runs=10000] [--seed=0] [--keep=DIR]
  python -m tests.fuzz.NAME --atheris [--runs=10000]

NAME is a module here with a target: images, weights, overrides, annotations or
tables. A target has `seeds()`, well-formed inputs by name; `TOKENS`, bytes
that mean something in its formats; and `check(data)`, which returns a word for
what became of an input and raises if that is neither one line for the user nor
a right result.

Without --atheris the inputs are mutated seeds, tried in a process of their own
whose time an input and whose memory are bounded; what crashes, hangs or raises
is kept and the rest goes on. With it (pip install atheris) the mutations that
reach new lines of vggjax are followed.
"""

import sys
from pathlib import Path

# The writers of foreign files are beside the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
