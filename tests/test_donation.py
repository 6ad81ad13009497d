"""The old state's memory is used for the new one, with two processes, too."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from vggjax import parallel
from vggjax.train import step

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 2
# Two devices of each of two processes.
CODE = """
import sys
import jax
address, index, folder = sys.argv[1:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_disable_most_optimizations", True)
jax.distributed.initialize(address, 2, int(index))
import test_donation
test_donation.train_and_save(int(index), 2, folder)
"""


def train_and_save(index, count, folder):
  """Trains on this process's share; saves fc8's bias of the first process."""
  devices = parallel.select_devices()
  state = train(devices, index, count)
  if index == 0:
    bias = parallel.to_host(state.params)["fc8"]["bias"]
    np.save(Path(folder) / "bias.npy", bias)


def train(devices, index=0, count=1):
  """The state after a few steps, each of which takes the old state's memory."""
  run = parallel.data_parallel(step.train_step, devices, donate=True)
  state = parallel.replicate(tiny.state(), devices)
  for batch in tiny.batches(STEPS):
    share = {k: np.split(v, count)[index] for k, v in batch.items()}
    old = (state.params, state.opt_state)
    state, _ = run(state, parallel.shard(share, devices))
    assert all(a.is_deleted() for a in jax.tree.leaves(old))
  return state


def test_two_processes_train_as_one_and_keep_no_old_state(tmp_path):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  environment["PYTHONPATH"] = os.pathsep.join(sys.path)
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", CODE, address, str(index), str(tmp_path)],
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in range(2)
  ]
  wanted = train(parallel.select_devices(4))
  try:
    errors = [process.communicate(timeout=120)[1] for process in processes]
  finally:
    for process in processes:
      process.kill()
  assert [process.returncode for process in processes] == [0, 0], errors
  found = np.load(tmp_path / "bias.npy")
  wanted = parallel.to_host(wanted.params)["fc8"]["bias"]
  tiny.assert_close(found, wanted, 1e-5)


def test_the_compiled_step_has_one_copy_of_parameters_and_momentum():
  devices = parallel.select_devices(1)
  state = tiny.state()
  shared = parallel.shard(tiny.batches(1)[0], devices)
  sizes = {}
  for donate in (False, True):
    run = parallel.data_parallel(step.train_step, devices, donate=donate)
    account = run.compile(state, shared).memory_analysis()
    sizes[donate] = account.alias_size_in_bytes
  arrays = jax.tree.leaves((state.params, state.opt_state))
  both = sum(np.asarray(a).nbytes for a in arrays)
  assert sizes[False] == 0
  assert sizes[True] >= both
