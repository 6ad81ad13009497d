"""The `vggjax` command."""

import sys
from collections.abc import Sequence

import vggjax
from vggjax import main

USAGE = """\
usage: vggjax train    --config=FILE[:RUN[,PROFILE]] [--config.KEY=VALUE ...]
                       --workdir=DIR
       vggjax evaluate --config=FILE[:RUN[,PROFILE]] [--config.KEY=VALUE ...]
                       --workdir=DIR
       vggjax networks
       vggjax --version

FILE is a config of your own or one of the package's: classification.py,
evaluation.py, quickstart.py. All keys are in configs/base.py.

examples:
  vggjax train --config=classification.py:A-256,mini \\
    --config.dataset.source=folder:PHOTOS --workdir=runs/A-256
  vggjax evaluate --config=evaluation.py:A-256,mini --config.split=test \\
    --config.dataset.source=folder:PHOTOS --workdir=runs/A-256
"""


def run(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit status."""
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  command = arguments[0] if arguments else "--help"
  if {"-h", "--help"} & set(arguments) or not arguments:
    print(USAGE, end="")
    return 0 if arguments else main.BAD_INPUT
  if command == "--version":
    print(f"vggjax {vggjax.__version__}")
    return 0
  if command == "networks":
    print_networks()
    return 0
  if command in main.TASKS:
    return main.main(arguments[1:], task=command)
  print(f"vggjax: there is no command {command!r}\n{USAGE}", file=sys.stderr)
  return main.BAD_INPUT


def print_networks() -> None:
  """Prints Table 2: weight layers, parameters, and GMACs at 224 pixels."""
  from vggjax.models import parameters, vgg

  print("network    layers   parameters  GMACs at 224")
  for network in vgg.NETWORKS:
    model = vgg.create_model(network)
    layers = len(parameters.param_shapes(model))
    count = parameters.count_parameters(model)
    gmacs = parameters.count_macs(model, 224, 224) / 1e9
    print(f"{network:9}  {layers:6}  {count:>11,}  {gmacs:12.2f}")


if __name__ == "__main__":
  sys.exit(run())
