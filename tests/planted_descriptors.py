"""Descriptors of planted classes, and scikit-learn's SVM on them."""

import numpy as np
from sklearn.svm import LinearSVC

MULTI = np.array([[1, -1], [-1, 1], [1, 0], [-1, 1], [1, -1]], np.int8)


def planted(images, features, classes, *, signal=0.5, seed=0):
  """Non-negative descriptors of norm 1, and labels."""
  random = np.random.default_rng(seed)
  labels = random.permutation(np.arange(images) % classes)
  centers = signal * random.normal(size=(classes, features))
  x = np.maximum(centers[labels] + random.normal(size=(images, features)), 0)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return x.astype(np.float32), labels


def multi_targets(images, classes, seed=0):
  """-1, 0 and 1, all of them in each class."""
  random = np.random.default_rng(seed)
  return random.choice([-1, 0, 1], (images, classes), p=[0.6, 0.15, 0.25])


def plain(features, labels, C, dual, **options):
  """scikit-learn's, on the features themselves."""
  options = {"max_iter": 10_000, "random_state": 0, "tol": 1e-9, **options}
  return LinearSVC(C=C, dual=dual, **options).fit(features, labels)
