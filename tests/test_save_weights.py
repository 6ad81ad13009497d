"""Weights written in each layout, read by us and by the layout's library."""

import json
import os
import struct

import foreign_nets
import jax
import numpy as np
import pytest
import safetensors
import saved_run
import tiny
import torch_nets
from foreign_nets import difference
from torch_nets import torch

import vggjax
from vggjax.errors import InputError
from vggjax.weights.load import load_weights
from vggjax.weights.save import FORMATS, save_weights
from vggjax.weights.weights import Weights

pytestmark = pytest.mark.usefixtures("quick_compile")
MEAN = (101.5, 99.25, 97.0)


def make(network="A", mean=MEAN, **options):
  options = {"width": 1 / 16, "crop_size": 64, "num_outputs": 3, **options}
  model = vggjax.create_model(network, **options)
  params = torch_nets.random_params(model)
  names = () if options["num_outputs"] != 3 else tiny.CLASSES
  card = {"license": "CC0", "errors": [{"top1_error": 12.5}]}
  if network == "A-LRN":
    card["lrn"] = "caffe"
  pool = options.pop("pool", "ceil")
  return Weights(
    network, params, mean, class_names=names, pool=pool, card=card, **options
  )


def scores(weights, images):
  x = images - np.asarray(weights.mean, np.float32)
  return np.asarray(
    weights.create_model().apply({"params": weights.params}, x)[0]
  )


def same_params(ours, wanted):
  ours, wanted = (
    {f"{n}.{k}": a for n, layer in tree.items() for k, a in layer.items()}
    for tree in (ours, wanted)
  )
  assert ours.keys() == wanted.keys()
  for name, array in wanted.items():
    np.testing.assert_array_equal(ours[name], array, err_msg=name)


@pytest.mark.parametrize("network", vggjax.NETWORKS)
def test_ours_keeps_everything(tmp_path, network):
  weights = make(network, pool="floor")
  path = tmp_path / "new" / "a.safetensors"
  save_weights(path, weights)
  loaded = load_weights(path)
  same_params(loaded.params, weights.params)
  for field in ("network", "mean", "class_names", "width", "num_outputs"):
    assert getattr(loaded, field) == getattr(weights, field)
  assert (loaded.crop_size, loaded.pool, loaded.card) == (
    64,
    "floor",
    weights.card,
  )
  model = loaded.create_model(dropout_rate=0.0)
  assert (model.dropout_rate, model.pool) == (0.0, "floor")
  assert model.lrn == weights.card.get("lrn", "krizhevsky")


def test_ours_is_plain_safetensors(tmp_path):
  weights = make()
  path = tmp_path / "a.safetensors"
  save_weights(path, weights)
  with safetensors.safe_open(path, framework="numpy") as file:
    card = json.loads(file.metadata()["vggjax"])
    kernel = file.get_tensor("conv1_1.kernel")
  assert (card["network"], card["mean"]) == ("A", list(MEAN))
  assert card["class_names"] == list(tiny.CLASSES)
  np.testing.assert_array_equal(kernel, weights.params["conv1_1"]["kernel"])


def test_a_feature_net(tmp_path):
  weights = make("D", num_outputs=0)
  assert "fc6" not in weights.params
  path = tmp_path / "d.safetensors"
  for layout in ("vggjax", "torchvision"):
    save_weights(path, weights, format=layout)
    loaded = load_weights(path)
    assert (loaded.network, loaded.num_outputs) == ("D", 0)
    assert loaded.create_model().num_outputs == 0


