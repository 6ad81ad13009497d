"""Very deep convolutional networks (Simonyan & Zisserman, 2014) in JAX."""

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
