"""ImageNet's 1000 classes of ILSVRC-2012: synsets, words, numbers."""

import functools
from collections.abc import Sequence
from pathlib import Path

# A synset and its words a line, in the order of ILSVRC2012_ID 1 to 1000,
# which is not the sorted order of the labels.
FILE = Path(__file__).with_name("imagenet.txt")


@functools.cache
def _table() -> dict[str, str]:
  lines = FILE.read_text(encoding="utf-8").splitlines()
  return dict(line.split(" ", 1) for line in lines)


def synsets() -> tuple[str, ...]:
  """The synsets, e.g. "n01440764", in the order of the labels: sorted."""
  return tuple(sorted(_table()))


def ilsvrc_ids() -> dict[str, int]:
  """The development kit's number of each synset, 1 to 1000."""
  return {synset: number for number, synset in enumerate(_table(), start=1)}


def synset_of(class_name: str) -> str:
  """The synset of "n01440764" or of "n01440764 tench, Tinca tinca"."""
  return class_name.split()[0] if class_name.strip() else ""


def are_imagenet(class_names: Sequence[str]) -> bool:
  """Whether these are ImageNet's 1000 synsets, in any order."""
  return sorted(map(synset_of, class_names)) == list(synsets())


def readable(class_name: str) -> str:
  """The words of a synset, e.g. "tench, Tinca tinca"; other names as is."""
  return _table().get(class_name, class_name)
