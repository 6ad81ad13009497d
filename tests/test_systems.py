"""What is missing, stale or unfinished is named, and never shown."""

import shutil

import pytest
from stored_runs import JITTERED, RUNS, error_of, save_step, shown
from stored_runs import computed as computed
from stored_runs import stored as stored
from stored_runs import table as table
from tiny_runs import NUM_TESTED, read_result
from tiny_runs import trained as trained

from vggjax.tasks import networks


def test_missing_runs_are_named_and_the_others_shown(table):
  status, [line], rows = table("table3")
  assert status == 0
  assert shown(rows, "A", "256") == error_of("A-256")
  assert shown(rows, "B", "256") == error_of("B-256")
  assert shown(rows, "D", "[256;512]") == error_of("D-256-512", (384,))
  missing = ["A-LRN-256", "C-256", "C-384", "C-256-512", "D-256", "D-384"]
  missing += ["E-256", "E-384"]
  folder = f"{table.runs}/seed-0"
  named = [f"{folder}/{run} (not started)" for run in missing]
  hint = f"train_all --profile=mini --runs={table.runs} trains missing runs"
  assert (
    line == f"table3: missing {'; '.join(named)}; python -m experiments.{hint}"
  )
  empty = [cells[:2] for cells in rows if not any(cells[4::2])]
  assert len(empty) == len(missing)
  assert all(cells[3] and cells[5] for cells in rows)


@pytest.mark.parametrize("name", ["table3", "table6", "shallow", "findings"])
def test_nothing_to_measure(table, tmp_path, name):
  (tmp_path / "none" / "seed-0" / "A-256").mkdir(parents=True)
  status, [line], _ = table(name, folder=tmp_path / "none")
  assert status == 2
  assert line.startswith(f"{name}: {tmp_path}/none has no trained run such as")


@pytest.mark.parametrize("name", ["table4", "table6", "shallow", "findings"])
def test_only_other_runs(table, name):
  for run in RUNS[1:]:
    shutil.rmtree(table.runs / "seed-0" / run)
  status, [line], _ = table(name)
  assert status == 2
  assert line.startswith(f"{name}: missing {table.runs}/seed-0/")
  assert f"--runs={table.runs} trains missing runs" in line


def test_an_unfinished_run_is_named_and_not_shown(table):
  save_step(table.runs / "seed-0" / "B-256", 2, 5)
  _, [line], rows = table("table3")
  assert f"{table.runs}/seed-0/B-256 (stopped at step 2 of 5);" in line
  assert shown(rows, "B") == ""
  assert shown(rows, "A") == error_of("A-256")
  save_step(table.runs / "seed-0" / "B-256", 5, 5)
  assert shown(table("table3")[2], "B") == error_of("B-256")


def test_a_run_trained_on_does_not_show_older_numbers(table, computed):
  workdir = table.runs / "seed-0" / "B-256"
  save_step(workdir, 2, 2, factor=1.01)
  _, [line], rows = table("table3")
  assert f"{workdir}: dense posteriors of split test at Q = 37;" in line
  assert line.endswith("without --no_compute posteriors are computed")
  assert shown(rows, "B") == ""
  _, _, rows = table("table3", compute=True)
  assert shown(rows, "B") == f"{100 * (NUM_TESTED - 1) / NUM_TESTED:.2f}"
  assert shown(rows, "A") == error_of("A-256")
  assert [call[:3] for call in computed] == [("B-256", "dense", (37,))]


def test_missing_posteriors_are_named(table, computed):
  folder = table.runs / "seed-0" / "D-256-512"
  (folder / "posteriors" / "test" / "multicrop-55.npz").unlink()
  status, [line], rows = table("table5")
  assert status == 0
  for protocol in ("multicrop", "both"):
    assert (
      f"{folder}: {protocol} posteriors of split test at Q = 37, 55" in line
    )
  assert "train_all" not in line
  assert shown(rows, "D", "dense") == error_of("D-256-512", JITTERED)
  assert shown(rows, "D", "multi-crop") == ""
  assert shown(rows, "E", "multi-crop") != ""
  assert not computed
  table("table5", compute=True)
  assert [call[:3] for call in computed] == [("D-256-512", "multicrop", (55,))]


def test_a_seed_that_lacks_a_run_is_told(table, stored):
  for run in ("A-256", "D-256-512", "E-256-512"):
    folder = table.runs / "seed-1" / run
    shutil.copytree(stored / "seed-0" / run, folder)
  (table.runs / "seed-2").mkdir()
  _, [line], rows = table("table3")
  assert f"{table.runs}/seed-1/B-256 (not started);" in line
  assert f"{table.runs}/seed-2/A-256 (not started);" in line
  assert f"{table.runs}/seed-1/A-256" not in line
  # The same posteriors twice.
  assert shown(rows, "A") == f"{error_of('A-256')} ± 0.00"
  assert shown(rows, "B") == error_of("B-256")
  [cells] = [cells for cells in rows if cells[0] == "B"]
  assert cells[4].endswith("], 1 of 2 seeds")
  result, markdown = read_result(table.results, "table3")
  assert result["seeds"] == [0, 1]
  assert "mean over 2 seeds" in markdown
  _, _, rows = table("findings")
  [cells] = [
    cells
    for cells in rows
    if cells[0].startswith("depth: A (11 layers) above B")
  ]
  assert cells[3].endswith(", 1 of 2 seeds")


def test_a_runs_parameters_are_read_once(table, monkeypatch):
  load, loaded = networks.load_network, []

  def load_network(config, workdir):
    loaded.append(workdir.name)
    return load(config, workdir)

  monkeypatch.setattr(networks, "load_network", load_network)
  for name in ("findings", "table5"):
    del loaded[:]
    assert table(name)[0] == 0
    assert len(loaded) == len(set(loaded))
  assert sorted(loaded) == ["D-256-512", "E-256-512"]
