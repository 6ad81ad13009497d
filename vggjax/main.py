"""One config, one working directory, one task.

python -m vggjax.main --config=configs/FILE.py:RUN,PROFILE --workdir=DIR
"""

from vggjax import startup

if __name__ == "__main__":
  startup.begin()  # Before JAX, which takes a second to import.

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence

from absl import logging

from vggjax import distributed, membership, preemption
from vggjax.addresses import location, reaching
from vggjax.compilation import keep_programs
from vggjax.config import flatten, parse_arguments
from vggjax.errors import InputError, NonFiniteError, StoppedError, StorageError
from vggjax.files import STORAGE_ERRORS

# Each a function of vggjax.tasks.NAME, imported when it is run.
TASKS = ("train", "evaluate", "transfer")
# Exit statuses; docs/reliability.md says what each asks for.
BAD_INPUT, DIVERGED, CANNOT_STORE, INTERRUPTED = 2, 3, 4, 130
# By SIGTERM; training has saved its state, unless it was sent a second one.
TERMINATED = preemption.EXIT_STATUS


def main(arguments: Sequence[str] | None = None, task: str = "") -> int:
  """Runs the task that the arguments' config names.

  Args:
    arguments: --config=FILE[:ARGUMENTS] [--config.KEY=VALUE ...] --workdir=DIR,
      and the options of `membership`; None: those of the command line.
    task: what the config's task must be; "": any.

  Returns:
    The exit status: 0, BAD_INPUT, DIVERGED, CANNOT_STORE, INTERRUPTED or
    TERMINATED. One of several processes exits itself where that is not 0, with
    membership.LOST when another was lost.
  """
  keep_programs()
  # orbax warns of what is as it should be, and logs the errors that it raises.
  logging.set_verbosity(logging.FATAL)
  # Before joining, so that JAX has the signal of several processes.
  with preemption.handled(), _quiet_threads():
    try:
      options, rest = membership.split_options(
        sys.argv[1:] if arguments is None else arguments
      )
      membership.join(options)
    except InputError as error:
      print(f"vggjax: {error}", file=sys.stderr)
      return BAD_INPUT
    return membership.run(lambda: _run(rest, task))


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
  """Without what a save that is given up prints besides the error it raises.

  orbax closes its event loop then, and tensorstore's threads go on to report.
  """
  before = sys.unraisablehook

  def show(unraisable):
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  sys.unraisablehook = show
  try:
    yield
  finally:
    sys.unraisablehook = before


def _run(arguments: Sequence[str], task: str) -> int:
  """Runs the task; tells what is wrong, and returns the exit status."""
  try:
    run(arguments, task)
  except InputError as error:
    if distributed.tells(error):
      print(f"vggjax: {error}", file=sys.stderr)
    return BAD_INPUT
  except NonFiniteError as error:
    if distributed.is_chief():  # The loss is the same in all processes.
      print(f"vggjax: {error}", file=sys.stderr)
    return DIVERGED
  except StorageError as error:
    print(f"vggjax: {error}", file=sys.stderr)
    return CANNOT_STORE
  except OSError as error:
    if error.errno not in STORAGE_ERRORS:
      raise
    place = f"{error.filename}: " if error.filename else ""
    print(f"vggjax: {place}{error.strerror}", file=sys.stderr)
    return CANNOT_STORE
  except StoppedError as stopped:
    if distributed.is_chief():
      print(f"vggjax: {stopped}", file=sys.stderr)
    return TERMINATED
  except KeyboardInterrupt:
    if distributed.is_chief():
      print("vggjax: stopped; the same command goes on", file=sys.stderr)
    return INTERRUPTED
  return 0


def run(arguments: Sequence[str], task: str) -> None:
  """Runs the task as `main` does, but raises what is wrong."""
  with distributed.together():
    config, workdir = parse_arguments(arguments)
    if task and config.task != task:
      raise InputError(
        f"this config's task is {config.task}, not {task}; e.g. "
        "configs/classification.py trains, configs/evaluation.py evaluates, "
        "configs/transfer.py transfers"
      )
  if config.task != "train":
    preemption.take_back()
  distributed.agree({**flatten(config), "workdir": workdir})
  if not distributed.is_chief():
    config.progress = config.pictures = False
  module = importlib.import_module(f"vggjax.tasks.{config.task}")
  with reaching(workdir):
    getattr(module, config.task)(config, location(workdir))


if __name__ == "__main__":
  sys.exit(main())
