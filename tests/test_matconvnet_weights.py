"""MatConvNet's files in all their layouts, against torch's forward pass."""

import foreign_nets
import mat_files
import matconvnet_files
import numpy as np
import pytest
import scipy.io
import torch_nets
from foreign_nets import difference, our_scores
from mat_bytes import ALL_WRITERS
from mat_files import WRITERS
from matconvnet_files import (
  CEIL_PAD,
  MEAN,
  NO_PAD,
  WNIDS,
  WORDS,
  dag_net,
  make_net,
  saved,
  simple_net,
)

import vggjax
from vggjax.errors import InputError
from vggjax.weights import foreign, matconvnet
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")
NETWORKS = ("A", "B", "C", "D", "E")


def assert_params(weights, params):
  """Every bit is the same."""
  assert set(weights.params) == set(params)
  for name, layer in params.items():
    for kind, wanted in layer.items():
      found = weights.params[name][kind]
      assert found.dtype == np.float32
      np.testing.assert_array_equal(found, wanted, err_msg=f"{name} {kind}")


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_scores_are_torchs(tmp_path, network, form):
  crop_size = {"v6": 32}.get(form, 64)
  net, params = make_net(network, crop_size=crop_size)
  weights = saved(tmp_path / "weights", simple_net(params), form)
  assert weights.network == network
  assert (weights.width, weights.num_outputs) == (1 / 16, 7)
  assert (weights.crop_size, weights.pool) == (crop_size, "ceil")
  assert weights.mean == MEAN
  assert weights.card == {"layout": "MatConvNet"}
  assert_params(weights, params)
  images = foreign_nets.crops(side=crop_size)
  wanted = matconvnet_files.scores(net, images)
  # The images differ, so that the scores can be wrong.
  assert np.ptp(wanted, axis=0).max() > 0.1 * np.abs(wanted).max()
  assert difference(our_scores(weights, images), wanted) < 1e-4


def test_each_slip_would_be_noticed(tmp_path):
  """What the test above compares moves by 20 times its tolerance."""
  net, params = make_net("A")
  images = foreign_nets.crops()
  wanted = matconvnet_files.scores(net, images)
  first = params["conv1_1"]
  slips = {
    "transposed kernels": {
      n: {**layer, "kernel": layer["kernel"].swapaxes(0, 1)}
      for n, layer in params.items()
    },
    "transposed fc6": {
      **params,
      "fc6": {
        **params["fc6"],
        "kernel": params["fc6"]["kernel"].swapaxes(0, 1),
      },
    },
    "BGR": {
      **params,
      "conv1_1": {**first, "kernel": first["kernel"][:, :, ::-1]},
    },
    "swapped channels": {
      **params,
      "fc7": {**params["fc7"], "kernel": params["fc7"]["kernel"].mT},
    },
    "no bias": {**params, "conv1_1": {**first, "bias": 0 * first["bias"]}},
  }
  for name, slipped in slips.items():
    weights = saved(tmp_path / "slip", simple_net(slipped))
    assert difference(our_scores(weights, images), wanted) > 2e-3, name
  for mean in (MEAN[::-1], foreign.VGG_MEAN, (0, 0, 0)):
    other = matconvnet_files.scores(net, images, mean)
    assert difference(other, wanted) > 2e-3, mean


LAYOUTS = {
  "beta8": lambda p, **o: simple_net(p, layout="beta8", **o),
  "beta16": lambda p, **o: simple_net(p, layout="beta16", **o),
  "new": simple_net,
  "net": lambda p, **o: {"net": simple_net(p, **o), "state": {"momentum": []}},
  "old net": lambda p, **o: {"net": simple_net(p, layout="beta8", **o)},
  "dag": dag_net,
  "dag in net": lambda p, **o: {"net": dag_net(p, **o)},
}


@pytest.mark.parametrize("form", ALL_WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout, form):
  _, params = make_net("A")
  classes = {"name": WNIDS, "description": WORDS}
  net = LAYOUTS[layout](params, classes=classes, pool_pad=NO_PAD)
  weights = saved(tmp_path / "x.mat", net, form)
  assert_params(weights, params)
  assert weights.network == "A"
  assert weights.class_names == tuple(WNIDS)
  np.testing.assert_allclose(weights.mean, MEAN)
  assert weights.pool == "floor"


def test_files_that_scipy_read_and_saved_again(tmp_path):
  _, params = make_net("A")
  net = simple_net(params, classes={"name": WNIDS})
  mat_files.write_v6(tmp_path / "a.mat", net)
  # Structs in arrays of objects.
  found = scipy.io.loadmat(tmp_path / "a.mat")
  scipy.io.savemat(tmp_path / "b.mat", {k: found[k] for k in net})
  weights = load_weights(tmp_path / "b.mat")
  assert_params(weights, params)
  assert weights.mean == MEAN
  assert weights.class_names == tuple(WNIDS)
  # Squeezed, kernels of 1 x 1 have lost the axes that tell.
  found = scipy.io.loadmat(tmp_path / "a.mat", squeeze_me=True)
  scipy.io.savemat(tmp_path / "b.mat", {k: found[k] for k in net})
  with pytest.raises(InputError, match="fc7 has 1 output channels"):
    load_weights(tmp_path / "b.mat")


