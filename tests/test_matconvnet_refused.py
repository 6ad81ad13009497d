"""MatConvNet's nets that are not the paper's: each is refused in one line."""

import copy
import re

import numpy as np
import pytest
from mat_files import WRITERS
from matconvnet_files import SMALL, dag_net, make_net, refusal, small_net


def layer(name, **fields):
  """A change of a net: a layer's fields, or without those of None."""

  def change(net):
    found = next(item for item in net["layers"] if item["name"] == name)
    found.update(fields)
    for field in [field for field, value in fields.items() if value is None]:
      del found[field]

  return change


def insert(before, **fields):
  def change(net):
    names = [item["name"] for item in net["layers"]]
    net["layers"].insert(names.index(before), fields)

  return change


def weights(name, **parts):
  def change(net):
    found = next(item for item in net["layers"] if item["name"] == name)
    for part, new in parts.items():
      found["weights"][("kernel", "bias").index(part)] = new

  return change


def with_value(name, value):
  """A change of one number of a kernel."""

  def change(net):
    found = next(item for item in net["layers"] if item["name"] == name)
    found["weights"][0] = found["weights"][0].copy()
    found["weights"][0].flat[3] = value

  return change


def normalization(**fields):
  return lambda net: net["meta"]["normalization"].update(fields)


def classes(**fields):
  return lambda net: net["meta"].update(classes=fields)


