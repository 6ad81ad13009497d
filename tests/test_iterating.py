"""Iterators that are left over do not hold up the interpreter's end."""

import subprocess
import sys

PROGRAM = """
import sys
import time
import tensorflow as tf
from vggjax.data.iterating import elements

def double(value):
  time.sleep(0.02)
  return value * 2

def slow(value):
  return tf.numpy_function(double, [value], tf.int64)

numbers = tf.data.Dataset.range(10**9).map(slow, num_parallel_calls=8)
found = elements(numbers.batch(16).prefetch(2))
print(next(found)[:3])
try:
  raise ValueError
except ValueError as error:
  sys.left_over = error, found  # As a traceback in a cycle is.
"""


def test_the_interpreter_ends_with_an_iterator_left_over():
  # With `as_numpy_iterator` alone this hangs, or aborts.
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert (done.returncode, done.stdout) == (0, "[0 2 4]\n"), done.stderr