@pytest.mark.parametrize("form", WRITERS)
def test_axes_that_matlab_drops(tmp_path, form):
  _, params = make_net("A", num_outputs=1, crop_size=32, width=1 / 64)
  net = simple_net(params)
  assert net["layers"][0]["weights"][0].ndim == 3
  weights = saved(tmp_path / "x.mat", net, form)
  assert (weights.num_outputs, weights.width) == (1, 1 / 64)
  assert_params(weights, params)


@pytest.mark.parametrize(
  ("pad", "pool"), [(CEIL_PAD, "ceil"), (NO_PAD, "floor"), ([0], "floor")]
)
def test_odd_sides(tmp_path, pad, pool):
  small = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32}
  model = vggjax.create_model("D", **small)
  params = torch_nets.random_params(model)
  weights = saved(tmp_path / "x", simple_net(params, pool_pad=pad))
  assert weights.pool == pool
  x = torch_nets.random_images(2, 75, 101)
  ours, layers = weights.create_model().apply({"params": weights.params}, x)
  wanted, others = {
    name: torch_nets.torch_net("D", params, name)(torch_nets.to_nchw(x))
    for name in ("ceil", "floor")
  }[pool]
  wanted = torch_nets.to_nhwc(wanted)
  assert wanted.shape == ((2, 3, 4, 7) if pool == "ceil" else (2, 2, 3, 7))
  torch_nets.assert_close(ours, wanted, 1e-4)
  pool5 = torch_nets.to_nhwc(others["pool5"])
  torch_nets.assert_close(layers["pool5"], pool5, 1e-4)


@pytest.mark.parametrize(
  ("lrn", "constants"),
  [("krizhevsky", [5, 2, 1e-4, 0.75]), ("caffe", [5.0, 1.0, 2e-5, 0.75])],
)
@pytest.mark.parametrize("layout", ["new", "beta8"])
def test_response_normalization(tmp_path, lrn, constants, layout):
  model = vggjax.create_model("A-LRN", **torch_nets.SMALL)
  params = torch_nets.random_params(model)
  net = simple_net(params, lrn=constants, layout=layout)
  weights = saved(tmp_path / "x", net)
  assert (weights.network, weights.card["lrn"]) == ("A-LRN", lrn)
  x = torch_nets.random_images(2, 32, 32)
  ours, _ = weights.create_model().apply({"params": weights.params}, x)
  wanted = {
    name: torch_nets.to_nhwc(
      torch_nets.torch_net("A-LRN", params, lrn=name)(torch_nets.to_nchw(x))[0]
    )
    for name in ("krizhevsky", "caffe")
  }
  torch_nets.assert_close(ours, wanted[lrn], 1e-4)
  # The two differ by more.
  assert difference(wanted["caffe"], wanted["krizhevsky"]) > 1e-2


def test_default_options(tmp_path):
  """Those that vl_simplenn_tidy fills in."""
  _, params = make_net("C")
  net = simple_net(params)
  for layer in net["layers"]:
    is_conv = layer["type"] == "conv"
    for field in ("stride", "dilate", "leak", "method", "name", "opts"):
      if layer["type"] != "pool" or field != "stride":
        layer.pop(field, None)
    if is_conv and layer["weights"][0].shape[0] == 1:
      del layer["pad"]
    elif is_conv:
      layer["pad"] = layer["pad"][:, :1]
  weights = saved(tmp_path / "x", net)
  assert weights.network == "C"
  assert_params(weights, params)


def test_losses_after_the_scores(tmp_path):
  """What training saves."""
  _, params = make_net("A")
  net = simple_net(params)
  net["layers"][-1] = {"name": "loss", "type": "softmaxloss"}
  assert_params(saved(tmp_path / "x", {"net": net}), params)
  net = dag_net(params)
  loss = {"type": "dagnn.Loss", "params": [], "block": {"loss": "softmaxlog"}}
  scores = net["layers"].pop()["inputs"][0]
  for name in ("objective", "top1err"):
    ends = {"inputs": [scores, "label"], "outputs": [name]}
    net["layers"].append({"name": name, **loss, **ends})
  assert_params(saved(tmp_path / "x", {"net": net}), params)


@pytest.mark.parametrize("num_left_out", [0, 1, 2])
def test_without_fc_layers(tmp_path, num_left_out):
  _, params = make_net("D")
  net = simple_net(params, classes={"name": WNIDS})
  names = [layer["name"] for layer in net["layers"]]
  end = names.index("pool5") + 1 - num_left_out
  net["layers"] = net["layers"][:end]
  weights = saved(tmp_path / "x", net)
  assert (weights.network, weights.num_outputs) == ("D", 0)
  assert weights.class_names == ()
  assert_params(weights, {k: v for k, v in params.items() if "conv" in k})


def test_nothing_is_read_before_it_is_used(tmp_path):
  """The kernels of uncompressed files are views of the file."""
  _, params = make_net("A")
  for form in ("v6", "v7.3"):
    WRITERS[form](tmp_path / form, simple_net(params))
    kernel = matconvnet.read(tmp_path / form).layers[-3].kernel
    assert kernel.axes == "OIWH"
    assert not (
      isinstance(kernel.data, np.ndarray) and kernel.data.flags.owndata
    )
    wanted = params["fc6"]["kernel"].transpose(3, 2, 1, 0)[5:9]
    np.testing.assert_array_equal(kernel.data[5:9], wanted)
