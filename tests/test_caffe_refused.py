"""Nets in Caffe's files that are none of the paper's."""

import numpy as np
import pytest
from caffe_files import (
  Layer,
  assert_params,
  encode,
  expected_params,
  layers_of,
  tiny_net,
  write,
)

from vggjax.errors import InputError
from vggjax.weights import caffe
from vggjax.weights.load import load_weights


def edit(name, blobs=list, **options):
  """A change of one layer's options, or of its blobs."""

  def apply(layers):
    layer = next(a for a in layers if a.name == name)
    layer.blobs = blobs(layer.blobs)
    layer.options |= options

  return apply


def insert(before, layer):
  def apply(layers):
    names = [a.name for a in layers]
    layers.insert(names.index(before), layer)

  return apply


ONES = np.ones(64, np.float32)
REFUSED = {
  "stride": (edit("conv1_1", stride=[4]), "conv1_1 has stride 4; .* have 1$"),
  "stride of one side": (edit("conv2_1", stride_h=2), "stride 1, 2; .* have 1"),
  "group": (edit("conv2_1", group=2), "conv2_1 has group 2"),
  "dilation": (edit("conv5_1", dilation=[2]), "conv5_1 has dilation 2"),
  "padded by 100": (edit("conv1_1", pad=[100]), "pad 100; .* have 2$"),
  "not padded": (edit("conv3_1", pad=[0]), "conv3_1 has pad 0; .* have 2$"),
  "average": (edit("pool2", pool=1), "pool2 does not take the maximum"),
  "large pool": (edit("pool2", kernel_size=3), "pool2 has kernel_size 3"),
  "slow pool": (edit("pool2", stride=1), "pool2 has stride 1"),
  "padded pool": (edit("pool2", pad=1), "pool2 has pad 1"),
  "global": (edit("pool5", global_pooling=True), "pool5 has global_pooling 1"),
  "roundings": (edit("pool5", round_mode=1), "rounds odd sides up in one"),
  "leaky": (edit("relu6", negative_slope=0.1), "relu6 has negative_slope 0.1"),
  "axis": (edit("fc6", axis=2), "fc6 has axis 2"),
  "no bias": (edit("fc6", blobs=lambda a: a[:1]), "fc6 has weights in 1 blobs"),
  "no blobs": (
    edit("conv1_1", blobs=lambda a: []),
    "conv1_1 has weights in 0 b",
  ),
  "three blobs": (
    edit("fc6", blobs=lambda a: [*a, ONES]),
    "fc6 has weights in 3",
  ),
  "short bias": (
    edit("conv5_1", blobs=lambda a: [a[0], a[1][:-1]]),
    "conv5_1 has 8 output channels and a bias of 7",
  ),
  "swapped blobs": (
    edit("conv2_1", blobs=lambda a: a[::-1]),
    r"conv2_1 has a kernel of shape \[1, 1, 1, 2\]|square|does not fit",
  ),
  "no square": (
    edit("conv2_1", blobs=lambda a: [a[0][:, :, :3], a[1]]),
    r"conv2_1 has a kernel of shape \[2, 1, 3, 5\]; .* square",
  ),
  "fc6 of four axes": (
    edit("fc6", blobs=lambda a: [a[0].reshape(64, 8, 1, 1), a[1]]),
    r"fc6 has a kernel of shape \[64, 8, 1, 1\]; it must have 2 axes",
  ),
  "transposed by mistake": (
    edit("fc6", transpose=True),
    r"fc6 has a kernel of shape \[64, 8\], which does not fit 8",
  ),
  "NaN": (
    edit("fc7", blobs=lambda a: [a[0] * np.nan, a[1]]),
    "fc7's kernel holds nan",
  ),
  "batch normalization": (
    insert("relu1_1", Layer("bn1", "BatchNorm", {}, [ONES])),
    "bn1 is a layer of type (BatchNorm|number 100|bn), which",
  ),
  "another function": (
    insert("pool3", Layer("tanh3", "TanH")),
    "tanh3 is a layer of type",
  ),
  "another pooling": (
    insert(
      "conv1_1", Layer("pool0", "Pooling", {"kernel_size": 2, "stride": 2})
    ),
    "its layers are pool conv pool .* in this order",
  ),
  "a normalization": (
    insert("pool1", Layer("norm", "LRN", {"k": 2, "alpha": 5e-4})),
    "its layers are conv lrn pool .* in this order",
  ),
  "constants": (
    edit("norm1", k=2, alpha=1e-4),
    "norm1 normalizes with k = 2, alpha = 0.0001; known are k = 2.0, alpha = "
    "0.0005 and k = 1.0, alpha = 0.0001",
  ),
  "other constants": (
    edit("norm1", k=1, alpha=5e-4),
    "norm1 normalizes with k = 1, alpha = 0.0005;",
  ),
  "beta": (edit("norm1", beta=0.5), "norm1 has beta 0.5;"),
  "three channels": (edit("norm1", local_size=3), "norm1 has local_size 3"),
  "within a channel": (
    edit("norm1", norm_region=1),
    "norm1 does not normalize across channels",
  ),
  "another layer": (
    insert("prob", Layer("fc9", "InnerProduct", {}, [np.eye(2), ONES[:2]])),
    "its layers are .* fc6 fc7 fc8 fc9; none of the networks",
  ),
  "no layer with weights": (
    lambda layers: layers.__delitem__(slice(1, -1)),
    "holds no layer with weights",
  ),
}
# What V0 files cannot say.
NEW_OPTIONS = {"stride of one side", "dilation", "global", "roundings", "leaky"}
NEW_OPTIONS |= {"axis", "transposed by mistake", "within a channel"}


