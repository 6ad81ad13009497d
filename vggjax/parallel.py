"""Data parallelism: the only pmap, batch sharding, device counts (Sect. 3.3).

State and parameters are identical on every device; batches are split along
their leading axis, in the order of the devices.
"""

import collections
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from vggjax.errors import InputError

AXIS = "devices"
# Of XLA's CPU backend, as far as it knows them.
CPU_OPTIONS = {
  # Else it drops barriers before it orders the operations: it keeps what a
  # gradient computes again, and computes early what it needs late.
  "xla_disable_hlo_passes": "cse_barrier_expander",
  # Else matrix products and convolutions go to YNNPACK, too, which computes
  # many of them on one core.
  "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
}


def select_devices(count: int = 0) -> list[jax.Device]:
  """The devices to run on, those of each process side by side.

  Args:
    count: how many; 0: all. With several processes only 0 is possible.

  Raises:
    InputError: if there are fewer, or the processes have not equally many.
  """
  # On TPUs JAX's own order mixes the processes.
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  shares = collections.Counter(device.process_index for device in devices)
  if len(set(shares.values())) > 1:
    raise InputError(
      "the processes have different numbers of devices: "
      f"{', '.join(map(str, shares.values()))}; give them equally many"
    )
  if not 0 <= count <= len(devices):
    raise InputError(
      f"num_devices is {count}, but {len(devices)} are here; 0 takes all"
    )
  if count and jax.process_count() > 1:
    raise InputError("num_devices must be 0 (all) with several processes")
  return devices[:count] if count else devices


def local_devices(devices: list[jax.Device]) -> list[jax.Device]:
  """Those of some devices that are this process's."""
  here = jax.process_index()
  return [device for device in devices if device.process_index == here]


class Program:
  """A pmap; call it with the state or the parameters, and a batch.

  Args:
    mapped: the pmap.
    devices: of it.
  """

  def __init__(self, mapped: Callable, devices: Sequence[jax.Device]):
    self._mapped = mapped
    # pmap itself takes none, and with several processes its programs cannot be
    # called by themselves.
    self._options = None
    if jax.process_count() == 1:
      self._options = compiler_options(devices[0].platform)
    self._compiled = {}

  def compile(self, *args: Any) -> jax.stages.Compiled:
    """The program for arguments of these shapes and types."""
    lowered = self._mapped.lower(*args)
    return lowered.compile(compiler_options=self._options)

  def __call__(self, *args: Any) -> Any:
    """Runs it; compiled at the first call with these shapes and types."""
    if self._options is None:
      return self._mapped(*args)
    leaves, structure = jax.tree.flatten(args)
    kinds = tuple((np.shape(a), getattr(a, "dtype", type(a))) for a in leaves)
    key = structure, kinds, jax.config.jax_default_matmul_precision
    if key not in self._compiled:
      self._compiled[key] = self.compile(*args)
    return self._compiled[key](*args)


def data_parallel(
  function: Callable, devices: list[jax.Device], *, donate: bool = False
) -> Program:
  """Wraps function(state, batch) -> (state, metrics) to run on all devices.

  Args:
    function: of the replicated state and one device's share of the batch;
      both results must be the same on all devices (averaged over AXIS).
    devices: from `select_devices`.
    donate: whether the old state's memory is reused for the new one.

  Returns:
    A function of the state and a batch from `shard`.
  """
  return _program(function, (None, None), tuple(devices), donate)


def parallel_map(function: Callable, devices: list[jax.Device]) -> Program:
  """Wraps function(params, batch) -> results, one for each example.

  Args:
    function: of the replicated parameters and one device's share.
    devices: from `select_devices`.

  Returns:
    A function of the parameters and a batch from `shard`; its result's leading
    axes are (local devices, examples per device), see `unshard`.
  """
  return _program(function, 0, tuple(devices), False)


@functools.lru_cache(maxsize=16)
def _program(
  function: Callable,
  out_axes: Any,
  devices: tuple[jax.Device, ...],
  donate: bool,
) -> Program:
  """Cached, so that the same function is compiled once."""
  mapped = jax.pmap(
    function,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=out_axes,
    devices=devices,
    donate_argnums=(0,) if donate else (),
  )
  return Program(mapped, devices)


@functools.cache
def compiler_options(platform: str) -> dict[str, str] | None:
  """What XLA's compiler is told on a platform, "cpu" or another; None: nothing.

  Of CPU_OPTIONS those that this version of XLA has.
  """
  if platform != "cpu":
    return None
  found = {}
  for name, value in CPU_OPTIONS.items():
    # There is no list of them.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
      jax.jit(lambda: 0).lower().compile(compiler_options={name: value})
      found[name] = value
  return found


def replicate(tree: Any, devices: list[jax.Device]) -> Any:
  """A copy of a tree on all devices, in memory that may be donated.

  Complete when this returns, so that the memory of the original may go.
  """
  shares = np.zeros(len(local_devices(devices)))
  copied, _ = data_parallel(_identity, devices)(tree, shares)
  return jax.block_until_ready(copied)


def _identity(tree, _):
  return tree, ()


def shard(batch: Any, devices: list[jax.Device]) -> Any:
  """Splits this process's share of a batch over its devices.

  Args:
    batch: a tree of arrays [n, ...], n divisible by the local devices.
    devices: from `select_devices`.

  Returns:
    The tree with arrays [local devices, n / local devices, ...].
  """
  local = len(local_devices(devices))
  return jax.tree.map(lambda a: a.reshape(local, -1, *a.shape[1:]), batch)


def unshard(tree: Any) -> Any:
  """The inverse of `shard`, as NumPy arrays on the host."""
  return jax.tree.map(
    lambda a: a.reshape(-1, *a.shape[2:]), jax.device_get(tree)
  )


def to_host(tree: Any) -> Any:
  """A replicated tree as NumPy arrays on the host.

  Copies: on CPUs the arrays would else share memory that may be donated.
  """
  return jax.tree.map(np.array, jax.device_get(tree))


def check_batch_size(
  batch_size: int, devices: list[jax.Device], microbatches: int = 1
) -> None:
  """Raises InputError unless the batch splits evenly (Sect. 3.3)."""
  parts = len(devices) * microbatches
  if batch_size % parts:
    raise InputError(
      f"batch_size is {batch_size}; it must be a multiple of {parts} "
      f"({len(devices)} devices x {microbatches} microbatches)"
    )
