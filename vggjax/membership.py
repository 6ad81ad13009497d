"""Joining other processes, and ending together when one is lost."""

import argparse
import contextlib
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from vggjax.distributed import client, count, gather, index, is_chief
from vggjax.errors import InputError

# The exit status where another process was lost.
LOST = 5
# JAX ends a process this many seconds after another was heard of last.
HEARTBEAT_TIMEOUT = 30
# Seconds that a failing process waits for the others to notice.
GRACE = 5.0
# Seconds between two looks for others that failed.
_LOOK_EVERY = 0.5
_FAILED = "vggjax/failed/"
# What JAX says of a process that it cannot reach.
_LOSS = re.compile(r"Gloo|[Cc]oordination service|heartbeat|Connection closed")

_ending = threading.Event()


def split_options(
  arguments: Sequence[str],
) -> tuple[argparse.Namespace, list[str]]:
  """Takes the options of several processes from the arguments.

  Args:
    arguments: of the command line.

  Returns:
    coordinator, num_processes, process_id and cluster, each None where not
    given; and the other arguments.

  Raises:
    InputError: if some are given and others missing.
  """
  parser = argparse.ArgumentParser(
    add_help=False, allow_abbrev=False, exit_on_error=False
  )
  parser.add_argument("--coordinator")
  parser.add_argument("--num_processes", type=int)
  parser.add_argument("--process_id", type=int)
  parser.add_argument("--cluster")
  try:
    options, rest = parser.parse_known_args(arguments)
  except argparse.ArgumentError as error:
    raise InputError(str(error)) from error
  numbers = options.num_processes, options.process_id
  if any(number is not None for number in numbers):
    if options.coordinator is None or None in numbers:
      raise InputError(
        "--coordinator=HOST:PORT, --num_processes and --process_id go together"
      )
    if not 0 <= options.process_id < options.num_processes:
      raise InputError(
        f"--process_id is {options.process_id}; it must be in [0, "
        f"{options.num_processes})"
      )
  elif options.coordinator and not (options.cluster or found_cluster()):
    raise InputError(
      "--coordinator needs --num_processes and --process_id where no cluster "
      "gives them"
    )
  return options, rest


def found_cluster() -> bool:
  """Whether the environment is that of one of several processes.

  A step of SLURM, Open MPI's mpirun, or the workers of a TPU slice on GKE.
  Elsewhere --cluster=auto asks JAX.
  """
  given = os.environ.get
  in_slurm = "SLURM_STEP_NODELIST" in os.environ
  return (
    (in_slurm and int(given("SLURM_NTASKS", "1")) > 1)
    or int(given("OMPI_COMM_WORLD_SIZE", "1")) > 1
    or "," in given("TPU_WORKER_HOSTNAMES", "")
  )


def join(options: argparse.Namespace) -> None:
  """Joins the other processes, if there are any; before JAX computes.

  Args:
    options: of `split_options`.

  Raises:
    InputError: if JAX cannot find them.
  """
  alone = options.cluster == "none" or options.num_processes == 1
  if alone or not (options.num_processes or options.cluster or found_cluster()):
    return
  method = None if options.cluster == "auto" else options.cluster
  if options.num_processes:
    method = "deactivate"
  try:
    jax.distributed.initialize(
      options.coordinator,
      options.num_processes,
      options.process_id,
      cluster_detection_method=method,
      heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
    )
  except (RuntimeError, ValueError) as error:
    raise InputError(
      f"cannot join the other processes: {error}; give --coordinator, "
      "--num_processes and --process_id, or --cluster=none for one process"
    ) from error
  threading.Thread(target=_watch, daemon=True).start()


def run(function: Callable[[], int]) -> int:
  """Runs a function in all processes; when one fails, all end.

  Args:
    function: gives its exit status; it has told of what failed.

  Returns:
    The status. With several processes, one other than 0 ends this process.
  """
  if count() == 1:
    return function()
  try:
    with ending_when_lost():
      status = function()
  except Exception:
    traceback.print_exc()
    status = 1
  if status:
    _end(status, f"it ended with status {status}")
  gather("done")
  _ending.set()
  jax.distributed.shutdown()
  return status


@contextlib.contextmanager
def ending_when_lost() -> Iterator[None]:
  """Ends this process at once when it loses another inside.

  What is around it would wait for the other when it is left.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if count() == 1 or not _LOSS.search(str(error)):
      raise
    _end(LOST, "it lost another")


def _end(status: int, reason: str) -> None:
  """Ends this process when all others have noticed, or after a while.

  The usual way out would wait for the others, which may wait for this one.
  """
  _ending.set()
  service, me = client(), index()
  with contextlib.suppress(jax.errors.JaxRuntimeError):  # The chief is gone.
    service.key_value_set(f"{_FAILED}{me}", reason)
    deadline = time.monotonic() + GRACE
    lost = _silent(service)
    while lost and time.monotonic() < deadline:
      time.sleep(_LOOK_EVERY / 5)
      lost = _silent(service)
    if not (me or lost):
      time.sleep(2 * _LOOK_EVERY)  # With the chief all others end at once.
    if lost and me == min(set(range(count())) - set(lost)):
      names = ", ".join(map(str, lost))
      _tell(f"process {names} of {count()} was lost; the same command goes on")
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _silent(service: Any) -> list[int]:
  """The processes that have not said that they end."""
  found = service.key_value_dir_get(_FAILED)
  heard = {int(key.rsplit("/", 1)[1]) for key, _ in found}
  return [i for i in range(count()) if i not in heard]


def _watch() -> None:
  """Ends this process when another has failed; in a thread of its own."""
  service = client()
  while not _ending.wait(_LOOK_EVERY):
    try:
      found = service.key_value_dir_get(_FAILED)
    except jax.errors.JaxRuntimeError:
      return  # JAX ends this process.
    # What all processes find out at once, they tell and end by themselves.
    if found and not _ending.wait(2 * _LOOK_EVERY):
      key, reason = found[0]
      if is_chief():
        number = key.rsplit("/", 1)[1]
        _tell(f"process {number} of {count()} failed: {reason}")
      _end(LOST, "another failed")


def _tell(message: str) -> None:
  print(f"vggjax: {message}", file=sys.stderr, flush=True)
