"""What the experiments' options do, and what they say of bad ones."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_runs
from known_posteriors import PIXELS, wrong
from stored_runs import JITTERED, error_of, shown
from stored_runs import computed as computed
from stored_runs import stored as stored
from stored_runs import table as table
from tiny_runs import options, read_result, run_module
from tiny_runs import trained as trained

from experiments.chain import Chain
from vggjax import checkpoint, imagenet
from vggjax import config as configuration
from vggjax.evaluate import store
from vggjax.tasks import networks
from vggjax.tasks import posteriors as tasks
from vggjax.tasks import run as task_run
from vggjax.weights.load import load_weights
from vggjax.weights.save import save_weights


def test_networks_from_elsewhere(table, stored, computed):
  folders = [f"{n}={stored}/seed-0/{n}-256-512" for n in "DE"]
  status, err, rows = table("table5", "--weights", *folders)
  assert (status, err) == (0, [])
  for network in "DE":
    for protocol, name in (("dense", "dense"), ("both", "multi-crop & dense")):
      wanted = error_of(f"{network}-256-512", JITTERED, protocol)
      assert shown(rows, network, name) == wanted
  # D stands for every run of D; C is not given.
  status, [line], rows = table("table3", "--weights", folders[0])
  weights = [f"weights of {n}" for n in ("A", "A-LRN", "B", "C", "E")]
  assert line.startswith(f"table3: missing {'; '.join(weights[:3])}")
  assert all(text in line for text in weights)
  assert shown(rows, "D", "256") == error_of("D-256-512", (256,))
  assert shown(rows, "D", "384") == error_of("D-256-512", (384,))


def test_weights_from_a_file(table, stored, computed, tmp_path):
  run = stored / "seed-0" / "D-256-512"
  photos = configuration.open_config(run / "config.json").dataset.source
  path = tmp_path / "d.safetensors"
  save_weights(path, load_weights(run))
  command = (f"--source={photos}", "--weights", f"D={path}")
  status, err, rows = table("table4", *command, compute=True)
  assert status == 0
  assert "missing weights of B; weights of C; weights of E" in err[-1]
  # Every run of D, at the scales of all: each is computed once.
  [folder] = {name for name, *_ in computed}
  assert folder.startswith("D-")
  assert (table.runs / "weights" / folder / "posteriors").is_dir()
  assert sorted({q for _, _, scales, _ in computed for q in scales}) == sorted(
    PIXELS[q] for q in (224, 256, 288, 352, 384, 416, 512)
  )
  assert {row[0] for row in rows if row[-1] != "—"} >= {"D"}
  # And stored: with --no_compute they are there.
  del computed[:]
  assert table("table4", *command)[0] == 0
  assert not computed


@pytest.mark.parametrize(
  ("weights", "message"),
  [
    (["X=runs"], "--weights X=runs: must be NETWORK=WEIGHTS"),
    (["runs/D"], "--weights runs/D: must be NETWORK=WEIGHTS"),
    (["D=nowhere"], "--weights D=nowhere: there is no nowhere"),
    (["D={}/E-256-512"], "table5: {}/E-256-512 holds network E, not D"),
    (["D=README.md"], "README.md: of no format that is known"),
  ],
)
def test_bad_weights(table, weights, message):
  folder = f"{table.runs}/seed-0"
  weights = [item.format(folder) for item in weights]
  status, err, _ = table("table5", "--weights", *weights)
  assert status == 2
  assert message.format(folder) in err[-1]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--frobnicate"], "unknown argument --frobnicate"),
    (["--config.spatial"], "unknown argument --config.spatial"),
    (["--config.nope=1"], "there is no config key nope"),
    (["--config.spatial=none"], "spatial is 'none'; it must be one of scores"),
    (["--config.crop_size=64"], "network has crop_size 32, the config 64"),
    (["--config.checkpoint=7"], "checkpoint '7' is not best, last or one of"),
    (["--config.dataset=x"], "dataset"),
    (["--split=nope"], "has no split 'nope'; it has train, test"),
    (["--source=folder:nowhere"], "nowhere: no such folder"),
    (["--profile=maxi"], "invalid choice: 'maxi'"),
  ],
)
@pytest.mark.parametrize("name", ["table3", "findings"])
def test_bad_arguments(table, name, arguments, message):
  status, err, _ = table(name, *arguments)
  assert status == 2
  assert message in err[-1]
  assert len(err) == 1 or err[0].startswith("usage: ")


def test_another_split_and_evaluation_keys(table, computed):
  more = "--config.test_batch_size=16", "--config.spatial=sum"
  assert table("table3", "--split=train", *more, compute=True)[0] == 0
  result, markdown = read_result(table.results, "table3")
  assert (result["split"], result["num_images"]) == ("train", 16)
  assert "16 images of folder:photos, split train" in markdown
  assert result["rows"][0]["ours"][0]["value"] == 100 * 15 / 16
  assert len(computed) == 4
  for *_, config in computed:
    assert (config.test_batch_size, config.spatial) == (16, "sum")
    assert config.split == "train"
  assert not (
    table.runs / "seed-0" / "A-256/posteriors/train/dense-55.npz"
  ).exists()
  # The posteriors of the other evaluation do not count, nor are they lost.
  assert table("table3", "--config.spatial=sum")[0] == 2
  assert shown(table("table3")[2], "A") == error_of("A-256")


def test_any_fusion(table):
  """Two members of the tables' numbers, and their mean."""
  members = "D-256-512:256,384,512", "E-256-512:384:both"
  status, err, rows = table("fuse", "--members", *members)
  assert (status, err) == (0, [])
  tests = [("D-256-512", JITTERED, "dense"), ("E-256-512", (384,), "both")]
  labels = [
    ("D-256-512", "256, 384, 512 dense"),
    ("E-256-512", "384 both"),
    ("all", "fused"),
  ]
  for row, fused in zip(labels, (tests[:1], tests[1:], tests), strict=True):
    assert shown(rows, *row) == f"{wrong(fused, 0).mean():.2f}"
  for member, message in (
    ("Z-256:256", "Z-256:256: the run is not one of A-256"),
    ("A-256", "A-256: write RUN:Q,Q,...[:PROTOCOL], Q in pixels"),
    ("A-256:256:crops", "A-256:256:crops: the protocol is not one of dense"),
  ):
    status, err, _ = table("fuse", "--members", member)
    assert status == 2
    assert message in err[-1]


