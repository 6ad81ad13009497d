"""What an SVM refuses, in one line."""

import sys

import numpy as np
import pytest
from planted_descriptors import MULTI, planted

from vggjax.errors import InputError
from vggjax.features import liblinear, svm

ONES = np.ones((5, 3), np.float32)


@pytest.mark.parametrize(
  ("features", "targets", "num_classes", "words"),
  [
    (ONES, [0, 1, 0, 1, 0], None, "num_classes of 2 or more"),
    (ONES, [0, 0, 0, 0, 0], 1, "num_classes of 2 or more"),
    (ONES, [0, 1, 2, 1, 0], 2, r"integers in \[0, 2\)"),
    (ONES, [0, 1, -1, 1, 0], 2, r"integers in \[0, 2\)"),
    (ONES, [0.0, 1, 0, 1, 0], 2, "integers"),
    (ONES, [0, 1], 2, r"\(5, 3\).*\(2,\)"),
    (ONES[0], [0, 1, 0], 2, r"\(3,\)"),
    (ONES[:, :0], [0, 1, 0, 1, 0], 2, r"\(5, 0\)"),
    (ONES, MULTI[..., None], None, r"\(5, 2, 1\)"),
    (ONES, MULTI[:, :0], None, r"\(5, 0\)"),
    (ONES, 2 * MULTI, None, "-1, 0 or 1"),
    (ONES, MULTI, 3, "num_classes 3"),
  ],
)
def test_refuses_what_does_not_belong_together(
  features, targets, num_classes, words
):
  with pytest.raises(ValueError, match=words):
    svm.fit(features, targets, 1.0, num_classes=num_classes)


@pytest.mark.parametrize(
  ("targets", "num_classes", "words"),
  [
    ([0, 2, 0, 2, 3], 4, "has class 1 "),
    ([0, 1, 0, 1, 2], 4, "has class 3 "),
    ([1, 1, 1, 1, 1], 2, "has class 0 "),
    (np.array([[1, 1, -1, -1, 1], [-1, 0, -1, 0, -1]]).T, None, "has class 1 "),
    (np.array([[1, 0, 1, 0, 1], [-1, 0, 1, 0, -1]]).T, None, "lacks class 0 "),
  ],
)
def test_names_a_class_without_images(targets, num_classes, words):
  for features in (ONES, np.ones((5, 9))):
    with pytest.raises(InputError, match=f"no training image {words}"):
      svm.fit(features, targets, 1.0, num_classes=num_classes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [3, 9])
def test_refuses_features_that_are_no_numbers(value, size):
  features = np.ones((5, size))
  features[3, 1] = value
  with pytest.raises(InputError, match="NaN or infinite"):
    svm.fit(features, MULTI, 1.0)
  # The largest float32 are numbers.
  svm._checked(np.full((5, 3), 3e38), MULTI, None)


@pytest.mark.parametrize("C", [0, -1.0, np.nan, np.inf])
def test_refuses_a_wrong_c(C):
  with pytest.raises(InputError, match="C must be a number above 0"):
    svm.fit(ONES, MULTI, C)


def test_refuses_more_than_liblinear_counts(monkeypatch):
  x, labels = planted(30, 20, 2)
  # Its entries, and each image's intercept and end.
  entries = np.count_nonzero(x) + 60
  monkeypatch.setattr(liblinear, "MAX_ENTRIES", entries)
  svm.fit(x, labels, 1.0, num_classes=2)
  monkeypatch.setattr(liblinear, "MAX_ENTRIES", entries - 1)
  with pytest.raises(InputError, match="30 images of 20 features"):
    svm.fit(x, labels, 1.0, num_classes=2)


def test_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "sklearn", None)
  with pytest.raises(InputError, match=r"pip install 'vggjax\[transfer\]'"):
    svm.fit(ONES, MULTI, 1.0)
