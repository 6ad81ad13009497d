"""Every benchmark says how it is run, and has its bar."""

import importlib
from pathlib import Path

import pytest

from benchmarks import _train, run_all

FOUND = run_all.find(Path(run_all.FOLDER), with_gpu=True)


def test_every_bar_is_of_a_benchmark():
  assert set(run_all.BARS) == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_the_docstring_has_the_command(name):
  pytest.importorskip("torch")
  module = importlib.import_module(f"benchmarks.{name}")
  assert f"python -m benchmarks.{name}" in module.__doc__
  assert len(run_all.summary(FOUND[name])) > 20


def test_a_training_step_is_compared_and_timed(capsys, quick_compile):
  pytest.importorskip("torch")
  bench = _train.make_bench(width=1 / 64, crop_size=32, num_outputs=4)
  ratio = _train.measure(bench, "A", 4, rounds=1)
  lines = capsys.readouterr().out.splitlines()
  assert ratio > 0
  assert lines[0].startswith("  the loss differs by ")
  assert f"ratio {ratio:.2f}; " in lines[-1]
