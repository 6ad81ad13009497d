"""Very deep convolutional networks (Simonyan & Zisserman, 2014) in JAX."""

import importlib
import typing

if typing.TYPE_CHECKING:
  from vggjax.evaluate.dense import dense_posteriors
  from vggjax.evaluate.multicrop import multicrop_posteriors
  from vggjax.features.extract import extract_features
  from vggjax.models.create import create_model
  from vggjax.models.vgg import NETWORKS
  from vggjax.weights.load import load_weights
  from vggjax.weights.save import save_weights
  from vggjax.weights.weights import Weights

__all__ = [
  "NETWORKS",
  "Weights",
  "__version__",
  "create_model",
  "dense_posteriors",
  "extract_features",
  "load_weights",
  "multicrop_posteriors",
  "save_weights",
]
__version__ = "0.1.0"
_MODULES = {
  "NETWORKS": "vggjax.models.vgg",
  "Weights": "vggjax.weights.weights",
  "create_model": "vggjax.models.create",
  "dense_posteriors": "vggjax.evaluate.dense",
  "extract_features": "vggjax.features.extract",
  "load_weights": "vggjax.weights.load",
  "multicrop_posteriors": "vggjax.evaluate.multicrop",
  "save_weights": "vggjax.weights.save",
}


def __getattr__(name: str) -> typing.Any:
  """Imports what is first asked for: JAX takes a second, programs begin before.

  See `startup`.
  """
  if name not in _MODULES:
    raise AttributeError(f"module 'vggjax' has no attribute {name!r}")
  globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
  return globals()[name]


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
