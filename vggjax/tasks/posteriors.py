"""A trained network's posteriors of a split: stored ones, or computed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import distributed, parallel
from vggjax.errors import InputError
from vggjax.evaluate import dense, fusion, multicrop, store
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.rows import Rows
from vggjax.evaluate.shares import ShareRows
from vggjax.tasks import processes, run, stored
from vggjax.tasks.networks import Network


def get_posteriors(
  config: ConfigDict,
  network: Network,
  source: Any,
  protocol: str,
  scales: Sequence[int],
) -> list[store.Posteriors]:
  """The posteriors at each scale; what is not stored is computed and stored.

  Several processes compute a share of the images each; only the chief gets the
  result, the others get [].

  Args:
    config: its evaluation keys count, but for `protocol` and `test_scales`.
    network: from `networks.load_network`.
    source: the split.
    protocol: a key of `store.PROTOCOLS`.
    scales: Q, pixels.

  Raises:
    InputError: if a scale is too small, or the classes are others.
  """
  run.check_classes(source.class_names, network.card)
  dense.check_test_scales(scales, network.model.crop_size)
  return _mean_of_parts(
    [
      _get_part(config, network, source, part, scales)
      for part in store.PROTOCOLS[protocol]
    ]
  )


def _mean_of_parts(parts):
  if len(parts) == 1:
    return parts[0]
  return [fusion.fuse(items) for items in zip(*parts, strict=True)]


def stored_posteriors(
  config: ConfigDict,
  network: Network,
  source: Any,
  protocol: str,
  scales: Sequence[int],
) -> list[store.Posteriors] | None:
  """What `get_posteriors` returns without computing; None if it had to.

  Args:
    config: see `get_posteriors`.
    network: likewise; its parameters are not needed, only their hash.
    source: likewise.
    protocol: likewise.
    scales: likewise.
  """
  parts = []
  for part in store.PROTOCOLS[protocol]:
    parts.append([])
    for q in scales:
      about = identity(config, network, source, part, q)
      item = store.load(_path(config, network, part, q), about)
      if item is None:
        return None
      parts[-1].append(item)
  return _mean_of_parts(parts)


def _path(config, network, part, scale):
  return store.path_of(network.workdir, config.split, part, scale)


def identity(
  config: ConfigDict, network: Network, source: Any, part: str, scale: int
) -> dict[str, Any]:
  """What a stored array was computed from, and how; JSON values."""
  about = {
    "protocol": part,
    "test_scale": scale,
    "params": network.params_hash,
    "data": source.fingerprint,
    "split": config.split,
    "dtype": config.dtype,
    "precision": config.test_precision,
    "mean": network.card["mean"],
  }
  if part != "center":
    about["mirror"] = config.test_mirror
  if part == "dense":
    about["spatial"] = config.spatial
    # Left out where it is as in the paper.
    if network.model.pool5_offsets > 1:
      about["pool5_offsets"] = network.model.pool5_offsets
  return about


def _get_part(config, network, source, part, scales):
  """One protocol's stored posteriors; the missing ones are computed."""

  def fill(rows):
    compute(config, network, source, part, rows)
    for share in rows.values():
      share.hand_over()

  def keep(rows, path, about):
    values = rows.all_values()
    ids = np.array(source.ids())
    item = store.Posteriors(values, source.labels(), ids, about)
    store.save(path, item)
    rows.remove_all()
    return item

  places = {
    q: (
      _path(config, network, part, q),
      identity(config, network, source, part, q),
    )
    for q in scales
  }
  distributed.agree(
    {f"{part} at {q}": about for q, (_, about) in places.items()}
  )
  found = stored.get(
    places,
    load=store.load,
    open_rows=lambda path, about: ShareRows(
      path, source.num_examples, about, **processes.shares()
    ),
    fill=fill,
    keep=keep,
  )
  return [found[q] for q in scales if q in found]


def compute(
  config: ConfigDict,
  network: Network,
  source: Any,
  part: str,
  rows: dict[int, ShareRows],
) -> None:
  """Fills each scale's rows with the network's posteriors."""
  buckets = make_buckets(config, network, part)
  fill(config, f"{network.workdir}: {part}", buckets, source, rows)


def fill(
  config: ConfigDict,
  what: str,
  buckets: Buckets,
  source: Any,
  rows: dict[int, Rows],
  extras: dict[str, np.ndarray] | None = None,
  of_boxes: bool = False,
) -> None:
  """Fills each scale's rows; an image is decoded once for all of them.

  Several processes fill a share each.

  Args:
    config: its `progress` counts.
    what: the name of what is computed, for people.
    buckets: see `Buckets.map`.
    source: the split.
    rows: by scale.
    extras: see `Buckets.map`.
    of_boxes: whether the images are cut to their boxes.
  """
  from vggjax.data import pipeline

  done = np.array([row.done for row in rows.values()])
  if so_far := sum(distributed.gather(int(done.sum()))):
    run.note(
      f"{what} goes on after {so_far} of "
      f"{source.num_examples * len(rows)} images at Q = "
      f"{', '.join(map(str, rows))}"
    )
  count = distributed.count()
  wanted = np.zeros(source.num_examples, bool)
  wanted[distributed.index() :: count] = ~done.all(axis=0)
  examples = pipeline.rescaled_images(
    source, tuple(rows), wanted=wanted, of_boxes=of_boxes
  )
  buckets.map(
    ((index // count, images) for index, _, _, images in examples),
    list(rows.values()),
    extras=extras,
    progress=config.progress,
  )
  if buckets.computes_padding:
    run.note_work(buckets.work)
  run.note_capped(examples.capped)


def make_buckets(config: ConfigDict, network: Network, part: str) -> Buckets:
  """What computes a protocol's posteriors of padded batches."""
  options = bucket_options(config, network)
  model, params = network.model, network.params
  if part == "dense":
    return dense.dense_buckets(
      model,
      params,
      mirror=config.test_mirror,
      spatial=config.spatial,
      **options,
    )
  if part == "multicrop":
    return multicrop.multicrop_buckets(
      model, params, mirror=config.test_mirror, **options
    )
  return multicrop.multicrop_buckets(
    model, params, mirror=False, grid=1, **options
  )


def bucket_options(config: ConfigDict, network: Network) -> dict[str, Any]:
  """The options of `Buckets` that all protocols share, and the mean.

  Each process computes on its own devices, without waiting for the others.
  """
  devices = parallel.select_devices(config.num_devices)
  size = config.test_batch_size
  if size % len(devices):
    raise InputError(
      f"the evaluation's batch size is {size}; it must be a multiple of the "
      f"{len(devices)} devices"
    )
  return {
    "mean": network.card["mean"],
    "batch_size": size // distributed.count(),
    "devices": parallel.local_devices(devices),
    "precision": config.test_precision,
  }
