"""Systems of localization networks and their errors: boxes stored, or computed.

A location is one or several members, each a run of configs/localization.py
tested at some scales; the boxes of all are merged (App. A.1).
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.systems import MissingPosteriorsError, System, Systems
from vggjax.configs import localization
from vggjax.errors import InputError
from vggjax.geometry import scale_for_crop
from vggjax.tasks import answers, boxes, locate
from vggjax.tasks import run as task_run

# The run whose config tells how images are read where there is no member.
LAST = list(localization.RUNS)[-1]


@dataclasses.dataclass(frozen=True)
class Localizer:
  """One localization network.

  Attributes:
    run: a key of configs/localization.py's RUNS.
    test_scales: Q in the paper's pixels, see `systems.Member`.
  """

  run: str
  test_scales: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Location:
  """What finds boxes.

  Attributes:
    members: whose boxes are merged; (): the mean box of the training set, in
      the center of each image.
    protocol: "dense", or "center": the central crop.
    answers: what finds the five classes; (): the true class alone is answered.
    raters: the classification runs whose posteriors rate the boxes; (): each
      position counts as much.
    pool5_offsets: see `create_model`.
  """

  members: tuple[Localizer, ...]
  protocol: str = "dense"
  answers: System = ()
  raters: tuple[str, ...] = ()
  pool5_offsets: int = 1


class Locations(Systems):
  """The boxes and errors of locations on one split, likewise.

  The measures are "box", the top-5 localization error, and "class", the share
  of images whose class is not answered.
  """

  def __init__(self, *args: Any, **options: Any):
    super().__init__(*args, **options)
    if self._weights:
      raise InputError(
        "localization networks are runs: --weights replaces classification "
        "networks only"
      )

  def runs_of(self, system: Location) -> list[str]:
    """The runs that a location is of."""
    found = [member.run for member in system.members]
    found += [member.run for member in system.answers]
    return list(dict.fromkeys([*found, *system.raters]))

  def write_submission(self, path: Path, system: Location, seed: int) -> None:
    """Writes the answers for the localization server, see `Systems`."""
    _, source = self.config_and_source(system, seed)
    locate.write_submission(path, source, self.answers(system, seed))

  def answers(
    self, system: Location, seed: int, threshold: float | None = None
  ) -> answers.Answers:
    """What a location answers.

    Args:
      system: the location.
      seed: of its runs.
      threshold: at which boxes are merged; None: the config's.

    Raises:
      MissingRunError: if a run or, without `compute`, an array is missing.
    """
    config, source = self.config_and_source(system, seed)
    classes = source.labels()[:, None]
    if system.answers:
      item = self.posteriors(system.answers, seed)
      classes = answers.classes_of(item, source)
    if not system.members:
      train = config.dataset.train_split
      box = answers.mean_box(
        task_run.open_split(config, train, with_boxes=True)
      )
      everywhere = np.broadcast_to(box, (*classes.shape, 4))
      return answers.Answers(classes, everywhere)
    found, ratings = [], []
    for member in system.members:
      for values in self._boxes_and_ratings(
        config, source, classes, system, member, seed
      ):
        found.append(values[0])
        ratings += values[1:]
    if threshold is None:
      threshold = config.merge_threshold
    return answers.merged(source.sizes(), classes, found, ratings, threshold)

  def config_and_source(
    self, system: Location, seed: int
  ) -> tuple[ConfigDict, Any]:
    """How a location is evaluated, and its images."""
    runs = [member.run for member in system.members] or [LAST]
    config = self.config(self.place(runs[0], seed))
    config.pool5_offsets = system.pool5_offsets
    key = "boxes", config.dataset.to_json(), config.split
    if key not in self._sources:
      has_labels = self.has_labels()
      self._sources[key] = task_run.open_split(
        config, config.split, with_boxes=has_labels
      )
    return config, self._sources[key]

  def _find_wrong(self, system: Location, seed: int) -> dict[str, np.ndarray]:
    _, source = self.config_and_source(system, seed)
    return answers.wrong(self.answers(system, seed), source)

  def _boxes_and_ratings(self, config, source, classes, system, member, seed):
    """At each scale: boxes, and ratings if the location has raters."""
    network = self._with_offsets(member.run, seed, config)
    crop = network.model.crop_size
    scales = [scale_for_crop(q, crop) for q in member.test_scales]
    options = {"compute": self._compute}
    what = source, classes, system.protocol, scales
    columns = [boxes.get_boxes(config, network, *what, **options)]
    by_rater = []
    for run in system.raters:
      rater = self._with_offsets(run, seed, config)
      locate.check_classifier(rater, network, run)
      what = source, classes, scales
      by_rater.append(boxes.get_ratings(config, rater, *what, **options))
    if None in (columns[0], *by_rater):
      raise MissingPosteriorsError(
        f"boxes of {', '.join(self.runs_of(system))}"
      )
    if by_rater:
      columns.append(answers.mean_ratings(by_rater))
    return zip(*columns, strict=True)

  def _with_offsets(self, run, seed, config):
    network = self.network(self.place(run, seed))
    model = network.model.clone(pool5_offsets=config.pool5_offsets)
    return dataclasses.replace(network, model=model)
