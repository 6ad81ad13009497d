"""PyTorch's files (.pth), read without running what they hold."""

import pickle
import zipfile
from pathlib import Path

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.foreign import Foreign
from vggjax.weights.state_dict import read_state_dict

# What training scripts wrap a state dict in.
WRAPPERS = ("state_dict", "model_state_dict", "model")


def read(path: Path) -> Foreign:
  """Reads a state dict; its tensors are read from the disk when used.

  Raises:
    InputError: if torch is missing, or the file holds more than tensors.
  """
  try:
    import torch
  except ImportError as error:
    raise InputError(
      f"reading a .pth file needs torch ({error}): pip install "
      "'vggjax[torch]', or convert it to safetensors where torch is installed"
    ) from error
  try:
    found = torch.load(
      path,
      map_location="cpu",
      weights_only=True,
      # The format before torch 1.6 cannot be mapped into memory.
      mmap=zipfile.is_zipfile(path),
    )
  except pickle.UnpicklingError as error:
    raise InputError(
      "holds Python objects, which could run code; save its state_dict() alone"
    ) from error
  for name in WRAPPERS:
    if isinstance(found, dict) and isinstance(found.get(name), dict):
      found = found[name]
  if not isinstance(found, dict):
    raise InputError(f"holds a {type(found).__name__} and not a state dict")
  tensors = {
    name: _Tensor(tensor)
    for name, tensor in found.items()
    if isinstance(tensor, torch.Tensor)
  }
  return read_state_dict(tensors)


class _Tensor:
  """A torch tensor as foreign.Array; NumPy lacks bfloat16."""

  def __init__(self, tensor):
    self._tensor = tensor
    self.shape = tuple(tensor.shape)

  def __getitem__(self, index) -> np.ndarray:
    return self._tensor[index].detach().float().numpy()
