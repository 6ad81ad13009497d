"""SIGTERM, which schedulers send before they take a machine away.

Where it can be answered by a save (see `deferred`) the first one is a request;
otherwise, and the second time, the process ends at once: whatever is stored is
as safe as under `kill -9`.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import jax

# What shells show of a process that SIGTERM ends.
EXIT_STATUS = 128 + signal.SIGTERM


class _Request:
  """Of this process."""

  can_wait = False
  arrived = False


@contextlib.contextmanager
def handled() -> Iterator[None]:
  """SIGTERM is handled inside; in another thread than the main one, it is not.

  A thread of its own learns of the signal, because Python's handlers wait for
  the main thread, which may be compiling for minutes.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  _Request.arrived = False
  before = signal.signal(signal.SIGTERM, lambda *_: None)
  wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  watcher = threading.Thread(target=_watch, args=(reader,), daemon=True)
  watcher.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGTERM, before)
    os.close(writer)
    watcher.join()
    os.close(reader)


def take_back() -> None:
  """SIGTERM is Python's again, where JAX has it from joining other processes.

  JAX keeps it for the steps of a training; nothing else would ask for it, and
  the process would go on until SIGKILL.
  """
  if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, lambda *_: None)


def _watch(reader: int) -> None:
  """Reads the numbers of signals until the other end is closed."""
  while number := os.read(reader, 1):
    if number[0] != signal.SIGTERM:
      continue
    if _Request.arrived or not _Request.can_wait:
      _say("stopped by SIGTERM; the same command goes on")
      os._exit(EXIT_STATUS)
    _Request.arrived = True
    _say("SIGTERM: saves after this step and stops; a second one stops at once")


def _say(message: str) -> None:
  # Not by print: the main thread may hold the lock of sys.stderr.
  os.write(sys.__stderr__.fileno(), f"\nvggjax: {message}\n".encode())


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[int], bool]]:
  """The first SIGTERM inside is a request.

  Yields:
    A function of the steps done, to be called after each: whether to save and
    stop now. With several processes JAX's preemption service, which has the
    signal then, lets all of them stop after the same step.
  """
  from orbax.checkpoint import utils  # Slow to import.

  def should_stop(step: int) -> bool:
    together = utils.reached_preemption(step)
    return together or (_Request.arrived and jax.process_count() == 1)

  _Request.can_wait = True
  try:
    yield should_stop
  finally:
    _Request.can_wait = False
