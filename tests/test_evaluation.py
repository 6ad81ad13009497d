"""Evaluation from the command line: all protocols, stopped and killed."""

import json
import os
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
from saved_run import NUM_TESTED, arguments, load

import vggjax
from vggjax import checkpoint, main
from vggjax.data import pipeline
from vggjax.data.sources import open_source
from vggjax.evaluate import store
from vggjax.models import create
from vggjax.tasks import posteriors as tasks

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def workdir(saved, tmp_path):
  return shutil.copytree(saved, tmp_path / "A-256")


@pytest.fixture(scope="module")
def evaluated(photos, saved, tmp_path_factory):
  """The run with all its posteriors, computed without a stop."""
  jax.config.update("jax_disable_most_optimizations", True)
  workdir = tmp_path_factory.mktemp("runs") / "A-256"
  shutil.copytree(saved, workdir)
  for protocol in ("both", "center"):
    assert main.main(arguments(photos, workdir, f"protocol={protocol}")) == 0
  return workdir


def test_each_protocol_is_the_librarys(evaluated, photos):
  params, card, _ = checkpoint.load_run(evaluated)
  model = create.create_model(
    "A", num_outputs=3, width=1 / 16, crop_size=32, pool=card["pool"]
  )
  files = sorted((photos / "test").rglob("*.png"))
  assert len(files) == NUM_TESTED
  # TensorFlow's pixels: Pillow's differ in rounding, which counts here.
  source = open_source(f"folder:{photos}", "test")
  pixels = [image for *_, [image] in pipeline.rescaled_images(source, [36])]
  for protocol, function, more in (
    ("dense", vggjax.dense_posteriors, {}),
    ("multicrop", vggjax.multicrop_posteriors, {}),
    ("center", vggjax.multicrop_posteriors, {"grid": 1, "mirror": False}),
  ):
    stored = load(evaluated, protocol, 36)
    assert stored["posteriors"].dtype == np.float32
    wanted = function(model, params, pixels, 36, mean=card["mean"], **more)
    # Nothing here could be told apart if all images had the same posteriors.
    assert np.ptp(wanted, axis=0).min() > 0.05
    np.testing.assert_allclose(stored["posteriors"], wanted, atol=1e-5)
    names = [f"test/{f.parent.name}/{f.name}" for f in files]
    assert stored["ids"].tolist() == names
    labels = [tiny.CLASSES.index(f.parent.name) for f in files]
    assert stored["labels"].tolist() == labels
  parts = [load(evaluated, p, 36) for p in ("dense", "multicrop", "center")]
  for i, j in ((0, 1), (0, 2), (1, 2)):
    apart = abs(parts[i]["posteriors"] - parts[j]["posteriors"])
    assert apart.max() > 0.02


@pytest.mark.parametrize(
  ("protocol", "parts"),
  [
    ("dense", ["dense"]),
    ("multicrop", ["multicrop"]),
    ("both", ["dense", "multicrop"]),
    ("center", ["center"]),
  ],
)
def test_the_command_line(
  evaluated, photos, capsys, monkeypatch, protocol, parts
):
  monkeypatch.delattr(tasks, "compute")  # All is stored already.
  command = arguments(photos, evaluated, f"protocol={protocol}")
  assert main.main(command) == 0
  lines = capsys.readouterr().out.splitlines()
  arrays = {
    q: np.mean(
      [load(evaluated, part, q)["posteriors"].astype(float) for part in parts],
      axis=0,
    )
    for q in (32, 36)
  }
  arrays["32,36"] = np.mean(list(arrays.values()), axis=0)
  labels = load(evaluated, parts[0], 32)["labels"]
  assert lines[0] == f"A-256 on test: {NUM_TESTED} images, {protocol}"
  for line, (name, array) in zip(lines[2:5], arrays.items(), strict=True):
    error = 100 * np.mean(array.argmax(axis=1) != labels)
    assert line.split() == [str(name), f"{error:.2f}", "%", "0.00", "%"]
  assert lines[5] == f"top-1 error {error:.2f} %, top-5 error 0.00 %"
  assert len(lines) == 6
  path = evaluated / "evaluation" / f"test-{protocol}-32-36.json"
  last = json.loads(path.read_text())[-1]
  assert last["test_scales"] == "32,36"
  assert last["top1_error"] == pytest.approx(error)


