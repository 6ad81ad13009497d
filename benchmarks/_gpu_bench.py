"""What the parts of the GPU benchmark share: sizes, cases, results."""

import dataclasses
import gc
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch

import vggjax
from benchmarks import _harness
from vggjax.models import parameters

MEAN = (123.68, 116.779, 103.939)
# What the networks compute in, and JAX's name of the precision of its products.
PRECISIONS = {
  "bf16": ("bfloat16", "default"),
  "tf32": ("float32", "tensorfloat32"),
}
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory")


class DoesNotFitError(Exception):
  """Our side needs more memory than there is."""


@dataclasses.dataclass(frozen=True)
class Sizes:
  """How much is computed; the defaults are those of the real measurement."""

  width: float = 1.0
  crop_size: int = 224
  num_outputs: int = 1000
  batches: tuple[int, ...] = (128, 256, 64)
  scales: tuple[int, ...] = (256, 384, 512)
  images: int = 64
  # Beside the batch that the evaluation chooses for itself.
  dense_batch: int = 32
  multicrop_images: int = 16
  jpegs: int = 512
  steps: int = 10
  repeats: int = 5
  product: int = 8192
  copied: int = 2**31


TINY = Sizes(
  width=1 / 16,
  crop_size=32,
  num_outputs=10,
  batches=(8,),
  scales=(36,),
  images=4,
  dense_batch=2,
  multicrop_images=2,
  jpegs=16,
  steps=2,
  repeats=1,
  product=64,
  copied=2**16,
)


@dataclasses.dataclass
class Bench:
  """What is measured on.

  Attributes:
    sizes: how much.
    devices: of JAX, the first of which computes what needs only one.
    torch_device: "cuda" or "cpu".
    compile: whether torch compiles its training step.
    images: folder of images; "": made here.
    decode_rate: training images/s a core decodes; 0: measured.
    ceilings: FLOP/s of a large matrix product by precision.
  """

  sizes: Sizes
  devices: list[jax.Device]
  torch_device: str
  compile: bool
  images: str = ""
  decode_rate: float = 0.0
  ceilings: dict[str, float] = dataclasses.field(default_factory=dict)

  def create_model(self, network: str, precision: str, **options: Any):
    """A network of these sizes that computes in a precision."""
    return vggjax.create_model(
      network,
      width=self.sizes.width,
      crop_size=self.sizes.crop_size,
      num_outputs=self.sizes.num_outputs,
      dtype=PRECISIONS[precision][0],
      **options,
    )

  def macs(self, network: str, height: int = 0, width: int = 0) -> int:
    """Of one image's forward pass; by default of a training crop."""
    side = self.sizes.crop_size
    model = self.create_model(network, "tf32")
    return parameters.count_macs(model, height or side, width or side)


@dataclasses.dataclass(frozen=True)
class Result:
  """What a case gave.

  Attributes:
    rate: of ours, in `unit`; None: only `note` says it.
    flops: FLOP/s that ours computes.
    ceiling: what they are compared with, FLOP/s.
    peers: the rates of the peers by name.
    note: more.
  """

  rate: float | None = None
  unit: str = "images/s"
  flops: float = 0.0
  ceiling: float = 0.0
  peers: Mapping[str, float] = dataclasses.field(default_factory=dict)
  note: str = ""

  @property
  def share(self) -> float | None:
    """Of the ceiling."""
    return self.flops / self.ceiling if self.flops and self.ceiling else None

  @property
  def ratio(self) -> float | None:
    """The fastest peer's time over ours."""
    if self.rate is None or not self.peers:
      return None
    return self.rate / max(self.peers.values())


@dataclasses.dataclass(frozen=True)
class Case:
  """A row of the table.

  Attributes:
    section: what --only calls it.
    name: what is measured.
    measure: does so; raises DoesNotFitError.
    rank: cases of a lower one come first.
    least_ratio: the goal for the ratio; None: none.
    least_share: the goal for the share of the ceiling; None: none.
  """

  section: str
  name: str
  measure: Callable[[Bench], Result]
  rank: int = 0
  least_ratio: float | None = None
  least_share: float | None = None


def time_peers(
  makers: Mapping[str, Callable[[], Callable[[], object]]], repeats: int
) -> tuple[dict[str, float], list[str]]:
  """Median seconds of each peer that fits, and the names of those that do not.

  Args:
    makers: each makes the call that is timed; the first is ours.
    repeats: timed calls of each.

  Raises:
    DoesNotFitError: if ours does not.
  """
  calls, left_out = {}, []
  for name, make in makers.items():
    try:
      call = make()
      call()
      calls[name] = call
    except Exception as error:
      if not is_out_of_memory(error):
        raise
      left_out.append(name)
    if left_out:
      free_memory()
  ours = next(iter(makers))
  if ours in left_out:
    raise DoesNotFitError(ours)
  return _harness.alternate(calls, repeats), left_out


def is_out_of_memory(error: Exception) -> bool:
  """Whether JAX or torch ran out of the GPU's memory."""
  return any(text in str(error) for text in OUT_OF_MEMORY)


def free_memory() -> None:
  """Returns what earlier cases left to the GPU."""
  gc.collect()
  jax.clear_caches()
  torch._dynamo.reset()
  if torch.cuda.is_available():
    torch.cuda.empty_cache()


def random_params(bench: Bench, network: str) -> dict:
  """Kernels by which signals reach the end, on the host."""
  random = np.random.default_rng(0)
  params = {}
  shapes = parameters.param_shapes(bench.create_model(network, "tf32"))
  for name, layer in shapes.items():
    shape = layer["kernel"].shape
    std = math.sqrt(2 / math.prod(shape[:3]))
    # The scores shall be about 1: pixels are about 70, and pools add to that.
    std = std / 1500 if name == "fc8" else std
    params[name] = {
      "kernel": std * random.standard_normal(shape, np.float32),
      "bias": np.zeros(shape[-1], np.float32),
    }
  return params


def check_close(
  ours: np.ndarray, theirs: np.ndarray, tolerance: float, what: str
) -> None:
  """Raises RuntimeError unless |ours - theirs| is that share of |theirs|."""
  ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
  error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
  print(f"  {what} differs by {error:.1e} (at most {tolerance:g})", flush=True)
  if not error <= tolerance:
    raise RuntimeError(f"{what} is not torch's: {error:.1e} of its norm")
