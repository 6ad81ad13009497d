"""Systems of trained networks and their posteriors: stored, or computed.

A system is one or several members, each a run tested at some scales under a
protocol; several are fused by the mean of their posteriors (Sect. 4.4).
"""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.chain import Chain
from vggjax import checkpoint, metrics
from vggjax import config as configuration
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.evaluate import fusion, store
from vggjax.tasks import posteriors as tasks
from vggjax.tasks import run as task_run

PAPER_CROP = 224


@dataclasses.dataclass(frozen=True)
class Member:
  """One network under one protocol.

  Attributes:
    run: a key of configs/classification.py's RUNS.
    test_scales: Q in the paper's pixels; a profile with another crop size
      scales them by its ratio to 224.
    protocol: "dense", "multicrop", "both" or "center".
  """

  run: str
  test_scales: tuple[int, ...]
  protocol: str = "dense"


System = tuple[Member, ...]


class MissingRunError(Exception):
  """A run of the system is not trained, or its posteriors not computed."""


class Systems:
  """The posteriors and errors of systems on one split.

  Args:
    chain: where the runs are; its overrides replace keys of their configs.
    split: "": as the runs' configs say.
    weights: network name to a run's folder, used for every run of that
      network; others count as missing. Empty: the chain's own runs.
    compute: whether posteriors that are not stored are computed.
  """

  def __init__(
    self,
    chain: Chain,
    *,
    split: str = "",
    weights: dict[str, Path] | None = None,
    compute: bool = True,
  ):
    self.chain = chain
    self._split = split
    self._weights = weights or {}
    self._compute = compute
    self._sources = {}
    self._finished = set()
    # A table's rows go from run to run; the parameters of one are kept.
    self._network = functools.lru_cache(maxsize=1)(self._load_network)

  def seeds(self) -> list[int]:
    """The seeds of the chain's runs; given weights count as one."""
    return [0] if self._weights else self.chain.seeds()

  def workdir(self, run: str, seed: int) -> Path:
    """Where a finished run stands.

    Raises:
      MissingRunError: if it is not there, or not finished.
    """
    if self._weights:
      network = RUNS[run][0]
      if network not in self._weights:
        raise MissingRunError(f"weights of {network}")
      return self._weights[network]
    workdir = self.chain.workdir(run, seed)
    if workdir not in self._finished:
      found = checkpoint.latest_card(workdir)
      if found is None:
        raise MissingRunError(str(workdir))
      card, step = found
      if step < card["num_steps"]:
        raise MissingRunError(
          f"{workdir} (at step {step} of {card['num_steps']})"
        )
      self._finished.add(workdir)
    return workdir

  def config(self, workdir: Path) -> ConfigDict:
    """The config that a run was trained with, and the overrides."""
    config = configuration.open_config(workdir / task_run.CONFIG_FILE)
    given = configuration.parse_arguments(self.chain.arguments("A-256", 0))[0]
    for argument in self.chain.overrides:
      key = re.match(r"--config\.([\w.]+)", argument)[1]
      config.update_from_flattened_dict(
        {key: configuration.flatten(given)[key]}
      )
    config.split = self._split or config.split
    return config

  def source(self, config: ConfigDict) -> Any:
    """The split's images; opened once."""
    key = config.dataset.to_json(), config.split
    if key not in self._sources:
      self._sources[key] = task_run.open_split(config, config.split)
    return self._sources[key]

  def any_source(self) -> Any:
    """The split's images, as the first run that is there names them.

    Raises:
      InputError: if none is there.
    """
    if not self._sources:
      folders = list(self._weights.values()) or [
        self.chain.workdir(run, seed) for seed in self.seeds() for run in RUNS
      ]
      for folder in folders:
        if checkpoint.has_checkpoints(folder):
          self.source(self.config(folder))
          break
      else:
        raise InputError(
          f"{self.chain.folder} has no trained run such as seed-0/A-256; "
          "python -m experiments.train_all trains them"
        )
    return next(iter(self._sources.values()))

  def posteriors(self, system: System, seed: int) -> store.Posteriors:
    """The fused posteriors of a system.

    Raises:
      MissingRunError: if a run or, without `compute`, an array is missing.
    """
    return fusion.fuse([self._of_member(member, seed) for member in system])

  def has_labels(self) -> bool:
    """Whether the split's labels are known."""
    return bool(np.all(self.any_source().labels() >= 0))

  def _of_member(self, member: Member, seed: int) -> store.Posteriors:
    config, network = self._network(self.workdir(member.run, seed))
    source = self.source(config)
    crop = network.model.crop_size
    scales = [scaled(q, crop) for q in member.test_scales]
    arguments = config, network, source, member.protocol, scales
    if not self._compute and not tasks.find_posteriors(*arguments):
      raise MissingRunError(f"{network.workdir}: {member.protocol} posteriors")
    return fusion.fuse(tasks.get_posteriors(*arguments))

  def _load_network(self, workdir: Path) -> tuple[ConfigDict, tasks.Network]:
    config = self.config(workdir)
    return config, tasks.load_network(config, workdir)

  def wrong(self, system: System, k: int = 1) -> np.ndarray:
    """Which images a system gets wrong: 100 or 0, float [seeds, N].

    Raises:
      MissingRunError: see `wrong_by_seed`.
    """
    return np.array(list(self.wrong_by_seed(system, k).values()))

  def wrong_by_seed(self, system: System, k: int = 1) -> dict[int, np.ndarray]:
    """The same for each seed that has all runs of the system: float [N].

    Raises:
      MissingRunError: if there is none; it names what the first seed lacks.
    """
    found, missing = {}, None
    for seed in self.seeds() or [0]:
      try:
        item = self.posteriors(system, seed)
        found[seed] = 100.0 * metrics.topk_wrong(
          item.posteriors, item.labels, k
        )
      except MissingRunError as error:
        missing = missing or error
    if not found:
      raise missing
    return found


def scaled(scale: int, crop_size: int) -> int:
  """Q of the paper's 224-pixel crops for another crop size."""
  return int(scale * crop_size / PAPER_CROP + 0.5)


def single(run: str, *scales: int, protocol: str = "dense") -> System:
  """A system of one member."""
  return (Member(run, scales, protocol),)


def runs_of(systems: Sequence[System]) -> list[str]:
  """The runs of all members, each once, in the order of RUNS."""
  names = {member.run for system in systems for member in system}
  return [name for name in RUNS if name in names]
