"""Caffe's files, against nets set up in torch as Caffe computes them."""

import dataclasses
import tracemalloc

import caffe_files
import numpy as np
import pytest
import torch_nets
from caffe_files import (
  assert_params,
  encode,
  layers_of,
  make_net,
  messages,
  tiny_net,
  write,
)
from foreign_nets import difference
from torch_nets import torch

from vggjax.errors import InputError
from vggjax.weights import caffe, foreign
from vggjax.weights.load import load_weights
from vggjax.weights.weights import Weights

pytestmark = pytest.mark.usefixtures("quick_compile")

# Sides that every pooling rounds up to another number than down.
ODD_SIZE = (77, 107)
# Network: how its net and its file are made.
FILES = {
  "A": ({}, {}, {"layout": "V1"}),
  "A-LRN": ({}, {}, {"layout": "V1", "shapes": "new"}),
  "B": ({"crop_size": 64}, {"padding_layers": True}, {"layout": "V0"}),
  "B-shallow": ({}, {"fc": "transposed"}, {"shapes": "new"}),
  "C": ({"crop_size": 64}, {"fc": "conv"}, {"shapes": "new", "packed": False}),
  "D": ({"crop_size": 64}, {}, {"layout": "V1", "double": True}),
  "E": ({"crop_size": 64}, {"fc": "transposed"}, {}),
}


def images(size=ODD_SIZE, count=2):
  random = np.random.default_rng(5)
  tint = random.uniform(0, 1, (count, 1, 1, 3))
  ramp = np.linspace(0.2, 1, size[0])[:, None, None]
  pixels = random.uniform(0, 255, (count, *size, 3)) * tint * ramp
  return pixels.astype(np.uint8)


def caffe_scores(net, pictures):
  """The map [N, h, w, K] of uint8 RGB pictures."""
  with torch.no_grad():
    scores, _ = net(caffe_files.caffe_input(pictures))
  return torch_nets.to_nhwc(scores)


def our_scores(weights, pictures):
  x = pictures.astype(np.float32) - np.asarray(weights.mean, np.float32)
  model = weights.create_model()
  return np.asarray(model.apply({"params": weights.params}, x)[0])


def load(path) -> Weights:
  return foreign.to_weights(caffe.read(path))


@pytest.mark.parametrize("network", FILES)
def test_scores_are_caffes(tmp_path, network):
  net_options, layer_options, file_options = FILES[network]
  net = make_net(network, **net_options)
  data = encode(layers_of(net, **layer_options), **file_options)
  weights = load_weights(write(tmp_path, data))
  assert (weights.network, weights.pool) == (network, "ceil")
  assert (weights.width, weights.num_outputs) == (1 / 16, 7)
  assert weights.crop_size == net_options.get("crop_size", 32)
  assert weights.card.get("lrn", "") == (
    "krizhevsky" if network == "A-LRN" else ""
  )
  pictures = images()
  wanted = caffe_scores(net, pictures)
  assert wanted.shape[1:3] == ((2, 3) if "crop_size" in net_options else (3, 4))
  assert np.ptp(wanted, axis=(0, 1, 2)).max() > 0.1 * np.abs(wanted).max()
  found = our_scores(weights, pictures)
  assert found.shape == wanted.shape
  assert difference(found, wanted) < 1e-4


def test_each_slip_would_be_noticed(tmp_path):
  net = make_net("D", crop_size=64)
  found = caffe.read(write(tmp_path, encode(layers_of(net))))
  assert found.bgr
  assert found.mean == (123.68, 116.779, 103.939)
  assert (found.pool, found.imagenet_order) == ("ceil", True)
  at = [layer.name for layer in found.layers].index("fc6")
  fc6 = found.layers[at]

  def with_fc6(*axes):
    kernel = dataclasses.replace(fc6.kernel, axes=axes)
    slipped = dataclasses.replace(fc6, kernel=kernel)
    return {"layers": [*found.layers[:at], slipped, *found.layers[at + 1 :]]}

  pictures = images((64, 64))
  wanted = caffe_scores(net, pictures)
  for name, changes in {
    "none": {},
    "colors": {"bgr": False},
    "no mean": {"mean": (0, 0, 0)},
    "mean reversed": {"mean": found.mean[::-1]},
    "H and W of fc6": with_fc6("O", "IWH"),
    "C last in fc6": with_fc6("O", "HWI"),
  }.items():
    weights = foreign.to_weights(dataclasses.replace(found, **changes))
    slip = difference(our_scores(weights, pictures), wanted)
    assert slip < 1e-4 if name == "none" else slip > 1e-2, (name, slip)
  odd = images((64, 77))
  floor = foreign.to_weights(dataclasses.replace(found, pool="floor"))
  assert our_scores(floor, odd).shape != caffe_scores(net, odd).shape


