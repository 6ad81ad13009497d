"""Transfer protocols from the command line, against scikit-learn."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import saved_run
import tiny
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC

import vggjax
from vggjax import main
from vggjax.features import svm
from vggjax.tasks import descriptors, networks, posteriors

pytestmark = pytest.mark.usefixtures("quick_compile")
SCALES = (32, 36)


def arguments(photos, networks, workdir, *overrides, protocol="classes"):
  overrides = (
    f"dataset.source=folder:{photos}",
    "crop_size=32",
    f"test_scales={SCALES}",
    f"transfer.networks={networks}",
    "num_devices=4",
    "test_batch_size=4",
    "progress=False",
    "pictures=False",
    *overrides,
  )
  return [
    f"--config=configs/transfer.py:{protocol},mini",
    *(f"--config.{override}" for override in overrides),
    f"--workdir={workdir}",
  ]


@pytest.fixture
def run(photos, saved, tmp_path, capsys):
  """Runs a protocol on a copy of a run: status, stdout, stderr, results."""
  network = shutil.copytree(saved, tmp_path / "runs" / "A-256")
  workdir = tmp_path / "runs" / "transfer"

  def call(*overrides, folder=photos, networks=network, protocol="classes"):
    given = arguments(folder, networks, workdir, *overrides, protocol=protocol)
    status = main.main(given)
    out = capsys.readouterr()
    path = workdir / "evaluation" / f"{protocol}.json"
    result = json.loads(path.read_text()) if path.exists() else None
    return status, out.out, out.err, result

  call.network, call.workdir = network, workdir
  return call


def images_of(photos, split):
  paths = sorted((Path(photos) / split).glob("*/*.png"))
  return paths, [tiny.CLASSES.index(path.parent.name) for path in paths]


def features_of(workdir, photos, split, **options):
  weights = vggjax.load_weights(str(workdir))
  return vggjax.extract_features(
    weights.create_model(),
    weights.params,
    images_of(photos, split)[0],
    SCALES,
    mean=weights.mean,
    **options,
  )


@pytest.mark.parametrize("aggregate", ["average", "max", "stack"])
def test_is_scikit_learn_on_extracted_features(run, photos, aggregate):
  status, out, _, result = run(f"transfer.aggregate={aggregate}")
  assert status == 0
  x, y = {}, {}
  for split in ("train", "validation", "test"):
    x[split] = features_of(run.network, photos, split, aggregate=aggregate)
    y[split] = images_of(photos, split)[1]
  [C] = result["C"]
  by_C = {}
  for value in svm.C_GRID:
    fitted = LinearSVC(C=value, random_state=0, max_iter=10_000)
    fitted.fit(x["train"], y["train"])
    by_C[value] = balanced_accuracy_score(
      y["validation"], fitted.predict(x["validation"])
    )
  assert max(by_C, key=by_C.get) == C
  both = [np.concatenate([v["train"], v["validation"]]) for v in (x, y)]
  fitted = LinearSVC(C=C, random_state=0, max_iter=10_000).fit(*both)
  recall = 100 * balanced_accuracy_score(y["test"], fitted.predict(x["test"]))
  assert result["values"] == pytest.approx([recall])
  assert f"mean class recall {recall:.2f} % [" in out
  assert list(result["by_class"]) == list(tiny.CLASSES)
  assert np.mean(list(result["by_class"].values())) == pytest.approx(recall)


def test_networks_are_stacked(run, photos, tmp_path):
  other = shutil.copytree(run.network, run.network.parent / "B-256")
  status, _, _, result = run(
    "checkpoint=best", networks=f"{run.network},{other}"
  )
  assert status == 0
  # The same network twice says the same.
  assert result["values"] == run()[3]["values"]
  assert result["networks"].count(",") == 1


def test_goes_on_and_keeps(run, photos, monkeypatch):
  fill = posteriors.fill
  calls = []

  def stopped(config, what, buckets, source, rows, **options):
    calls.append(source.split)
    if len(calls) == 2:
      raise KeyboardInterrupt
    fill(config, what, buckets, source, rows, **options)

  with monkeypatch.context() as patch:
    patch.setattr(posteriors, "fill", stopped)
    status, _, err, _ = run()
  assert status == main.INTERRUPTED
  assert "the same command goes on" in err
  with monkeypatch.context() as patch:
    calls = [0, 0]
    patch.setattr(posteriors, "fill", stopped)
    status, _, _, result = run()
  assert status == 0
  assert calls == [0, 0, "validation", "test"]
  folders = sorted((run.network / "features" / "test").iterdir())
  assert [folder.name.rsplit("-", 1)[1] for folder in folders] == ["32", "36"]
  assert json.loads((folders[0] / "kept.json").read_text())["ids"] == [
    str(path.relative_to(photos)) for path in images_of(photos, "test")[0]
  ]
  monkeypatch.setattr(posteriors, "fill", None)
  monkeypatch.setattr(svm, "fit", None)
  assert run()[3] == result


def test_random_splits(run, photos):
  splits = (
    "transfer.random_splits=3",
    "transfer.train_per_class=5",
    "transfer.test_per_class=4",
  )
  status, out, _, result = run(*splits)
  assert status == 0
  assert len(result["values"]) == 3
  assert "over 3 random splits" in out
  assert "12, 12, 12 images" in out
  assert f"± {np.std(result['values'], ddof=1):.2f}" in out
  assert run(*splits)[3] == result
  assert run(*splits, "seed=1")[3] != result


def test_without_labels(run, photos, tmp_path):
  folder = shutil.copytree(photos, tmp_path / "photos")
  for path in images_of(folder, "test")[0]:
    path.rename(path.parents[1] / f"{path.parent.name}{path.name}")
  for name in tiny.CLASSES:
    (folder / "test" / name).rmdir()
  status, _, err, result = run("pictures=True", folder=folder)
  assert status == 0
  assert result is None
  # Classes are what a map colors.
  assert not (run.workdir / "features.png").exists()
  assert "split test has no labels; scores are in" in err
  lines = (run.workdir / "evaluation" / "classes-scores.csv").read_text()
  header, *rows = lines.splitlines()
  assert header == "id,blue,green,red"
  assert len(rows) == saved_run.NUM_TESTED
  assert rows[0].startswith("test/blue00.png,")


def test_a_class_that_is_not_tested(run, photos, tmp_path):
  folder = shutil.copytree(photos, tmp_path / "photos")
  for path in (folder / "test" / "green").iterdir():
    path.unlink()
  status, out, _, result = run(folder=folder)
  assert status == 0
  assert list(result["by_class"]) == ["blue", "red"]
  assert "green" not in out


def test_draws_a_map(run):
  status, _, err, _ = run("pictures=True")
  assert status == 0
  assert "a map of the features is in" in err
  assert (run.workdir / "features.png").stat().st_size > 10_000


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (["transfer.networks="], "transfer.networks is empty"),
    (["transfer.layer=fc8"], "transfer.layer 'fc8' is not one of conv1_1"),
    (["transfer.aggregate=sum"], "aggregate is 'sum'; it must be one of avera"),
    (["transfer.region=boxes"], "region is 'boxes'; it must be one of image"),
    (["transfer.region=box"], "no image of train has a box"),
    (["split=train"], "split train is tested and trained on"),
    (
      ["transfer.random_splits=2", "transfer.train_per_class=20"],
      "class blue has 13 images; transfer.train_per_class 20 needs at least 21",
    ),
    (["transfer.train_per_class=1"], "it must be at least 2"),
  ],
)
def test_bad_input(run, overrides, message):
  status, _, err, _ = run(*overrides)
  assert status == main.BAD_INPUT
  assert len(err.splitlines()) == 1
  assert message in err


def test_untrained_networks_differ_from_trained(saved, photos):
  from vggjax.config import parse_arguments

  config, workdir = parse_arguments(
    arguments(photos, saved, saved.parent / "t")
  )
  network = networks.open_network(config, str(saved), Path(workdir))
  other = descriptors.untrained(network, 0)
  assert other.params_hash != network.params_hash
  assert other.workdir != network.workdir
  again = descriptors.untrained(network, 0)
  assert again.params_hash == other.params_hash
  assert descriptors.untrained(network, 1).params_hash != other.params_hash