def test_a_stopped_evaluation_goes_on(
  photos, workdir, evaluated, monkeypatch, capsys
):
  """Three times; ends with the same bits, no image done is read again."""
  reader = pipeline.rescaled_images
  yielded = []

  class Stopped:
    """Raises before the image at a place in the stream."""

    def __init__(self, stop, images):
      self.stop, self.images = stop, images
      self.capped = 0

    def __iter__(self):
      for place, item in enumerate(self.images):
        if place == self.stop:
          raise KeyboardInterrupt
        yielded.append(item[0])
        yield item

  def evaluate(stop, *scales):
    del yielded[:]
    with monkeypatch.context() as patch:
      patch.setattr(
        pipeline,
        "rescaled_images",
        lambda *args, **options: Stopped(stop, reader(*args, **options)),
      )
      command = arguments(photos, workdir, "protocol=dense", scales=scales)
      return main.main(command)

  def done(scale):
    folder = workdir / "posteriors" / "test" / f"dense-{scale}.partial"
    return set(np.flatnonzero(np.load(folder / "done.npy")))

  # Six lying and six standing images, of which four each make a batch.
  assert evaluate(12, 32) == main.INTERRUPTED
  assert yielded == list(range(12))
  first = done(32)
  assert len(first) == 8
  assert evaluate(8, 32) == main.INTERRUPTED
  assert len(yielded) == 8
  assert not set(yielded) & first
  assert (
    "dense goes on after 8 of 27 images at Q = 32" in capsys.readouterr().err
  )
  assert first < done(32)
  # Another scale needs every image.
  assert evaluate(22, 32, 36) == main.INTERRUPTED
  assert yielded == list(range(22))
  todo = set(range(NUM_TESTED)) - (done(32) & done(36))
  assert evaluate(None, 32, 36) == 0
  assert yielded == sorted(todo)
  for q in (32, 36):
    for key, array in load(evaluated, "dense", q).items():
      found = load(workdir, "dense", q)[key]
      np.testing.assert_array_equal(found, array)
  names = os.listdir(workdir / "posteriors" / "test")
  assert sorted(names) == ["dense-32.npz", "dense-36.npz"]


KILLED = """
import os, signal, sys
from vggjax import main
from vggjax.evaluate.rows import StoredRows

put = StoredRows.put
def put_and_die(self, indices, values):
  put(self, indices, values)
  if self.done.sum() == 16:
    os.kill(os.getpid(), signal.SIGKILL)
StoredRows.put = put_and_die
main.main(sys.argv[1:])
"""


def test_a_killed_evaluation_goes_on(
  photos, workdir, evaluated, capsys, tmp_path
):
  copy = shutil.copytree(photos, tmp_path / "photos")
  command = arguments(copy, workdir, "protocol=center", scales=(36,))
  environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
  process = subprocess.run(
    [sys.executable, "-c", KILLED, *command],
    env=environment,
    capture_output=True,
    check=False,
  )
  assert process.returncode == -signal.SIGKILL, process.stderr.decode()
  path = store.path_of(workdir, "test", "center", 36)
  done = np.load(path.with_suffix(".partial") / "done.npy")
  assert done.tolist() == [True] * 16 + [False] * (NUM_TESTED - 16)
  # Whoever reads an image that is done fails; the sizes are the same.
  for file in sorted((copy / "test").rglob("*.png"))[:16]:
    file.write_bytes(b"?" * file.stat().st_size)
  assert main.main(command) == 0
  message = f"center goes on after 16 of {NUM_TESTED} images at Q = 36"
  assert message in capsys.readouterr().err
  found = load(workdir, "center", 36)
  for key, array in load(evaluated, "center", 36).items():
    np.testing.assert_array_equal(found[key], array)
  assert os.listdir(path.parent) == [path.name]


def test_a_split_without_labels(photos, workdir, tmp_path, capsys):
  other = tmp_path / "photos"
  shutil.copytree(photos / "train", other / "train")
  (other / "test").mkdir()
  for i, file in enumerate(sorted(photos.rglob("*.png"))[:4]):
    shutil.copy(file, other / "test" / f"{i}.png")
  command = arguments(other, workdir, "protocol=center", scales=(32,))
  assert main.main(command) == 0
  out, err = capsys.readouterr()
  folder = workdir / "posteriors" / "test"
  assert f"split test has no labels; posteriors are in {folder}" in err
  assert out == ""
  assert load(workdir, "center", 32)["labels"].tolist() == [-1] * 4
  assert not (workdir / "evaluation").exists()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["protocol=crops"], "protocol is 'crops'; it must be one of dense, multi"),
    (
      ["protocol=both", "test_batch_size=6"],
      "the evaluation's batch size is 6",
    ),
  ],
)
def test_bad_input_gives_one_line(photos, workdir, capsys, options, message):
  command = arguments(photos, workdir, *options)
  assert main.main(command) == main.BAD_INPUT
  err = capsys.readouterr().err
  assert err.startswith(f"vggjax: {message}")
  assert len(err.splitlines()) == 1
