"""One training step: devices, accumulation, freezing, and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from vggjax import parallel
from vggjax.data import pipeline, sources
from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.train import optim, step

pytestmark = pytest.mark.usefixtures("quick_compile")


def run(state, batches, num_devices=1):
  """The states' parameters and last metrics after the batches."""
  devices = parallel.select_devices(num_devices)
  run_step = parallel.data_parallel(step.train_step, devices)
  for batch in batches:
    state, metrics = run_step(state, parallel.shard(batch, devices))
  return parallel.to_host(state), parallel.to_host(metrics)


@pytest.fixture(scope="module")
def augmented(tmp_path_factory):
  """20 batches of the real pipeline: jitter, flip and color shift on."""
  root = tiny.photo_folder(tmp_path_factory.mktemp("photos"))
  source = sources.open_source(f"folder:{root}", "train")
  color = pipeline.ColorShift(
    eigenvalues=np.array([0.2, 0.02, 0.005]), eigenvectors=np.eye(3)
  )
  batches = pipeline.train_batches(
    source,
    batch_size=16,
    crop_size=32,
    train_scale=(32, 48),
    seed=3,
    num_steps=20,
    color=color,
  )
  return list(batches)


def test_one_step_is_the_same_on_1_2_4_and_8_devices(augmented):
  assert np.abs(augmented[0]["shift"]).max() > 0
  state = tiny.state()
  one, metrics = run(state, augmented[:1])
  for devices in (2, 4, 8):
    other, other_metrics = run(state, augmented[:1], devices)
    tiny.assert_close(other.params, one.params, 1e-5)
    tiny.assert_close(other.opt_state, one.opt_state, 1e-5)
    tiny.assert_close(other_metrics, metrics, 1e-5)


def test_twenty_steps_are_the_same_on_1_and_8_devices_in_float64(augmented):
  with jax.enable_x64(True):
    state = tiny.state(tiny.model(dtype=jnp.float64))
    assert state.params["fc6"]["kernel"].dtype == np.float64
    one, _ = run(state, augmented)
    other, _ = run(state, augmented, 8)
    tiny.assert_close(other.params, one.params, 1e-9)


def test_dropout_masks_differ_between_devices_and_steps(augmented):
  """Without them the two tests above would not test dropout."""
  batch = {k: np.repeat(v[:1], 16, axis=0) for k, v in augmented[0].items()}
  with_dropout, _ = run(tiny.state(), [batch])
  without, _ = run(tiny.state(tiny.model(dropout_rate=0.0)), [batch])
  changed = with_dropout.params["fc6"]["bias"] - without.params["fc6"]["bias"]
  assert np.abs(changed).max() > 1e-6
  again, _ = run(tiny.state(seed=1), [batch])
  assert np.any(
    again.params["fc6"]["bias"] != with_dropout.params["fc6"]["bias"]
  )


@pytest.mark.parametrize(("microbatches", "devices"), [(4, 1), (2, 4)])
def test_accumulation_gives_the_same_update(augmented, microbatches, devices):
  plain, metrics = run(tiny.state(), augmented[:2])
  split = tiny.state(microbatches=microbatches)
  other, other_metrics = run(split, augmented[:2], devices)
  tiny.assert_close(other.params, plain.params, 1e-5)
  tiny.assert_close(other_metrics, metrics, 1e-5)


def test_fc_only_training_changes_nothing_else():
  state = tiny.state(train_layers="fc")
  after, _ = run(state, tiny.batches(2))
  for name, layer in state.params.items():
    is_same = np.array_equal(after.params[name]["kernel"], layer["kernel"])
    assert is_same == (name not in vgg.FC_LAYERS)
  momentum = [a for a in jax.tree.leaves(after.opt_state) if np.ndim(a) == 4]
  assert len(momentum) == len(vgg.FC_LAYERS)


