"""The networks against PyTorch and Table 2 (Sect. 2)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_nets import (
  SMALL,
  TorchVGG,
  assert_close,
  random_images,
  small_params,
  to_nchw,
  to_nhwc,
  torch,
  torch_net,
)

import vggjax
from vggjax import geometry
from vggjax.models import parameters, vgg

pytestmark = pytest.mark.usefixtures("quick_compile")

NETWORKS = ("A", "A-LRN", "B", "B-shallow", "C", "D", "E")
ODD_SIZE = (45, 67)


class TestTables:
  @pytest.mark.parametrize(
    ("network", "count", "gmacs"),
    [
      ("A", 132_863_336, 7.61),
      ("A-LRN", 132_863_336, 7.61),
      ("B", 133_047_848, 11.31),
      ("B-shallow", 134_503_528, 9.36),
      ("C", 133_638_952, 11.77),
      ("D", 138_357_544, 15.47),
      ("E", 143_667_240, 19.63),
    ],
  )
  def test_counts_at_full_size(self, network, count, gmacs):
    model = vggjax.create_model(network)
    assert parameters.count_parameters(model) == count
    assert round(parameters.count_macs(model, 224, 224) / 1e9, 2) == gmacs

  @pytest.mark.parametrize("pool", ["ceil", "floor"])
  @pytest.mark.parametrize("network", ["A-LRN", "B-shallow", "C"])
  def test_counts_equal_torch_on_an_odd_image(self, network, pool):
    net = torch_net(network, small_params(network), pool)
    macs = 0

    def count(module, _, output):
      nonlocal macs
      macs += module.weight.numel() * output.shape[2] * output.shape[3]

    for name, module in net.layers:
      if name.startswith(("conv", "fc")):
        module.register_forward_hook(count)
    net(torch.zeros(1, 3, *ODD_SIZE))
    model = vggjax.create_model(network, **SMALL, pool=pool)
    assert parameters.count_macs(model, *ODD_SIZE) == macs
    assert parameters.count_parameters(model) == sum(
      p.numel() for p in net.parameters()
    )

  def test_networks(self):
    assert vggjax.NETWORKS == NETWORKS
    assert "NETWORKS" in vggjax.__all__

  @pytest.mark.parametrize("network", NETWORKS)
  def test_layers_and_kernels(self, network):
    net = TorchVGG(network, num_outputs=1000)
    shapes = parameters.param_shapes(vggjax.create_model(network))
    for name, module in net.layers:
      if hasattr(module, "weight"):
        out, channels, *sides = module.weight.shape
        layer = shapes.pop(name)
        assert layer["kernel"].shape == (*sides, channels, out)
        assert layer["bias"].shape == (out,)
    assert not shapes
    names = [layer.name for layer in vgg.block_layers(network)]
    assert names == [n for n, _ in net.layers if not n.startswith("fc")]

  def test_weight_layers_as_the_paper_counts(self):
    wanted = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}
    for network, number in wanted.items():
      model = vggjax.create_model(network)
      assert len(parameters.param_shapes(model)) == number


CASES = [
  (network, pool, "krizhevsky", size)
  for network in NETWORKS
  for pool, size in (("ceil", ODD_SIZE), ("floor", (67, 45)))
] + [("A-LRN", "ceil", "caffe", (33, 32))]


@pytest.mark.parametrize(("network", "pool", "lrn", "size"), CASES)
def test_layers_and_gradients_equal_torch(network, pool, lrn, size):
  _compare_with_torch(network, pool, lrn, size, np.float32, 1e-4)


def test_float64_equals_torch_in_double():
  with jax.enable_x64(True):
    _compare_with_torch(
      "A-LRN", "ceil", "krizhevsky", ODD_SIZE, np.float64, 1e-10
    )


def _compare_with_torch(network, pool, lrn, size, dtype, tolerance):
  params = small_params(network, dtype=dtype)
  net = torch_net(network, params, pool, lrn)
  model = vggjax.create_model(network, **SMALL, pool=pool, lrn=lrn, dtype=dtype)
  x = random_images(2, *size).astype(dtype)
  weights = np.random.default_rng(1).normal(size=(2, SMALL["num_outputs"]))
  weights = weights.astype(dtype)

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def gradient(params):
    scores, outputs = model.apply({"params": params}, x)
    loss = jnp.sum(jnp.mean(scores, axis=(1, 2)) * weights)
    return loss, (scores, outputs)

  grads, (scores, outputs) = gradient(params)
  wanted_scores, wanted_outputs = net(to_nchw(x))
  torch.sum(
    torch.mean(wanted_scores, dim=(2, 3)) * torch.from_numpy(weights)
  ).backward()

  assert scores.dtype == dtype
  assert_close(scores, to_nhwc(wanted_scores), tolerance, "scores")
  assert set(outputs) == set(wanted_outputs)
  for name, output in outputs.items():
    assert output.dtype == dtype, name
    assert_close(output, to_nhwc(wanted_outputs[name]), tolerance, name)
  for name, layer in net.gradients().items():
    for key, wanted in layer.items():
      assert grads[name][key].dtype == dtype
      assert_close(grads[name][key], wanted, tolerance, f"{name} {key}")


def test_a_crop_gives_one_position():
  model = vggjax.create_model("A", num_outputs=5, width=1 / 64)
  x = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
  params = parameters.param_shapes(model)
  scores, outputs = jax.eval_shape(
    lambda p, x: model.apply({"params": p}, x), params, x
  )
  assert scores.shape == (2, 1, 1, 5)
  assert outputs["pool5"].shape == (2, 7, 7, 8)
  assert params["fc6"]["kernel"].shape == (7, 7, 8, 64)


def test_bfloat16_keeps_float32_parameters_and_approximates():
  params = small_params("A")
  x = random_images(2, 48, 64)
  model = vggjax.create_model("A", **SMALL, dtype=jnp.bfloat16)
  fresh = parameters.param_shapes(model)
  assert {a.dtype for a in jax.tree.leaves(fresh)} == {np.dtype("float32")}
  scores, outputs = jax.jit(model.apply)({"params": params}, x)
  assert scores.dtype == np.float32
  assert {a.dtype for a in outputs.values()} == {jnp.dtype("bfloat16")}
  wanted, _ = torch_net("A", params)(to_nchw(x))
  assert_close(scores, to_nhwc(wanted), 0.1, "scores")
  with pytest.raises(AssertionError, match="of the largest value"):
    assert_close(scores, to_nhwc(wanted), 1e-4, "scores")  # Not float32.


@pytest.mark.parametrize("pool", ["ceil", "floor"])
def test_after_and_until_a_layer(pool):
  """Two parts give what the whole gives, in a padded batch."""
  model = vggjax.create_model("B", **SMALL, pool=pool)
  variables = {"params": small_params("B")}
  x, sizes = random_images(2, 45, 66), np.array([[45, 50], [40, 66]])
  scores, wanted = model.apply(variables, x, sizes)
  none, first = model.apply(variables, x, sizes, until="pool1")
  assert none is None
  assert list(first) == ["conv1_1", "conv1_2", "pool1"]
  pooled = geometry.pooled_size(sizes, pool, num_pools=1)
  found, rest = model.apply(variables, first["pool1"], pooled, after="pool1")
  assert list(rest) == [name for name in wanted if name not in first]
  np.testing.assert_allclose(found, scores, atol=1e-5)
  _, middle = model.apply(
    variables, first["conv1_1"], sizes, after="conv1_1", until="conv2_1"
  )
  assert list(middle) == ["conv1_2", "pool1", "conv2_1"]
  assert_close(middle["conv2_1"], wanted["conv2_1"], 1e-6)
