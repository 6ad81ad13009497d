"""PASCAL VOC's classes and actions, and files for its test server (App. B)."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vggjax.addresses import location
from vggjax.errors import InputError
from vggjax.files import written_whole

_CLASSES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse
motorbike person pottedplant sheep sofa train tvmonitor
"""
_ACTIONS = """
jumping phoning playinginstrument reading ridingbike ridinghorse running
takingphoto usingcomputer walking other
"""
CLASSES = tuple(_CLASSES.split())
# VOC-2012's. The people of the last one are distractors of the ten others.
ACTIONS = tuple(_ACTIONS.split())
DISTRACTORS = "other"


def write_submission(
  folder: str | Path,
  scores: np.ndarray,
  ids: Sequence[str],
  class_names: Sequence[str],
) -> list[Path]:
  """Writes a file a class for the server: a line an image, its name and score.

  The files are those of the competitions whose training data is free, as the
  networks have seen ImageNet: comp2 (classes) or comp10 (actions; a line has
  the name, the person's number and the score; that of jumping has no people of
  2010, of whom it is not annotated).

  Args:
    folder: of the files, which stand in VOC2012/Main or VOC2012/Action there.
    scores: float [N, K].
    ids: of the images, "2008_000001.jpg", or of people, "2010_006215_1".
    class_names: CLASSES or ACTIONS.

  Returns:
    The files' paths.

  Raises:
    InputError: if the classes are others.
  """
  names = tuple(class_names)
  if names not in (CLASSES, ACTIONS):
    raise InputError(
      f"PASCAL VOC's server takes its 20 classes or its actions, not "
      f"{', '.join(names[:3])}, ..."
    )
  kind, stem = "Main", "comp2_cls_test"
  lines = [PurePosixPath(name).stem for name in ids]
  if names == ACTIONS:
    kind, stem = "Action", "comp10_action_test"
    lines = [" ".join(line.rsplit("_", 1)) for line in lines]
  paths = []
  for name, column in zip(names, np.transpose(scores), strict=True):
    if name == DISTRACTORS:
      continue
    path = location(folder) / "VOC2012" / kind / f"{stem}_{name}.txt"
    with written_whole(path) as temporary:
      temporary.write_text(
        "".join(
          f"{line} {score:.6f}\n"
          for line, score in zip(lines, column, strict=True)
          if name != "jumping" or not line.startswith("2010_")
        )
      )
    paths.append(path)
  return paths