def test_fc6_is_an_inner_product_in_caffes_order():
  """What the files' fc6 is made from, as Caffe flattens a map."""
  net = make_net("D", crop_size=64)
  fc6 = next(a for a in layers_of(net) if a.name == "fc6")
  pictures = images((64, 64))
  with torch.no_grad():
    _, layers = net(caffe_files.caffe_input(pictures))
  flat = layers["pool5"].numpy().reshape(len(pictures), -1)
  kernel, bias = fc6.blobs
  wanted = np.maximum(flat @ kernel.T + bias, 0)
  assert difference(layers["fc6"].numpy()[:, :, 0, 0], wanted) < 1e-5


@pytest.mark.parametrize("layout", ["new", "V1", "V0"])
@pytest.mark.parametrize("shapes", ["legacy", "new"])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_every_layout(tmp_path, layout, shapes, double, packed):
  net = tiny_net()
  for fc in ("inner", "conv"):
    # Names of all lengths: the numbers start at any byte.
    for name in ("", "ab", "abc", "abcd", "abcde"):
      data = encode(
        layers_of(net, fc=fc),
        layout,
        shapes=shapes,
        double=double,
        packed=packed,
        name=name,
      )
      weights = load(write(tmp_path, data))
      assert_params(weights.params, caffe_files.expected_params(net))
      assert weights.card == {"layout": "Caffe", "name": name}


def test_doubles_win_and_legacy_shapes_win(tmp_path):
  proto = messages()
  net = proto.NetParameter.FromString(encode(layers_of(tiny_net())))
  blob = next(a for a in net.layer if a.name == "conv1_1").blobs[0]
  values = list(blob.data)
  blob.double_data.extend(values)
  blob.data[:] = [7.0] * 3
  blob.shape.dim.extend([5, 5, 5])
  weights = load(write(tmp_path, net.SerializeToString()))
  assert_params(weights.params, caffe_files.expected_params(tiny_net()))
  # Any of the four suffices, and the others are then 0.
  blob.ClearField("num")
  with pytest.raises(InputError, match=r"conv1_1 has a blob of shape \[0, 3"):
    caffe.read(write(tmp_path, net.SerializeToString()))


def test_several_chunks_and_unknown_fields(tmp_path):
  """Packed and single floats in turn, among fields that no one knows."""
  packed, single = messages(), messages(packed=False)
  net = packed.NetParameter.FromString(encode(layers_of(tiny_net())))
  # Field 999 as a number, 998 as text, 997 and 996 of fixed sizes.
  unknown = b"\xb8\x3e\x07\xb2\x3e\x02\x08\x01"
  unknown += b"\xad\x3eabcd\xad\x3eefgh\xa1\x3eabcdefgh"
  parts = [unknown]
  for layer in net.layer:
    blobs = b""
    for blob in layer.blobs:
      values = list(blob.data)
      blob.ClearField("data")
      body = blob.SerializeToString()
      for start in range(0, len(values), 100):
        proto = packed if start % 200 else single
        chunk = proto.BlobProto(data=values[start : start + 100])
        body += chunk.SerializeToString() + unknown
      blobs += b"\x3a" + varint(len(body)) + body
    layer.ClearField("blobs")
    body = blobs + unknown + layer.SerializeToString()
    parts += [b"\xa2\x06" + varint(len(body)) + body, unknown]
  weights = load(write(tmp_path, b"".join(parts)))
  assert_params(weights.params, caffe_files.expected_params(tiny_net()))