ONES = np.ones((3, 3, 1, 2), np.float32)
EIGHT = np.ones((8, 1), np.float32)
REFUSED = {
  "stride": (layer("conv1_1", stride=2.0), "conv1_1 has stride 2 2; .* have 1"),
  "dilation": (layer("conv4_1", dilate=2.0), "conv4_1 has dilate 2 2"),
  "no padding": (
    layer("conv2_1", pad=None),
    "conv2_1 has pad 0 0 0 0; the paper's networks have 1$",
  ),
  "oblique padding": (
    layer("conv2_1", pad=np.array([[1.0, 1, 1, 0]])),
    "conv2_1 has pad 1 1 1 0",
  ),
  "padding of three": (
    layer("conv2_1", pad=np.ones((1, 3))),
    "conv2_1 has 3 numbers for its pad",
  ),
  "padded FC": (layer("fc6", pad=1.0), "fc6 has pad 1 1 1 1; .* have 0$"),
  "pad of text": (layer("fc6", pad="same"), "pad is the text 'same' and not"),
  "average": (layer("pool1", method="avg"), "pool1 does not take the maximum"),
  "large pool": (layer("pool1", pool=3.0), "pool1 has pool 3 3; .* have 2$"),
  "no pool": (layer("pool1", pool=None), "pool1 has pool 1 1"),
  "slow pool": (layer("pool1", stride=1.0), "pool1 has stride 1 1"),
  "padded pool": (layer("pool1", pad=1.0), "pool1 has pad 1 1 1 1; known are"),
  "pool padded at the sides": (
    layer("pool1", pad=np.array([[0.0, 1.0]])),
    "pool1 has pad 0 0 1 1; known are 0 0 0 0 and 0 1 0 1",
  ),
  "two roundings": (layer("pool2", pad=0.0), "odd sides up in one pooling"),
  "leaky": (layer("relu3_1", leak=0.1), "relu3_1 has leak 0.1 0.1"),
  "batch normalization": (
    insert("relu2_1", name="bn", type="bnorm", weights=[EIGHT, EIGHT, EIGHT]),
    r"conv relu pool conv bnorm .*; merge batch normalization",
  ),
  "two normalizations": (
    insert("conv2_1", name="norm", type="lrn"),
    "conv relu pool lrn conv .* has them in this order",
  ),
  "normalization": (
    insert("pool1", name="norm", type="lrn", param=np.array([5, 1, 1, 0.5])),
    "norm has param 5 1 1 0.5; known are 5 2 0.0001 0.75 and 5 1 2e-05 0.75",
  ),
  "sigmoid": (layer("relu6", type="sigmoid"), "sigmoid .* in this order"),
  "type of control characters": (layer("relu6", type="a\n\x1b"), r"a\?\?"),
  "no type": (layer("relu6", type=None), "relu6 lacks type"),
  "without a kernel": (layer("fc7", weights=None), "fc7 lacks filters"),
  "without a bias": (weights("fc7", bias=[]), "fc7 must have a kernel and a"),
  "weights of text": (layer("fc7", weights="x"), "fc7's weights is the text"),
  "kernel of a cell": (weights("fc7", kernel=["x"]), "array of 1 and not numb"),
  "kernel of a struct": (weights("fc7", kernel={"x": "x"}), "a struct and not"),
  "few axes": (
    weights("conv2_1", kernel=ONES[0]),
    "conv2_1 has 1 output channels, and its bias is an array of 2 x 1",
  ),
  "many axes": (
    weights("conv2_1", kernel=ONES[..., None] * np.ones(2, np.float32)),
    "conv2_1's kernel is an array of 3 x 3 x 1 x 2 x 2, not of 4 axes",
  ),
  "oblong": (weights("conv2_1", kernel=ONES[:, 1:]), "which is not square"),
  "other channels": (
    weights("conv2_1", kernel=np.repeat(ONES, 2, 2)),
    "does not fit 1 input channels",
  ),
  "short bias": (
    weights("fc7", bias=EIGHT),
    "64 output channels, and its bias",
  ),
  "large fc7": (
    weights("fc7", kernel=np.ones((2, 2, 64, 64), np.float32)),
    "fc7's kernel is an array of 2 x 2 x 64 x 64; fc7's is of 1 x 1",
  ),
  "NaN": (with_value("fc7", np.nan), "fc7's kernel holds nan"),
  "infinity": (with_value("conv3_2", np.inf), "conv3_2's kernel holds inf"),
  "gray mean": (normalization(averageImage=np.ones((9, 9))), "be of 3 colors"),
  "mean of a text": (normalization(averageImage="x"), "the text 'x' and not"),
  "mean of NaN": (
    normalization(averageImage=np.full((1, 1, 3), np.nan)),
    "averageImage is not all finite",
  ),
  "mean image of NaN": (
    normalization(averageImage=np.full((4, 4, 3), np.nan)),
    "averageImage is not all finite",
  ),
  "no mean": (
    lambda net: net["meta"].pop("normalization"),
    "mean must be 3 numbers",
  ),
  "no meta": (lambda net: net.pop("meta"), "mean must be 3 numbers"),
  "meta of text": (lambda net: net.update(meta="x"), "meta is the text 'x'"),
  "few names": (classes(name=["x"]), "names 1 classes and has 2 outputs"),
  "names of numbers": (classes(name=[1.0, 2.0]), "classes.name is an array of"),
  "names of a text": (
    classes(name="x"),
    "classes.name is the text 'x' and not",
  ),
  "no layers": (lambda net: net.update(layers=[]), "its layers are none; none"),
  "1001 layers": (
    lambda net: net.update(layers=[{"type": "relu"}] * 1001),
    "it has 1001 layers",
  ),
  "layers of numbers": (
    lambda net: net.update(layers=np.ones((2, 2))),
    "layers is an array of 2 x 2 and not a cell array",
  ),
  "a layer of a text": (
    lambda net: net.update(layers=["conv"]),
    "layer 1 is the text 'conv' and not a struct",
  ),
  "no net": (lambda net: net.pop("layers"), "no variable `layers` or `net`"),
  "net of a text": (
    lambda net: (net.clear(), net.update(net="x")),
    "net is the text 'x' and not a struct",
  ),
  "net without layers": (
    lambda net: (net.clear(), net.update(net={"meta": 1.0})),
    "net lacks layers",
  ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_nets_are_refused(tmp_path, case):
  change, message = REFUSED[case]
  net = copy.deepcopy(small_net())
  change(net)
  for form, write in WRITERS.items():
    write(tmp_path / form, net)
    found = refusal(tmp_path / form)
    assert re.search(message, found), (form, found)


def dag_layer(index, **fields):
  return lambda net: net["layers"][index].update(fields)


REFUSED_DAGS = {
  "branch": (dag_layer(4, inputs=["x1"]), "its layers are no chain at relu2_1"),
  "sum": (dag_layer(4, inputs=["x4", "x1"]), "no chain at relu2_1"),
  "unknown": (dag_layer(4, type="dagnn.Sigmoid"), "pool conv dagnn.Sigmoid"),
  "no parameter": (dag_layer(3, params=["x"]), "params lacks x"),
  "no params": (lambda net: net.pop("params"), "net lacks params"),
  "block": (dag_layer(0, block="x"), "conv1_1's block is the text 'x'"),
  "batch normalization": (
    dag_layer(4, type="dagnn.BatchNorm"),
    "merge batch normalization",
  ),
}


@pytest.mark.parametrize("case", REFUSED_DAGS)
def test_other_graphs_are_refused(tmp_path, case):
  change, message = REFUSED_DAGS[case]
  net = dag_net(make_net("A", **SMALL)[1])
  change(net)
  for form, write in WRITERS.items():
    write(tmp_path / form, net)
    assert message in refusal(tmp_path / form)
