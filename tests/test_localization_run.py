"""Localization from the command line: training to pictures (App. A)."""

import csv
import json

import numpy as np
import pytest
import tiny
from PIL import Image

from vggjax import checkpoint, cli, geometry, main, visualize
from vggjax.config import parse_arguments
from vggjax.models import parameters
from vggjax.tasks import run
from vggjax.train import log
from vggjax.weights.load import load_weights
from vggjax.weights.save import save_weights

pytestmark = pytest.mark.usefixtures("quick_compile")
COUNTS = {"train": 16, "validation": 6, "test": 8}
OVERRIDES = (
  "network=A",
  "width=0.0625",
  "crop_size=32",
  "train_scale=(36,36)",
  "batch_size=8",
  "num_steps=4",
  "boundaries=()",
  "log_every=1",
  "num_devices=2",
  "progress=False",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  """Dark noise with a rectangle in the color of the class, and boxes.csv."""
  root = tmp_path_factory.mktemp("photos")
  random = np.random.default_rng(9)
  rows = [("file", "xmin", "ymin", "xmax", "ymax")]
  for split, count in COUNTS.items():
    for i in range(count):
      label = i % 3
      height, width = ((40, 63), (56, 45))[i % 2]
      image = random.integers(0, 60, (height, width, 3), np.uint8)
      w, h = random.integers(20, 34, 2)
      x, y = random.integers(0, width - w), random.integers(0, height - h)
      image[y : y + h, x : x + w, label] = 250
      path = f"{split}/{tiny.CLASSES[label]}/{i:02}.png"
      (root / path).parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(image).save(root / path)
      rows.append((path, x, y, x + w - 1, y + h - 1))
  with (root / "boxes.csv").open("w", newline="") as file:
    csv.writer(file).writerows(rows)
  return root


def command(photos, workdir, name, *more):
  """Arguments of vggjax.main."""
  overrides = (f"dataset.source=folder:{photos}", *OVERRIDES, *more)
  return [
    f"--config=configs/{name}",
    *(f"--config.{override}" for override in overrides),
    f"--workdir={workdir}",
  ]


def evaluate(photos, workdir, *more):
  run = workdir.name
  config = f"localization.py:{run},mini,evaluate"
  objective = ("objective=scr",) if "scr" in run else ()
  return main.main(command(photos, workdir, config, *objective, *more))


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
  """A classifier as training leaves it, and two localization runs."""
  folder = tmp_path_factory.mktemp("runs")
  arguments = command(photos, folder / "D-256", "classification.py:D-256,mini")
  config, _ = parse_arguments(arguments)
  source = run.open_split(config, "train")
  card = run.make_card(config, source, [40.0, 41.0, 42.0])
  random = np.random.default_rng(2)
  params = {
    name: {
      "kernel": random.normal(0, 0.08, layer["kernel"].shape).astype("f4"),
      "bias": random.normal(0, 0.1, layer["bias"].shape).astype("f4"),
    }
    for name, layer in parameters.param_shapes(tiny.model()).items()
  }
  with checkpoint.Checkpoints(folder / "D-256") as checkpoints:
    checkpoints.save(1, params, {"step": np.array(1)}, card, 50.0)
  for name, more in (
    ("D-256-pcr", ()),
    ("D-384-scr-fc", ("init_from=D-256", "num_steps=2")),
  ):
    config = f"localization.py:{name},mini"
    workdir = folder / name
    assert main.main(command(photos, workdir, config, *more)) == 0
  return folder


def true_boxes(photos, split="test"):
  """Path -> edges in pixels, read by csv alone."""
  keys = ("xmin", "ymin", "xmax", "ymax")
  with (photos / "boxes.csv").open() as file:
    return {
      row["file"]: np.add([int(row[k]) for k in keys], [0, 0, 1, 1])
      for row in csv.DictReader(file)
      if row["file"].startswith(split)
    }


def test_training_is_that_of_classification(runs):
  for name, outputs in (("D-256-pcr", 12), ("D-384-scr-fc", 4)):
    params, card, _ = checkpoint.load_run(runs / name)
    assert card["num_outputs"] == outputs
    assert card["objective"] == name.split("-")[2]
    assert card["class_names"] == list(tiny.CLASSES)
    # The mean comes with the weights.
    assert card["mean"] == [40.0, 41.0, 42.0]
    records = log.read_metrics(runs / name)
    assert {"loss", "localization_error"} <= set(records[0])
    before, _, _ = checkpoint.load_run(runs / "D-256")
    is_same = np.array_equal(
      params["conv1_1"]["kernel"], before["conv1_1"]["kernel"]
    )
    assert is_same == name.endswith("fc")
    assert params["fc8"]["kernel"].shape[-1] == outputs


def test_the_best_checkpoint_has_the_least_localization_error(runs, capsys):
  records = log.read_metrics(runs / "D-256-pcr")
  validations = [r for r in records if r["kind"] == "validation"]
  least = min(r["localization_error"] for r in validations)
  _, _, step = checkpoint.load_run(runs / "D-256-pcr", "best")
  errors = {r["step"]: r["localization_error"] for r in validations}
  assert errors[step] == least


def test_the_central_crop_by_hand(runs, photos, capsys):
  workdir = runs / "D-256-pcr"
  assert evaluate(photos, workdir, "test_scales=(36,)") == 0
  printed = capsys.readouterr().out
  weights = load_weights(workdir)
  model = weights.create_model()
  wrong = 0
  for path, true in true_boxes(photos).items():
    label = tiny.CLASSES.index(path.split("/")[1])
    image = np.asarray(Image.open(photos / path))
    height, width = image.shape[:2]
    rows, columns = geometry.rescaled_size(height, width, 36)
    small = Image.fromarray(image).resize((columns, rows), Image.BILINEAR)
    top, left = (rows - 32) // 2, (columns - 32) // 2
    crop = np.asarray(small, np.float32)[top : top + 32, left : left + 32]
    x = (crop - np.array(weights.mean))[None]
    scores, _ = model.apply({"params": weights.params}, x)
    cx, cy, w, h = np.asarray(scores)[0, 0, 0].reshape(3, 4)[label]
    half = max(w, 1 / 224) / 2, max(h, 1 / 224) / 2
    box = [0.5 + cx - half[0], 0.5 + cy - half[1]]
    box += [0.5 + cx + half[0], 0.5 + cy + half[1]]
    box = (np.array(box) * 32 + [left, top] * 2) / ([columns, rows] * 2)
    box = np.clip(box, 0, 1) * [width, height, width, height]
    wrong += geometry.iou(box, true.astype(float)) <= 0.5
  error = 100 * wrong / COUNTS["test"]
  assert f"localization error {error:.2f} %, class-only error 0.00 %" in printed
  assert (workdir / "boxes.png").read_bytes()[:4] == b"\x89PNG"


def test_dense_boxes_of_predicted_classes(runs, photos, capsys):
  workdir = runs / "D-256-pcr"
  dense = "protocol=dense", "classifier=D-256", "test_scales=(36,64)"
  assert evaluate(photos, workdir, *dense) == 0
  first = capsys.readouterr().out
  assert "boxes of 3 classes of D-256, dense, Q 36,64" in first
  # Three classes are all there are: the right one is always answered.
  assert "class-only error 0.00 %" in first
  path = workdir / "evaluation" / "test-boxes-dense-top5-36-64.json"
  [result] = json.loads(path.read_text())
  assert f"{result['localization_error']:.2f} %" in first
  # Stored, and so not computed again.
  stored = {
    p: p.stat().st_mtime_ns
    for name in ("D-256", "D-256-pcr")
    for p in runs.glob(f"{name}/*/test/*.npz")
  }
  assert len(stored) >= 6
  assert evaluate(photos, workdir, *dense) == 0
  assert capsys.readouterr().out == first
  assert all(p.stat().st_mtime_ns == time for p, time in stored.items())


def test_offsets_and_mirror_change_what_is_computed(runs, photos, capsys):
  workdir = runs / "D-256-pcr"
  dense = "protocol=dense", "test_scales=(64,)", "pictures=False"
  lengths = []
  for more in ((), ("pool5_offsets=2",), ("test_mirror=True",)):
    assert evaluate(photos, workdir, *dense, *more) == 0
    files = workdir.glob("boxes/test/dense*-64.npz")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    with np.load(newest) as file:
      lengths.append(file["lengths"])
  plain, fine, mirrored = lengths
  np.testing.assert_array_equal(mirrored, 2 * plain)
  assert (fine > plain).all()


def predict(capsys, *arguments):
  status = cli.run(["predict", *map(str, arguments)])
  out, err = capsys.readouterr()
  return status, out, err


def test_predict_tells_and_draws_the_boxes(runs, photos, tmp_path, capsys):
  arguments = (
    photos / "test",
    f"--weights={runs / 'D-256'}",
    f"--boxes={runs / 'D-256-pcr'}",
    "--scales=36,64",
    "--no_mirror",
    "--json",
  )
  status, out, _ = predict(capsys, *arguments, f"--draw={tmp_path / 'drawn'}")
  assert status == 0
  found = json.loads(out)
  assert len(found) == COUNTS["test"]
  drawn = sorted(p.name for p in (tmp_path / "drawn").rglob("*.png"))
  assert len(drawn) == COUNTS["test"]
  # As the evaluation finds them.
  evaluate(
    photos,
    runs / "D-256-pcr",
    "protocol=dense",
    "classifier=D-256",
    "test_scales=(36,64)",
    "pictures=False",
  )
  [result] = json.loads(
    (runs / "D-256-pcr/evaluation/test-boxes-dense-top5-36-64.json").read_text()
  )
  wrong = 0
  for picture in found:
    path = picture["image"].removeprefix(f"{photos}/")
    name = path.split("/")[1]
    [box] = [c["box"] for c in picture["classes"] if c["class"] == name]
    wrong += geometry.iou(np.array(box), true_boxes(photos)[path]) <= 0.5
  wanted = result["localization_error"]
  assert 100 * wrong / COUNTS["test"] == pytest.approx(wanted)
  capsys.readouterr()
  _, out, _ = predict(capsys, *arguments[:-1], "--csv")
  head, first = out.splitlines()[:2]
  assert head.endswith("probability,left,top,right,bottom")
  assert len(first.split(",")) == 9


def test_a_localization_network_as_a_file(runs, photos, tmp_path, capsys):
  weights = load_weights(runs / "D-384-scr-fc")
  assert (weights.objective, weights.num_outputs) == ("scr", 4)
  assert cli.run(["info", str(runs / "D-384-scr-fc")]) == 0
  out = capsys.readouterr().out
  assert "classes: 3: blue, green, red, ...; the outputs are boxes, scr" in out
  path = tmp_path / "boxes.safetensors"
  save_weights(path, weights)
  assert load_weights(path).objective == "scr"
  picture = next((photos / "test").rglob("*.png"))
  status, out, _ = predict(
    capsys, picture, f"--weights={runs / 'D-256'}", f"--boxes={path}"
  )
  assert status == 0
  assert out.count("[") == 3


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (("protocol=multicrop",), "boxes are predicted with dense or center"),
    (("classifier=D-384-scr-fc", "protocol=dense"), "predicts boxes, not"),
    (("classifier=E-256", "protocol=dense"), "holds no training run"),
    (("objective=scr",), "has objective 'pcr', the config 'scr'"),
    (("dataset.boxes=none.csv",), "none.csv"),
  ],
)
def test_bad_evaluations(runs, photos, capsys, more, message):
  assert evaluate(photos, runs / "D-256-pcr", *more) == 2
  err = capsys.readouterr().err
  assert message in err
  assert err.count("\n") == 1


