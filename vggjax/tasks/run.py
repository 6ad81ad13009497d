"""What training and evaluation share: splits, networks and their card."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from vggjax import distributed
from vggjax.addresses import absolute
from vggjax.errors import InputError
from vggjax.evaluate.buckets import Work
from vggjax.geometry import MAX_ASPECT
from vggjax.localize.head import num_outputs
from vggjax.models import create, vgg
from vggjax.weights import names
from vggjax.weights.load import load_weights
from vggjax.weights.run_folder import load_run
from vggjax.weights.weights import Weights

# What a network is made of; its card keeps them.
NETWORK_KEYS = ("network", "width", "crop_size", "pool", "lrn")


def note(message: str) -> None:
  """Tells the user something that is neither a result nor an error, once."""
  if distributed.is_chief():
    print(f"vggjax: {message}", file=sys.stderr, flush=True)


def open_split(
  config: ConfigDict,
  split: str,
  *,
  with_boxes: bool = False,
  multi_label: bool = False,
) -> Any:
  """The data source of a split; says what was left out of it.

  Args:
    config: its `dataset` counts.
    split: its name.
    with_boxes: whether only the images with true boxes count.
    multi_label: whether an image can have several classes.
  """
  from vggjax.data import sources, unreadable

  dataset = config.dataset

  def open_source():
    return sources.open_source(
      dataset.source,
      split,
      data_dir=dataset.data_dir or None,
      seed=dataset.split_seed,
      labels_csv=dataset.labels_csv,
      class_list=dataset.class_list,
      with_boxes=with_boxes,
      boxes=dataset.boxes,
      multi_label=multi_label,
    )

  # What is not prepared yet the chief prepares.
  source = distributed.chief_first(open_source)
  if dataset.on_error == "skip":
    source = unreadable.leave_out_unreadable(source)
  if source.without_boxes:
    note(f"{source.without_boxes} images of {split} without boxes are left out")
  if source.skipped:
    note(
      f"{len(source.skipped)} unreadable images of {split} are left out: "
      f"{', '.join(source.skipped[:5])}"
      f"{', ...' if len(source.skipped) > 5 else ''}"
    )
  return source


def note_capped(count: int) -> None:
  """Says how many images all processes cut because they were too long."""
  if count := sum(distributed.gather(count)):
    note(
      f"{count} images were longer than {MAX_ASPECT} times their short side "
      "and were center-cropped to that"
    )


def note_work(work: Work) -> None:
  """Says what all processes have computed."""
  names = ("images", "slots", "pixels", "slot_pixels")
  parts = distributed.gather(
    [*(getattr(work, name) for name in names), sorted(work.shapes)]
  )
  *sums, shapes = zip(*parts, strict=True)
  images, slots, pixels, slot_pixels = map(sum, sums)
  if images:
    shapes = {tuple(shape) for part in shapes for shape in part}
    note(
      f"{images} images in {slots} slots of {len(shapes)} batch shapes; "
      f"padding was {100 * (1 - pixels / slot_pixels):.0f} % of the pixels"
    )


def picture_module() -> ModuleType | None:
  """`vggjax.visualize`; None, and a note, where matplotlib is missing."""
  try:
    from vggjax import visualize
  except ImportError as error:
    note(f"no pictures: {error}; pip install 'vggjax[plots]'")
    return None
  return visualize


def create_model(config: ConfigDict, num_outputs: int) -> vgg.VGG:
  """The network that a config describes."""
  return create.create_model(
    **{key: config[key] for key in NETWORK_KEYS},
    num_outputs=num_outputs,
    dropout_rate=config.dropout_rate,
    pool5_offsets=config.pool5_offsets,
    initializer=config.initializer,
    init_std=config.init_std,
    dtype=jnp.dtype(config.dtype),
    rematerialize=config.rematerialize,
  )


def make_card(config: ConfigDict, source: Any, mean: Any) -> dict[str, Any]:
  """What a reader of the parameters must know; saved with them as JSON."""
  return {
    **{key: config[key] for key in NETWORK_KEYS},
    "objective": config.objective,
    "num_outputs": num_outputs(config.objective, len(source.class_names)),
    "mean": [float(value) for value in mean],
    "class_names": list(source.class_names),
    "run": config.run,
    "train_scale": list(config.train_scale),
    "data": source.fingerprint,
  }


def model_of_card(card: dict[str, Any], config: ConfigDict) -> vgg.VGG:
  """The network of saved parameters.

  Raises:
    InputError: if the config describes another one.
  """
  # Runs trained before there were others predict classes.
  card = {"objective": "classes", **card}
  for key in (*NETWORK_KEYS, "objective"):
    if card[key] != config[key]:
      raise InputError(
        f"the workdir's network has {key} {card[key]!r}, the config "
        f"{config[key]!r}; give the config of the run that trained it"
      )
  return create_model(config, card["num_outputs"])


def check_classes(names: tuple[str, ...], card: dict[str, Any]) -> None:
  """Raises InputError unless a split has the classes of the training set."""
  trained = card["class_names"]
  if not trained and len(names) == card["num_outputs"]:
    return  # Weights that do not name their classes.
  if list(names) != trained:
    differing = ", ".join(sorted(set(names) ^ set(trained))[:3])
    raise InputError(
      f"the data set has {len(names)} classes, the network was trained on "
      f"{card['num_outputs']}; differing: {differing or 'their order'}"
    )


def load_source(name: str, workdir: Path) -> tuple[Weights, str]:
  """The weights that `init_from` names, and where they are.

  Args:
    name: what `load_weights` takes; a bare name is a run beside the workdir.
    workdir: of the run that starts from them.

  Raises:
    InputError: if they cannot be loaded.
  """
  if "/" in name or names.is_name(name) or Path(name).is_file():
    return load_weights(name), name
  beside = absolute(workdir).parent / name
  return load_run(beside), str(beside)
