"""SIGTERM: a request where it can wait, and otherwise the end, at once."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vggjax import preemption
from vggjax.commands import launch


@pytest.fixture
def ends(monkeypatch):
  """The statuses with which the process would have ended."""
  found = []

  def end(status):
    found.append(status)

  monkeypatch.setattr(os, "_exit", end)
  return found


def send():
  os.kill(os.getpid(), signal.SIGTERM)


def wait_for(condition, seconds=20):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.001)


def test_the_first_is_a_request_and_the_second_the_end(ends, capfd):
  before = signal.getsignal(signal.SIGTERM)
  with preemption.handled(), preemption.deferred() as should_stop:
    assert not should_stop(1)
    send()
    wait_for(lambda: should_stop(2))
    assert not ends
    assert "saves after this step and stops" in capfd.readouterr().err
    send()
    wait_for(lambda: ends)
  assert ends == [143] == [preemption.EXIT_STATUS]
  assert signal.getsignal(signal.SIGTERM) == before
  assert signal.set_wakeup_fd(-1) == -1


def test_where_nothing_would_be_saved_the_first_is_the_end(ends, capfd):
  with preemption.handled():
    with preemption.deferred():
      pass
    send()
    wait_for(lambda: ends)
  assert ends == [143]
  assert "the same command goes on" in capfd.readouterr().err


def test_it_is_noticed_while_the_main_thread_is_in_c_code(ends):
  """There a handler of Python's would wait, e.g. for a compiler."""
  with preemption.handled():
    sender = threading.Timer(0.05, send)
    sender.start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_500_000)
    # On the way back the handlers run.
    assert ends == [143]
    sender.join()


def test_other_signals_and_other_threads_are_left_alone(ends):
  with preemption.handled(), pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGINT)
  result = []

  def run():
    with preemption.handled():
      result.append(signal.getsignal(signal.SIGTERM))

  before = signal.getsignal(signal.SIGTERM)
  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert result == [before]
  assert not ends


JOINED = """
import os, signal, sys, time
import jax
from vggjax import preemption
with preemption.handled():
  jax.distributed.initialize(sys.argv[1], 1, 0)
  if sys.argv[2] == "taken back":
    preemption.take_back()
  os.kill(os.getpid(), signal.SIGTERM)
  time.sleep(2)
  print("went on", flush=True)
  os._exit(0)
"""


@pytest.mark.parametrize(
  ("whose", "status", "output"),
  [("taken back", 143, ""), ("of JAX", 0, "went on\n")],
)
def test_a_process_that_joined_ends_once_it_has_the_signal(
  whose, status, output
):
  address = f"localhost:{launch.free_port()}"
  done = subprocess.run(
    [sys.executable, "-c", JOINED, address, whose],
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert (done.returncode, done.stdout) == (status, output), done.stderr
