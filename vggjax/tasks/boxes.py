"""A network's boxes of a split, or its ratings: stored ones, or computed."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import geometry
from vggjax.errors import InputError
from vggjax.evaluate import dense, store
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.rows import StoredRaggedRows
from vggjax.localize import protocol
from vggjax.tasks import posteriors, run, stored
from vggjax.tasks.networks import Network

# At each scale: for each image an array [P, k, ...].
Found = list[list[np.ndarray]]


def get_boxes(
  config: ConfigDict,
  network: Network,
  source: Any,
  classes: np.ndarray,
  part: str,
  scales: Sequence[int],
  *,
  compute: bool = True,
) -> Found | None:
  """The boxes [P, k, 4] of classes; what is not stored is computed and stored.

  Args:
    config: its evaluation keys count, but for `protocol` and `test_scales`.
    network: a localization network.
    source: the split, of N images.
    classes: int32 [N, k].
    part: "dense": at every position; "center": in the central crop.
    scales: Q, pixels.
    compute: whether what is not stored is computed.

  Returns:
    At each scale, for each image, edges as fractions of the image; None if it
    had to be computed.

  Raises:
    InputError: if a scale is too small, the classes are others, or the network
      predicts no boxes.
  """
  regression = network.card.get("objective", "classes")
  if regression == "classes":
    raise InputError(f"{network.workdir} predicts classes, not boxes")
  options = {
    "regression": regression,
    **posteriors.bucket_options(config, network),
  }
  make = protocol.center_boxes
  if part == "dense":
    make = functools.partial(protocol.dense_boxes, mirror=config.test_mirror)
  make = functools.partial(make, network.model, network.params, **options)
  what = config, network, source, classes, "boxes", part, scales
  found = _get(*what, make if compute else None)
  if found is None:
    return None
  sizes = source.sizes()
  return [
    [geometry.uncap(b, *size, q) for b, size in zip(boxes, sizes, strict=True)]
    for q, boxes in zip(scales, found, strict=True)
  ]


def get_ratings(
  config: ConfigDict,
  network: Network,
  source: Any,
  classes: np.ndarray,
  scales: Sequence[int],
  *,
  compute: bool = True,
) -> Found | None:
  """The posteriors [P, k] of classes at every position, likewise.

  Args:
    config: see `get_boxes`.
    network: a classification network.
    source: see `get_boxes`.
    classes: likewise.
    scales: likewise.
    compute: likewise.
  """
  make = functools.partial(
    protocol.dense_ratings,
    network.model,
    network.params,
    mirror=config.test_mirror,
    **posteriors.bucket_options(config, network),
  )
  what = config, network, source, classes, "ratings", "dense", scales
  return _get(*what, make if compute else None)


def _get(
  config: ConfigDict,
  network: Network,
  source: Any,
  classes: np.ndarray,
  kind: str,
  part: str,
  scales: Sequence[int],
  make: Callable[[], Buckets] | None,
) -> Found | None:
  run.check_classes(source.class_names, network.card)
  dense.check_test_scales(scales, network.model.crop_size)
  classes = np.ascontiguousarray(classes, np.int32)
  width = (classes.shape[1], 4) if kind == "boxes" else classes.shape[1:]

  def fill(rows):
    name = f"{network.workdir}: {kind}"
    extras = {"classes": classes}
    posteriors.fill(config, name, make(), source, rows, extras)

  def keep(rows, path, about):
    values = rows.values()
    save(path, values, about)
    rows.remove()
    return values

  what = config, network, source, classes, kind, part
  found = stored.get(
    {q: place_of(*what, q) for q in scales},
    load=_load,
    open_rows=lambda path, about: StoredRaggedRows(
      path, source.num_examples, width, about
    ),
    fill=fill if make else None,
    keep=keep,
  )
  return found and [found[q] for q in scales]


def place_of(
  config: ConfigDict,
  network: Network,
  source: Any,
  classes: np.ndarray,
  kind: str,
  part: str,
  scale: int,
) -> tuple[Path, dict[str, Any]]:
  """Where "boxes" or "ratings" are stored, and what they are computed from."""
  digest = hashlib.sha256(np.ascontiguousarray(classes, np.int32)).hexdigest()
  about = posteriors.identity(config, network, source, part, scale)
  about.pop("spatial", None)
  about |= {"kind": kind, "classes": digest}
  offsets = network.model.pool5_offsets
  name = f"{part}-{digest[:12]}" + (f"-offsets{offsets}" * (offsets > 1))
  where = network.workdir, config.split, name, scale
  return store.path_of(*where, folder=kind), about


def save(path: Path, values: list[np.ndarray], about: dict[str, Any]) -> None:
  """Stores the arrays [P, ...] of all images."""
  lengths = np.array([len(value) for value in values])
  arrays = {"values": np.concatenate(values), "lengths": lengths}
  store.save_arrays(path, arrays, about)


def _load(path, about):
  found = store.load_arrays(path, about, ("values", "lengths"))
  if found is None:
    return None
  return np.split(found["values"], np.cumsum(found["lengths"])[:-1])