CASES = [
  (change, layout)
  for change in REFUSED
  for layout in ("new", "V1", "V0")
  if layout != "V0" or change not in NEW_OPTIONS
]


@pytest.mark.parametrize(("change", "layout"), CASES)
def test_other_nets_are_refused(tmp_path, change, layout):
  apply, message = REFUSED[change]
  layers = layers_of(tiny_net("A-LRN" if "norm1 " in message else "B-shallow"))
  apply(layers)
  path = write(tmp_path, encode(layers, layout))
  with pytest.raises(InputError, match=message) as caught:
    load_weights(path)
  text = str(caught.value)
  assert text.startswith(f"{path}: ")
  assert "\n" not in text


def test_the_unchanged_net_is_not_refused(tmp_path):
  for layout in ("new", "V1", "V0"):
    for network in ("B-shallow", "A-LRN"):
      net = tiny_net(network)
      path = write(tmp_path, encode(layers_of(net), layout))
      assert_params(load_weights(path).params, expected_params(net))


def test_layers_of_two_layouts(tmp_path):
  layers = layers_of(tiny_net())
  both = encode(layers, "V1") + encode(layers)
  with pytest.raises(InputError, match="layers of the old and of the new"):
    caffe.read(write(tmp_path, both))


def test_a_name_of_many_lines(tmp_path):
  """Messages stay one line, whatever a layer is called."""
  layers = layers_of(tiny_net())
  layers[1].name = "a\nb\x1b[31m" + "c" * 10_000
  layers[1].blobs.pop()
  with pytest.raises(
    InputError, match=r"^a\?b\?\[31mc+ has weights in 1 blobs"
  ) as caught:
    caffe.read(write(tmp_path, encode(layers)))
  assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
  ("name", "side", "pad", "message"),
  [
    ("fc6", 3, 1, "fc6 has pad 1; the paper's networks have 0"),
    ("fc7", 3, 0, "fc7 has a kernel of 3x3; the paper's fc7 has 1x1"),
    ("fc8", 2, 0, "fc8 has a kernel of 2x2; the paper's fc8 has 1x1"),
  ],
)
def test_fc_layers_that_are_convolutions(tmp_path, name, side, pad, message):
  layers = layers_of(tiny_net(), fc="conv")
  layer = next(a for a in layers if a.name == name)
  layer.options |= {"pad": [pad], "kernel_size": [side]}
  layer.blobs[0] = np.tile(layer.blobs[0], (1, 1, side, side))
  with pytest.raises(InputError, match=message):
    caffe.read(write(tmp_path, encode(layers)))
