"""How hard the built-in data set is: a linear classifier against net A.

  python -m experiments.shapes_baseline [--run=runs/A-256] [--dataset=shapes]

A linear classifier (multinomial logistic regression) on the pixels of the
central 64-pixel crop at smallest side 73, at two resolutions; C is chosen on
the validation split. With --run, the last row is that of a net trained by
`--config=configs/classification.py:A-256,mini` and evaluated on the test split
by `--config=configs/evaluation.py`: dense, read from its evaluation/.

Expected: the linear classifiers err on 83 % of the test images (chance: 90 %),
net A on less than 15 %. Cost: three minutes on two cores, and one or
two more where the data set is still to be drawn.

Needs scikit-learn (`pip install vggjax[test]`).
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from vggjax.checkpoint import EVALUATION_FOLDER

CROP_SIZE, TEST_SCALE = 64, 73
RESOLUTIONS = (32, 64)
C_GRID = (1e-5, 1e-4, 1e-3)


def load_pixels(spec: str, split: str, data_dir: str | None):
  """The central crops of a split.

  Returns:
    float32 [N, 64, 64, 3] in [-0.5, 0.5], and int32 [N] labels.
  """
  from vggjax.data import evaluation, sources

  source = sources.open_source(spec, split, data_dir=data_dir)
  batches = list(
    evaluation.crop_batches(
      source, batch_size=500, crop_size=CROP_SIZE, test_scale=TEST_SCALE
    )
  )
  images, labels, mask = (
    np.concatenate([batch[key] for batch in batches])
    for key in ("image", "label", "mask")
  )
  valid = mask > 0
  return images[valid].astype(np.float32) / 255 - 0.5, labels[valid]


def shrink(images: np.ndarray, side: int) -> np.ndarray:
  """Means over boxes, [N, s, s, 3], flattened to [N, side * side * 3]."""
  n, size = images.shape[:2]
  box = size // side
  boxes = images.reshape(n, side, box, side, box, 3)
  return boxes.mean((2, 4)).reshape(n, -1)


def linear_errors(splits: dict, side: int) -> tuple[float, float, float]:
  """Fits on train; (C, validation error, test error), in percent."""
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.linear_model import LogisticRegression

  features = {name: shrink(x, side) for name, (x, _) in splits.items()}

  def error(model, name):
    return 100 * float(
      np.mean(model.predict(features[name]) != splits[name][1])
    )

  rows = []
  for c in C_GRID:
    model = LogisticRegression(C=c, max_iter=80)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", ConvergenceWarning)
      model.fit(features["train"], splits["train"][1])
    rows.append((error(model, "validation"), c, error(model, "test")))
  validation, c, test = min(rows)
  return c, validation, test


def net_errors(run: Path) -> list[tuple[str, float]]:
  """(test scales, top-1 error) from RUN/evaluation/test-dense-*.json."""
  rows = []
  folder = run / EVALUATION_FOLDER
  for path in sorted(folder.glob("test-dense-*.json")):
    for row in json.loads(path.read_text()):
      rows.append((row["test_scales"], row["top1_error"]))
  return rows


def main(arguments=None):
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--dataset", default="shapes")
  parser.add_argument("--data_dir", help="of tensorflow_datasets")
  parser.add_argument("--run", type=Path, help="workdir of an evaluated net")
  options = parser.parse_args(arguments)
  nets = net_errors(options.run) if options.run else []
  if options.run and not nets:
    parser.error(f"{options.run}: no evaluation/test-dense-*.json")
  splits = {
    split: load_pixels(options.dataset, split, options.data_dir)
    for split in ("train", "validation", "test")
  }
  print(f"{options.dataset}, test split: {len(splits['test'][1])} images")
  for side in RESOLUTIONS:
    c, validation, test = linear_errors(splits, side)
    print(
      f"linear, {side} x {side} pixels, C = {c:g}: top-1 error {test:.1f} % "
      f"(validation {validation:.1f} %)",
      flush=True,
    )
  for scales, error in nets:
    print(f"net of {options.run}, dense, Q = {scales}: {error:.1f} %")


if __name__ == "__main__":
  main()