def varint(number):
  result = b""
  while number >= 128:
    result += bytes([number % 128 + 128])
    number //= 128
  return result + bytes([number])


@pytest.mark.parametrize("lrn", ["krizhevsky", "caffe"])
@pytest.mark.parametrize("layout", ["new", "V1", "V0"])
def test_constants_of_the_normalization(tmp_path, lrn, layout):
  make = {
    "krizhevsky": torch_nets.krizhevsky_lrn,
    "caffe": torch_nets.caffe_lrn,
  }
  net = make_net("A-LRN", lrn=make[lrn])
  path = write(tmp_path, encode(layers_of(net), layout))
  weights = load(path)
  assert weights.network == "A-LRN"
  assert weights.card["lrn"] == lrn
  if layout == "new":
    pictures = images((37, 45))
    wanted = caffe_scores(net, pictures)
    assert difference(our_scores(weights, pictures), wanted) < 1e-4
    (other,) = {"krizhevsky", "caffe"} - {lrn}
    slipped = dataclasses.replace(caffe.read(path), lrn=other)
    found = our_scores(foreign.to_weights(slipped), pictures)
    assert difference(found, wanted) > 1e-2


def test_rounding_down_is_read(tmp_path):
  net = make_net("A", ceil_mode=False)
  weights = load(write(tmp_path, encode(layers_of(net))))
  assert weights.pool == "floor"
  pictures = images((45, 71))
  wanted = caffe_scores(net, pictures)
  found = our_scores(weights, pictures)
  assert found.shape == wanted.shape == (2, 1, 2, 7)
  assert difference(found, wanted) < 1e-4


def test_options_of_both_sides(tmp_path):
  """As cuDNN's users write them, and as lists of two."""
  layers = layers_of(tiny_net(), fc="conv")
  for layer in layers:
    if layer.type == "Pooling":
      layer.options = {"kernel_h": 2, "kernel_w": 2, "stride_h": 2}
      layer.options |= {"stride_w": 2, "pad_h": 0}
    elif layer.name == "conv1_1":
      layer.options = {"pad_h": 2, "pad_w": 2, "stride_h": 1, "stride_w": 1}
    elif layer.type == "Convolution":
      layer.options = {"pad": layer.options["pad"] * 2, "stride": [1, 1]}
  weights = load(write(tmp_path, encode(layers)))
  assert_params(weights.params, caffe_files.expected_params(tiny_net()))


def test_feature_nets(tmp_path):
  """Nets without FC layers, with or without the last pooling."""
  layers = layers_of(tiny_net())
  names = [layer.name for layer in layers]
  for last in ("pool5", "relu5_1"):
    part = layers[: names.index(last) + 1]
    weights = load(write(tmp_path, encode(part, "V1")))
    assert (weights.network, weights.num_outputs) == ("B-shallow", 0)
    wanted = caffe_files.expected_params(tiny_net())
    wanted = {k: v for k, v in wanted.items() if k.startswith("conv")}
    assert_params(weights.params, wanted)


def test_class_names_are_imagenets_where_there_are_1000(tmp_path):
  net = make_net("B-shallow", width=1 / 64, num_outputs=1000)
  weights = load_weights(write(tmp_path, encode(layers_of(net))))
  assert weights.class_names[0] == "n01440764"
  assert len(weights.class_names) == 1000


@pytest.mark.parametrize("options", [{}, {"double": True}, {"packed": False}])
def test_the_file_stays_on_the_disk(tmp_path, options):
  """A net of 44 MB, twice that in double precision."""
  net = make_net("A", width=1 / 4, crop_size=256)
  data = encode(layers_of(net), "V1", **options)
  path = write(tmp_path, data)
  assert len(data) > 40e6
  del data
  tracemalloc.start()
  try:
    found = caffe.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    weights = foreign.to_weights(found)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert_params(weights.params, caffe_files.expected_params(net))
  size = sum(a.nbytes for p in weights.params.values() for a in p.values())
  # A part of fc6 at a time, and which of its numbers are finite.
  part = 4 * foreign.CHUNK
  assert peak < size + (1.6 if "double" in options else 0.5) * part
