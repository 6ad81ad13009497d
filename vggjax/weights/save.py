"""Weights to files: our layout, torchvision's, Keras's, and StableHLO."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from vggjax.errors import InputError
from vggjax.files import written_whole
from vggjax.models import vgg
from vggjax.weights.hdf5 import h5py_module
from vggjax.weights.safetensors_file import FIELDS, METADATA, PREPROCESSING
from vggjax.weights.state_dict import IMAGENET_MEAN, IMAGENET_STD
from vggjax.weights.weights import Weights


def save_weights(
  path: str | Path, weights: Weights, *, format: str = "vggjax"
) -> None:
  """Writes weights to a file; a killed write leaves the older one.

  Formats:
    vggjax: safetensors with our names and axes, and everything that `weights`
      knows in the metadata; `load_weights` gives the same back.
    torchvision: the state dict of torchvision's VGG, as safetensors, or as a
      PyTorch file where the path ends in .pth or .pt (which needs torch).
    keras: the HDF5 layout of keras.applications (which needs h5py); the name
      should end in .h5.
    stablehlo: the network itself, see `export.export_dense`.

  Args:
    path: of the file; missing folders are made.
    weights: from `load_weights` or of one's own.
    format: a key of FORMATS.

  Raises:
    InputError: if the format is not known, cannot hold the network, or its
      library is missing.
  """
  if format not in FORMATS:
    raise InputError(f"format {format!r} is not one of {', '.join(FORMATS)}")
  if weights.objective != "classes" and format != "vggjax":
    raise InputError(
      f"format {format} is for networks of classes; these weights predict "
      "boxes: use format vggjax"
    )
  try:
    with written_whole(path) as temporary:
      FORMATS[format](temporary, weights, Path(path).suffix)
  except OSError as error:
    raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def metadata_of(weights: Weights) -> dict[str, Any]:
  """The model card: what the parameters mean, as JSON values."""
  return {field: getattr(weights, field) for field in FIELDS}


def write_ours(path: Path, weights: Weights, suffix: str) -> None:
  """See `save_weights`."""
  tensors = {
    f"{layer}.{kind}": np.ascontiguousarray(array, np.float32)
    for layer, arrays in weights.params.items()
    for kind, array in arrays.items()
  }
  metadata = {"format": "vggjax", METADATA: json.dumps(metadata_of(weights))}
  safetensors.numpy.save_file(tensors, path, metadata)


def write_torchvision(path: Path, weights: Weights, suffix: str) -> None:
  """See `save_weights`; the inverse of `state_dict.read_state_dict`."""
  check_layers(weights, "torchvision")
  std = np.asarray(IMAGENET_STD, np.float32)
  tensors = {}
  for name, layer, kernel, bias in named_layers(weights, torchvision_names):
    if layer == "conv1_1":
      kernel = kernel * std[:, None]
    axes = (3, 2, 0, 1)
    kernel = kernel.transpose(axes)
    if layer in vgg.FC_LAYERS:
      kernel = kernel.reshape(len(kernel), -1)
    tensors[f"{name}.weight"] = np.ascontiguousarray(kernel)
    tensors[f"{name}.bias"] = bias
  preprocessing = {
    "mean": [m / 255 for m in weights.mean],
    "std": [s / 255 for s in IMAGENET_STD],
  }
  if suffix in (".pth", ".pt"):
    write_torch_file(path, tensors, preprocessing)
    return
  metadata = {"format": "pt", PREPROCESSING: json.dumps(preprocessing)}
  safetensors.numpy.save_file(tensors, path, metadata)


def write_torch_file(path, tensors, preprocessing):
  """A state dict alone; torchvision's own mean is what its users subtract."""
  if not np.allclose(preprocessing["mean"], np.divide(IMAGENET_MEAN, 255)):
    raise InputError(
      "a .pth file has no place for the mean of these weights, which is not "
      "torchvision's; write .safetensors"
    )
  try:
    import torch
  except ImportError as error:
    raise InputError(
      f"writing a .pth file needs torch ({error}): pip install "
      "'vggjax[torch]', or write .safetensors"
    ) from error
  state_dict = {name: torch.from_numpy(a) for name, a in tensors.items()}
  torch.save(state_dict, path)


def write_keras(path: Path, weights: Weights, suffix: str) -> None:
  """See `save_weights`: what `keras.applications.VGG16(weights=...)` reads."""
  check_layers(weights, "Keras")
  h5py = h5py_module("writing HDF5")
  with h5py.File(path, "w") as file:
    names = []
    for name, layer, kernel, bias in named_layers(weights, keras_names):
      if layer == "conv1_1":
        kernel = kernel[:, :, ::-1]
      if layer in vgg.FC_LAYERS:
        kernel = kernel.reshape(-1, kernel.shape[-1])
      group = file.create_group(name)
      weight_names = [f"{name}/kernel:0", f"{name}/bias:0"]
      group.attrs["weight_names"] = [n.encode() for n in weight_names]
      for weight_name, array in zip(weight_names, (kernel, bias), strict=True):
        group.create_dataset(weight_name, data=array)
      names.append(name.encode())
    file.attrs["layer_names"] = names
    file.attrs["backend"] = b"jax"
    file.attrs["keras_version"] = b"2.15.0"
    # Not Keras's: its users subtract ImageNet's mean.
    file.attrs["mean"] = weights.mean


def write_stablehlo(path: Path, weights: Weights, suffix: str) -> None:
  """See `save_weights`."""
  from vggjax.weights import export

  path.write_bytes(export.export_dense(weights))


FORMATS: dict[str, Callable[[Path, Weights, str], None]] = {
  "vggjax": write_ours,
  "torchvision": write_torchvision,
  "keras": write_keras,
  "stablehlo": write_stablehlo,
}


def check_layers(weights: Weights, library: str) -> None:
  """Raises InputError if a library has no such network."""
  if weights.network == "A-LRN":
    raise InputError(f"{library}'s VGGs have no local response normalization")


def named_layers(
  weights: Weights, names_of: Callable[[str], dict[str, str]]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
  """A layer's foreign name, its own, and its kernel and bias, float32."""
  names = names_of(weights.network)
  for layer, arrays in weights.params.items():
    kernel = np.asarray(arrays["kernel"], np.float32)
    yield names[layer], layer, kernel, np.asarray(arrays["bias"], np.float32)


def torchvision_names(network: str) -> dict[str, str]:
  """Each layer's name in torchvision's state dict.

  A convolution and its ReLU, and a pooling, are entries of `features`.
  """
  names, index = {}, 0
  for layer in vgg.block_layers(network):
    if layer.kind == "conv":
      names[layer.name] = f"features.{index}"
    index += 2 if layer.kind == "conv" else 1
  fc_names = ("classifier.0", "classifier.3", "classifier.6")
  return names | dict(zip(vgg.FC_LAYERS, fc_names, strict=True))


def keras_names(network: str) -> dict[str, str]:
  """Each layer's name in keras.applications."""
  names = {
    layer.name: layer.name.replace("conv", "block").replace("_", "_conv")
    for layer in vgg.block_layers(network)
    if layer.kind == "conv"
  }
  fc_names = ("fc1", "fc2", "predictions")
  return names | dict(zip(vgg.FC_LAYERS, fc_names, strict=True))
