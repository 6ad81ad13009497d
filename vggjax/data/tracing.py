"""How TensorFlow makes graphs of Python functions."""

import tensorflow as tf

# Our functions have no `if` or loop over tensors for autograph to convert, and
# its reading of each one's source takes a large part of a start.
traced = tf.autograph.experimental.do_not_convert
