"""Weights of all formats: python -m tests.fuzz.weights. See the package."""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

TOKENS = (
  *(b"\x89HDF\r\n\x1a\n", b"GCOL", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP"),
  *(b"MATLAB 5.0", b"MATLAB 7.3", b"PK\x03\x04", b"PK\x01\x02", b"data.pkl"),
  *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", b"\x80\x02."),
  *(
    b'{"',
    b'"shape":[',
    b'"F32"',
    b"\xff\xff\xff\xff\x0f",
    b"\x00\x00\xc0\x7f",
  ),
)


def seeds():
  """A small network in each format, of a few hundred kilobytes at most."""
  import caffe_files
  import foreign_nets
  import h5py
  import keras_nets
  import mat_files
  import matconvnet_files
  import safetensors.torch
  import torch

  from vggjax.weights.load import load_weights
  from vggjax.weights.save import save_weights

  tiny = {"num_outputs": 2, "crop_size": 32, "width": 1 / 64}
  net = foreign_nets.make("A", **tiny)
  files = {}
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "file"

    def keep(name):
      files[name] = path.read_bytes()
      path.unlink()

    caffe_net = caffe_files.tiny_net()
    for layout in ("new", "V1", "V0"):
      layers = caffe_files.layers_of(caffe_net)
      files[f"caffe-{layout}"] = caffe_files.encode(layers, layout)
    variables = matconvnet_files.small_net()
    for form, writer in mat_files.WRITERS.items():
      writer(path, variables)
      keep(f"mat-{form}")
    torch.save(net.state_dict(), path)
    keep("torch")
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    keep("torch-legacy")
    safetensors.torch.save_file(net.state_dict(), path)
    keep("safetensors")
    path.write_bytes(files["safetensors"])
    save_weights(Path(folder) / "ours", load_weights(path))
    files["ours"] = (Path(folder) / "ours").read_bytes()
    model = keras_nets.make("A", side=32)
    for name, save in zip(
      ("h5", "keras", "weights-h5", "legacy"), keras_nets.SAVES, strict=True
    ):
      save(model, path.with_suffix(".h5" if name == "h5" else ""))
      if name == "h5":
        path.with_suffix(".h5").rename(path)
      keep(f"keras-{name}")
    with h5py.File(path, "w") as file:
      # Texts in the global heap.
      file.attrs["backend"] = "tensorflow"
      file.attrs["keras_version"] = "2.9.0"
      content = keras_nets.as_content(model)
      file.attrs["layer_names"] = [name for name, _ in content]
      for name, inner in content:
        group = file.create_group(name)
        names = [f"{name}/kernel:0", f"{name}/bias:0"] if inner else []
        group.attrs["weight_names"] = np.array(names, h5py.string_dtype())
        for weight, array in zip(
          names, inner[0][1:] if inner else (), strict=True
        ):
          group.create_dataset(weight, data=array)
    keep("keras-heap")
  return files


def check(data):
  """Weights are those of a network, of its shapes and finite, or refused."""
  from vggjax.errors import InputError
  from vggjax.models import parameters
  from vggjax.weights.load import load_weights

  path = Path(tempfile.gettempdir()) / f"vggjax-fuzz-{os.getpid()}"
  path.unlink(missing_ok=True)  # The older one may still be mapped.
  path.write_bytes(data)
  try:
    weights = load_weights(path)
  except InputError as error:
    message = str(error)
    weights = None
  finally:
    path.unlink()
  if weights is None:
    assert message.startswith(f"{path}: ")
    assert "\n" not in message, message
    assert len(message) < 600 + len(str(path)), message
    return "refused"
  shapes = parameters.param_shapes(weights.create_model())
  assert list(weights.params) == list(shapes) or set(weights.params) == set(
    shapes
  )
  for layer, arrays in shapes.items():
    for kind, wanted in arrays.items():
      array = weights.params[layer][kind]
      assert array.shape == wanted.shape
      assert np.isfinite(array).all()
  assert len(weights.mean) == 3
  assert np.isfinite(weights.mean).all()
  assert len(weights.class_names) in (0, weights.num_outputs)
  return "read"


if __name__ == "__main__":
  from fuzz import engine, weights

  sys.exit(engine.main(weights))
