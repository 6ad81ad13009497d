"""The launcher, with small programs in place of the task."""

import os
import signal
import sys
import threading
import time

import pytest

from vggjax import cli, main, membership
from vggjax.commands import launch

SLEEP = "import time; time.sleep(60)"
# Ignores SIGTERM.
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print(0); " + SLEEP


def team_of(*programs, devices=1):
  team = launch.Team()
  with team:
    for program in programs:
      team.start([sys.executable, "-c", program], devices)
    return team.wait(), team


def test_all_end_well(capfd):
  program = "import os; print(os.environ['JAX_LOCAL_DEVICE_IDS'])"
  status, _ = team_of(program, program, devices=2)
  assert status == 0
  assert capfd.readouterr().out == "0,1\n"  # Of the first alone.


def test_the_devices_are_shared_out():
  program = (
    "import os, sys; e = os.environ; "
    "sys.exit((e['JAX_LOCAL_DEVICE_IDS'], e['JAX_NUM_CPU_DEVICES']) "
    "!= ('{}', '3'))"
  )
  programs = program.format("0,1,2"), program.format("3,4,5")
  assert team_of(*programs, devices=3)[0] == 0


def test_who_failed_is_named_and_the_others_end(monkeypatch, capfd):
  monkeypatch.setattr(launch, "PATIENCE", 0.2)
  program = "import sys; print('bad input'); sys.exit(2)"
  status, team = team_of(SLEEP, program, SLEEP)
  assert status == 2
  assert capfd.readouterr().err == (
    "process 1: bad input\n"
    "vggjax: process 1 of 3 ended with status 2, and the others were stopped\n"
  )
  assert team.processes[0].returncode == -signal.SIGKILL


def test_those_that_lost_another_are_not_blamed(monkeypatch, capfd):
  monkeypatch.setattr(launch, "PATIENCE", 0.2)
  lost = f"import sys; sys.exit({membership.LOST})"
  killed = "import os; os.kill(os.getpid(), 9)"
  monkeypatch.setattr(launch, "LOOK_EVERY", 2.0)  # Both end before a look.
  assert team_of(lost, killed)[0] == membership.LOST
  assert "process 1 of 2 was killed by SIGKILL" in capfd.readouterr().err


def test_a_signal_is_passed_on(capfd):
  program = (
    "import signal, sys, time; "
    "signal.signal(15, lambda *_: sys.exit(143)); print('ready', flush=True); "
    "time.sleep(60)"
  )
  begin = time.monotonic()
  signal_soon()
  assert team_of(program, program)[0] == 143
  assert time.monotonic() - begin < 30
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_signal_kills(monkeypatch):
  signal_soon(times=2)
  status, team = team_of(DEAF, DEAF)
  assert status == 143
  assert {p.returncode for p in team.processes} == {-signal.SIGKILL}


def signal_soon(times=1):
  """Sends SIGTERM to this process when its programs run."""

  def send():
    for _ in range(times):
      time.sleep(1.0)
      os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=send, daemon=True).start()


def test_commands_name_the_process():
  own = launch.command(["train", "--workdir=w"], "127.0.0.1:9", 2, 1)
  assert own[1:5] == ["-m", "vggjax", "train", "--workdir=w"]
  options, rest = membership.split_options(own[4:])
  assert rest == ["--workdir=w"]
  assert (options.num_processes, options.process_id) == (2, 1)
  assert "--cluster=none" in launch.command(["train"], "127.0.0.1:9", 1, 0)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--processes=0", "--", "train"], "must be at least 1"),
    (["--processes=2", "--", "transfer"], "runs train or evaluate, not tran"),
    (["--", "train"], "required: --processes"),
  ],
)
def test_bad_input(arguments, message, capsys):
  assert cli.run(["launch", *arguments]) == main.BAD_INPUT
  assert message in capsys.readouterr().err
