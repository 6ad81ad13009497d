"""The descriptors of Appendix B as a transformer of scikit-learn."""

import copy
import numbers
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vggjax.errors import InputError
from vggjax.evaluate.dense import scales_of
from vggjax.features import extract
from vggjax.weights.load import load_weights
from vggjax.weights.weights import Weights

try:
  from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
  )
  from sklearn.utils.validation import check_is_fitted
except ImportError as error:
  raise InputError(
    "VGGFeatures needs scikit-learn: pip install 'vggjax[transfer]'"
  ) from error

# What stands for one network's weights.
Given = str | Path | Weights


class VGGFeatures(
  ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
  """L2-normalized descriptors of images, for scikit-learn (App. B).

  A step of a Pipeline before a linear classifier; `layer`, `scales` and
  `aggregate` can be searched. The pictures are computed at each `transform`:
  give the Pipeline a `memory` to keep them.

  Args:
    weights: what `load_weights` takes: a file, a name or a run's folder; or
      `Weights`; or a list of several, whose descriptors are stacked, and the
      stack normalized.
    scales: Q in pixels, one or several, see `extract_features`.
    layer: "conv1_1" ... "pool5", "fc6" or "fc7".
    aggregate: of the scales, "average", "max" or "stack".
    mirror: whether the mirror image counts too.
    batch_size: images computed at once; None: as many as suit their size.
    progress: whether to show bars.

  Attributes:
    weights_: the loaded weights, one of each network; a pickle holds them.
  """

  def __init__(
    self,
    weights: Given | Sequence[Given] = "oxford:vgg16",
    *,
    scales: int | Sequence[int] = (256, 384, 512),
    layer: str = "fc7",
    aggregate: str = "average",
    mirror: bool = True,
    batch_size: int | None = None,
    progress: bool = False,
  ):
    self.weights = weights
    self.scales = scales
    self.layer = layer
    self.aggregate = aggregate
    self.mirror = mirror
    self.batch_size = batch_size
    self.progress = progress

  def fit(self, X: Any, y: Any = None) -> "VGGFeatures":
    """Loads the weights and checks the parameters.

    Args:
      X: not looked at, for there is nothing to learn.
      y: likewise.

    Returns:
      Itself.

    Raises:
      InputError: if weights cannot be loaded, or on a parameter outside its
        range.
    """
    self._check_kinds()
    extract.check_aggregate(self.aggregate)
    several = isinstance(self.weights, list | tuple)
    given = self.weights if several else [self.weights]
    if not given:
      raise InputError("weights is empty; give at least one")
    loaded = tuple(open_weights(w, self.progress) for w in given)
    for weights in loaded:
      self._check_suits(weights)
    self.weights_ = loaded
    return self

  def transform(self, X: Sequence[np.ndarray | str | Path]) -> np.ndarray:
    """The images' descriptors.

    Args:
      X: uint8 arrays [H, W, 3] RGB of any sizes, or paths of image files; or
        uint8 [N, H, W, 3].

    Returns:
      float32 [N, F], each row of unit length; F is `n_features_out`.

    Raises:
      InputError: on an image that cannot be read.
      NotFittedError: before `fit`.
    """
    check_is_fitted(self)
    images = image_list(X)
    descriptors = [
      extract.extract_features(
        weights.create_model(),
        weights.params,
        images,
        self.scales,
        mean=weights.mean,
        layer=self.layer,
        aggregate=self.aggregate,
        mirror=self.mirror,
        batch_size=self.batch_size,
        progress=self.progress,
      )
      for weights in self.weights_
    ]
    one = len(descriptors) == 1
    return descriptors[0] if one else extract.stack(descriptors)

  @property
  def n_features_out(self) -> int:
    """F, the length of a descriptor; raises NotFittedError before `fit`."""
    check_is_fitted(self)
    count = sum(num_channels(w, self.layer) for w in self.weights_)
    return count * (np.size(self.scales) if self.aggregate == "stack" else 1)

  # The mixin's name for it.
  _n_features_out = n_features_out

  def __sklearn_tags__(self):
    """Says that X is a list of images or paths, not a table."""
    tags = super().__sklearn_tags__()
    tags.input_tags.two_d_array = False
    tags.input_tags.one_d_array = True
    tags.input_tags.string = True
    # Always float32.
    tags.transformer_tags.preserves_dtype = []
    return tags

  def __sklearn_clone__(self):
    """Shares `weights`, which are large, and which nothing changes."""
    bare = copy.copy(self)
    bare.weights = None
    clone = super(VGGFeatures, bare).__sklearn_clone__()
    clone.weights = self.weights
    return clone

  def _check_kinds(self):
    """Raises InputError on a parameter of the wrong type."""
    kinds = {
      "weights": (Given | list | tuple, "a path, a name, Weights, or a list"),
      "scales": (numbers.Integral | Sequence, "one or several whole numbers"),
      "layer": (str, "a layer's name"),
      "mirror": (bool | np.bool_, "True or False"),
      "batch_size": (numbers.Integral | None, "a whole number, or None"),
    }
    for name, (kind, wanted) in kinds.items():
      value = getattr(self, name)
      if not isinstance(value, kind):
        raise InputError(
          f"{name} is of type {type(value).__name__}; it must be {wanted}"
        )

  def _check_suits(self, weights: Weights):
    """Raises InputError if a network has not the layer, or not at a scale."""
    model = weights.create_model()
    # Without parameters: for its checks alone.
    extract.feature_buckets(
      model,
      {},
      mean=weights.mean,
      layer=self.layer,
      batch_size=self.batch_size or 0,
    )
    try:
      scales_of(self.scales, extract.smallest_scale(model, self.layer))
    except InputError as error:
      raise InputError(str(error).removeprefix("test_")) from error


def open_weights(given: Given, progress: bool) -> Weights:
  """The weights of one network; raises InputError if they cannot be loaded."""
  if isinstance(given, Weights):
    return given
  if not isinstance(given, str | Path):
    raise InputError(
      f"weights has a {type(given).__name__}; each must be a path, a name or "
      "Weights"
    )
  return load_weights(given, progress=progress)


def num_channels(weights: Weights, layer: str) -> int:
  """The channels of a layer; nothing is computed."""
  model = weights.create_model()
  _, layers = jax.eval_shape(
    lambda p, x: model.apply({"params": p}, x),
    weights.params,
    jax.ShapeDtypeStruct((1, model.crop_size, model.crop_size, 3), jnp.float32),
  )
  return layers[layer].shape[-1]


def image_list(X: Any) -> list[np.ndarray | str | Path]:
  """The X of `transform` as a list; raises InputError if it can be none."""
  kind = type(X).__name__
  if hasattr(X, "shape"):
    kind += f" of {getattr(X, 'dtype', '')} {list(X.shape)}"
  is_batch = (
    isinstance(X, np.ndarray) and X.dtype == np.uint8 and X.shape[3:] == (3,)
  )
  is_list = getattr(X, "ndim", 1) == 1 and isinstance(X, Iterable)
  if isinstance(X, str | Path) or not (is_batch or is_list):
    raise InputError(
      f"X is a {kind}; it must be a list of images, uint8 [H, W, 3], or of "
      "paths; or uint8 [N, H, W, 3]"
    )
  images = list(X)
  for index, image in enumerate(images):
    if not isinstance(image, np.ndarray | str | Path):
      raise InputError(
        f"X[{index}] is a {type(image).__name__}; it must be an image, uint8 "
        "[H, W, 3], or a path"
      )
  return images
