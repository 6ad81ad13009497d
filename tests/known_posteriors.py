"""Posteriors of known error for every run, protocol and Q of the tables."""

import functools

import numpy as np
import paper_tables
from tiny_runs import NUM_CLASSES, NUM_TESTED, labels

from vggjax import config as configuration
from vggjax.evaluate import store
from vggjax.tasks import networks
from vggjax.tasks import posteriors as tasks
from vggjax.tasks import run as task_run

# Q of the paper, and the pixels for crops of 32: Q * 32 / 224, rounded.
PIXELS = {224: 32, 256: 37, 288: 41, 352: 50, 384: 55, 416: 59, 512: 73}


@functools.cache
def arrays(seed):
  """(run, protocol, Q) -> (posteriors [96, 8], images wrong at 1, at 5).

  Each array has another number of wrong images, by construction.
  """
  names = paper_tables.arrays()
  random = np.random.default_rng(seed)
  counts = 8 + random.permutation(len(names))
  result = {}
  for name, wrong in zip(names, counts.tolist(), strict=True):
    result[name] = make_array(random, wrong, wrong // 2), wrong, wrong // 2
  return result


def make_array(random, wrong, wrong_at_5):
  """Posteriors with as many images wrong at top-1 and at top-5."""
  ranks = np.zeros(NUM_TESTED, int)
  ranks[:wrong] = random.integers(1, 5, wrong)
  ranks[:wrong_at_5] = random.integers(5, NUM_CLASSES, wrong_at_5)
  ranks = random.permutation(ranks)
  result = np.zeros((NUM_TESTED, NUM_CLASSES))
  for row, rank, label in zip(result, ranks, labels(), strict=True):
    values = sorted(random.dirichlet(np.ones(NUM_CLASSES)), reverse=True)
    own = values.pop(rank)
    row[:] = np.insert(random.permutation(values), label, own)
  return result.astype(np.float32)


def put(runs, seeds=(0,), make=arrays):
  """Stores a seed's arrays for each run that is there; `runs` is of seed 0."""
  for workdir in sorted(runs.glob("seed-0/*")):
    config = configuration.open_config(workdir / "config.json")
    network = networks.load_network(config, workdir)
    source = task_run.open_split(config, "test")
    np.testing.assert_array_equal(source.labels(), labels())
    for seed in seeds:
      for (run, part, q), (values, *_) in make(seed).items():
        if run == workdir.name:
          about = tasks.identity(config, network, source, part, PIXELS[q])
          folder = runs / f"seed-{seed}" / run
          store.save(
            store.path_of(folder, "test", part, PIXELS[q]),
            store.Posteriors(values, labels(), np.array(source.ids()), about),
          )


def wrong(tests, seed, k=1):
  """Which images the fused tests get wrong, counted one by one: 100 or 0."""
  known = arrays(seed)
  members = []
  for run, scales, protocol in tests:
    parts = ["dense", "multicrop"] if protocol == "both" else [protocol]
    each = [known[run, part, q][0] for part in parts for q in scales]
    members.append(np.mean(np.array(each, float), axis=0))
  result = []
  for row, label in zip(np.mean(members, axis=0), labels(), strict=True):
    better = sum(value > row[label] for value in row)
    result.append(100.0 * (better >= k))
  return np.array(result)
