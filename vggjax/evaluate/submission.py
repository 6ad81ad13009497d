"""Files for the ILSVRC-2012 classification test server (Sect. 4)."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vggjax.errors import InputError
from vggjax.files import written_whole

# A synset a line, in the order of ILSVRC2012_ID 1 to 1000, which is not the
# sorted order of the labels.
SYNSETS_FILE = Path(__file__).with_name("ilsvrc2012_synsets.txt")
GUESSES = 5


def write_submission(
  path: str | Path,
  posteriors: np.ndarray,
  ids: Sequence[str],
  class_names: Sequence[str],
) -> None:
  """Writes the five best classes of each test image, a line an image.

  A line holds five ILSVRC2012 IDs (1 to 1000, the order of the development
  kit), the most probable first; lines are in the order of the file names.

  Args:
    path: of the file; a killed write leaves the older one.
    posteriors: float [N, 1000].
    ids: the N images' ids; their file names give the order.
    class_names: the 1000 synsets (e.g. "n01440764") in the order of the labels.

  Raises:
    InputError: if the classes are not ImageNet's, or two file names are equal.
  """
  ilsvrc_ids = _ilsvrc_ids(class_names)
  names = [PurePosixPath(name).stem for name in ids]
  if len(set(names)) < len(names):
    raise InputError("two test images have the same file name")
  best = np.argsort(-np.asarray(posteriors), axis=1, kind="stable")
  best = ilsvrc_ids[best[:, :GUESSES]]
  lines = [
    " ".join(map(str, best[i])) + "\n"
    for i in sorted(range(len(names)), key=names.__getitem__)
  ]
  with written_whole(path) as temporary:
    temporary.write_text("".join(lines))


def are_ilsvrc(class_names: Sequence[str]) -> bool:
  """Whether these are the 1000 synsets of ILSVRC-2012, in any order."""
  return sorted(_synset(name) for name in class_names) == sorted(_synsets())


def _ilsvrc_ids(class_names: Sequence[str]) -> np.ndarray:
  """int [K]: each class's ILSVRC2012_ID."""
  if not are_ilsvrc(class_names):
    raise InputError(
      "a test-server file needs ImageNet's 1000 synsets, such as n01440764, as "
      f"classes; here are {len(class_names)}: {', '.join(class_names[:3])}"
    )
  id_of = {synset: number for number, synset in enumerate(_synsets(), start=1)}
  return np.array([id_of[_synset(name)] for name in class_names])


def _synsets() -> list[str]:
  return SYNSETS_FILE.read_text().split()


def _synset(class_name: str) -> str:
  """The synset of "n01440764" or of "n01440764 tench, Tinca tinca"."""
  return class_name.split()[0] if class_name.strip() else ""
