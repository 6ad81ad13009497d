"""torchvision's and timm's files, against torch's own forward pass."""

import json
import pickle

import foreign_nets
import numpy as np
import pytest
import safetensors.torch as safetensors_torch
from foreign_nets import difference, our_scores
from torch_nets import nn, torch

from vggjax.errors import InputError
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")
NETWORKS = ("A", "B", "C", "D", "E", "B-shallow")


def save_pth(state, path):
  torch.save(state, path)


def save_legacy(state, path):
  torch.save(state, path, _use_new_zipfile_serialization=False)


def save_safetensors(state, path):
  safetensors_torch.save_file(state, path)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("save", [save_pth, save_legacy, save_safetensors])
def test_scores_are_torchs(tmp_path, network, save):
  net = foreign_nets.make(network)
  # The name says nothing: the content does.
  save(net.state_dict(), tmp_path / "weights")
  weights = load_weights(tmp_path / "weights")
  assert weights.network == network
  assert (weights.width, weights.num_outputs) == (1 / 16, 7)
  assert (weights.crop_size, weights.pool) == (64, "floor")
  assert weights.class_names == ()
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net, images)
  # The images differ, so that the scores can be wrong.
  assert np.ptp(wanted, axis=0).max() > 0.1 * np.abs(wanted).max()
  assert difference(our_scores(weights, images), wanted) < 1e-4


def test_each_slip_would_be_noticed():
  """What the test above compares moves by 20 times its tolerance."""
  net = foreign_nets.make("A")
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net, images)
  mean, std = foreign_nets.IMAGENET["mean"], foreign_nets.IMAGENET["std"]
  for slipped in (
    {"mean": mean[::-1]},
    {"mean": (0.5, 0.5, 0.5)},
    {"std": std[::-1]},
    {"std": (0.225, 0.225, 0.225)},
  ):
    with torch.no_grad():
      other = net(foreign_nets.normalized(images, **slipped)).numpy()
    assert difference(other, wanted) > 2e-3, slipped
  bgr = foreign_nets.scores(net, images[..., ::-1].copy())
  assert difference(bgr, wanted) > 1e-2
  first = net.classifier[0].weight.data
  split = first.reshape(-1, 32, 2, 2)
  net.classifier[0].weight.data = split.transpose(2, 3).reshape(first.shape)
  assert difference(foreign_nets.scores(net, images), wanted) > 1e-2


def test_maps_of_odd_sides_are_torchs(tmp_path):
  net = foreign_nets.make("D")
  save_pth(net.state_dict(), tmp_path / "d.pth")
  weights = load_weights(tmp_path / "d.pth")
  random = np.random.default_rng(3)
  images = random.integers(0, 256, (2, 75, 101, 3), np.uint8)
  x = images - np.asarray(weights.mean, np.float32)
  _, layers = weights.create_model().apply({"params": weights.params}, x)
  with torch.no_grad():
    wanted = net.features(foreign_nets.normalized(images))
  wanted = wanted.permute(0, 2, 3, 1).numpy()
  assert layers["pool5"].shape == wanted.shape == (2, 2, 3, 32)
  assert difference(np.asarray(layers["pool5"]), wanted) < 1e-4


def timm_layout(net, side=2):
  """timm's names: the FC layers before the last are convolutions."""
  state = dict(net.state_dict())
  for old, new in {"0": "pre_logits.fc1", "3": "pre_logits.fc2"}.items():
    kernel = state.pop(f"classifier.{old}.weight")
    size = side if old == "0" else 1
    state[f"{new}.weight"] = kernel.reshape(len(kernel), -1, size, size)
    state[f"{new}.bias"] = state.pop(f"classifier.{old}.bias")
  for kind in ("weight", "bias"):
    state[f"head.fc.{kind}"] = state.pop(f"classifier.6.{kind}")
  return {name: array.contiguous() for name, array in state.items()}


def test_timm(tmp_path):
  net = foreign_nets.make("E")
  safetensors_torch.save_file(timm_layout(net), tmp_path / "m.safetensors")
  weights = load_weights(tmp_path / "m.safetensors")
  assert (weights.network, weights.card["layout"]) == ("E", "timm")
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net, images)
  assert difference(our_scores(weights, images), wanted) < 1e-4


def test_without_fc_layers(tmp_path):
  net = foreign_nets.make("D")
  state = {k: v for k, v in net.state_dict().items() if "features" in k}
  save_pth(state, tmp_path / "features.pth")
  weights = load_weights(tmp_path / "features.pth")
  assert (weights.network, weights.num_outputs) == ("D", 0)
  images = foreign_nets.crops(side=32)
  x = images - np.asarray(weights.mean, np.float32)
  model = weights.create_model()
  scores, layers = model.apply({"params": weights.params}, x)
  assert scores is None
  assert "fc6" not in layers
  with torch.no_grad():
    wanted = net.features(foreign_nets.normalized(images))
  wanted = wanted.permute(0, 2, 3, 1).numpy()
  assert difference(np.asarray(layers["pool5"]), wanted) < 1e-4


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_wrapped_prefixed_and_of_half_precision(tmp_path, wrapper, dtype):
  net = foreign_nets.make("A")
  state = {f"module.{k}": v.to(dtype) for k, v in net.state_dict().items()}
  save_pth({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "a")
  weights = load_weights(tmp_path / "a")
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net.to(dtype).float(), images)
  assert difference(our_scores(weights, images), wanted) < 1e-4


