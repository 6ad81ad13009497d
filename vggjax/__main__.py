"""The program `vggjax`, also as python -m vggjax."""

import sys

from vggjax import startup


def run() -> int:
  """Runs the command of the program's own arguments; returns its status."""
  startup.begin()
  from vggjax import cli  # Only now, as JAX takes a second to import.

  return cli.run()


if __name__ == "__main__":
  sys.exit(run())
