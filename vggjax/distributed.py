"""Several processes that work as one: joining, agreeing, ending together.

Each is started with the same arguments, by `vggjax launch` or a scheduler; with
one process everything here does nothing. Values between processes go through
JAX's coordination service, on the host, so that waiting needs no device.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from vggjax.errors import InputError

# The exit status where another process was lost.
LOST = 5
# JAX ends a process this many seconds after another was heard of last.
HEARTBEAT_TIMEOUT = 30
# Seconds that a failing process waits for the others to notice.
GRACE = 5.0
# Seconds between two looks for others that failed.
_LOOK_EVERY = 0.5
# Others may compute for long before they answer, milliseconds.
_PATIENCE = 7 * 24 * 3600 * 1000
_FAILED = "vggjax/failed/"
# What JAX says of a process that it cannot reach.
_LOSS = re.compile(r"Gloo|[Cc]oordination service|heartbeat|Connection closed")

_turns = itertools.count()
_ending = threading.Event()


class SharedError(InputError):
  """Bad input that all processes know of: one of them tells."""


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


def count() -> int:
  """The number of processes."""
  return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
  """This process, from 0."""
  return jax.process_index() if jax.distributed.is_initialized() else 0


def is_chief() -> bool:
  """Whether this is the process that writes and tells."""
  return index() == 0


def tells(error: InputError) -> bool:
  """Whether this process is the one to print an error."""
  return is_chief() or not isinstance(error, SharedError)


def gather(value: Any) -> list[Any]:
  """The values of all processes, in their order; waits for all of them.

  Args:
    value: of this process, JSON.
  """
  if count() == 1:
    return [value]
  turn = next(_turns)
  _client().key_value_set(f"vggjax/{turn}/{index()}", json.dumps(value))
  return [
    json.loads(
      _client().blocking_key_value_get(f"vggjax/{turn}/{i}", _PATIENCE)
    )
    for i in range(count())
  ]


def agree(what: dict[str, Any]) -> None:
  """Checks that all processes say the same.

  Args:
    what: JSON values by their names, for people.

  Raises:
    SharedError: in all of them, naming who differs, and in what.
  """
  first, *others = gather(what)
  for number, other in enumerate(others, 1):
    differing = [
      f"{name} {other.get(name)!r} there, {first.get(name)!r} in process 0"
      for name in sorted({*first, *other})
      if other.get(name) != first.get(name)
    ]
    if differing:
      raise SharedError(
        f"process {number} of {count()} differs: {'; '.join(differing[:3])}; "
        "all need the same arguments and data"
      )


@contextlib.contextmanager
def together() -> Iterator[None]:
  """An InputError of one process inside becomes one of all.

  Nothing inside may wait for other processes.

  Raises:
    SharedError: in all of them, naming the first and what it found.
  """
  if count() == 1:
    yield
    return
  message = None
  try:
    yield
  except InputError as error:
    message = str(error)
  messages = gather(message)
  failed = [i for i, text in enumerate(messages) if text is not None]
  if failed:
    text = messages[failed[0]]
    if messages.count(text) < count():
      text = f"process {failed[0]} of {count()}: {text}"
    raise SharedError(text)


def chief_first(function: Callable[[], Any]) -> Any:
  """What a function gives; the chief calls it before all others.

  So that files that it makes are there for the others.
  """
  result = None
  for is_chiefs_turn in (True, False):
    with together():
      if is_chief() == is_chiefs_turn:
        result = function()
  return result


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
  client, me = _client(), index()
  with contextlib.suppress(jax.errors.JaxRuntimeError):  # The chief is gone.
    client.key_value_set(f"{_FAILED}{me}", reason)
    deadline = time.monotonic() + GRACE
    lost = _silent(client)
    while lost and time.monotonic() < deadline:
      time.sleep(_LOOK_EVERY / 5)
      lost = _silent(client)
    if lost and me == min(set(range(count())) - set(lost)):
      names = ", ".join(map(str, lost))
      _tell(f"process {names} of {count()} was lost; the same command goes on")
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _silent(client: Any) -> list[int]:
  """The processes that have not said that they end."""
  found = client.key_value_dir_get(_FAILED)
  heard = {int(key.rsplit("/", 1)[1]) for key, _ in found}
  return [i for i in range(count()) if i not in heard]


def _watch() -> None:
  """Ends this process when another has failed; in a thread of its own."""
  client = _client()
  while not _ending.wait(_LOOK_EVERY):
    try:
      found = client.key_value_dir_get(_FAILED)
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


def _client() -> Any:
  # JAX has no public name for it.
  from jax._src import distributed

  return distributed.global_state.client
