"""`vggjax launch`: several processes of a task on this machine."""

import argparse
import collections
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from vggjax.errors import InputError
from vggjax.membership import GRACE, LOST

TASKS = ("train", "evaluate")
# Seconds that the others have to end by themselves after one was lost.
PATIENCE = 3 * GRACE
# Seconds that all have to save and end after SIGTERM or SIGINT.
SIGNAL_PATIENCE = 120.0
# Seconds between two looks at the processes.
LOOK_EVERY = 0.1
# Lines kept of what each process but the first prints.
KEPT_LINES = 20
EPILOG = """\
The first process prints as usual. Of the others the last lines are printed if
one fails before the first does. When a process ends with another status than 0
or is killed, the others have 15 seconds to end, and are then killed; the exit
status is that of the process, or 5 (lost) if a signal killed it. SIGTERM and
SIGINT are passed on; a second one, or two minutes, kills all.

example:
  vggjax launch --processes=2 --devices_per_process=2 -- \\
    train --config=quickstart.py --workdir=runs/quickstart
"""


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    "launch",
    help="train or evaluate with several processes on this machine",
    description="Starts processes of a task that work as one, and stops all "
    "when one is lost.",
    epilog=EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--processes", type=int, required=True, metavar="N")
  parser.add_argument(
    "--devices_per_process",
    type=int,
    default=1,
    metavar="D",
    help="GPUs, or simulated devices on a CPU, of each process; default 1",
  )
  parser.add_argument(
    "arguments",
    nargs="+",
    metavar="-- TASK ARGUMENT",
    help=f"{' or '.join(TASKS)}, and its arguments",
  )
  parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
  """Starts the processes and waits; returns the exit status."""
  count, devices = options.processes, options.devices_per_process
  if count < 1 or devices < 1:
    raise InputError("--processes and --devices_per_process must be at least 1")
  if options.arguments[0] not in TASKS:
    raise InputError(
      f"vggjax launch runs {' or '.join(TASKS)}, not {options.arguments[0]}"
    )
  address = f"127.0.0.1:{free_port()}"
  with Team() as team:
    for index in range(count):
      team.start(command(options.arguments, address, count, index), devices)
    return team.wait()


def command(
  arguments: Sequence[str], address: str, count: int, index: int
) -> list[str]:
  """The command of one process; a single one needs no others."""
  own = [sys.executable, "-m", "vggjax", *arguments]
  if count == 1:
    return [*own, "--cluster=none"]
  return [
    *own,
    f"--coordinator={address}",
    f"--num_processes={count}",
    f"--process_id={index}",
  ]


def free_port() -> int:
  """A port of this machine that nothing uses now."""
  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    return found.getsockname()[1]


class Team:
  """Processes that end together; inside, signals are passed on to them."""

  def __init__(self):
    self.processes = []
    self._tails = []
    self._before = {}
    self._received = 0
    self._deadline = float("inf")

  def start(self, command: Sequence[str], devices: int) -> None:
    """Starts one more process on its share of the devices."""
    index = len(self.processes)
    first = index * devices
    environment = {
      **os.environ,
      # Each is heeded where there are such devices.
      "JAX_NUM_CPU_DEVICES": str(devices),
      "JAX_LOCAL_DEVICE_IDS": ",".join(
        str(first + number) for number in range(devices)
      ),
    }
    process = subprocess.Popen(
      command,
      env=environment,
      stdout=subprocess.PIPE if index else None,
      stderr=subprocess.STDOUT if index else None,
      # Signals of a terminal come from here alone, once.
      start_new_session=True,
    )
    self.processes.append(process)
    tail = collections.deque(maxlen=KEPT_LINES)
    self._tails.append(tail)
    if index:
      threading.Thread(
        target=_keep, args=(process.stdout, tail), daemon=True
      ).start()

  def wait(self) -> int:
    """Waits for all; tells who was lost, and ends the others then.

    Returns:
      The exit status, see the command's help.
    """
    while True:
      ended = list(self._ended())
      failed = [(i, status) for i, status in ended if status]
      if failed or len(ended) == len(self.processes):
        break
      if time.monotonic() > self._deadline:
        failed = [(0, self._received)]
        break
      time.sleep(LOOK_EVERY)
    if not failed:
      return 0
    killed = self._end()
    # The others may have ended before the one that failed.
    failed = [
      each for each in self._ended() if each[1] and each[0] not in killed
    ]
    return self._received or self._tell(failed)

  def _ended(self) -> Iterator[tuple[int, int]]:
    for index, process in enumerate(self.processes):
      if process.poll() is not None:
        yield index, process.returncode

  def _end(self) -> list[int]:
    """Waits for the processes to end, then kills them; gives those killed."""
    deadline = time.monotonic() + PATIENCE
    killed = []
    for index, process in enumerate(self.processes):
      try:
        process.wait(max(0.0, deadline - time.monotonic()))
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        killed.append(index)
    return killed

  def _tell(self, failed: list[tuple[int, int]]) -> int:
    """Says which process failed first; returns the exit status."""
    # Those that end because of others say so.
    first, status = min(failed, key=lambda each: each[1] in (LOST, -6))
    if first:
      for line in self._tails[first]:
        print(f"process {first}: {line}", file=sys.stderr)
    how = f"ended with status {status}"
    if status < 0:
      how = f"was killed by {signal.Signals(-status).name}"
    print(
      f"vggjax: process {first} of {len(self.processes)} {how}, and the others "
      "were stopped",
      file=sys.stderr,
    )
    return LOST if status < 0 else status

  def _pass_on(self, number: int, _: Any) -> None:
    if self._received:
      number = signal.SIGKILL
    else:
      self._received = 128 + number
      self._deadline = time.monotonic() + SIGNAL_PATIENCE
    for process in self.processes:
      if process.poll() is None:
        process.send_signal(number)

  def __enter__(self) -> "Team":
    for number in (signal.SIGINT, signal.SIGTERM):
      self._before[number] = signal.signal(number, self._pass_on)
    return self

  def __exit__(self, *_) -> None:
    for process in self.processes:
      if process.poll() is None:
        process.kill()
        process.wait()
    for number, handler in self._before.items():
      signal.signal(number, handler)


def _keep(stream: IO[bytes], tail: collections.deque) -> None:
  for line in stream:
    tail.append(line.decode(errors="replace").rstrip())
