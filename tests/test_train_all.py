"""The chain of runs: in order, each from its source, skipped or continued."""

import contextlib
import io
import re
import shutil
import sys
from types import SimpleNamespace

import pytest
import tiny_runs
from tiny_runs import SETTINGS

from experiments import train_all
from vggjax import checkpoint

CHAIN = ["A-256", "D-256", "D-384"]


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
  """photos/ and runs/ after a real training of D-384, two steps a run."""
  folder = tmp_path_factory.mktemp("chain")
  tiny_runs.photo_folder(folder / "photos")
  out, err = io.StringIO(), io.StringIO()
  with (
    tiny_runs.in_process(),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    status = tiny_runs.train(folder, "--only=D-384", "--config.num_steps=2")
  assert status == 0, err.getvalue()
  return SimpleNamespace(
    folder=folder, out=out.getvalue(), err=err.getvalue().splitlines()
  )


@pytest.fixture
def train(chained, tmp_path, monkeypatch):
  """train_all on a copy of the runs, where starting one must be provided."""
  runs = shutil.copytree(chained.folder / "runs", tmp_path / "runs")

  def start(*_, **__):
    raise AssertionError("a run was started")

  def call(*more, start=start, steps=2):
    fake = SimpleNamespace(run=start) if start else train_all.subprocess
    monkeypatch.setattr(train_all, "subprocess", fake)
    steps = f"--config.num_steps={steps}"
    return tiny_runs.train(chained.folder, f"--runs={runs}", steps, *more)

  call.runs = runs
  return call


def steps_of(runs, seed=0):
  """Run -> its newest step."""
  found = {
    p.name: checkpoint.latest_card(p) for p in runs.glob(f"seed-{seed}/*")
  }
  return {name: item and item[1] for name, item in found.items()}


def plan_of(out):
  """(run, source, state) of the plan's lines."""
  return re.findall(r"/seed-0/(\S+)  from (\S+): (.*)", out)


def test_each_run_starts_from_its_source(chained):
  not_started = "not started"
  assert plan_of(chained.out) == [
    ("A-256", "random", not_started),
    ("D-256", "A-256", not_started),
    ("D-384", "D-256", not_started),
  ]
  started = re.findall(
    r"^\[(\d/3)\] .*classification.py:(\S+),mini", chained.out, re.M
  )
  assert started == [("1/3", "A-256"), ("2/3", "D-256"), ("3/3", "D-384")]
  assert chained.out.endswith("all 3 runs are trained\n")
  runs = chained.folder / "runs"
  sources = [line for line in chained.err if "come from" in line]
  assert sources == [
    f"vggjax: layers 'paper' come from {runs}/seed-0/A-256, step 2",
    f"vggjax: layers 'all' come from {runs}/seed-0/D-256, step 2",
  ]
  assert steps_of(runs) == dict.fromkeys(CHAIN, 2)
  cards = [checkpoint.latest_card(runs / "seed-0" / run)[0] for run in CHAIN]
  assert [card["network"] for card in cards] == ["A", "D", "D"]
  assert [card["train_scale"] for card in cards] == [
    [73] * 2,
    [73] * 2,
    [110] * 2,
  ]


def test_finished_runs_are_skipped(train, capsys):
  assert train("--only=D-384") == 0
  out, err = capsys.readouterr()
  assert {state for *_, state in plan_of(out)} == {"finished, 2 steps"}
  assert out.endswith("all 0 runs are trained\n")
  assert not err


def test_a_dry_run_trains_nothing(train, capsys):
  assert train("--only=E-256,D-384", "--dry_run") == 0
  out, _ = capsys.readouterr()
  assert plan_of(out)[-1] == ("E-256", "A-256", "not started")
  assert out.endswith("1 of 4 runs to train\n")
  assert not (train.runs / "seed-0" / "E-256").exists()


def test_stopped_runs_go_on(train, chained, capsys):
  with tiny_runs.in_process():
    assert train("--only=D-256", start=None, steps=3) == 0
  out, err = capsys.readouterr()
  assert {state for *_, state in plan_of(out)} == {"stopped at step 2 of 3"}
  assert err.count("goes on from step 2 of 3") == 2
  assert steps_of(train.runs) == {"A-256": 3, "D-256": 3, "D-384": 2}
  assert train("--only=D-384", "--dry_run", steps=3) == 0
  states = [state for *_, state in plan_of(capsys.readouterr().out)]
  assert states == [*["finished, 3 steps"] * 2, "stopped at step 2 of 3"]


@pytest.mark.parametrize("status", [3, -9, KeyboardInterrupt])
def test_a_failing_run_stops_the_chain(train, capsys, status):
  started = []

  def start(command, check):
    started.append(command[-1].rpartition("/")[2])
    if len(started) == 2 and status is KeyboardInterrupt:
      raise KeyboardInterrupt
    return SimpleNamespace(returncode=0 if len(started) == 1 else status)

  wanted = 130 if status is KeyboardInterrupt else status
  assert train("--only=D-384", start=start, steps=9) == wanted
  assert started == CHAIN[:2]
  [line] = capsys.readouterr().err.splitlines()
  assert line == (
    f"train_all: D-256 of seed 0 ended with status {wanted}; the same command "
    "goes on there"
  )


def test_a_seed_after_the_other_with_all_arguments(train, capsys):
  commands = []

  def start(command, check):
    commands.append(command)
    return SimpleNamespace(returncode=0)

  more = "--only=B-256", "--seeds=2", "--config.momentum=0.9"
  assert train(*more, start=start, steps=4) == 0
  places = [command[-1].removeprefix("--workdir=") for command in commands]
  names = [(s, run) for s in (0, 1) for run in ("A-256", "B-256")]
  assert places == [f"{train.runs}/seed-{s}/{run}" for s, run in names]
  for command, (seed, run) in zip(commands, names, strict=True):
    assert command[:3] == [sys.executable, "-m", "vggjax.main"]
    assert command[3].endswith(f"/classification.py:{run},mini")
    assert f"--config.seed={seed}" in command
    settings = {*SETTINGS[1:], "--config.num_steps=4", "--config.momentum=0.9"}
    assert settings <= set(command)
    assert sum("dataset.source=folder:" in word for word in command) == 1


def test_a_folder_of_another_config_is_left_alone(train, capsys):
  assert train("--only=D-384", "--config.momentum=0.5", steps=9) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith(
    f"train_all: {train.runs}/seed-0/A-256 holds a run of "
  )
  assert "another config: momentum 0.9 there, 0.5 here; choose" in line


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--only=Z-256", "run 'Z-256' is not one of A-256, A-LRN-256"),
    ("--only=A-256,", "run '' is not one of"),
    ("--config.wdth=1", "there is no config key wdth; did you mean width?"),
    ("--config.width=99", "width is 99.0; it must be in [1/64, 4]"),
    ("--config.width", "unknown argument --config.width"),
    ("--config.dataset=x", "config.dataset"),
    ("--sources=x", "unknown argument --sources=x"),
    ("--seeds=0", "--seeds is 0; it must be at least 1"),
    ("--seeds=two", "argument --seeds: invalid int value: 'two'"),
    ("--profile=maxi", "argument --profile: invalid choice: 'maxi'"),
  ],
)
def test_bad_arguments(train, capsys, argument, message):
  """One line, after argparse's usage where it is its own complaint."""
  try:
    status = train(argument, steps=9)
    before = ()
  except SystemExit as stopped:
    status = stopped.code
    before = ("usage: ", " ")
  assert status == 2
  *usage, line = capsys.readouterr().err.splitlines()
  assert message in line
  assert all(text.startswith(before) for text in usage)


def test_with_processes_of_their_own(chained, tmp_path, monkeypatch, capfd):
  monkeypatch.setenv("XLA_FLAGS", "")
  monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
  more = f"--runs={tmp_path}", "--only=A-256", "--config.num_steps=1"
  assert tiny_runs.train(chained.folder, *more) == 0
  out, _ = capfd.readouterr()
  assert out.splitlines()[-1] == "all 1 runs are trained"
  assert f"finished {tmp_path}/seed-0/A-256" in out
  assert steps_of(tmp_path) == {"A-256": 1}
  again = tiny_runs.train(chained.folder, *more, "--config.learning_rate=-1")
  assert again == 2
  assert "learning_rate is -1.0" in capfd.readouterr().err
