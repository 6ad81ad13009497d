"""The errors of any system of networks, fused (Sect. 4.4).

  python -m experiments.fuse --profile=mini --runs=runs/shapes \\
    --members D-256:224,256,288 D-256-512:256,384,512:both

A member is RUN:Q,Q,...[:PROTOCOL], Q in the paper's pixels; PROTOCOL is dense
(the default), multicrop, both or center. Further options as of the tables:
`python -m experiments.table6 --help`. On a split without labels the file for
the test server is written instead.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.options import parse
from experiments.runner import Row, Table, tabulate
from experiments.systems import Member
from vggjax.configs.classification import RUNS
from vggjax.evaluate.store import PROTOCOLS


def parse_member(text: str) -> Member:
  """A member from RUN:Q,Q,...[:PROTOCOL].

  Raises:
    argparse.ArgumentTypeError: naming what is wrong.
  """
  run, _, rest = text.partition(":")
  scales, _, protocol = rest.partition(":")
  protocol = protocol or "dense"
  numbers = scales.split(",")
  if run not in RUNS:
    wrong = f"the run is not one of {', '.join(RUNS)}"
  elif protocol not in PROTOCOLS:
    wrong = f"the protocol is not one of {', '.join(PROTOCOLS)}"
  elif not all(n.isdigit() and int(n) > 0 for n in numbers):
    wrong = "write RUN:Q,Q,...[:PROTOCOL], Q in pixels"
  else:
    return Member(run, tuple(map(int, numbers)), protocol)
  raise argparse.ArgumentTypeError(f"{text}: {wrong}")


def main(arguments: Sequence[str] | None = None) -> int:
  """Measures each member, and all fused; returns the exit status."""

  def add_members(parser):
    parser.add_argument(
      "--members",
      nargs="+",
      required=True,
      type=parse_member,
      metavar="RUN:Q,Q[:PROTOCOL]",
      help="what to fuse; Q in the paper's pixels",
    )

  options = parse("fuse", arguments, add_members)
  rows = [
    Row((member.run, describe(member)), (None, None), (member,))
    for member in options.members
  ]
  if len(rows) > 1:
    rows.append(Row(("all", "fused"), (None, None), tuple(options.members)))
  table = Table("fuse", "Fusion (Sect. 4.4)", ("Run", "Test"), tuple(rows))
  return tabulate(table, options, arguments)


def describe(member: Member) -> str:
  """The Q and the protocol of a member."""
  return f"{', '.join(map(str, member.test_scales))} {member.protocol}"


if __name__ == "__main__":
  sys.exit(main())