@pytest.mark.parametrize("network", ["A", "B", "C", "D", "E", "B-shallow"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_torchvision_loads_it(tmp_path, network, suffix):
  mean = tuple(255 * m for m in foreign_nets.IMAGENET["mean"])
  weights = make(network, mean, num_outputs=7)
  path = tmp_path / f"a{suffix}"
  save_weights(path, weights, format="torchvision")
  if suffix == ".pth":
    state = torch.load(path, weights_only=True)
  else:
    with safetensors.safe_open(path, framework="pt") as file:
      state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  net = foreign_nets.TorchvisionVGG(network).eval()
  net.load_state_dict(state, strict=True)
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net, images)
  assert difference(scores(weights, images)[:, 0, 0], wanted) < 1e-4
  back = load_weights(path)
  assert difference(scores(back, images)[:, 0, 0], wanted) < 1e-4


# torchvision.models.vgg16 and vgg19: the last index of `features`, and shapes.
TORCHVISION = {"A": 18, "B": 22, "D": 28, "E": 34}


@pytest.mark.parametrize("network", TORCHVISION)
def test_torchvisions_names_and_shapes(tmp_path, network):
  mean = tuple(255 * m for m in foreign_nets.IMAGENET["mean"])
  weights = make(network, mean, width=1 / 64, crop_size=224, num_outputs=1000)
  path = tmp_path / "a.safetensors"
  save_weights(path, weights, format="torchvision")
  with safetensors.safe_open(path, framework="numpy") as file:
    shapes = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
  last = TORCHVISION[network]
  assert shapes[f"features.{last}.weight"] == (8, 8, 3, 3)
  assert max(int(n.split(".")[1]) for n in shapes if "feat" in n) == last
  # 512, 4096 and 64 of the whole network are 8, 64 and 1 here.
  assert shapes["features.0.weight"] == (1, 3, 3, 3)
  assert shapes["classifier.0.weight"] == (64, 8 * 7 * 7)
  assert shapes["classifier.3.weight"] == (64, 64)
  assert shapes["classifier.6.weight"] == (1000, 64)
  assert shapes["classifier.6.bias"] == (1000,)


def test_a_mean_of_ones_own_survives_where_it_can(tmp_path):
  weights = make(num_outputs=7)
  images = foreign_nets.crops()
  wanted = scores(weights, images)
  path = tmp_path / "a.safetensors"
  save_weights(path, weights, format="torchvision")
  assert difference(scores(load_weights(path), images), wanted) < 1e-4
  with pytest.raises(InputError, match=r"no place for the mean.*safetensors"):
    save_weights(tmp_path / "a.pth", weights, format="torchvision")
  assert not (tmp_path / "a.pth").exists()


@pytest.mark.parametrize("pool", ["ceil", "floor"])
def test_stablehlo_gives_the_same_scores(tmp_path, pool):
  weights = make("B", crop_size=32, pool=pool)
  path = tmp_path / "b.stablehlo"
  save_weights(path, weights, format="stablehlo")
  network = jax.export.deserialize(bytearray(path.read_bytes()))
  assert set(network.platforms) == {"cpu", "cuda", "tpu"}
  random = np.random.default_rng(0)
  for shape in ((1, 32, 32, 3), (2, 45, 78, 3), (3, 64, 64, 3)):
    images = random.uniform(0, 255, shape).astype(np.float32)
    wanted = scores(weights, images)
    found = np.asarray(network.call(images))
    assert found.shape == wanted.shape
    assert difference(found, wanted) < 1e-5


def test_stablehlo_of_a_feature_net(tmp_path):
  weights = make("A", num_outputs=0)
  path = tmp_path / "a.stablehlo"
  save_weights(path, weights, format="stablehlo")
  images = np.random.default_rng(0).uniform(0, 255, (2, 40, 70, 3))
  images = images.astype(np.float32)
  network = jax.export.deserialize(bytearray(path.read_bytes()))
  x = images - np.asarray(MEAN, np.float32)
  _, layers = weights.create_model().apply({"params": weights.params}, x)
  wanted = np.asarray(layers["pool5"])
  assert difference(np.asarray(network.call(images)), wanted) < 1e-5


def test_a_run(saved):
  weights = load_weights(saved)
  assert (weights.network, weights.width) == ("A", 1 / 16)
  assert weights.class_names == tiny.CLASSES
  assert weights.mean == (128.0, 128.0, 128.0)
  # The best step, with its own parameters.
  assert (weights.card["step"], weights.card["run"]) == (3, "A-256")
  same_params(weights.params, saved_run.random_params(5))
  with pytest.raises(InputError, match="a run keeps its own mean"):
    load_weights(saved, mean=(1, 2, 3))


def test_what_cannot_be_written(tmp_path):
  weights = make("A-LRN")
  for layout, message in (
    ("torchvision", "torchvision's VGGs have no local response"),
    ("keras", "Keras's VGGs have no local response"),
    ("onnx", "'onnx' is not one of vggjax, torchvision, keras, stablehlo"),
  ):
    path = tmp_path / "a"
    with pytest.raises(InputError, match=message):
      save_weights(path, weights, format=layout)
    assert not list(tmp_path.iterdir())
  assert list(FORMATS) == ["vggjax", "torchvision", "keras", "stablehlo"]


def test_a_failed_write_keeps_the_older_file(tmp_path, monkeypatch):
  path = tmp_path / "a.safetensors"
  save_weights(path, make())
  before = path.read_bytes()

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(InputError, match="cannot be written: No space left"):
    save_weights(path, make("B"))
  assert path.read_bytes() == before
  assert os.listdir(tmp_path) == ["a.safetensors"]


def rewritten(path, change):
  """Changes our metadata in a file."""
  data = path.read_bytes()
  (length,) = struct.unpack("<Q", data[:8])
  header = json.loads(data[8 : 8 + length])
  change(header)
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def of_card(**values):
  def change(header):
    card = json.loads(header["__metadata__"]["vggjax"])
    card.update(values)
    card = {k: v for k, v in card.items() if v is not None}
    header["__metadata__"]["vggjax"] = json.dumps(card)

  return change


def renamed(header):
  header["fc9.bias"] = header.pop("fc8.bias")


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (of_card(network="B"), "it lacks conv1_2.bias, conv1_2.kernel"),
    (of_card(network="F"), "'F' is not one of"),
    (of_card(width=0.125), r"conv1_1.bias is \[4\] and not \[8\]"),
    (of_card(mean=None), "its metadata lack mean"),
    (of_card(mean=["x"]), "cannot be read as a safetensors file"),
    (of_card(mean=[1.0]), "mean must be 3 numbers"),
    (of_card(class_names=["a"]), "names 1 classes and has 3 outputs"),
    (renamed, "it lacks fc8.bias"),
    (lambda h: h["__metadata__"].update(vggjax="{"), "cannot be read"),
  ],
)
def test_bad_metadata(tmp_path, change, message):
  path = tmp_path / "a.safetensors"
  save_weights(path, make())
  rewritten(path, change)
  with pytest.raises(InputError, match=message) as error:
    load_weights(path)
  assert str(error.value).startswith(f"{path}: ")
  assert "\n" not in str(error.value)


def test_truncated_and_nan(tmp_path):
  path = tmp_path / "a.safetensors"
  weights = make()
  save_weights(path, weights)
  data = path.read_bytes()
  for length in (0, 7, 9, 200, len(data) // 2, len(data) - 1):
    path.write_bytes(data[:length])
    with pytest.raises(InputError) as error:
      load_weights(path)
    assert "\n" not in str(error.value)
  weights.params["fc7"]["bias"][1] = np.nan
  save_weights(path, weights)
  with pytest.raises(InputError, match="fc7's bias holds nan"):
    load_weights(path)
