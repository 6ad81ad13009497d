"""Descriptors of trained networks measured on other data sets (App. B)."""

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.chain import config_file
from experiments.options import data_name
from experiments.output import fewer_seeds
from experiments.systems import MissingPosteriorsError, MissingRunError
from vggjax import config as configuration
from vggjax.geometry import scale_for_crop
from vggjax.tasks import descriptors, outcomes
from vggjax.tasks import transfer as tasks
from vggjax.tasks.networks import Network
from vggjax.tasks.outcomes import Outcome
from vggjax.tasks.transfer_data import TransferData, open_data

# The runs whose features are measured: the best ones of Sect. 4.
RUNS = {"D": "D-256-512", "E": "E-256-512"}


@dataclasses.dataclass(frozen=True)
class Descriptor:
  """What describes images.

  Attributes:
    networks: keys of RUNS, stacked; (): the pixels themselves.
    aggregate: see `extract_features`; "": as the protocol says.
    scales: Q in the paper's pixels; (): the protocol's.
    region: see `config.transfer.region`; "": as the protocol says.
    trained: whether the networks are.
  """

  networks: tuple[str, ...]
  aggregate: str = ""
  scales: tuple[int, ...] = ()
  region: str = ""
  trained: bool = True

  def text(self) -> str:
    """For people."""
    return " & ".join(self.networks) or "pixels"


class Transfers:
  """What descriptors achieve under protocols.

  Args:
    options: of an experiment, with `systems`.

  Attributes:
    missing: what was asked for and is not there, by its text.
  """

  def __init__(self, options: argparse.Namespace):
    self._options = options
    self._compute = not options.no_compute
    self._systems = options.systems
    self.missing: dict[str, MissingRunError] = self._systems.missing
    self._data = {}
    self._network = functools.lru_cache(maxsize=2)(self._systems.network)
    self.outcomes = functools.cache(self._find_outcomes)

  def config(self, protocol: str) -> ConfigDict:
    """The config of a protocol with the experiment's overrides.

    Random splits are the same for all seeds of the runs.
    """
    options, chain = self._options, self._systems.chain
    arguments = [
      f"--config={config_file('transfer')}:{protocol},{chain.profile}",
      *chain.overrides,
      f"--workdir={chain.folder}",
    ]
    if options.split:
      arguments.append(f"--config.split={options.split}")
    return configuration.parse_arguments(arguments)[0]

  def data(self, config: ConfigDict) -> TransferData:
    """The images of a config; opened once."""
    keys = config.transfer.region != "image", config.transfer.measure
    key = config.dataset.to_json(), config.split, *keys
    if key not in self._data:
      self._data[key] = open_data(config)
    return self._data[key]

  def about(self, protocol: str) -> dict:
    """What a result's reader must know of a protocol's images."""
    config = self.config(protocol)
    data = self.data(config)
    return {
      "data": data_name(config.dataset.source),
      "split": config.split,
      "num_images": len(data.divisions[0].test),
      "num_trained": len(data.divisions[0].train),
      "num_classes": len(data.class_names),
      "random_splits": config.transfer.random_splits,
    }

  def measure(self, protocol: str) -> str:
    """A key of `outcomes.MEASURES`."""
    return self.config(protocol).transfer.measure

  def by_seed(
    self, protocol: str, descriptor: Descriptor
  ) -> dict[int, list[Outcome]]:
    """The outcomes of each seed of the runs that has the networks."""
    found = {}
    for seed in self._systems.seeds() or [0]:
      try:
        found[seed] = self.outcomes(protocol, descriptor, seed)
      except MissingRunError as error:
        self.missing.setdefault(str(error), error)
    return found

  def draw_map(
    self, protocol: str, descriptor: Descriptor, seed: int, path: Path
  ) -> None:
    """Writes a map of test images by their descriptors, as `tasks.draw_map`."""
    config = self._config_of(protocol, descriptor)
    networks = self._networks(descriptor, seed)
    title = f"{descriptor.text()} on {data_name(config.dataset.source)}"
    tasks.draw_map(config, networks, self.data(config), path, title=title)

  def _find_outcomes(
    self, protocol: str, descriptor: Descriptor, seed: int
  ) -> list[Outcome]:
    config = self._config_of(protocol, descriptor)
    data, folder = self.data(config), self._systems.chain.folder
    if descriptor.networks:
      found = tasks.get_outcomes(
        config,
        self._networks(descriptor, seed),
        data,
        folder,
        compute=self._compute,
      )
    else:
      about = {"descriptors": f"pixels {descriptors.PIXELS_SIDE}"}
      describe = functools.partial(descriptors.describe_pixels, data.sources)
      found = outcomes.stored_outcomes(
        config, data, folder, about, describe if self._compute else None
      )
    if found is None:
      raise MissingPosteriorsError(
        f"features of {descriptor.text()} for {protocol}"
      )
    return found

  def _config_of(self, protocol: str, descriptor: Descriptor) -> ConfigDict:
    config = self.config(protocol)
    transfer = config.transfer
    transfer.aggregate = descriptor.aggregate or transfer.aggregate
    transfer.region = descriptor.region or transfer.region
    if descriptor.scales:
      config.test_scales = tuple(
        scale_for_crop(q, config.crop_size) for q in descriptor.scales
      )
    return config

  def _networks(self, descriptor: Descriptor, seed: int) -> list[Network]:
    places = [self._systems.place(RUNS[n], seed) for n in descriptor.networks]
    networks = [self._network(place) for place in places]
    if not descriptor.trained:
      networks = [descriptors.untrained(net, seed) for net in networks]
    return networks


def cell(
  by_seed: dict[int, Sequence[Outcome]], measure: str, all_seeds: Sequence[int]
) -> dict | None:
  """What is known of a measure: mean, spread and interval, percent.

  Args:
    by_seed: the outcomes of each seed.
    measure: a key of `outcomes.MEASURES`.
    all_seeds: those of the whole table.
  """
  if not by_seed:
    return None
  values = [
    [outcomes.value_of(outcome, measure) for outcome in found]
    for found in by_seed.values()
  ]
  flat = [value for row in values for value in row]
  mean = float(np.mean(flat))
  result = {"value": mean, "values": values}
  text = f"{mean:.2f}"
  if len(flat) > 1:
    result["spread"] = float(np.std(flat, ddof=1))
    text += f" ± {result['spread']:.2f}"
  if len(values[0]) == 1:
    found = [row[0] for row in by_seed.values()]
    low, high = outcomes.interval_of(found, measure)
    result["interval"] = [low, high]
    text += f" [{low:.1f}, {high:.1f}]"
  return {**result, "text": text + fewer_seeds(len(by_seed), all_seeds)}