def test_bfloat16_safetensors(tmp_path):
  net = foreign_nets.make("A").bfloat16()
  save_safetensors(net.state_dict(), tmp_path / "a")
  images = foreign_nets.crops()
  wanted = foreign_nets.scores(net.float(), images)
  ours = our_scores(load_weights(tmp_path / "a"), images)
  assert difference(ours, wanted) < 1e-4


def test_another_mean_and_std_and_names(tmp_path):
  net = foreign_nets.make("A")
  save_pth(net.state_dict(), tmp_path / "a.pth")
  names = tuple("abcdefg")
  options = {"mean": (0.5, 0.4, 0.3), "std": (0.3, 0.2, 0.1)}
  scaled = {key: np.multiply(255, value) for key, value in options.items()}
  weights = load_weights(tmp_path / "a.pth", **scaled, class_names=names)
  assert weights.class_names == names
  images = foreign_nets.crops()
  with torch.no_grad():
    wanted = net(foreign_nets.normalized(images, **options)).numpy()
  assert difference(our_scores(weights, images), wanted) < 1e-4
  with pytest.raises(InputError, match="names 2 classes and has 7 outputs"):
    load_weights(tmp_path / "a.pth", class_names=("x", "y"))


def test_a_thousand_classes_are_imagenets(tmp_path):
  net = foreign_nets.make("A", num_outputs=1000)
  save_pth(net.state_dict(), tmp_path / "a.pth")
  weights = load_weights(tmp_path / "a.pth")
  assert weights.class_names[:2] == ("n01440764", "n01443537")
  assert "assumed_class_order" in weights.card


class Trap:
  """Runs a command when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return (open, (str(self.path), "w"))


def damaged(state, tmp_path):
  """What is wrong, the file, and what is said of it."""
  changes = {
    "features.1.running_mean": torch.ones(4),
    "features.0.extra": torch.ones(4),
  }
  net = foreign_nets.make("A")
  yield "batch normalization", {**state, **dict(list(changes.items())[:1])}
  yield (
    "also has features.0.extra",
    {**state, **dict(list(changes.items())[1:])},
  )
  yield (
    "lacks classifier.6.bias",
    {k: v for k, v in state.items() if k != "classifier.6.bias"},
  )
  nan = {k: v.clone() for k, v in state.items()}
  nan["classifier.3.weight"][5, 7] = float("nan")
  yield "classifier.3's kernel holds nan", nan
  infinite = {k: v.clone() for k, v in state.items()}
  infinite["features.0.bias"][0] = float("inf")
  yield "features.0's bias holds inf", infinite
  yield "a whole module", net
  yield (
    "no features.0.weight; it holds weight, bias",
    nn.Linear(2, 2).state_dict(),
  )
  yield "it holds nothing", {}
  yield "holds a list", [1, 2]
  thin = {**state, "features.3.weight": torch.ones(8, 3, 3, 3)}
  yield "does not fit 4 input channels", thin
  oblong = {**state, "features.0.weight": torch.ones(4, 3, 3, 1)}
  yield "not square", oblong
  wide = {**state, "classifier.0.weight": torch.ones(9, 128)}
  wide["classifier.0.bias"] = torch.ones(9)
  wide["classifier.3.weight"] = torch.ones(256, 9)
  yield "fc6 has 9 channels; the paper's networks have 256", wide
  short = {k: v for k, v in state.items() if not k.startswith("features.3.")}
  yield "these are none of the networks", short
  yield "bias of 3", {**state, "classifier.6.bias": torch.ones(3)}


def test_bad_files_get_one_line(tmp_path):
  state = foreign_nets.make("A").state_dict()
  path = tmp_path / "bad.pth"
  for message, content in damaged(state, tmp_path):
    torch.save(content, path)
    with pytest.raises(InputError) as error:
      load_weights(path)
    text = str(error.value)
    expected = "Python objects" if message == "a whole module" else message
    assert expected in text, text
    assert text.startswith(f"{path}: ")
    assert "\n" not in text


def test_nothing_is_run(tmp_path):
  victim = tmp_path / "victim"
  path = tmp_path / "evil.pth"
  torch.save({"features.0.weight": Trap(victim)}, path)
  with pytest.raises(InputError, match="could run code"):
    load_weights(path)
  path.write_bytes(pickle.dumps({"x": Trap(victim)}))
  with pytest.raises(InputError, match="a pickle, which could run code"):
    load_weights(path)
  assert not victim.exists()


@pytest.mark.parametrize("save", [save_pth, save_legacy, save_safetensors])
def test_truncated_files(tmp_path, save):
  whole, cut = tmp_path / "whole", tmp_path / "cut"
  save(foreign_nets.make("A", num_outputs=2).state_dict(), whole)
  data = whole.read_bytes()
  for share in (0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999):
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as error:
      load_weights(cut)
    assert str(error.value).startswith(f"{cut}: ")
    assert "\n" not in str(error.value)


def test_a_damaged_zip(tmp_path):
  path = tmp_path / "a.pth"
  save_pth(foreign_nets.make("A").state_dict(), path)
  data = bytearray(path.read_bytes())
  start = data.rindex(b"PK\x01\x02")
  data[start : start + 2] = b"??"
  path.write_bytes(data)
  with pytest.raises(InputError, match="of no format that is known"):
    load_weights(path)


def test_files_of_other_kinds(tmp_path):
  path = tmp_path / "x"
  for content, message in (
    (b"<!DOCTYPE html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1", "a pointer"),
    (b"", "of no format that is known"),
    (json.dumps({"a": 1}).encode(), "of no format that is known"),
  ):
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
      load_weights(path)
  with pytest.raises(InputError, match="no such file"):
    load_weights(tmp_path / "absent.pth")
