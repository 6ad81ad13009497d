"""Files for the ILSVRC-2012 classification test server (Sect. 4)."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vggjax import imagenet
from vggjax.errors import InputError
from vggjax.files import written_whole

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


def _ilsvrc_ids(class_names: Sequence[str]) -> np.ndarray:
  """int [K]: each class's ILSVRC2012_ID."""
  if not imagenet.are_imagenet(class_names):
    raise InputError(
      "a test-server file needs ImageNet's 1000 synsets, such as n01440764, as "
      f"classes; here are {len(class_names)}: {', '.join(class_names[:3])}"
    )
  id_of = imagenet.ilsvrc_ids()
  return np.array([id_of[imagenet.synset_of(name)] for name in class_names])
