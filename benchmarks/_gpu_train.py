"""The training step on one device, beside torch's (Sect. 3.1)."""

import functools
import itertools

import jax
import numpy as np

from benchmarks import _gpu_torch
from benchmarks._gpu_bench import (
  MEAN,
  PRECISIONS,
  Bench,
  Case,
  Result,
  check_close,
  random_params,
  time_peers,
)
from vggjax import parallel
from vggjax.train import optim
from vggjax.train.step import create_train_state, train_step

NETWORKS = "D", "E"
# FLOP of a step over those of a forward pass, which are two a MAC.
PASSES = 3
GOAL_SHARE = 0.6
COMPARED = 8
COMPARED_LAYERS = "conv1_1", "fc8"
# Shares of the norm of the loss and of an update.
TOLERANCES = {"bf16": (0.02, 0.3), "tf32": (0.005, 0.05)}


def cases(bench: Bench) -> list[Case]:
  """Each network, precision and batch; D's in bf16 come first."""
  result = []
  for precision, network, batch_size in itertools.product(
    PRECISIONS, NETWORKS, bench.sizes.batches
  ):
    first = batch_size == bench.sizes.batches[0]
    other = (network != "D") + (precision != "bf16") + (not first)
    result.append(
      Case(
        "train",
        case_name(network, batch_size, precision),
        functools.partial(
          measure, network=network, batch_size=batch_size, precision=precision
        ),
        rank=2 * other,
        least_ratio=1.0,
        least_share=GOAL_SHARE if precision == "bf16" else None,
      )
    )
  return result


def case_name(network: str, batch_size: int, precision: str) -> str:
  """As in the table."""
  return f"train {network}, batch {batch_size}, {precision}"


class TrainStep:
  """Our steps on one batch that is on the devices, which share it."""

  def __init__(
    self,
    bench: Bench,
    network: str,
    params: dict,
    batch: dict[str, np.ndarray],
    *,
    precision: str,
    dropout: float = 0.5,
    rate: float = _gpu_torch.RATE,
    num_devices: int = 1,
  ):
    model = bench.create_model(network, precision, dropout_rate=dropout)
    optimizer = optim.sgd(
      rate,
      momentum=_gpu_torch.MOMENTUM,
      weight_decay=_gpu_torch.WEIGHT_DECAY,
    )
    state = create_train_state(
      model, params, optimizer, mean=np.array(MEAN), seed=0
    )
    devices = bench.devices[:num_devices]
    self.devices = devices
    self.state = parallel.replicate(state, devices)
    self.batch = put(parallel.shard(batch, devices), devices)
    self.step = parallel.data_parallel(train_step, devices, donate=True)
    self._precision = PRECISIONS[precision][1]

  def precision(self):
    """Of matrix products and convolutions, while the step is traced."""
    return jax.default_matmul_precision(self._precision)

  def run(self, steps: int) -> float:
    """Does so many steps, to their end; the last one's loss."""
    with self.precision():
      for _ in range(steps):
        self.state, metrics = self.step(self.state, self.batch)
    jax.block_until_ready(self.state.params)
    return float(metrics["loss"])


def put(batch: dict, devices: list) -> dict:
  """A sharded batch on the devices, so that no step uploads it."""
  return parallel.parallel_map(_second, devices)(np.zeros(()), batch)


def _second(_, batch):
  return batch


def random_batch(bench: Bench, size: int) -> dict[str, np.ndarray]:
  """A training batch of noise."""
  random = np.random.default_rng(0)
  side = bench.sizes.crop_size
  return {
    "image": random.integers(0, 256, (size, side, side, 3), np.uint8),
    "shift": 10 * random.standard_normal((size, 3), np.float32),
    "label": random.integers(0, bench.sizes.num_outputs, size, np.int32),
  }


def measure(
  bench: Bench, network: str, batch_size: int, precision: str
) -> Result:
  """Images/s of both, once both have been found to do the same step."""
  params = random_params(bench, network)
  compare(bench, network, params, precision)
  batch = random_batch(bench, batch_size)
  arguments = bench, network, params, batch
  steps, losses = bench.sizes.steps, {}

  def repeat(name, one):
    def call():
      losses[name] = one.run(steps)

    return call

  seconds, left_out = time_peers(
    {
      "ours": lambda: repeat(
        "ours", TrainStep(*arguments, precision=precision)
      ),
      "torch": lambda: repeat(
        "torch",
        _gpu_torch.TrainStep(
          *arguments, precision=precision, compiled=bench.compile
        ),
      ),
    },
    bench.sizes.repeats,
  )
  if not np.all(np.isfinite(list(losses.values()))):
    raise RuntimeError(f"the losses are {losses}")
  rates = {name: steps * batch_size / of for name, of in seconds.items()}
  rate = rates.pop("ours")
  note = "; ".join(f"{name} does not fit" for name in left_out)
  return Result(
    rate,
    flops=rate * 2 * PASSES * bench.macs(network),
    ceiling=bench.ceilings[precision],
    peers=rates,
    note=note or ("" if bench.compile else "torch not compiled"),
  )


def compare(bench: Bench, network: str, params: dict, precision: str) -> None:
  """One step of each without dropout, at rate 1: the loss and the updates.

  Raises:
    RuntimeError: if they differ.
  """
  batch = random_batch(bench, COMPARED)
  options = {"precision": precision, "dropout": 0.0, "rate": 1.0}
  ours = TrainStep(bench, network, params, batch, **options)
  theirs = _gpu_torch.TrainStep(
    bench, network, params, batch, compiled=False, **options
  )
  of_loss, of_update = TOLERANCES[precision]
  check_close(ours.run(1), theirs.run(1), of_loss, "the loss")
  for name in COMPARED_LAYERS:
    before = np.asarray(params[name]["kernel"])
    after = np.asarray(ours.state.params[name]["kernel"])
    weight = {**theirs.net.convs, **theirs.net.fcs}[name].weight
    weight = weight.detach().cpu().numpy()
    if name in theirs.net.convs:
      weight = weight.transpose(2, 3, 1, 0)
    else:
      weight = weight.T.reshape(before.shape)
    # The gradient alone, so that it does not hide behind the decay.
    decay = _gpu_torch.WEIGHT_DECAY * before
    check_close(
      before - after - decay,
      before - weight - decay,
      of_update,
      f"the gradient of {name}",
    )
