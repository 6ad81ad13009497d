"""Memory and open files of a long training, and images held by an evaluation.

  PYTHONPATH=. python tests/soak/long_run.py

Trains a tiny net for 5,000 steps with a checkpoint every 50, prints memory and
open files after each 500, and fails if they grow from the 1,000th step on.
Then evaluates 10,000 images of many shapes from a source that counts, and
prints the most that were read and not yet computed.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import counting_source
import tiny
from soak import kills

from vggjax import checkpoint, main, startup

STEPS, EVERY = 5_000, 500
# Growth that is not one: of the allocator, MB.
SLACK = 40


def memory() -> float:
  """Resident memory, MB."""
  pages = int(Path("/proc/self/statm").read_text().split()[1])
  return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
  return len(os.listdir("/proc/self/fd"))


def train(root: Path) -> None:
  """Trains in this process, watched by a thread."""
  photos = tiny.photo_folder(root / "photos", train=64)
  run = kills.Run(
    root, f"folder:{photos}", ("train", "validation", "test"), ("train",)
  )
  more = (
    "num_epochs=0",
    f"num_steps={STEPS}",
    "checkpoint_every=50",
    "schedule=fixed",
    "boundaries=()",
  )
  arguments = [*run.arguments("train"), *(f"--config.{key}" for key in more)]
  samples = {}

  def watch():
    while len(samples) < STEPS // EVERY:
      folder = run.workdir / checkpoint.FOLDER
      steps = [p.name for p in folder.glob("*") if p.name.isdigit()]
      step = max(map(int, steps), default=0)
      if step >= EVERY * (len(samples) + 1):
        samples[step] = memory(), open_files()
        print(
          f"step {step}: {samples[step][0]:.0f} MB, {samples[step][1]} files",
          flush=True,
        )
      time.sleep(0.2)

  watcher = threading.Thread(target=watch)
  watcher.start()
  assert main.main(arguments) == 0
  watcher.join()
  settled = list(samples.values())[1:]
  growth = settled[-1][0] - settled[0][0]
  print(f"memory grew by {growth:.0f} MB in the last {STEPS - 2 * EVERY} steps")
  assert growth < SLACK
  assert settled[-1][1] <= settled[0][1] + 8


if __name__ == "__main__":
  startup.begin()  # As the program does.
  with tempfile.TemporaryDirectory() as folder:
    os.environ["VGGJAX_CACHE"] = f"{folder}/cache"
    train(Path(folder))
  held, shapes = counting_source.most_held(10_000)
  print(f"at most {held} of 10,000 images held, {shapes} batch shapes")
