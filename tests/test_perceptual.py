"""Content and style losses and their gradients, against torch's."""

import foreign_nets
import jax
import numpy as np
import pytest
from torch_nets import torch

from vggjax.errors import InputError
from vggjax.features import perceptual
from vggjax.weights.load import load_weights

pytestmark = pytest.mark.usefixtures("quick_compile")
# The indices of net A's convolutions in torchvision's `features`.
LAYERS = {"conv1_1": (0, 0.3), "conv2_1": (3, 0.5), "conv3_2": (8, 2.0)}
SHARES = {name: share for name, (_, share) in LAYERS.items()}


@pytest.fixture(scope="module")
def net():
  return foreign_nets.make("A")


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory):
  path = tmp_path_factory.mktemp("weights") / "a.pth"
  torch.save(net.state_dict(), path)
  return load_weights(path)


def torch_maps(net, x):
  x = x.permute(0, 3, 1, 2) / 255
  mean, std = (
    torch.tensor(foreign_nets.IMAGENET[key])[:, None, None]
    for key in ("mean", "std")
  )
  x, found = (x - mean) / std, {}
  for index, module in enumerate(net.features):
    x = module(x)
    for name, (conv, _) in LAYERS.items():
      if index == conv + 1:  # After the ReLU.
        found[name] = x
  return found


def torch_gram(x):
  n, c, h, w = x.shape
  flat = x.reshape(n, c, h * w)
  return flat @ flat.transpose(1, 2) / (h * w)


@pytest.mark.parametrize("kind", ["content", "style"])
def test_losses_and_gradients_are_torchs(net, weights, kind):
  random = np.random.default_rng(2)
  images, targets = random.uniform(0, 255, (2, 2, 40, 44, 3)).astype(np.float32)
  make = {
    "content": perceptual.content_loss,
    "style": perceptual.style_loss,
  }[kind]
  loss, gradient = jax.value_and_grad(make(weights, SHARES))(images, targets)

  x = torch.from_numpy(images).requires_grad_()
  ours, theirs = torch_maps(net, x), torch_maps(net, torch.from_numpy(targets))
  change = torch_gram if kind == "style" else lambda m: m
  wanted = sum(
    SHARES[name] * ((change(ours[name]) - change(theirs[name])) ** 2).mean()
    for name in LAYERS
  )
  wanted.backward()
  assert float(loss) == pytest.approx(wanted.item(), rel=1e-4)
  assert float(loss) > 0
  difference = foreign_nets.difference(np.asarray(gradient), x.grad.numpy())
  assert difference < 1e-3


def test_style_does_not_see_where_things_are(weights):
  random = np.random.default_rng(3)
  image = random.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
  other = random.uniform(0, 90, (1, 64, 64, 3)).astype(np.float32)
  style = perceptual.style_loss(weights, {"conv1_1": 1.0})
  content = perceptual.content_loss(weights, {"conv1_1": 1.0})
  moved = np.roll(image, 32, axis=2)
  assert style(moved, image) < 0.02 * style(other, image)
  assert content(moved, image) > 0.2 * content(other, image)
  # Other sizes have Gram matrices of the same shape.
  assert style(other[:, :40], image) > 0


def test_bad_layers(weights):
  with pytest.raises(InputError, match="'fc6' is not one of conv1_1"):
    perceptual.content_loss(weights, {"fc6": 1.0})
  with pytest.raises(InputError, match="layers is empty"):
    perceptual.style_loss(weights, {})
  # The default layers are there in every network.
  assert perceptual.style_loss(weights)
  with pytest.raises(InputError, match="conv4_2"):
    perceptual.content_loss(weights, {"conv4_3": 1.0})