def test_a_step_on_the_fc_layers_equals_torch():
  """Two steps with momentum and decay, through torch's autograd and SGD."""
  torch = pytest.importorskip("torch")
  model = tiny.model(dropout_rate=0.0)
  state = tiny.state(model, train_layers="fc")
  batches = tiny.batches(2)
  after, metrics = run(state, batches)

  layers = [_torch_layer(torch, state.params[name]) for name in vgg.FC_LAYERS]
  parameters = [p for layer in layers for p in layer.parameters()]
  # Its order differs from Caffe's only when the rate changes.
  optimizer = torch.optim.SGD(
    parameters, lr=0.01, momentum=0.9, weight_decay=5e-4
  )
  for batch in batches:
    pool5 = torch.tensor(_pool5(model, state, batch))
    hidden = torch.relu(layers[1](torch.relu(layers[0](pool5))))
    loss = torch.nn.functional.cross_entropy(
      layers[2](hidden), torch.tensor(batch["label"]).long()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
  assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
  for layer, name in zip(layers, vgg.FC_LAYERS, strict=True):
    kernel = layer.weight.detach().numpy().T
    found = after.params[name]["kernel"].reshape(kernel.shape)
    np.testing.assert_allclose(found, kernel, rtol=1e-4, atol=1e-6)


def _torch_layer(torch, params):
  kernel = params["kernel"].reshape(-1, params["kernel"].shape[-1])
  layer = torch.nn.Linear(*kernel.shape)
  layer.weight.data = torch.tensor(kernel.T.copy())
  layer.bias.data = torch.tensor(params["bias"].copy())
  return layer


def _pool5(model, state, batch):
  x = (
    batch["image"].astype(np.float32)
    + batch["shift"][:, None, None]
    - state.mean
  )
  _, layers = model.apply({"params": state.params}, x)
  return np.asarray(layers["pool5"]).reshape(len(x), -1)


def test_classification_loss_by_hand():
  scores = np.log([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.5, 0.5, 0.0001]])
  batch = {"label": np.array([0, 0, 1])}
  found = step.classification_loss(jnp.array(scores)[:, None, None], batch)
  np.testing.assert_allclose(
    found["loss"],
    [-np.log(0.7), -np.log(0.2), -np.log(0.5 / 1.0001)],
    rtol=1e-5,
  )
  np.testing.assert_array_equal(found["top1_error"], [0, 100, 100])
  np.testing.assert_array_equal(found["top5_error"], [0, 0, 0])


def test_validation_ignores_padding():
  state = tiny.state()
  devices = parallel.select_devices(4)
  run_validation = parallel.data_parallel(step.validation_step, devices)
  batch = {**tiny.batches(1)[0], "mask": np.ones(16, np.float32)}
  batch.pop("shift")
  batch["mask"][11:] = 0
  garbage = {**batch, "image": batch["image"].copy()}
  garbage["image"][11:] = 255
  results = [
    parallel.to_host(run_validation(state, parallel.shard(b, devices))[1])
    for b in (batch, garbage)
  ]
  tiny.assert_close(results[1], results[0], 1e-6)
  assert results[0]["count"] == 11
  scores, _ = state.model.apply(
    {"params": state.params},
    batch["image"][:11].astype(np.float32) - state.mean,
  )
  answers = np.asarray(scores)[:, 0, 0].argmax(axis=-1)
  wrong = np.sum(answers != batch["label"][:11])
  assert results[0]["top1_error"] == pytest.approx(100 * wrong)


def test_bad_values_are_refused():
  with pytest.raises(InputError, match="train_layers 'conv' is not one of"):
    tiny.state(train_layers="conv")
  devices = parallel.select_devices(8)
  with pytest.raises(InputError, match=r"batch_size is 20.*multiple of 16"):
    parallel.check_batch_size(20, devices, 2)
  with pytest.raises(InputError, match="num_devices is 9, but 8"):
    parallel.select_devices(9)


def test_shard_and_unshard_are_inverse():
  devices = parallel.select_devices(4)
  batch = tiny.batches(1)[0]
  sharded = parallel.shard(batch, devices)
  assert sharded["image"].shape == (4, 4, 32, 32, 3)
  tiny.assert_identical(parallel.unshard(sharded), batch)
  double = parallel.parallel_map(lambda p, b: p * b["shift"], devices)
  found = parallel.unshard(double(np.float32(2), sharded))
  np.testing.assert_allclose(found, 2 * batch["shift"])


def test_optimizer_state_is_of_the_trained_layers_only():
  model = tiny.model()
  state = tiny.state(model, train_layers="fc")
  count = sum(np.size(a) for a in jax.tree.leaves(state.opt_state))
  fc = sum(
    np.size(a) for n in vgg.FC_LAYERS for a in jax.tree.leaves(state.params[n])
  )
  assert fc <= count <= fc + 10
  assert optim.biases(state.params)["fc6"] == {"kernel": False, "bias": True}