@pytest.mark.parametrize("name", ["table3", "table6", "findings"])
def test_a_split_without_labels(table, stored, trained, tmp_path, name):
  photos = tmp_path / "flat"
  shutil.copytree(trained / "photos" / "train", photos / "train")
  (photos / "test").mkdir()
  for path in (trained / "photos" / "test").glob("*/0?.png"):
    shutil.copy(path, photos / "test")
  status, [line], _ = table(name, f"--source=folder:{photos}")
  assert status == 2
  assert line == (
    f"{name}: split test of folder:{photos} has no labels, so there are no "
    "errors to measure; choose another --split"
  )


@pytest.fixture
def server(tmp_path):
  """D and E of ImageNet's classes, and three images without labels."""
  kit = list(imagenet.ilsvrc_ids())
  classes = np.random.default_rng(2).permutation(kit).tolist()
  photos = tmp_path / "photos"
  (photos / "test").mkdir(parents=True)
  (photos / "synsets.txt").write_text("\n".join(classes))
  for i in range(3):
    (photos / "test" / f"ILSVRC2012_test_{i}.JPEG").write_bytes(b"x" * (i + 1))
  source = f"--config.dataset.source=folder:{photos}"
  chain = Chain("mini", tmp_path / "runs", (*tiny_runs.SETTINGS[1:], source))
  random, known = np.random.default_rng(5), {}
  for run in ("D-256-512", "E-256-512"):
    config, workdir = chain.config(run, 0), chain.workdir(run, 0)
    images = task_run.open_split(config, "test")
    card = {**task_run.make_card(config, images, [100.0] * 3), "num_steps": 1}
    model = task_run.create_model(config, 1000)
    with checkpoint.Checkpoints(workdir) as checkpoints:
      params = tiny_runs.quick_params(model, None)
      checkpoints.save(1, params, {"step": np.array(1)}, card)
    configuration.save_config(config, workdir / "config.json")
    network = networks.load_network(config, workdir)
    for part in ("dense", "multicrop"):
      for q in JITTERED:
        array = random.dirichlet(np.ones(1000), 3).astype(np.float32)
        known.setdefault((run[0], part), []).append(array)
        about = tasks.identity(config, network, images, part, PIXELS[q])
        store.save(
          store.path_of(workdir, "test", part, PIXELS[q]),
          store.Posteriors(
            array, np.full(3, -1, np.int32), np.array(images.ids()), about
          ),
        )
  return SimpleNamespace(
    kit=kit, classes=classes, known=known, runs=chain.folder
  )


def test_files_for_the_test_server(server, tmp_path, capsys):
  """Five IDs of the development kit a line, the most probable first."""

  def lines(*parts):
    """Of the mean of all arrays of these networks and protocols."""
    mean = np.mean([a for part in parts for a in server.known[part]], axis=0)
    result = []
    for row in mean:
      best = sorted(range(1000), key=lambda c: -row[c])[:5]
      numbers = [server.kit.index(server.classes[c]) + 1 for c in best]
      result.append(" ".join(map(str, numbers)))
    return result

  results = tmp_path / "results"
  command = options(server.runs, results, "--no_compute")
  folder = results / "mini" / "photos"

  def written(name, number):
    return (folder / f"{name}-{number}-submission.txt").read_text().splitlines()

  dense, crops = ("dense",), ("multicrop",)
  both = dense + crops
  assert run_module("table5", *command) == 0
  rows = [(n, parts) for n in "DE" for parts in (dense, crops, both)]
  for number, (network, parts) in enumerate(rows, start=1):
    wanted = lines(*((network, part) for part in parts))
    assert written("table5", number) == wanted
  assert not capsys.readouterr().err
  # The seven networks are not there.
  assert run_module("table6", *command) == 0
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith(
    f"table6: missing {server.runs}/seed-0/D-256 (not started);"
  )
  for number, parts in enumerate((dense, crops, both), start=2):
    wanted = lines(*((network, part) for network in "DE" for part in parts))
    assert written("table6", number) == wanted
  assert len(list(folder.glob("*"))) == 9
  assert run_module("shallow", *command) == 2
  [line] = capsys.readouterr().err.splitlines()
  assert line.startswith(
    f"shallow: missing {server.runs}/seed-0/B-256 (not started);"
  )
