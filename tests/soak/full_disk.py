"""Fills a real, small file system while a run trains on it, then enlarges it.

  PYTHONPATH=. python tests/soak/full_disk.py

Mounts a tmpfs in a mount namespace of its own (unshare; no root is needed where
the kernel allows it). Training must end with status 4 and one line, keep its
older checkpoint, and go on to the same end once there is room.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import tiny
from soak import kills

from vggjax import checkpoint, main

# Room for a checkpoint or two of this net, 0.6 MB each, but not for three.
SMALL, LARGE = "2m", "64m"


def run(root: Path) -> None:
  """On a file system of its own; see above."""
  photos = tiny.photo_folder(root / "photos", train=64)
  options = {
    "source": f"folder:{photos}",
    "splits": ("train", "validation", "test"),
    "tasks": ("train",),
  }
  undisturbed = kills.Run(root / "undisturbed", **options)
  undisturbed.finish("train")
  found = kills.Run(root / "disk", **options)
  found.root.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", found.root]
  with contextlib.ExitStack() as end:
    subprocess.run(mount, check=True)
    end.callback(subprocess.run, ["umount", found.root], check=True)
    fill(found, mount, undisturbed)


def fill(found: kills.Run, mount: list, undisturbed: kills.Run) -> None:
  """Trains until the disk is full, enlarges it, and goes on."""
  process = found.start("train", checkpoint_every=2)
  message = process.communicate()[1].decode()
  steps = sorted(found.steps())
  print(f"status {process.returncode}, checkpoints {steps}; stderr:\n{message}")
  assert process.returncode == main.CANNOT_STORE
  assert len(message.strip().splitlines()) == 1
  for step in steps:
    checkpoint.load_run(found.workdir, str(step))
  mount[4] = f"remount,size={LARGE}"
  subprocess.run(mount, check=True)
  found.finish("train")
  for array, wanted in zip(found.end(), undisturbed.end(), strict=True):
    np.testing.assert_array_equal(array, wanted)
  print(f"went on from step {steps[-1]} to the same end")


if __name__ == "__main__":
  if "IN_NAMESPACE" not in os.environ:
    command = ["unshare", "-rm", sys.executable, *sys.argv]
    environment = {**os.environ, "IN_NAMESPACE": "1"}
    sys.exit(subprocess.run(command, env=environment).returncode)
  with tempfile.TemporaryDirectory() as folder:
    run(Path(folder))
