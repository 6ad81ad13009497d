"""The images of a transfer protocol, and how they are divided (App. B)."""

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax.errors import InputError
from vggjax.features import svm
from vggjax.tasks import run


@dataclasses.dataclass(frozen=True)
class Division:
  """Which images are for what; indices into those of all splits.

  Attributes:
    train: int [n].
    held_out: bool [n], those of `train` on which C is chosen.
    test: int [m].
  """

  train: np.ndarray
  held_out: np.ndarray
  test: np.ndarray


@dataclasses.dataclass(frozen=True)
class TransferData:
  """The images of all splits, one split after the other.

  Attributes:
    sources: of each split.
    targets: int [N] labels, -1 where unknown; or int8 [N, K], see
      `Source.targets`.
    divisions: one, or the random ones.
  """

  sources: tuple[Any, ...]
  targets: np.ndarray
  divisions: tuple[Division, ...]

  @property
  def class_names(self) -> tuple[str, ...]:
    """K names."""
    return self.sources[0].class_names

  def is_labeled(self) -> bool:
    """Whether the classes of the images to test are known."""
    return all(has_labels(self.targets[d.test]) for d in self.divisions)


def has_labels(targets: np.ndarray) -> bool:
  """Whether the classes of images are known: a split has all or none."""
  return bool(
    np.any(targets != 0) if targets.ndim > 1 else np.all(targets >= 0)
  )


def open_data(config: ConfigDict) -> TransferData:
  """Opens the splits that a config names, and divides their images.

  Raises:
    InputError: if a split is missing, has other classes or no labels to train
      on, or a class has too few images.
  """
  dataset, transfer = config.dataset, config.transfer
  multi_label = transfer.measure != "recall"
  names = dataset.train_split, dataset.validation_split, config.split
  names = list(dict.fromkeys(filter(None, names)))
  sources = [
    run.open_split(
      config,
      name,
      with_boxes=transfer.region != "image",
      multi_label=multi_label,
    )
    for name in names
  ]
  for name, source in zip(names, sources, strict=True):
    if source.class_names != sources[0].class_names:
      raise InputError(
        f"{dataset.source}: splits {names[0]} and {name} have other classes"
      )
  parts = [s.targets() if multi_label else s.labels() for s in sources]
  ends = np.cumsum([len(part) for part in parts])
  indices = dict(
    zip(names, np.split(np.arange(ends[-1]), ends[:-1]), strict=True)
  )
  targets = np.concatenate(parts)
  if transfer.random_splits:
    divisions = _random_divisions(config, sources[0].class_names, targets)
  else:
    divisions = [_fixed_division(config, targets, indices)]
    _check_classes(config, sources[0].class_names, targets[divisions[0].train])
  return TransferData(tuple(sources), targets, tuple(divisions))


def _fixed_division(
  config: ConfigDict, targets: np.ndarray, indices: dict[str, np.ndarray]
) -> Division:
  dataset = config.dataset
  train, test = indices[dataset.train_split], indices[config.split]
  validation = np.zeros(0, int)
  if dataset.validation_split:
    validation = indices[dataset.validation_split]
  if set(test) & {*train, *validation}:
    raise InputError(
      f"split {config.split} is tested and trained on; give other splits, or "
      "transfer.random_splits"
    )
  for name, part in zip(
    (dataset.train_split, dataset.validation_split),
    (train, validation),
    strict=True,
  ):
    if len(part) and not has_labels(targets[part]):
      raise InputError(f"{dataset.source}: split {name} has no labels")
  if not len(validation):
    held_out = svm.hold_out(targets[train], seed=config.seed)
    return Division(train, held_out, test)
  both = np.concatenate([train, validation])
  return Division(both, np.arange(len(both)) >= len(train), test)


def _check_classes(
  config: ConfigDict, class_names: tuple[str, ...], targets: np.ndarray
) -> None:
  if targets.ndim == 1:
    counts = np.bincount(targets, minlength=len(class_names))
  else:
    counts = np.sum(targets == 1, axis=0)
  if not counts.all():
    raise InputError(
      f"{config.dataset.source}: no image of {config.dataset.train_split} has "
      f"class {class_names[int(counts.argmin())]}, so it cannot be learned"
    )


def _random_divisions(
  config: ConfigDict, class_names: tuple[str, ...], labels: np.ndarray
) -> list[Division]:
  """Splits of equally many training images a class."""
  transfer = config.transfer
  if labels.ndim > 1:
    raise InputError(
      "transfer.random_splits are drawn by class; with transfer.measure "
      f"{transfer.measure} an image has several: set random_splits to 0"
    )
  if not has_labels(labels):
    raise InputError(
      f"{config.dataset.source}: random splits need labels of all images"
    )
  needed = transfer.train_per_class + 1
  counts = np.bincount(labels, minlength=len(class_names))
  if counts.min() < needed:
    name = class_names[int(counts.argmin())]
    raise InputError(
      f"{config.dataset.source}: class {name} has {counts.min()} images; "
      f"transfer.train_per_class {transfer.train_per_class} needs at least "
      f"{needed}"
    )
  divisions = []
  for number in range(transfer.random_splits):
    random = np.random.default_rng([config.seed, number])
    train, test = [], []
    for label in range(len(class_names)):
      own = random.permutation(np.flatnonzero(labels == label))
      train.append(own[: transfer.train_per_class])
      rest = own[transfer.train_per_class :]
      test.append(rest[: transfer.test_per_class or None])
    train = np.sort(np.concatenate(train))
    held_out = svm.hold_out(labels[train], seed=config.seed + number)
    divisions.append(Division(train, held_out, np.sort(np.concatenate(test))))
  return divisions
