"""The trained networks that tasks use: of runs, or of weights."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from vggjax import checkpoint
from vggjax.addresses import location
from vggjax.models import vgg
from vggjax.tasks import run
from vggjax.weights.weights import Weights


@dataclasses.dataclass(frozen=True)
class Network:
  """A trained network.

  Attributes:
    workdir: where what it computes is stored.
    model: the module.
    params: its parameters.
    card: what was saved with them.
    params_hash: see `checkpoint.params_hash`.
  """

  workdir: Path
  model: vgg.VGG
  params: dict
  card: dict[str, Any]
  params_hash: str


def load_network(config: ConfigDict, workdir: Path) -> Network:
  """The workdir's network.

  Raises:
    InputError: if it has none, or one of another config.
  """
  params, card, _ = checkpoint.load_run(workdir, config.checkpoint)
  model = run.model_of_card(card, config)
  return Network(workdir, model, params, card, checkpoint.params_hash(params))


def network_of_weights(
  config: ConfigDict, weights: Weights, folder: Path
) -> Network:
  """The network of weights; what it computes is stored below the folder.

  Args:
    config: its `dtype` and `pool5_offsets` count.
    weights: from `load_weights`.
    folder: of all such posteriors.
  """
  params_hash = checkpoint.params_hash(weights.params)
  card = {
    **weights.card,
    "network": weights.network,
    "mean": list(weights.mean),
    "class_names": list(weights.class_names),
    "num_outputs": weights.num_outputs,
    "objective": weights.objective,
  }
  workdir = folder / f"{weights.network}-{params_hash[:12]}"
  model = weights.create_model(
    dtype=jnp.dtype(config.dtype), pool5_offsets=config.pool5_offsets
  )
  return Network(workdir, model, weights.params, card, params_hash)


def open_network(config: ConfigDict, name: str, workdir: Path) -> Network:
  """The network of weights or of another run, whose arrays stand with it.

  Args:
    config: see `network_of_weights`.
    name: what `load_weights` takes; a bare name is a run beside the workdir.
    workdir: whose folder weights/ has the arrays of weights that are no run's.

  Raises:
    InputError: if it cannot be loaded.
  """
  weights, place = run.load_source(name, workdir)
  network = network_of_weights(config, weights, workdir / "weights")
  if checkpoint.has_checkpoints(place):
    network = dataclasses.replace(network, workdir=location(place))
  return network
