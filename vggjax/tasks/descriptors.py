"""A network's descriptors of a split: stored ones, or computed (App. B)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, files
from vggjax.errors import InputError
from vggjax.evaluate import dense
from vggjax.evaluate.rows import StoredRows
from vggjax.evaluate.store import path_of
from vggjax.features import extract, store
from vggjax.models import parameters
from vggjax.tasks import posteriors, stored
from vggjax.tasks.networks import Network

# Side of the images whose pixels are descriptors themselves, pixels.
PIXELS_SIDE = 32


def get_descriptors(
  config: ConfigDict,
  network: Network,
  source: Any,
  region: str,
  scales: Sequence[int],
) -> list[np.ndarray]:
  """The descriptors at each scale; what is not stored is computed and stored.

  Args:
    config: its `transfer.layer` and evaluation keys count.
    network: its classes need not be those of the source.
    source: the split, of N images; with boxes for region "box".
    region: one of `extract.REGIONS`.
    scales: Q, pixels.

  Returns:
    At each scale float32 [N, F], mapped into memory; not normalized.

  Raises:
    InputError: if a scale is too small, or there is no such layer.
  """
  layer = config.transfer.layer
  if layer not in (names := extract.layer_names(network.model)):
    raise InputError(
      f"transfer.layer {layer!r} is not one of {', '.join(names)}"
    )
  smallest = extract.smallest_scale(network.model, layer)
  dense.check_test_scales(scales, smallest)

  def fill(rows):
    buckets = extract.feature_buckets(
      network.model,
      network.params,
      layer=layer,
      mirror=config.test_mirror,
      **posteriors.bucket_options(config, network),
    )
    name = f"{network.workdir}: {layer}"
    posteriors.fill(
      config, name, buckets, source, rows, of_boxes=region == "box"
    )

  def keep(rows, path, about):
    store.keep(rows, path, source.ids())
    return store.load(path, about)

  found = stored.get(
    {q: place_of(config, network, source, region, q) for q in scales},
    load=store.load,
    open_rows=lambda path, about: StoredRows(path, source.num_examples, about),
    fill=fill,
    keep=keep,
  )
  return [found[q] for q in scales]


def place_of(
  config: ConfigDict, network: Network, source: Any, region: str, scale: int
) -> tuple[Path, dict[str, Any]]:
  """Where descriptors are stored, and what they are computed from.

  That is on this machine: they are mapped into memory.
  """
  layer = config.transfer.layer
  about = posteriors.identity(config, network, source, "features", scale)
  about |= {"split": source.split, "layer": layer, "region": region}
  name = f"{layer}-{region}"
  if (offsets := network.model.pool5_offsets) > 1:
    about["pool5_offsets"] = offsets
    name += f"-offsets{offsets}"
  # Features of several data sets stand beside each other.
  name += f"-{source.fingerprint[:8]}"
  path = path_of(
    network.workdir, source.split, name, scale, folder=store.FOLDER
  )
  return files.scratch(path.with_suffix("")), about


def untrained(network: Network, seed: int) -> Network:
  """The same network with random parameters.

  Glorot's: with those of the paper's standard deviation the activations of a
  narrow network vanish.
  """
  model = network.model.clone(initializer="glorot")
  key = jax.random.key(seed, impl="rbg")
  params = jax.device_get(parameters.init_params(model, key))
  return dataclasses.replace(
    network,
    workdir=network.workdir / f"untrained-{seed}",
    params=params,
    params_hash=checkpoint.params_hash(params),
  )


def describe_pixels(sources: Sequence[Any]) -> np.ndarray:
  """The pixels of small images less the middle gray, normalized.

  Args:
    sources: splits, of N images together.

  Returns:
    float32 [N, 3 * PIXELS_SIDE^2], of the central squares.
  """
  from vggjax.data import pipeline

  images = [
    batch["image"][batch["mask"] > 0]
    for source in sources
    for batch in pipeline.crop_batches(
      source, batch_size=64, crop_size=PIXELS_SIDE, test_scale=PIXELS_SIDE
    )
  ]
  images = np.concatenate(images)
  return extract.normalize(images.reshape(len(images), -1) - np.float32(127.5))
