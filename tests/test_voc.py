"""Files for PASCAL VOC's server, against lines written by hand."""

import numpy as np
import pytest

from vggjax import voc
from vggjax.errors import InputError


def test_constants():
  assert len(voc.CLASSES) == 20
  assert list(voc.CLASSES) == sorted(voc.CLASSES)
  assert len(voc.ACTIONS) == 11
  assert voc.ACTIONS[-1] == voc.DISTRACTORS


def test_classes(tmp_path):
  scores = np.arange(40).reshape(2, 20) / 7 - 2
  ids = ["2008_000004.jpg", "2008_000001.jpg"]
  paths = voc.write_submission(tmp_path, scores, ids, voc.CLASSES)
  assert len(paths) == 20
  path = tmp_path / "VOC2012" / "Main" / "comp2_cls_test_bicycle.txt"
  assert paths[1] == path
  assert path.read_text() == ("2008_000004 -1.857143\n2008_000001 1.000000\n")


def test_actions(tmp_path):
  scores = np.zeros((3, 11))
  scores[:, 0] = 0.5, -0.25, 7
  ids = ["2010_006215_1.jpg", "2011_000003_12.jpg", "2011_000004_1.jpg"]
  paths = voc.write_submission(tmp_path, scores, ids, voc.ACTIONS)
  assert len(paths) == 10  # None of the distractors.
  folder = tmp_path / "VOC2012" / "Action"
  assert (folder / "comp10_action_test_jumping.txt").read_text() == (
    "2011_000003 12 -0.250000\n2011_000004 1 7.000000\n"
  )
  assert (folder / "comp10_action_test_phoning.txt").read_text() == (
    "2010_006215 1 0.000000\n2011_000003 12 0.000000\n2011_000004 1 0.000000\n"
  )


def test_other_classes(tmp_path):
  with pytest.raises(InputError, match="not cat, dog, "):
    voc.write_submission(tmp_path, np.zeros((1, 2)), ["a"], ("cat", "dog"))
  assert not list(tmp_path.iterdir())
