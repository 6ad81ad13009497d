"""Iteration over tf.data sets that does not hold up the interpreter's end."""

import atexit
import weakref
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_UNFINISHED: weakref.WeakSet = weakref.WeakSet()


def elements(dataset: tf.data.Dataset) -> Iterator[Any]:
  """The elements of a data set, of NumPy arrays in place of tensors.

  TensorFlow waits for what an iterator has under way when it frees it. While
  Python ends, that waits for ever: what is left over then is freed before.
  """
  iterator = _elements(dataset)
  _UNFINISHED.add(iterator)
  return iterator


def _elements(dataset):
  yield from dataset.as_numpy_iterator()


@atexit.register
def _free_unfinished() -> None:
  for iterator in list(_UNFINISHED):
    iterator.close()
