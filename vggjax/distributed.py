"""Several processes that work as one: what each knows of the others.

Each is started with the same arguments, by `vggjax launch` or a scheduler; with
one process everything here does nothing. Values between processes go through
JAX's coordination service, on the host, so that waiting needs no device.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax

from vggjax.errors import InputError

# Others may compute for long before they answer, milliseconds.
_PATIENCE = 7 * 24 * 3600 * 1000

_turns = itertools.count()


class SharedError(InputError):
  """Bad input that all processes know of: one of them tells."""


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
  client().key_value_set(f"vggjax/{turn}/{index()}", json.dumps(value))
  return [
    json.loads(client().blocking_key_value_get(f"vggjax/{turn}/{i}", _PATIENCE))
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


def client() -> Any:
  """JAX's coordination service."""
  # JAX has no public name for it.
  from jax._src import distributed

  return distributed.global_state.client
