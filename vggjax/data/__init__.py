"""Data: sources, preprocessing, batches; the one place with TensorFlow."""

import os

# All before the import: quiet, and no warning about rounding on every start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# A core an image: to share one out costs more than it gains.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# Else TensorFlow imports Keras eagerly, and that matplotlib and scikit-learn,
# which takes a third of its import; tf.keras finds Keras when it is used.
_chosen = os.environ.get("TF_USE_LEGACY_KERAS")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
try:
  import tensorflow as tf
finally:
  del os.environ["TF_USE_LEGACY_KERAS"]
  if _chosen is not None:
    os.environ["TF_USE_LEGACY_KERAS"] = _chosen

# TensorFlow only reads and decodes here: the accelerators are JAX's.
tf.config.set_visible_devices([], "GPU")
