"""Linear SVMs on descriptors as of several scales and networks (App. B).

  python -m benchmarks.svm [--full] [--images N] [--features F] [--classes K]
      [--ours]

Ours and scikit-learn's LinearSVC(dual="auto"), each in a process of its own, on
the same planted classes. Prints each one's seconds and its peak memory above
what the process had with the features loaded; the last line is scikit-learn's
time over ours. --full has 30,000 images, about all of Caltech-256, D's and E's
features at three scales and 257 classes, and takes days by extrapolation (one
class of it 8 minutes); --ours leaves scikit-learn out, and so the ratio.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

FULL = {"images": 30_000, "features": 24_576, "classes": 257}
C = 10.0


def make_features(images, features, classes):
  """Non-negative float32 [N, F] of norm 1 in one array, and labels [N]."""
  random = np.random.default_rng(0)
  labels = np.arange(images) % classes
  centers = 0.3 * random.standard_normal((classes, features), np.float32)
  found = np.empty((images, features), np.float32)
  for row, label in zip(found, labels, strict=True):
    random.standard_normal(out=row, dtype=np.float32)
    row += centers[label]
    np.maximum(row, 0, out=row)
    row /= np.linalg.norm(row)
  return found, labels


def ours(features, labels, classes):
  """Weights [F, K]."""
  from vggjax.features import svm

  return svm.fit(features, labels, C, num_classes=classes).weights


def plain(features, labels, _):
  """The same by scikit-learn alone."""
  from sklearn.svm import LinearSVC

  solver = LinearSVC(C=C, dual="auto", max_iter=10_000, random_state=0)
  return solver.fit(features, labels).coef_.T


def peak_memory():
  """The most bytes that the process had so far."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else 1024 * peak


def measure(function, sizes):
  """The seconds, the peak's bytes an input byte, and some weights."""
  # What it imports and allocates once is not measured.
  function(*make_features(12, 20, 3), 3)
  features, labels = make_features(*sizes)
  loaded = peak_memory()
  begin = time.perf_counter()
  weights = function(features, labels, sizes[-1])
  seconds = time.perf_counter() - begin
  more = (peak_memory() - loaded) / features.nbytes
  return seconds, 1 + more, weights[:100].astype(np.float32)


def main():
  """Prints a line for each, then the ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--full", action="store_true")
  parser.add_argument("--images", type=int, default=2000)
  parser.add_argument("--features", type=int, default=24_576)
  parser.add_argument("--classes", type=int, default=30)
  parser.add_argument("--ours", action="store_true")
  options = parser.parse_args()
  sizes = [
    FULL[name] if options.full else getattr(options, name) for name in FULL
  ]
  print("{:,} images of {:,} features, {} classes".format(*sizes))
  results = {}
  for function in (ours,) if options.ours else (ours, plain):
    # Neither has the other's memory nor its peak.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
      results[function] = pool.submit(measure, function, sizes).result()
    seconds, peak, _ = results[function]
    print(
      f"{function.__name__}: {seconds:.1f} s, peak {peak:.1f} bytes a byte of "
      f"features, {peak * 4 * sizes[0] * sizes[1] / 1e9:.2f} GB"
    )
  if options.ours:
    return
  weights = results[plain][-1]
  np.testing.assert_allclose(
    results[ours][-1], weights, rtol=0, atol=1e-3 * np.abs(weights).max()
  )
  print(f"ratio {results[plain][0] / results[ours][0]:.2f}")


if __name__ == "__main__":
  main()
