"""Files for the ILSVRC-2012 test servers (Sect. 4, App. A)."""

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
  best = np.argsort(-np.asarray(posteriors), axis=1, kind="stable")
  write_lines(path, ids, ilsvrc_ids[best[:, :GUESSES]])


def write_box_submission(
  path: str | Path,
  classes: np.ndarray,
  boxes: np.ndarray,
  ids: Sequence[str],
  class_names: Sequence[str],
) -> None:
  """Writes five classes with a box each of each test image (App. A).

  A line holds five times an ILSVRC2012 ID, xmin, ymin, xmax, ymax: inclusive
  pixels from 0 on, as in the annotations of the training set.

  Args:
    path: of the file; a killed write leaves the older one.
    classes: int [N, 5], the most probable first.
    boxes: float [N, 5, 4], edges in pixels of the images.
    ids: the N images' ids; their file names give the order.
    class_names: see `write_submission`.

  Raises:
    InputError: as `write_submission` does.
  """
  ilsvrc_ids = _ilsvrc_ids(class_names)[classes]
  # A box keeps at least a pixel.
  low = np.floor(boxes[..., :2] + 0.5)
  high = np.maximum(np.floor(boxes[..., 2:] + 0.5), low + 1)
  pixels = np.concatenate([low, high - 1], axis=-1).astype(int)
  words = np.concatenate([ilsvrc_ids[..., None], pixels], axis=-1)
  write_lines(path, ids, words.reshape(len(words), -1))


def write_lines(path: str | Path, ids: Sequence[str], words: np.ndarray):
  """Writes a line of numbers [N, n] an image, in the order of the file names.

  Raises:
    InputError: if two file names are equal.
  """
  names = [PurePosixPath(name).stem for name in ids]
  if len(set(names)) < len(names):
    raise InputError("two test images have the same file name")
  order = sorted(range(len(names)), key=names.__getitem__)
  with written_whole(path) as temporary:
    temporary.write_text(
      "".join(" ".join(map(str, words[i])) + "\n" for i in order)
    )


def _ilsvrc_ids(class_names: Sequence[str]) -> np.ndarray:
  """int [K]: each class's ILSVRC2012_ID."""
  if not imagenet.are_imagenet(class_names):
    raise InputError(
      "a test-server file needs ImageNet's 1000 synsets, such as n01440764, as "
      f"classes; here are {len(class_names)}: {', '.join(class_names[:3])}"
    )
  id_of = imagenet.ilsvrc_ids()
  return np.array([id_of[imagenet.synset_of(name)] for name in class_names])
