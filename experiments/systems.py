"""Systems of trained networks and their posteriors: stored, or computed.

A system is one or several members, each a run tested at some scales under a
protocol; several are fused by the mean of their posteriors (Sect. 4.4).
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.chain import Chain, how_far
from vggjax import checkpoint, metrics
from vggjax import config as configuration
from vggjax.configs.classification import RUNS
from vggjax.errors import InputError
from vggjax.evaluate import fusion, store, submission
from vggjax.geometry import scale_for_crop
from vggjax.tasks import networks
from vggjax.tasks import posteriors as tasks
from vggjax.tasks import run as task_run
from vggjax.weights import names
from vggjax.weights.load import load_weights


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


class MissingPosteriorsError(MissingRunError):
  """A run's posteriors are not computed."""


class Systems:
  """The posteriors and errors of systems on one split.

  Args:
    chain: where the runs are; its overrides replace keys of their configs.
    split: "": as the runs' configs say.
    weights: network name to a run's folder or what else `load_weights` takes,
      used for every run of that network; others count as missing. Empty: the
      chain's own runs.
    compute: whether posteriors that are not stored are computed.

  Attributes:
    chain: see above.
    missing: what `wrong_by_seed` did not find, by its text, in that order.
    network: the network of a `place`, with its parameters.
  """

  def __init__(
    self,
    chain: Chain,
    *,
    split: str = "",
    weights: dict[str, str] | None = None,
    compute: bool = True,
  ):
    self.chain = chain
    self._split = split
    self._weights = weights or {}
    self._compute = compute
    self._sources = {}
    self.missing: dict[str, MissingRunError] = {}
    # Parameters are large: those of one run are kept, and of all runs the rest,
    # which tells what is stored.
    self.network = functools.lru_cache(maxsize=1)(self._load_network)
    self._card = functools.cache(self._load_card)
    self._progress = functools.cache(how_far)
    self._wrong = functools.cache(self._find_wrong)

  def seeds(self) -> list[int]:
    """The seeds of the chain's runs; given weights count as one."""
    return [0] if self._weights else self.chain.seeds()

  def place(self, run: str, seed: int) -> str:
    """The folder of a finished run, or what was given in place of it.

    Raises:
      MissingRunError: if it is not there, or not finished.
    """
    if self._weights:
      network = RUNS[run][0] if run in RUNS else run
      if network not in self._weights:
        raise MissingRunError(f"weights of {network}")
      return self._weights[network]
    workdir = self.chain.workdir(run, seed)
    found = self._progress(workdir)
    if found.state != "finished":
      raise MissingRunError(f"{workdir} ({found.text})")
    return str(workdir)

  def config(self, place: str) -> ConfigDict:
    """The config that a run was trained with, and the overrides.

    That of weights from elsewhere is the profile's.
    """
    given = configuration.parse_arguments(self.chain.arguments("A-256", 0))[0]
    config = given.copy_and_resolve_references()
    if is_run(place):
      path = Path(place) / checkpoint.CONFIG_FILE
      config = configuration.open_config(path)
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
      folders = (
        self.chain.workdir(run, seed) for seed in self.seeds() for run in RUNS
      )
      there = list(self._weights.values()) or [
        str(path) for path in folders if checkpoint.has_checkpoints(path)
      ]
      if not there:
        raise InputError(
          f"{self.chain.folder} has no trained run such as seed-0/A-256; "
          "python -m experiments.train_all trains them"
        )
      self.source(self.config(there[0]))
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
    place = self.place(member.run, seed)
    config, card = self._card(place)
    wanted, found = RUNS[member.run][0], card.card["network"]
    if found != wanted:
      raise InputError(f"{place} holds network {found}, not {wanted}")
    source = self.source(config)
    crop = card.model.crop_size
    scales = [scale_for_crop(q, crop) for q in member.test_scales]
    what = source, member.protocol, scales
    items = tasks.stored_posteriors(config, card, *what)
    if items is None and not self._compute:
      raise MissingPosteriorsError(
        f"{place}: {member.protocol} posteriors of split {config.split} at "
        f"Q = {', '.join(map(str, scales))}"
      )
    if items is None:
      items = tasks.get_posteriors(config, self.network(place), *what)
    return fusion.fuse(items)

  def _load_network(self, place: str) -> networks.Network:
    config = self.config(place)
    if is_run(place):
      return networks.load_network(config, Path(place))
    weights = load_weights(place)
    folder = self.chain.folder / "weights"
    return networks.network_of_weights(config, weights, folder)

  def _load_card(self, place: str) -> tuple[ConfigDict, networks.Network]:
    """A run's config, and its network without the parameters."""
    network = dataclasses.replace(self.network(place), params={})
    return self.config(place), network

  def runs_of(self, system: System) -> list[str]:
    """The runs that a system is of."""
    return [member.run for member in system]

  def write_submission(self, path: Path, system: System, seed: int) -> None:
    """Writes the answers for the test server.

    Raises:
      InputError: if the classes are not ImageNet's.
      MissingRunError: as `posteriors` does.
    """
    item = self.posteriors(system, seed)
    names = self.any_source().class_names
    submission.write_submission(path, item.posteriors, item.ids, names)

  def wrong_by_seed(
    self, system: System, measure: int | str = 1
  ) -> dict[int, np.ndarray]:
    """Which images a system gets wrong: 100 or 0, float [N], by seed.

    The measure is the k of the top-k error.

    Seeds that lack a run of the system are left out, and `missing` has what
    they lack.
    """
    found = {}
    for seed in self.seeds() or [0]:
      try:
        found[seed] = self._wrong(system, seed)[measure]
      except MissingRunError as error:
        self.missing.setdefault(str(error), error)
    return found

  def _find_wrong(self, system: System, seed: int) -> dict[int, np.ndarray]:
    item = self.posteriors(system, seed)
    return {
      k: 100.0 * metrics.topk_wrong(item.posteriors, item.labels, k)
      for k in (1, 5)
    }


def is_run(place: str) -> bool:
  """Whether a place is a training run's folder."""
  return not names.is_name(place) and checkpoint.has_checkpoints(place)


def single(run: str, *scales: int, protocol: str = "dense") -> System:
  """A system of one member."""
  return (Member(run, scales, protocol),)
