"""What linear SVMs on descriptors say: stored, or computed (App. B)."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import config as configuration
from vggjax import metrics
from vggjax.evaluate import bootstrap, store
from vggjax.features import svm
from vggjax.tasks import run
from vggjax.tasks.transfer_data import TransferData

MEASURES = {
  "recall": "mean class recall",
  "ap": "mAP",
  "ap11": "mAP (11-point)",
}
# See `metrics.average_precision`.
POINTS = {"ap": 0, "ap11": 11}


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the classifiers of one division say of its test images.

  Attributes:
    C: of the SVM, as chosen.
    scores: float32 [m, K].
    targets: of the images, see `TransferData`.
  """

  C: float
  scores: np.ndarray
  targets: np.ndarray


def stored_outcomes(
  config: ConfigDict,
  data: TransferData,
  folder: Path,
  about: dict[str, Any],
  describe: Callable[[], np.ndarray] | None,
) -> list[Outcome] | None:
  """The outcome of each division: stored, or computed and stored.

  Args:
    config: its `transfer` counts.
    data: the images.
    folder: below which they are stored.
    about: what the descriptors are of; JSON values.
    describe: gives the descriptors, float32 [N, F]; None: nothing is computed.

  Returns:
    None if they had to be computed.
  """
  about = {
    **about,
    "transfer": configuration.flatten(config.transfer),
    "seed": config.seed,
    "data": [source.fingerprint for source in data.sources],
    "targets": hashlib.sha256(data.targets).hexdigest(),
    "grid": svm.C_GRID,
  }
  key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
  path = folder / "transfer" / f"{key[:16]}.npz"
  found = store.load_arrays(path, about, ("C", "scores"))
  if found is None and describe is None:
    return None
  if found is None:
    found = _classify(config, describe(), data)
    store.save_arrays(path, found, about)
  ends = np.cumsum([len(division.test) for division in data.divisions])
  return [
    Outcome(float(C), scores, data.targets[division.test])
    for C, scores, division in zip(
      found["C"],
      np.split(found["scores"], ends[:-1]),
      data.divisions,
      strict=True,
    )
  ]


def _classify(
  config: ConfigDict, features: np.ndarray, data: TransferData
) -> dict[str, np.ndarray]:
  """The C and the scores of all divisions, one after the other."""
  measure = config.transfer.measure
  num_classes = len(data.class_names)
  Cs, scores = [], []
  for division in data.divisions:
    train, targets = features[division.train], data.targets[division.train]
    C, _ = svm.choose_C(
      train,
      targets,
      division.held_out,
      lambda scores, targets: value_of(Outcome(0, scores, targets), measure),
      num_classes=num_classes,
    )
    classifier = svm.fit(train, targets, C, num_classes=num_classes)
    if not classifier.converged:
      run.note(f"{config.run}: liblinear did not converge at C = {C:g}")
    Cs.append(C)
    scores.append(classifier.scores(features[division.test]))
  return {"C": np.array(Cs), "scores": np.concatenate(scores)}


def value_of(outcome: Outcome, measure: str) -> float:
  """What is measured, over the classes that some of the images have, percent.

  Args:
    outcome: with labels.
    measure: a key of MEASURES.
  """
  scores, targets = outcome.scores, outcome.targets
  if measure == "recall":
    return metrics.mean_class_recall(scores, targets)
  kept = np.any(targets == 1, axis=0)
  return metrics.mean_average_precision(
    scores[:, kept], targets[:, kept], points=POINTS[measure]
  )


def interval_of(
  outcomes: Sequence[Outcome], measure: str
) -> tuple[float, float]:
  """The 95 % bootstrap interval over test images, percent.

  Args:
    outcomes: on the same images, whose mean is measured.
    measure: a key of MEASURES.
  """
  if measure == "recall":
    return bootstrap.mean_interval(_recall_values(outcomes))

  def values(counts):
    return _values_of_resamples(outcomes, counts, measure)

  return bootstrap.statistic_interval(values, len(outcomes[0].scores))


def difference_interval(
  better: Sequence[Outcome], worse: Sequence[Outcome], measure: str
) -> tuple[float, float]:
  """The same of the difference of two methods, paired by image."""
  if measure == "recall":
    return bootstrap.mean_interval(
      _recall_values(better) - _recall_values(worse)
    )

  def values(counts):
    above, below = (
      _values_of_resamples(outcomes, counts, measure)
      for outcomes in (better, worse)
    )
    return above - below

  return bootstrap.statistic_interval(values, len(better[0].scores))


def _recall_values(outcomes: Sequence[Outcome]) -> np.ndarray:
  return np.mean(
    [metrics.recall_values(o.scores, o.targets) for o in outcomes], axis=0
  )


def _values_of_resamples(
  outcomes: Sequence[Outcome], counts: np.ndarray, measure: str
) -> np.ndarray:
  """mAP of each resample, over the classes that it has; NaN: it has none."""
  values = np.array(
    [
      [
        metrics.resampled_average_precision(
          scores, targets, counts, points=POINTS[measure]
        )
        for scores, targets in zip(o.scores.T, o.targets.T, strict=True)
      ]
      for o in outcomes
    ]
  )
  num_classes = np.count_nonzero(~np.isnan(values), axis=1)
  with np.errstate(invalid="ignore"):
    return np.mean(np.nansum(values, axis=1) / num_classes, axis=0)


def values_by_class(outcome: Outcome, measure: str) -> dict[int, float]:
  """What is measured, of each class that some of the images have, percent."""
  scores, targets = outcome.scores, outcome.targets
  if measure == "recall":
    right = ~metrics.topk_wrong(scores, targets)
    return {
      k: float(100 * right[targets == k].mean())
      for k in np.unique(targets).tolist()
    }
  return {
    k: metrics.average_precision(
      scores[:, k], targets[:, k], points=POINTS[measure]
    )
    for k in np.flatnonzero(np.any(targets == 1, axis=0)).tolist()
  }
