"""`vggjax predict`, `features`, `convert` and `info`, from the command line."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
import saved_run
import tiny
from PIL import Image

import vggjax
from vggjax import cli, images
from vggjax.commands import pictures

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
  """Four pictures, two folders deep, and a file that is none."""
  root = tmp_path_factory.mktemp("album")
  names = ("a.png", "deep/a.png", "deep/b.PNG", "c.png")
  for name, path in zip(
    names, sorted(photos.rglob("*.png"))[::9], strict=False
  ):
    (root / name).parent.mkdir(exist_ok=True)
    shutil.copy(path, root / name)
  (root / "notes.txt").write_text("no picture")
  return root


@pytest.fixture
def vgg(capsys):
  """Calls the command; gives its status, output and messages."""

  def call(*arguments):
    status = cli.run([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err

  return call


def posteriors_of(run, paths, scales, protocol="dense"):
  weights = vggjax.load_weights(run)
  function = {
    "dense": vggjax.dense_posteriors,
    "multicrop": vggjax.multicrop_posteriors,
  }[protocol]
  return function(
    weights.create_model(), weights.params, paths, scales, mean=weights.mean
  )


@pytest.mark.parametrize("protocol", ["dense", "multicrop", "both", "center"])
def test_predict_as_json(vgg, folder, saved, protocol):
  status, out, _ = vgg(
    "predict", folder, f"--weights={saved}", "--scales=32,36", "--top=2",
    f"--protocol={protocol}", "--json",
  )  # fmt: skip
  answers = json.loads(out)
  assert status == 0
  paths = [folder / n for n in ("a.png", "c.png", "deep/a.png", "deep/b.PNG")]
  assert [a["image"] for a in answers] == [str(p) for p in paths]
  if protocol == "center":
    weights = vggjax.load_weights(saved)
    wanted = vggjax.multicrop_posteriors(
      weights.create_model(),
      weights.params,
      paths,
      (32, 36),
      mean=weights.mean,
      grid=1,
    )
  else:
    parts = ["dense", "multicrop"] if protocol == "both" else [protocol]
    arrays = [posteriors_of(saved, paths, (32, 36), part) for part in parts]
    wanted = np.mean(arrays, axis=0)
  for answer, row in zip(answers, wanted, strict=True):
    order = np.argsort(-row)[:2]
    assert [c["index"] for c in answer["classes"]] == order.tolist()
    assert [c["class"] for c in answer["classes"]] == [
      tiny.CLASSES[k] for k in order
    ]
    found = [c["probability"] for c in answer["classes"]]
    np.testing.assert_allclose(found, row[order], atol=1e-5)


def test_predict_as_text_and_csv(vgg, folder, saved):
  options = (folder / "a.png", f"--weights={saved}", "--top=3")
  # 37 is 256 * 32 / 224.
  wanted = posteriors_of(saved, [folder / "a.png"], 37)[0]
  order = np.argsort(-wanted)
  status, out, err = vgg("predict", *options)
  assert (status, err) == (0, "")
  lines = [str(folder / "a.png")]
  lines += [f"  {100 * wanted[k]:5.1f} %  {tiny.CLASSES[k]}" for k in order]
  assert out.splitlines() == lines
  _, out, _ = vgg("predict", *options, "--csv")
  rows = list(csv.DictReader(io.StringIO(out)))
  assert [row["rank"] for row in rows] == ["1", "2", "3"]
  assert [row["class"] for row in rows] == [tiny.CLASSES[k] for k in order]
  found = [float(row["probability"]) for row in rows]
  np.testing.assert_allclose(found, wanted[order], atol=1e-5)


def test_bad_pictures_are_reported_and_the_rest_go_on(vgg, folder, saved):
  command = ("predict", folder / "notes.txt", folder / "c.png", "--csv")
  status, out, err = vgg(*command, f"--weights={saved}", "--protocol=both")
  assert status == 1
  assert len(out.splitlines()) == 1 + 3
  told = [line for line in err.splitlines() if "notes.txt" in line]
  assert len(told) == 1
  assert told[0].endswith("notes.txt: cannot decode: not an image file")
  status, out, err = vgg("predict", folder / "notes.txt", f"--weights={saved}")
  assert (status, out) == (2, "")
  assert "none of the images can be read" in err


def test_pictures_are_upright_unless_told(vgg, tmp_path, saved):
  random = np.random.default_rng(1)
  tall = random.integers(0, 256, (60, 40, 3), np.uint8)
  tall[:30] //= 4
  stored = Image.fromarray(np.rot90(tall))
  exif = Image.Exif()
  exif[0x0112] = 6  # Turn clockwise to see it.
  path = tmp_path / "turned.png"
  stored.save(path, exif=exif)
  np.testing.assert_array_equal(images.decode(path, upright=True), tall)
  assert images.decode(path).shape == (40, 60, 3)
  weights = f"--weights={saved}"
  _, out, _ = vgg("predict", path, weights, "--json")
  _, as_stored, _ = vgg("predict", path, weights, "--json", "--as_stored")
  Image.fromarray(tall).save(tmp_path / "upright.png")
  _, upright, _ = vgg("predict", tmp_path / "upright.png", weights, "--json")
  values = [
    [c["probability"] for c in json.loads(text)[0]["classes"]]
    for text in (out, upright, as_stored)
  ]
  assert values[0] == values[1] != values[2]


def test_heatmaps(vgg, folder, saved, tmp_path):
  pytest.importorskip("matplotlib")
  maps = tmp_path / "maps"
  status, _, err = vgg(
    "predict", folder, f"--weights={saved}", f"--heatmap={maps}"
  )
  assert status == 0
  assert err.endswith(f"vggjax: heat maps are in {maps}\n")
  found = sorted(str(p.relative_to(maps)) for p in maps.rglob("*.png"))
  assert found == ["a.png.png", "c.png.png", "deep/a.png.png", "deep/b.PNG.png"]
  with Image.open(maps / "a.png.png") as image:
    first = np.asarray(image.convert("RGB"))
  assert min(first.shape[:2]) > 150
  # Another class has another map.
  vgg(
    "predict", folder / "a.png", f"--weights={saved}", f"--heatmap={maps}",
    "--heatmap_class=Green",
  )  # fmt: skip
  with Image.open(maps / "a.png.png") as image:
    assert not np.array_equal(np.asarray(image.convert("RGB")), first)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--top=0"], "--top is 0; it must be at least 1"),
    (["--scales=31"], "--scales: test_scales is (31,)"),
    (["--scales=x"], "invalid whole_numbers value: 'x'"),
    (["--heatmap_class=green"], "needs --heatmap"),
    (["--heatmap=x", "--heatmap_class=pink"], "no class; there are blue"),
    (["--protocol=sparse"], "invalid choice: 'sparse'"),
  ],
)
def test_bad_options(vgg, folder, saved, arguments, message):
  status, out, err = vgg("predict", folder, f"--weights={saved}", *arguments)
  assert (status, out) == (2, "")
  assert message in err


def test_missing_files(vgg, folder, saved, tmp_path):
  for arguments, message in (
    ([tmp_path / "x.jpg", f"--weights={saved}"], "x.jpg: no such image file"),
    ([folder, "--weights=absent.pth"], "absent.pth: no such file"),
    ([folder, "--weights=oxford:vgg11"], "oxford:vgg11"),
    ([tmp_path, f"--weights={saved}"], "no image file in there"),
  ):
    status, _, err = vgg("predict", *arguments)
    assert status == 2
    assert message in err
    assert err.startswith("vggjax: ")
    assert len(err.splitlines()) == 1


def test_convert_info_and_predict_again(vgg, folder, saved, tmp_path):
  target = tmp_path / "out" / "mine.safetensors"
  status, out, _ = vgg("convert", saved, target, "--license=CC0-1.0")
  assert status == 0
  assert out.startswith(f"{target}: network A, format vggjax, ")
  weights = vggjax.load_weights(target)
  assert weights.card["license"] == "CC0-1.0"
  assert weights.card["run"] == "A-256"
  wanted = saved_run.random_params(5)["fc8"]["kernel"]
  np.testing.assert_array_equal(weights.params["fc8"]["kernel"], wanted)
  answers = [
    vgg("predict", folder, f"--weights={path}", "--csv")[1]
    for path in (saved, target)
  ]
  assert answers[0] == answers[1]

  status, out, _ = vgg("info", target)
  assert status == 0
  assert "network A, width 0.0625, crop 32 pixels" in out
  assert "mean to subtract, RGB: 128.000, 128.000, 128.000" in out
  assert "classes: 3: blue, green, red" in out
  assert "license: CC0-1.0" in out
  assert "SHA-256 of the file: " in out

  status, _, err = vgg("convert", saved, target)
  assert (status, "--force replaces it" in err) == (2, True)
  assert vgg("convert", saved, target, "--force")[0] == 0
  status, _, err = vgg("convert", saved, tmp_path / "a.onnx")
  assert status == 2
  assert "ends in none of .safetensors, .pth" in err


def test_a_run_tells_its_errors(vgg, saved, tmp_path):
  run = shutil.copytree(saved, tmp_path / "A-256")
  (run / "config.json").write_text('{"seed": 7}')
  (run / "evaluation").mkdir()
  rows = [{"test_scales": "32", "top1_error": 12.5, "top5_error": 0.0}]
  (run / "evaluation" / "test-dense-32.json").write_text(json.dumps(rows))
  vgg("convert", run, tmp_path / "a.safetensors")
  card = vggjax.load_weights(tmp_path / "a.safetensors").card
  assert card["config"] == {"seed": 7}
  assert card["errors"] == [{"evaluation": "test-dense-32", **rows[0]}]
  (run / "config.json").write_text("{")
  status, _, err = vgg("info", run)
  assert status == 2
  assert "config.json: not JSON" in err


def test_info_of_a_network(vgg):
  status, out, _ = vgg("info", "D")
  rows = {line.split()[0]: line.split() for line in out.splitlines()}
  assert status == 0
  # The well-known receptive fields and strides of VGG-16.
  for name, kernel, output, field, stride in (
    ("conv1_1", "3x3", "224x224x64", "3", "1"),
    ("conv3_3", "3x3", "56x56x256", "40", "4"),
    ("conv5_3", "3x3", "14x14x512", "196", "16"),
    ("pool5", "2x2/2", "7x7x512", "212", "32"),
    ("fc6", "7x7", "1x1x4096", "404", "32"),
  ):
    assert rows[name][1:5] == [kernel, output, field, stride]
  assert rows["sum"][1:] == ["138,357,544", "15,470,264,320"]


def test_features(vgg, folder, saved, tmp_path):
  weights = vggjax.load_weights(saved)
  paths = pictures.find_images([str(folder)])
  for suffix, options, wanted in (
    (".npz", [], {}),
    (".npz", ["--layer=conv2_1", "--scales=32,40", "--aggregate=stack"],
     {"layer": "conv2_1", "test_scales": (32, 40), "aggregate": "stack"}),
    (".parquet", ["--layer=pool5", "--no_mirror"],
     {"layer": "pool5", "mirror": False}),
  ):  # fmt: skip
    out_file = tmp_path / f"features{suffix}"
    status, out, _ = vgg(
      "features", folder, f"--weights={saved}", f"--out={out_file}", *options
    )
    expected = vggjax.extract_features(
      weights.create_model(),
      weights.params,
      paths,
      mean=weights.mean,
      **{"test_scales": 37, **wanted},
    )
    assert status == 0
    assert out == f"{out_file}: 4 images, {expected.shape[1]} features\n"
    if suffix == ".npz":
      with np.load(out_file) as file:
        names, found = file["images"].tolist(), file["features"]
    else:
      table = pytest.importorskip("pyarrow.parquet").read_table(out_file)
      names = table["image"].to_pylist()
      found = np.array(table["features"].to_pylist(), np.float32)
    assert names == [str(p) for p in paths]
    np.testing.assert_allclose(found, expected, atol=1e-6)
  status, _, err = vgg("features", folder, f"--weights={saved}", "--out=x.csv")
  assert (status, "must end in .npz or .parquet" in err) == (2, True)
  status, _, err = vgg(
    "features", folder, f"--weights={saved}", "--out=x.npz", "--layer=fc9"
  )
  assert (status, "'fc9' is not one of conv1_1" in err) == (2, True)


def test_help(vgg):
  for command in ("predict", "features", "convert", "info"):
    status, out, _ = vgg(command, "--help")
    assert status == 0
    assert out.startswith(f"usage: vggjax {command}")
    assert max(map(len, out.splitlines())) <= 80
  status, out, _ = vgg("--help")
  assert status == 0
  assert all(name in out for name in ("train", "predict", "networks"))
  assert vgg("no-such-command")[0] == 2
