"""The networks on padded batches and in training (Sect. 3.1, 3.2)."""

import functools

import flax
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_nets import (
  SMALL,
  assert_close,
  random_images,
  small_params,
  to_nchw,
  to_nhwc,
  torch_net,
)

import vggjax

pytestmark = pytest.mark.usefixtures("quick_compile")


class TestSizes:
  """A padded batch against PyTorch on each image without padding."""

  padded_size = (72, 80)

  @pytest.mark.parametrize("pool", ["ceil", "floor"])
  @given(data=st.data())
  @settings(max_examples=12)
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