def test_bad_predictions(runs, photos, tmp_path, capsys):
  picture = next((photos / "test").rglob("*.png"))
  for arguments, message in (
    ((f"--weights={runs / 'D-256-pcr'}",), "predicts boxes, not classes"),
    (
      (f"--weights={runs / 'D-256'}", f"--boxes={runs / 'D-256'}"),
      "predicts classes, not boxes",
    ),
    ((f"--weights={runs / 'D-256'}", f"--draw={tmp_path}"), "needs --boxes"),
  ):
    status, _, err = predict(capsys, picture, *arguments)
    assert status == 2
    assert message in err


@pytest.mark.parametrize("format", ["torchvision", "keras", "stablehlo"])
def test_other_formats_hold_no_boxes(runs, tmp_path, capsys, format):
  target = tmp_path / "x.h5"
  arguments = ("convert", runs / "D-256-pcr", target, f"--format={format}")
  assert cli.run([str(a) for a in arguments]) == 2
  assert "these weights predict boxes" in capsys.readouterr().err
  assert not target.exists()


def test_data_without_boxes(runs, photos, tmp_path, capsys):
  other = tmp_path / "photos"
  other.mkdir()
  for split in COUNTS:
    (other / split).symlink_to(photos / split)
  config = "localization.py:D-256-pcr,mini"
  init = f"init_from={runs / 'D-256'}"
  assert main.main(command(other, tmp_path / "x", config, init)) == 2
  assert "boxes" in capsys.readouterr().err


def test_an_annotation_beside_a_picture_is_drawn(runs, photos, tmp_path):
  folder = tmp_path / "album"
  folder.mkdir()
  picture = folder / "a.png"
  picture.write_bytes(next((photos / "test").rglob("*.png")).read_bytes())
  arguments = (
    "predict",
    picture,
    f"--weights={runs / 'D-256'}",
    f"--boxes={runs / 'D-256-pcr'}",
    f"--draw={tmp_path / 'out'}",
  )
  blue = {}
  for text in ("", "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>9</xmax>"):
    if text:
      (folder / "a.xml").write_text(
        f"<annotation><object><name>x</name>{text}<ymax>20</ymax></bndbox>"
        "</object></annotation>"
      )
    assert cli.run([str(a) for a in arguments]) == 0
    pixels = np.asarray(Image.open(tmp_path / "out/a.png.png"))[..., :3]
    color = tuple(bytes.fromhex(visualize.TRUE_BOX_COLOR[1:]))
    blue[text] = np.sum((pixels == color).all(axis=-1))
  without, with_it = blue.values()
  assert without == 0 < with_it
  (folder / "a.xml").write_text("<annotation>")
  assert cli.run([str(a) for a in arguments]) == 2
