"""The layers against PyTorch, naive loops and hand cases (Sect. 2.1)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_nets import nn, to_nchw, to_nhwc, torch

from vggjax.models import layers

pytestmark = pytest.mark.usefixtures("quick_compile")

SIDES = [(1, 1), (1, 4), (2, 2), (5, 3), (6, 7), (8, 5), (9, 9)]


class TestRelu:
  @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
  def test_result_and_gradient_by_hand(self, dtype):
    x = jnp.array([-2, -0.0, 0, 3, -jnp.inf, jnp.inf], dtype)
    y, pull = jax.vjp(layers.relu, x)
    assert y.dtype == dtype
    assert y.tolist() == [0, 0, 0, 3, 0, np.inf]
    [gradient] = pull(jnp.arange(1, 7).astype(dtype))
    assert gradient.dtype == dtype
    assert gradient.tolist() == [0, 0, 0, 4, 0, 6]

  def test_what_is_no_number_is_not_hidden(self):
    assert np.isnan(layers.relu(jnp.array(np.nan)))


class TestMaxPool:
  @pytest.mark.parametrize("pool", ["ceil", "floor"])
  @pytest.mark.parametrize("sides", SIDES[2:])
  def test_equals_torch_with_its_gradient(self, pool, sides):
    """Of few values: most windows have equal maxima, of which one counts."""
    random = np.random.default_rng(0)
    x = random.integers(-2, 2, (2, *sides, 3)).astype(np.float32)
    ours, pull = jax.vjp(lambda x: layers.max_pool(x, pool), x)
    tensor = to_nchw(x).requires_grad_()
    wanted = nn.MaxPool2d(2, 2, ceil_mode=pool == "ceil")(tensor)
    np.testing.assert_array_equal(ours, to_nhwc(wanted))
    weights = random.normal(size=ours.shape).astype(np.float32)
    wanted.backward(to_nchw(weights))
    np.testing.assert_array_equal(pull(weights)[0], to_nhwc(tensor.grad))

  def test_odd_sides_by_hand(self):
    x = -jnp.arange(1.0, 10).reshape(1, 3, 3, 1)
    ceil = layers.max_pool(x, "ceil")[0, :, :, 0]
    assert ceil.tolist() == [[-1, -3], [-7, -9]]
    assert layers.max_pool(x, "floor")[0, :, :, 0].tolist() == [[-1]]

  @pytest.mark.parametrize("sides", SIDES[:2])
  def test_single_rows(self, sides):
    x = np.ones((1, *sides, 2), np.float32)
    ceil = layers.max_pool(x, "ceil")
    assert ceil.shape == (1, 1, -(-sides[1] // 2), 2)
    assert np.all(ceil == 1)
    assert layers.max_pool(x, "floor").shape == (1, 0, sides[1] // 2, 2)

  @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
  def test_keeps_the_dtype(self, dtype):
    assert layers.max_pool(jnp.ones((1, 3, 3, 1), dtype)).dtype == dtype


class TestLocalResponseNorm:
  @pytest.mark.parametrize(
    ("variant", "k", "alpha"),
    [("krizhevsky", 2.0, 1e-4), ("caffe", 1.0, 1e-4 / 5)],
  )
  @pytest.mark.parametrize("channels", [1, 4, 5, 11])
  def test_equals_a_loop(self, variant, k, alpha, channels):
    x = np.random.default_rng(0).normal(0, 200, (2, 3, channels))
    x = x.astype(np.float32)
    wanted = np.empty(x.shape)
    for i, j in np.ndindex(2, 3):
      for c in range(channels):
        total = 0.0
        for other in range(channels):
          if abs(other - c) <= 2:
            total += float(x[i, j, other]) ** 2
        wanted[i, j, c] = x[i, j, c] / (k + alpha * total) ** 0.75
    ours = layers.local_response_norm(x, variant)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)

  def test_by_hand(self):
    # (2 + 1e-4 * 140000)^0.75 = 16^0.75 = 8.
    x = np.array([100, 200, 300, 0, 0], np.float32)
    ours = layers.local_response_norm(x)
    np.testing.assert_allclose(ours[2], 300 / 8, rtol=1e-6)
    # Without its own variant the default is Krizhevsky's.
    np.testing.assert_array_equal(
      ours, layers.local_response_norm(x, "krizhevsky")
    )

  def test_unknown_variant(self):
    with pytest.raises(KeyError):
      layers.local_response_norm(np.ones(5), "alexnet")


class TestWindows:
  @pytest.mark.parametrize("side", [1, 2, 3])
  @pytest.mark.parametrize("sides", [(3, 3), (3, 5), (6, 4)])
  def test_equal_a_loop(self, side, sides):
    x = np.arange(2 * sides[0] * sides[1] * 3.0).reshape(2, *sides, 3)
    ours = np.asarray(layers.extract_windows(x, side))
    rows, columns = sides[0] - side + 1, sides[1] - side + 1
    assert ours.shape == (2, rows, columns, side * side * 3)
    for n, i, j in np.ndindex(2, rows, columns):
      window = x[n, i : i + side, j : j + side]
      np.testing.assert_array_equal(ours[n, i, j], window.ravel())

  @pytest.mark.parametrize(
    ("side", "sides"), [(1, (2, 3)), (2, (2, 2)), (2, (5, 3)), (7, (7, 9))]
  )
  def test_dense_equals_a_torch_convolution(self, side, sides):
    random = np.random.default_rng(1)
    x = random.normal(size=(2, *sides, 5)).astype(np.float32)
    dense = layers.WindowDense(
      6,
      side,
      dtype=jnp.float32,
      param_dtype=jnp.float32,
      kernel_init=layers.kernel_initializer("normal", 0.5),
    )
    params = dense.init(jax.random.key(0), x)["params"]
    assert not np.any(params["bias"])
    bias = random.normal(size=6).astype(np.float32)
    params = {"kernel": params["kernel"], "bias": bias}
    kernel = np.array(params["kernel"]).transpose(3, 2, 0, 1)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (kernel, bias)]
    wanted = nn.functional.conv2d(to_nchw(x), *tensors)
    ours, pull = jax.vjp(lambda p: dense.apply({"params": p}, x), params)
    np.testing.assert_allclose(ours, to_nhwc(wanted), rtol=1e-4, atol=1e-5)

    weights = random.normal(size=ours.shape).astype(np.float32)
    wanted.backward(to_nchw(weights))
    (grads,) = pull(weights)
    gradient = tensors[0].grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(grads["kernel"], gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grads["bias"], tensors[1].grad, rtol=1e-4)

  def test_computes_in_its_dtype(self):
    dense = layers.WindowDense(
      2,
      2,
      dtype=jnp.bfloat16,
      param_dtype=jnp.float32,
      kernel_init=layers.kernel_initializer("glorot"),
    )
    x = jnp.ones((1, 3, 3, 1))
    params = dense.init(jax.random.key(0), x)["params"]
    assert params["kernel"].dtype == params["bias"].dtype == jnp.float32
    assert dense.apply({"params": params}, x).dtype == jnp.bfloat16


class TestZeroOutside:
  def test_equals_a_loop(self):
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 2)).astype(np.float32)
    sizes = np.array([(5, 6), (1, 1), (3, 2), (0, 4)], np.int32)
    ours = layers.zero_outside(x, sizes)
    for n, i, j in np.ndindex(4, 5, 6):
      inside = i < sizes[n, 0] and j < sizes[n, 1]
      wanted = x[n, i, j] if inside else np.zeros(2)
      np.testing.assert_array_equal(ours[n, i, j], wanted)

  def test_none_changes_nothing(self):
    x = np.full((1, 2, 2, 1), np.nan)
    assert layers.zero_outside(x, None) is x

  def test_removes_what_is_not_finite(self):
    x = jnp.array([1, np.nan, np.inf, -np.inf]).reshape(1, 1, 4, 1)
    ours = layers.zero_outside(x, np.array([(1, 1)]))
    assert ours.ravel().tolist() == [1, 0, 0, 0]

  def test_gradient_is_zero_outside(self):
    def loss(x):
      return jnp.sum(layers.zero_outside(x, np.array([(1, 2)])) ** 2)

    gradient = jax.grad(loss)(jnp.ones((1, 2, 3, 1)))
    assert gradient[0, :, :, 0].tolist() == [[2, 2, 0], [0, 0, 0]]


class TestDropout:
  key = staticmethod(lambda: jax.random.key(5))

  @pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
  def test_rate_and_scale(self, rate):
    x = np.full((4, 50, 40), 3, np.float32)
    ours = np.asarray(layers.dropout(x, rate, self.key(), np.arange(4)))
    kept = ours != 0
    np.testing.assert_allclose(ours[kept], 3 / (1 - rate), rtol=1e-6)
    # 8000 units: four standard deviations are at most 0.023.
    assert abs(kept.mean() - (1 - rate)) < 0.023
    # No unit is special: none is kept, or dropped, in every example's turn.
    assert abs(kept.mean(axis=(0, 1)) - (1 - rate)).max() < 0.18

  def test_mask_is_the_position_s(self):
    x = np.random.default_rng(0).uniform(1, 2, (6, 33)).astype(np.float32)
    whole = np.asarray(layers.dropout(x, 0.5, self.key(), np.arange(6)))
    order = np.array([4, 1, 5])
    some = layers.dropout(x[order], 0.5, self.key(), order)
    np.testing.assert_array_equal(some, whole[order])
    one_by_one = [
      layers.dropout(x[i : i + 1], 0.5, self.key(), np.array([i]))
      for i in range(6)
    ]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)
    assert len({row.tobytes() for row in whole == 0}) == 6

  def test_rate_zero(self):
    x = np.random.default_rng(0).normal(size=(2, 9)).astype(np.float32)
    ours = layers.dropout(x, 0.0, self.key(), np.arange(2))
    np.testing.assert_array_equal(ours, x)

  def test_keeps_the_dtype(self):
    x = jnp.ones((2, 9), jnp.bfloat16)
    ours = layers.dropout(x, 0.5, self.key(), np.arange(2))
    assert ours.dtype == jnp.bfloat16


def test_unknown_initializer():
  with pytest.raises(KeyError):
    layers.kernel_initializer("he")


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_barriers_are_for_cpus(monkeypatch, backend):
  """Elsewhere they would keep XLA from fusing; the gradient is the same."""
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  x = jnp.arange(-8.0, 8).reshape(1, 4, 4, 1)

  def loss(x, kernel):
    y = layers.multiply(layers.max_pool(layers.relu(x)), kernel)
    return y.sum()

  gradient = jax.grad(loss, argnums=(0, 1))
  program = str(jax.make_jaxpr(gradient)(x, 2 * jnp.ones((1, 1))))
  assert ("optimization_barrier" in program) == (backend == "cpu")
  of_x, of_kernel = gradient(x, 2 * jnp.ones((1, 1)))
  assert np.flatnonzero(of_x).tolist() == [13, 15]
  assert of_x.max() == 2
  assert of_kernel.tolist() == [[5 + 7]]
