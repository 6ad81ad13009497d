"""The networks against PyTorch, Table 2 and hand-made cases (Sect. 2)."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_nets import (
  TorchVGG,
  assert_close,
  caffe_lrn,
  krizhevsky_lrn,
  random_params,
  to_nchw,
  to_nhwc,
  torch,
)

import vggjax
from vggjax.errors import InputError
from vggjax.models import counts, vgg

pytestmark = pytest.mark.usefixtures("quick_compile")

NETWORKS = ("A", "A-LRN", "B", "B-shallow", "C", "D", "E")
SMALL = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32}
ODD_SIZE = (45, 67)


@functools.cache
def small_params(network, dtype=np.float32):
  model = vggjax.create_model(network, **SMALL)
  return random_params(model, dtype=dtype)


def random_images(number, height, width, seed=0):
  random = np.random.default_rng(seed)
  x = random.uniform(-120, 130, (number, height, width, 3))
  return x.astype(np.float32)


def torch_net(network, params, pool="ceil", lrn="krizhevsky", **options):
  net = TorchVGG(
    network,
    **(SMALL | options),
    ceil_mode=pool == "ceil",
    lrn={"krizhevsky": krizhevsky_lrn, "caffe": caffe_lrn}[lrn],
  )
  if params["conv1_1"]["kernel"].dtype == np.float64:
    net = net.double()
  return net.copy_weights(params)


class TestTables:
  @pytest.mark.parametrize(
    ("network", "parameters", "gmacs"),
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
  def test_counts_at_full_size(self, network, parameters, gmacs):
    model = vggjax.create_model(network)
    assert counts.count_parameters(model) == parameters
    assert round(counts.count_macs(model, 224, 224) / 1e9, 2) == gmacs

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
    assert counts.count_macs(model, *ODD_SIZE) == macs
    assert counts.count_parameters(model) == sum(
      p.numel() for p in net.parameters()
    )

  def test_networks(self):
    assert vggjax.NETWORKS == NETWORKS
    assert "NETWORKS" in vggjax.__all__

  @pytest.mark.parametrize("network", NETWORKS)
  def test_layers_and_kernels(self, network):
    net = TorchVGG(network, num_outputs=1000)
    shapes = counts.param_shapes(vggjax.create_model(network))
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
      assert len(counts.param_shapes(model)) == number


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
  params = counts.param_shapes(model)
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
  fresh = counts.param_shapes(model)
  assert {a.dtype for a in jax.tree.leaves(fresh)} == {np.dtype("float32")}
  scores, outputs = jax.jit(model.apply)({"params": params}, x)
  assert scores.dtype == np.float32
  assert {a.dtype for a in outputs.values()} == {jnp.dtype("bfloat16")}
  wanted, _ = torch_net("A", params)(to_nchw(x))
  assert_close(scores, to_nhwc(wanted), 0.1, "scores")
  with pytest.raises(AssertionError, match="of the largest value"):
    assert_close(scores, to_nhwc(wanted), 1e-4, "scores")  # Not float32.


class TestSizes:
  """A padded batch against PyTorch on each image without padding."""

  padded_size = (72, 80)

  @pytest.mark.parametrize("pool", ["ceil", "floor"])
  @given(data=st.data())
  @settings(max_examples=12, deadline=None)
  def test_padding_has_no_effect(self, pool, data):
    network = data.draw(st.sampled_from(["A-LRN", "C"]))
    side = st.tuples(*(st.integers(32, s) for s in self.padded_size))
    sizes = np.array(data.draw(st.lists(side, min_size=3, max_size=3)))
    params = small_params(network)
    clean = random_images(3, *self.padded_size, data.draw(st.integers(0, 99)))
    for image, (height, width) in zip(clean, sizes, strict=True):
      image[height:], image[:, width:] = 0, 0
    scores, outputs = jax.device_get(
      padded_forward(network, pool)(params, clean, sizes)
    )

    net = torch_net(network, params, pool)
    for n, (height, width) in enumerate(sizes):
      image = clean[n : n + 1, :height, :width]
      wanted_scores, wanted = net(to_nchw(image))
      wanted["fc8"] = wanted_scores
      for name, output in {**outputs, "fc8": scores}.items():
        valid = to_nhwc(wanted[name])
        rows, columns = valid.shape[1:3]
        assert_close(output[n : n + 1, :rows, :columns], valid, 1e-4, name)
        assert not np.any(output[n, rows:]), name
        assert not np.any(output[n, :, columns:]), name

  @pytest.mark.parametrize("pool", ["ceil", "floor"])
  @pytest.mark.parametrize("garbage", [np.nan, np.inf, -1e30, 255.0])
  def test_garbage_outside_has_no_effect(self, pool, garbage):
    sizes = np.array([(32, 80), (57, 33), (71, 79)])
    forward = functools.partial(
      padded_forward("C", pool), small_params("C"), sizes=sizes
    )
    x = random_images(3, *self.padded_size)
    for image, (height, width) in zip(x, sizes, strict=True):
      image[height:], image[:, width:] = 0, 0
    clean = jax.device_get(forward(x))
    for image, (height, width) in zip(x, sizes, strict=True):
      image[height:], image[:, width:] = garbage, garbage
    dirty = jax.device_get(forward(x))
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)
    assert np.any(clean[0])

  def test_full_sizes_are_no_sizes(self):
    x = random_images(3, *self.padded_size)
    full = np.array([self.padded_size] * 3)
    params = small_params("C")
    ours, _ = padded_forward("C", "ceil")(params, x, full)
    wanted, _ = torch_net("C", params)(to_nchw(x))
    assert_close(ours, to_nhwc(wanted), 1e-4)


@functools.cache
def padded_forward(network, pool):
  model = vggjax.create_model(network, **SMALL, pool=pool)
  return jax.jit(lambda p, x, sizes: model.apply({"params": p}, x, sizes))


class TestDropout:
  """fc7 and fc8 are made identities, so that the masks can be read off."""

  rate = 0.3
  hidden = 256

  @pytest.fixture(scope="class")
  def params(self):
    params = dict(small_params("A"))
    identity = np.eye(self.hidden, dtype=np.float32)[None, None]
    zero = np.zeros(self.hidden, np.float32)
    params["fc6"] = {
      "kernel": params["fc6"]["kernel"],
      "bias": np.full(self.hidden, 500, np.float32),  # All units are alive.
    }
    params["fc7"] = params["fc8"] = {"kernel": identity, "bias": zero}
    return params

  @pytest.fixture(scope="class")
  def forward(self, params):
    options = {"num_outputs": self.hidden, "dropout_rate": self.rate}
    model = vggjax.create_model("A", **(SMALL | options))

    @functools.partial(jax.jit, static_argnames="train")
    def forward(x, positions=None, seed=0, train=True):
      return model.apply(
        {"params": params},
        x,
        train=train,
        positions=positions,
        rngs={"dropout": jax.random.key(seed)},
      )

    return forward

  def test_scale_and_rate_of_both_layers(self, forward):
    x = random_images(8, 32, 32)
    scores, outputs = forward(x)
    fc6, fc7 = np.asarray(outputs["fc6"]), np.asarray(outputs["fc7"])
    assert np.all(fc6 > 0)
    for before, after in ((fc6, fc7), (fc7, np.asarray(scores))):
      kept = after != 0
      np.testing.assert_allclose(
        after[kept], before[kept] / (1 - self.rate), rtol=1e-5
      )
      alive = before > 0
      # 2048 or about 1400 units: four standard deviations are below 0.05.
      assert abs(np.mean(kept[alive]) - (1 - self.rate)) < 0.05
    # The layers' masks are not the same, nor are the examples'.
    first, second = fc7 != 0, np.asarray(scores) != 0
    assert np.any(first & ~second)
    assert len({mask.tobytes() for mask in first}) == len(x)

  def test_mask_depends_on_the_position_only(self, forward):
    x = random_images(4, 32, 32)
    whole, _ = forward(x)
    for part in ([0, 1], [2, 3], [3, 0]):
      split, _ = forward(x[part], np.array(part))
      np.testing.assert_allclose(split, whole[np.array(part)], rtol=1e-5)
    # Other examples at these positions meet the same masks.
    other, _ = forward(random_images(4, 32, 32, seed=9))
    np.testing.assert_array_equal(other == 0, whole == 0)
    moved, _ = forward(x, np.arange(4) + 100)
    assert np.mean((moved == 0) != (whole == 0)) > 0.2

  def test_mask_depends_on_the_key(self, forward):
    x = random_images(4, 32, 32)
    first, again, other = (forward(x, seed=s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.mean((first == 0) != (other == 0)) > 0.2

  def test_none_outside_training(self, forward, params):
    x = random_images(2, 32, 32)
    first, outputs = forward(x, train=False)
    second, _ = forward(x, seed=1, train=False)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, outputs["fc6"], rtol=1e-5)
    # No key is needed either; in training one is.
    model = vggjax.create_model("A", **(SMALL | {"num_outputs": self.hidden}))
    without, _ = jax.jit(model.apply)({"params": params}, x)
    np.testing.assert_allclose(without, first, rtol=1e-5)
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
      jax.eval_shape(lambda: model.apply({"params": params}, x, train=True))

  def test_rate_zero_needs_no_key(self, params):
    x = random_images(2, 32, 32)
    options = {"num_outputs": self.hidden, "dropout_rate": 0.0}
    model = vggjax.create_model("A", **(SMALL | options))
    train = functools.partial(model.apply, train=True)
    scores, outputs = jax.jit(train)({"params": params}, x)
    np.testing.assert_allclose(scores, outputs["fc6"], rtol=1e-5)


class TestCreateModel:
  @pytest.mark.parametrize(
    ("options", "words"),
    [
      ({"network": "F"}, ["network", "'F'", "A-LRN", "B-shallow", "E"]),
      ({"network": "d"}, ["network", "'d'"]),
      ({"pool": "round"}, ["pool", "'round'", "ceil", "floor"]),
      ({"lrn": "alexnet"}, ["lrn", "'alexnet'", "krizhevsky", "caffe"]),
      ({"initializer": "he"}, ["initializer", "'he'", "normal", "glorot"]),
      ({"dtype": jnp.int8}, ["dtype", "'int8'", "float32", "bfloat16"]),
      ({"dtype": jnp.float16}, ["dtype", "'float16'", "float64"]),
      ({"dtype": "single-ish"}, ["dtype", "single-ish", "float32"]),
      ({"num_outputs": 0}, ["num_outputs", "0", "at least 1"]),
      ({"width": 0}, ["width", "0", "(0, 4]"]),
      ({"width": -1.0}, ["width", "-1.0", "(0, 4]"]),
      ({"width": 5.0}, ["width", "5.0", "(0, 4]"]),
      ({"width": float("nan")}, ["width", "nan", "(0, 4]"]),
      ({"width": float("inf")}, ["width", "inf", "(0, 4]"]),
      ({"width": 0.001}, ["width", "0.064", "a channel"]),
      ({"crop_size": 0}, ["crop_size", "0", "multiple of 32"]),
      ({"crop_size": 230}, ["crop_size", "230", "multiple of 32"]),
      ({"crop_size": -32}, ["crop_size", "-32", "multiple of 32"]),
      ({"dropout_rate": 1.0}, ["dropout_rate", "1.0", "[0, 1)"]),
      ({"dropout_rate": -0.1}, ["dropout_rate", "-0.1", "[0, 1)"]),
      ({"init_std": 0.0}, ["init_std", "0.0", "above 0"]),
    ],
  )
  def test_bad_values(self, options, words):
    options = {"network": "A", **options}
    with pytest.raises(InputError) as caught:
      vggjax.create_model(**options)
    for word in words:
      assert word in str(caught.value)
    assert "\n" not in str(caught.value)

  @pytest.mark.parametrize(
    ("shape", "words"),
    [
      ((1, 32, 31, 3), ["32x31", "crop of 32"]),
      ((1, 224, 3), ["[N, H, W, 3]", "[1, 224, 3]"]),
      ((1, 64, 64, 1), ["[N, H, W, 3]", "[1, 64, 64, 1]"]),
      ((1, 3, 64, 64), ["[N, H, W, 3]", "[1, 3, 64, 64]"]),
    ],
  )
  def test_bad_images(self, shape, words):
    model = vggjax.create_model("A", **SMALL, pool="floor")
    with pytest.raises(InputError) as caught:
      model.apply({"params": small_params("A")}, np.zeros(shape, np.float32))
    for word in words:
      assert word in str(caught.value)

  @pytest.mark.parametrize(("pool", "least"), [("floor", 64), ("ceil", 33)])
  def test_smallest_image_of_a_crop(self, pool, least):
    """Ceil pooling makes two positions of 33 pixels; the crop is 64."""
    model = vggjax.create_model(
      "A", num_outputs=3, width=1 / 64, crop_size=64, pool=pool
    )
    params = counts.param_shapes(model)

    def shape_of(side):
      x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
      apply = functools.partial(jax.eval_shape, lambda p, x: model.apply(p, x))
      return apply({"params": params}, x)[0].shape

    assert shape_of(least) == (1, 1, 1, 3)
    with pytest.raises(InputError, match="crop of 64"):
      shape_of(least - 1)


@functools.cache
def initialized(network, seed=0, **options):
  model = vggjax.create_model(
    network, num_outputs=100, width=1 / 4, crop_size=64, **options
  )
  return jax.device_get(vgg.init_params(model, jax.random.key(seed)))


class TestInitialization:
  """Estimates are allowed four of their standard deviations."""

  @pytest.mark.parametrize(
    ("network", "options", "std"),
    [
      ("A", {"seed": 3}, 0.01),
      ("B-shallow", {"seed": 4, "init_std": 0.05}, 0.05),
    ],
  )
  def test_normal(self, network, options, std):
    for name, layer in initialized(network, **options).items():
      kernel = layer["kernel"]
      assert not layer["bias"].any(), name
      noise = 4 / np.sqrt(kernel.size)
      assert abs(kernel.mean()) < noise * std, name
      assert abs(kernel.std() / std - 1) < noise, name
      # Normal and not truncated: 4.6 % lie beyond two deviations.
      beyond = np.mean(np.abs(kernel) > 2 * std)
      assert abs(beyond - 0.0455) < 0.21 * noise, name

  def test_glorot(self):
    for name, layer in initialized("A", initializer="glorot").items():
      kernel = layer["kernel"]
      assert not layer["bias"].any(), name
      side, _, fan_in, fan_out = kernel.shape
      bound = np.sqrt(6 / (side**2 * (fan_in + fan_out)))
      assert 0.98 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6), name
      noise = 4 / np.sqrt(kernel.size)
      assert abs(kernel.mean()) < noise * bound / np.sqrt(3), name
      assert abs(kernel.std() * np.sqrt(3) / bound - 1) < noise, name

  def test_layers_and_keys_differ(self):
    one = initialized("A", seed=3)
    other = initialized("B-shallow", seed=4, init_std=0.05)
    starts = {
      (layer["kernel"].ravel()[:8] / std).round(3).tobytes()
      for params, std in ((one, 0.01), (other, 0.05))
      for layer in params.values()
    }
    assert len(starts) == len(one) + len(other)
