"""Very deep convolutional networks (Simonyan & Zisserman, 2014) in JAX."""

from vggjax.evaluate.dense import dense_posteriors
from vggjax.evaluate.multicrop import multicrop_posteriors
from vggjax.models.vgg import NETWORKS, create_model

__all__ = [
  "NETWORKS",
  "__version__",
  "create_model",
  "dense_posteriors",
  "multicrop_posteriors",
]
__version__ = "0.1.0"
