"""Foreign VGGs in PyTorch, which see images as their publishers do.

Built from torch_nets' Table 1, with the FC layers as Linear, as torchvision
writes them; what is compared with reads no code of vggjax.weights.
"""

import numpy as np
from torch_nets import CHANNELS, KERNELS, nn, torch

WIDTH = 1 / 16
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class TorchvisionVGG(nn.Module):
  """torchvision's modules: features.N, classifier.0, .3 and .6."""

  def __init__(self, network, *, num_outputs=7, crop_size=64, width=WIDTH):
    super().__init__()
    modules, channels = [], 3
    for block, kernels in enumerate(KERNELS[network]):
      for side in kernels:
        out = int(CHANNELS[block] * width)
        modules += [nn.Conv2d(channels, out, side, padding=side // 2)]
        modules += [nn.ReLU()]
        channels = out
      modules += [nn.MaxPool2d(2, 2)]
    self.features = nn.Sequential(*modules)
    hidden, side = int(4096 * width), crop_size // 32
    self.classifier = nn.Sequential(
      nn.Linear(channels * side * side, hidden),
      nn.ReLU(),
      nn.Dropout(),
      nn.Linear(hidden, hidden),
      nn.ReLU(),
      nn.Dropout(),
      nn.Linear(hidden, num_outputs),
    )

  def forward(self, x):
    return self.classifier(torch.flatten(self.features(x), 1))


def make(network, seed=0, **options):
  """A network whose signals reach the end."""
  torch.manual_seed(seed)
  net = TorchvisionVGG(network, **options).eval()
  for module in net.modules():
    if isinstance(module, nn.Conv2d | nn.Linear):
      nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
      nn.init.uniform_(module.bias, -0.3, 0.3)
  return net


def crops(count=3, side=64, seed=0):
  """uint8 [N, H, W, 3] that differ in color and are not symmetrical."""
  random = np.random.default_rng(seed)
  tint = random.uniform(0, 1, (count, 1, 1, 3))
  ramp = np.linspace(0.2, 1, side)[:, None, None]
  image = random.uniform(0, 255, (count, side, side, 3)) * tint * ramp
  return image.astype(np.uint8)


def normalized(images, mean=IMAGENET["mean"], std=IMAGENET["std"]):
  """torchvision's transform: float [N, 3, H, W] of uint8 images."""
  x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
  return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
    :, None, None
  ]


def scores(net, images):
  """A foreign network's scores [N, K] of uint8 images."""
  with torch.no_grad():
    return net(normalized(images)).numpy()


def our_scores(weights, images):
  """The same of loaded weights, through our network."""
  x = images.astype(np.float32) - np.asarray(weights.mean, np.float32)
  found, _ = weights.create_model().apply({"params": weights.params}, x)
  assert found.shape[1:3] == (1, 1)
  return np.asarray(found)[:, 0, 0]


def difference(ours, wanted):
  """The largest, as a share of the largest score."""
  return np.abs(ours - wanted).max() / np.abs(wanted).max()
