"""Nets D and E at full size, read from each layout: pytest -m slow.

Random weights, written by other libraries and compared with torch's forward
pass on crops of 224 pixels; the results stand in docs/weights.md. Keras's own
nets of full size are in test_keras_written.
"""

import tracemalloc

import caffe_files
import foreign_nets
import numpy as np
import pytest
from foreign_nets import difference, our_scores
from torch_nets import torch

from vggjax.weights.load import load_weights
from vggjax.weights.save import save_weights

pytestmark = pytest.mark.slow
NETWORKS = ("D", "E")
OPTIONS = {"num_outputs": 1000, "crop_size": 224, "width": 1.0}


def check(ours, wanted, what):
  """The largest difference is within 1e-4 of the largest score."""
  # Scores of one class for all images would hide much.
  assert np.ptp(wanted, axis=0).max() > 0.05 * np.abs(wanted).max()
  found = difference(ours, wanted)
  print(f"{what}: {found:.1e} of the largest score")
  assert found < 1e-4


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision(tmp_path, network, suffix):
  net = foreign_nets.make(network, **OPTIONS)
  path = tmp_path / f"net{suffix}"
  if suffix == ".pth":
    torch.save(net.state_dict(), path)
  else:
    from safetensors.torch import save_file

    save_file(net.state_dict(), path)
  images = foreign_nets.crops(2, 224)
  wanted = foreign_nets.scores(net, images)
  del net
  tracemalloc.start()
  weights = load_weights(path)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  size = sum(a.nbytes for p in weights.params.values() for a in p.values())
  print(f"{network}{suffix}: peak {peak / size:.2f} of the parameters' size")
  assert peak < 1.2 * size
  check(our_scores(weights, images), wanted, f"torchvision{suffix} {network}")


@pytest.mark.parametrize("network", NETWORKS)
def test_caffe(tmp_path, network):
  net = caffe_files.make_net(network, **OPTIONS)
  path = caffe_files.write(
    tmp_path, caffe_files.encode(caffe_files.layers_of(net), "V1")
  )
  images = foreign_nets.crops(2, 224)
  with torch.no_grad():
    wanted, _ = net(caffe_files.caffe_input(images))
  weights = load_weights(path)
  check(
    our_scores(weights, images), wanted[..., 0, 0].numpy(), f"Caffe {network}"
  )


@pytest.mark.parametrize("network", NETWORKS)
def test_stablehlo(tmp_path, network):
  import jax

  net = foreign_nets.make(network, **OPTIONS)
  torch.save(net.state_dict(), tmp_path / "net.pth")
  weights = load_weights(tmp_path / "net.pth")
  path = tmp_path / "net.stablehlo"
  save_weights(path, weights, format="stablehlo")
  exported = jax.export.deserialize(bytearray(path.read_bytes()))
  images = foreign_nets.crops(2, 224)
  found = np.asarray(exported.call(images.astype(np.float32)))[:, 0, 0]
  wanted = foreign_nets.scores(net, images)
  check(found, wanted, f"StableHLO {network}")
