"""The data of a training, looked at before it begins."""

import time
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax.errors import InputError
from vggjax.tasks import run
from vggjax.tasks.checklist import FAIL, NOTE, OK, Checklist, duration, some


def check_data(config: ConfigDict, lines: Checklist) -> dict[str, Any]:
  """Opens the splits; those that can be, by their names."""
  sources = {}
  dataset = config.dataset
  boxes = config.objective != "classes"
  needed = [dataset.train_split]
  if dataset.validation_split:
    needed.append(dataset.validation_split)
  for split in dict.fromkeys((*needed, config.split)):
    try:
      sources[split] = run.open_split(config, split, with_boxes=boxes)
    except InputError as error:
      # The other one is for evaluation.
      lines.add(FAIL if split in needed else NOTE, "data", str(error))
      continue
    with lines.about("data"):
      describe(config, sources[split], split in needed, lines)
  source = sources.get(dataset.train_split)
  for split in needed[1:]:
    if source is not None and split in sources:
      card = run.make_card(config, source, (0, 0, 0))
      with lines.about("data"):
        run.check_classes(sources[split].class_names, card)
  return sources


def describe(
  config: ConfigDict, source: Any, is_needed: bool, lines: Checklist
) -> None:
  """A line on how many images a split has, of how many classes."""
  is_trained = source.split == config.dataset.train_split
  labels = source.labels()
  count = len(labels)
  if is_trained and config.batch_size > count:
    raise InputError(
      f"{source.split} has {count} images, fewer than batch_size "
      f"{config.batch_size}"
    )
  if (labels < 0).any():
    status = FAIL if is_needed else NOTE
    lines.add(status, "data", f"{source.split} has images without a label")
    return
  names = source.class_names
  sizes = np.bincount(labels, minlength=len(names))
  each = " to ".join(f"{n:,}" for n in sorted({sizes.min(), sizes.max()}))
  text = f"{source.split}: {count:,} images of {len(names):,} classes"
  lines.add(OK, "data", f"{text}, {each} of each")
  if is_trained and not sizes.all():
    empty = [name for name, size in zip(names, sizes, strict=True) if not size]
    text = f"{len(empty)} classes have no image to train on: "
    lines.add(NOTE, "data", text + some(empty))


def check_images(
  config: ConfigDict, sources: dict[str, Any], lines: Checklist
) -> dict[str, Any]:
  """Reads every image; returns the splits less those that are unreadable.

  Tells what is unreadable, damaged, or there twice.
  """
  from vggjax.data import survey

  begun = time.monotonic()
  found = [survey.survey(s, config.progress) for s in sources.values()]
  count = sum(source.num_examples for source in sources.values())
  unreadable = sum(len(one.unreadable) for one in found)
  took = duration(time.monotonic() - begun)
  text = (
    f"{count - unreadable:,} of {count:,} can be decoded (all read: {took})"
  )
  lines.add(FAIL if unreadable else OK, "images", text)
  for one in found:
    for name, reason in one.unreadable[:3]:
      text = f"{one.split}: {name}: {reason}"
      lines.add(NOTE, "images", text)
    if one.damaged:
      names = [f"{name} ({words})" for name, words in one.damaged]
      text = f"{one.split}: {len(names)} with a damaged scan: {some(names)}"
      lines.add(NOTE, "images", text)
    if repeated := survey.num_repeated(one.digests):
      lines.add(NOTE, "images", f"{one.split}: {repeated:,} are there twice")
  if unreadable:
    text = "mend them, or leave them out by --config.dataset.on_error=skip"
    lines.add(NOTE, "images", text)
  shared = survey.in_two_splits(found)
  for (one, other), pairs in shared.items():
    text = f"{one} and {other} have {len(pairs):,} images in common: "
    names = [" = ".join(dict.fromkeys(pair)) for pair in pairs]
    lines.add(NOTE, "splits", text + some(names))
  if not shared and len(found) > 1:
    lines.add(OK, "splits", "no image stands in two of them")
  return {
    one.split: sources[one.split].without(one.positions)
    if one.positions
    else sources[one.split]
    for one in found
  }
