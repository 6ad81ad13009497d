"""Runs on gs://, against a store that keeps its objects in memory."""

import json

import gcs_server
import jax
import numpy as np
import pytest
import saved_run
import tiny_runs

from vggjax import addresses, checkpoint, cli, main
from vggjax.errors import InputError, StorageError
from vggjax.evaluate import store
from vggjax.models import parameters
from vggjax.train import log
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(autouse=True)
def no_compiled_initialization(monkeypatch):
  monkeypatch.setattr(parameters, "init_params", tiny_runs.quick_params)


def train(photos, workdir, *more):
  """Two steps an epoch, on one device."""
  overrides = (
    f"dataset.source=folder:{photos}",
    "width=0.0625",
    "crop_size=32",
    "train_scale=(32,36)",
    "batch_size=4",
    "boundaries=()",
    "log_every=1",
    "num_devices=1",
    "progress=False",
    "pictures=False",
    *more,
  )
  return main.main(
    [
      "--config=configs/classification.py:A-256,mini",
      *(f"--config.{override}" for override in overrides),
      f"--workdir={workdir}",
    ]
  )


def lines_of(workdir):
  """The metrics, without times."""
  lines = log.read_metrics(workdir)
  return [
    {k: v for k, v in line.items() if k != "images_per_second"}
    for line in lines
  ]


def flip(bucket, name):
  content, generation = bucket.objects[name]
  middle = len(content) // 2
  content = (
    content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
  )
  bucket.objects[name] = gcs_server.Object(content, generation)


def test_a_run_goes_on_as_it_does_in_a_folder(bucket, photos, tmp_path, capsys):
  address = "gs://bucket/runs/A-256"
  assert train(photos, tmp_path / "A-256", "num_steps=4") == 0
  assert train(photos, address, "num_steps=2") == 0
  assert train(photos, address, "num_steps=4") == 0
  err = capsys.readouterr().err
  assert f"vggjax: {address} has no locks" in err
  assert f"vggjax: {address} goes on from step 2 of 4" in err
  expected = checkpoint.load_run(tmp_path / "A-256", "last")[0]
  params = load_weights(address).params  # The best is the last here.
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  assert [line["step"] for line in lines_of(address)] == [1, 2, 2, 3, 4, 4]
  assert lines_of(address) == lines_of(tmp_path / "A-256")
  names = {name.split("/")[2] for name in bucket.objects}
  assert names == {"config.json", "metrics.jsonl", "tensorboard", "checkpoints"}
  with pytest.raises(InputError, match=r"another config: .*crop_size 32 there"):
    main.run(
      [
        "--config=configs/classification.py:A-256,mini",
        f"--config.dataset.source=folder:{photos}",
        f"--workdir={address}",
      ],
      "train",
    )


def test_damaged_and_begun_checkpoints_are_passed_over(bucket):
  arrays = {"a": np.arange(9000, dtype=np.float32)}
  with checkpoint.Checkpoints("gs://bucket/run") as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, arrays, {"step": np.int32(step)}, {})
    checkpoints.wait()
  names = [name for name in bucket.objects if "/2/params/" in name]
  flip(bucket, max(names, key=lambda name: len(bucket.objects[name].content)))
  # The save of one more was killed.
  bucket.put("run/checkpoints/3/params/d/0", b"begun", None)
  with checkpoint.Checkpoints("gs://bucket/run") as checkpoints:
    step, params, training, [damaged] = checkpoints.restore_newest(
      arrays, {"step": np.int32(0)}
    )
  assert (step, training["step"]) == (1, 1)
  np.testing.assert_array_equal(params["a"], arrays["a"])
  assert "gs://bucket/run/checkpoints/2 is damaged" in str(damaged)
  steps = {name.split("/")[2] for name in bucket.objects}
  assert steps == {"1", "2.damaged"}


def test_a_begun_checkpoint_is_none(bucket):
  assert not checkpoint.has_checkpoints("gs://bucket/run")
  bucket.put("run/checkpoints/5/params/d/0", b"begun", None)
  assert not checkpoint.has_checkpoints("gs://bucket/run")


def test_a_store_that_refuses_has_damaged_nothing(bucket, photos, capsys):
  assert train(photos, "gs://bucket/run", "num_steps=2") == 0
  params = checkpoint.load_run("gs://bucket/run")[0]
  with checkpoint.Checkpoints("gs://bucket/run") as checkpoints:
    bucket.failing = 403
    with (
      pytest.raises(StorageError, match="cannot reach gs://bucket/run: "),
      addresses.reaching("gs://bucket/run"),
    ):
      checkpoints.restore_newest(params, {})
    bucket.failing = 0
  assert not any("damaged" in name for name in bucket.objects)
  capsys.readouterr()
  bucket.failing = 403
  assert train(photos, "gs://bucket/run", "num_steps=2") == main.BAD_INPUT
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith("vggjax: cannot reach gs://bucket/run: ")
  assert cli.run(["info", "gs://bucket/run"]) == main.CANNOT_STORE
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith("vggjax: cannot reach gs://bucket/run: ")


def test_a_missing_bucket(bucket, photos, capsys):
  workdir = "gs://missing/run"
  assert train(photos, workdir) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert line == (
    "vggjax: gs://missing/run: there is no bucket gs://missing; create it first"
  )
  task = saved_run.arguments(photos, workdir)
  assert main.main(task) == 2
  assert "gs://missing/run" in capsys.readouterr().err


def test_a_run_at_an_address_is_checked(bucket, photos, capsys):
  command = ["check", "--config=classification.py:A-256,mini", "--steps=0"]
  command += [
    f"--config.{override}"
    for override in (
      f"dataset.source=folder:{photos}",
      "width=0.0625",
      "crop_size=32",
      "train_scale=(32,36)",
      "batch_size=4",
      "num_devices=1",
      "progress=False",
    )
  ]
  assert cli.run([*command, "--workdir=gs://bucket/run"]) == 0
  out = capsys.readouterr().out
  assert "ok    workdir     gs://bucket/run holds no run yet" in out
  assert "go to gs://bucket/run" in out
  assert not bucket.objects
  assert cli.run([*command, "--workdir=gs://missing/run"]) != 0
  assert "there is no bucket gs://missing" in capsys.readouterr().out


def test_evaluation_keeps_what_it_computes_there(
  bucket, photos, tmp_path, capsys
):
  local, address = tmp_path / "A-256", "gs://bucket/runs/A-256"
  tables = []
  for workdir in (local, address):
    saved_run.save_run(addresses.location(workdir), photos)
    task = saved_run.arguments(photos, workdir, scales=(32,))
    assert main.main(task) == 0
    tables.append(capsys.readouterr().out)
  assert tables[0] == tables[1]
  path = "posteriors/test/dense-32.npz"
  with (
    np.load(local / path) as ours,
    addresses.location(f"{address}/{path}").open("rb") as file,
    np.load(file) as theirs,
  ):
    np.testing.assert_array_equal(ours["posteriors"], theirs["posteriors"])
  # What is stored is not computed again.
  before = bucket.objects[f"runs/A-256/{path}"]
  assert main.main(task) == 0
  assert "slots" not in capsys.readouterr().err
  assert bucket.objects[f"runs/A-256/{path}"] is before
  # What is damaged is.
  flip(bucket, f"runs/A-256/{path}")
  about = json.loads(str(np.load(local / path)["about"]))
  assert store.load(addresses.location(f"{address}/{path}"), about) is None
