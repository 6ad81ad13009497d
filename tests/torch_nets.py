"""The networks in PyTorch, written from Table 1 alone, to compare with.

No layer here is taken from vggjax: plain NCHW layers, one image size a batch,
fc6 as a convolution. Without PyTorch the tests that import this are skipped.
"""

import functools

import numpy as np
import pytest

import vggjax
from vggjax import images as image_files
from vggjax.models import parameters

torch = pytest.importorskip("torch")
nn = torch.nn
torch.set_num_threads(1)

CHANNELS = (64, 128, 256, 512, 512)
# The sides of the kernels of the five blocks' convolutions.
KERNELS = {
  "A": ([3], [3], [3, 3], [3, 3], [3, 3]),
  "A-LRN": ([3], [3], [3, 3], [3, 3], [3, 3]),
  "B": ([3, 3], [3, 3], [3, 3], [3, 3], [3, 3]),
  "B-shallow": ([5], [5], [5], [5], [5]),
  "C": ([3, 3], [3, 3], [3, 3, 1], [3, 3, 1], [3, 3, 1]),
  "D": ([3, 3], [3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]),
  "E": ([3, 3], [3, 3], [3, 3, 3, 3], [3, 3, 3, 3], [3, 3, 3, 3]),
}

# Of networks that run in no time.
SMALL = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32}


def caffe_lrn():
  """Caffe's and torch's own constants: k = 1, alpha divided by the size."""
  return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


def krizhevsky_lrn():
  """k = 2, alpha not divided: torch divides it by the size, so times 5."""
  return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def _conv(*args, **options):
  """Without values, which took torch longer than the tests to draw."""
  return nn.utils.skip_init(nn.Conv2d, *args, **options)


class TorchVGG(nn.Module):
  """A network of Table 1; `layers` names its modules in their order.

  It has no weights before `copy_weights`.
  """

  def __init__(
    self,
    network,
    *,
    num_outputs,
    width=1.0,
    crop_size=224,
    ceil_mode=True,
    lrn=krizhevsky_lrn,
  ):
    super().__init__()
    self.layers = []
    channels = 3
    for block, kernels in enumerate(KERNELS[network]):
      for index, side in enumerate(kernels):
        out = int(CHANNELS[block] * width)
        conv = _conv(channels, out, side, padding=(side - 1) // 2)
        self._append(f"conv{block + 1}_{index + 1}", conv)
        channels = out
        if network == "A-LRN" and block == 0:
          self._append("norm1", lrn())
      self._append(f"pool{block + 1}", nn.MaxPool2d(2, 2, ceil_mode=ceil_mode))
    hidden = int(4096 * width)
    self._append("fc6", _conv(channels, hidden, crop_size // 32))
    self._append("fc7", _conv(hidden, hidden, 1))
    self._append("fc8", _conv(hidden, num_outputs, 1))

  def _append(self, name, module):
    self.layers.append((name, module))
    self.add_module(name, module)

  def forward(self, x):
    """Scores [N, K, h, w] and the layers [N, C, h, w] by name, post-ReLU."""
    outputs = {}
    for name, module in self.layers:
      x = module(x)
      if isinstance(module, nn.Conv2d) and name != "fc8":
        x = torch.relu(x)
      outputs[name] = x
    return outputs.pop("fc8"), outputs

  def copy_weights(self, params):
    """Takes over parameters {layer: {"kernel": HWIO, "bias"}}; all of them."""
    mine = {n: m for n, m in self.layers if isinstance(m, nn.Conv2d)}
    assert set(params) == set(mine)
    with torch.no_grad():
      for name, module in mine.items():
        kernel = np.asarray(params[name]["kernel"]).transpose(3, 2, 0, 1)
        bias = np.asarray(params[name]["bias"])
        assert kernel.shape == tuple(module.weight.shape), name
        assert bias.shape == tuple(module.bias.shape), name
        module.weight.copy_(torch.from_numpy(kernel.copy()))
        module.bias.copy_(torch.from_numpy(bias.copy()))
    return self

  def gradients(self):
    """The parameters' gradients in the layout of `copy_weights`."""
    return {
      name: {
        "kernel": module.weight.grad.permute(2, 3, 1, 0).numpy(),
        "bias": module.bias.grad.numpy(),
      }
      for name, module in self.layers
      if isinstance(module, nn.Conv2d)
    }


def random_params(model, seed=0, dtype=np.float32):
  """Kernels by which signals reach the end, and biases that count."""
  random = np.random.default_rng(seed)
  params = {}
  for name, layer in parameters.param_shapes(model).items():
    shape = layer["kernel"].shape
    std = np.sqrt(2 / np.prod(shape[:3]))
    # Pixels reach 100; the scores shall be about 1.
    std = std / 60 if name == "fc8" else std
    params[name] = {
      "kernel": random.normal(0, std, shape).astype(dtype),
      "bias": random.normal(0, 0.5, shape[-1]).astype(dtype),
    }
  return params


@functools.cache
def small_params(network, dtype=np.float32):
  """`random_params` of a SMALL network; not to be changed."""
  model = vggjax.create_model(network, **SMALL)
  return random_params(model, dtype=dtype)


def random_images(number, height, width, seed=0):
  """Float32 [N, H, W, 3] in the range of pixels minus a mean."""
  random = np.random.default_rng(seed)
  x = random.uniform(-120, 130, (number, height, width, 3))
  return x.astype(np.float32)


def torch_net(network, params, pool="ceil", lrn="krizhevsky", **options):
  """A SMALL network with these weights, in their precision."""
  net = TorchVGG(
    network,
    **(SMALL | options),
    ceil_mode=pool == "ceil",
    lrn={"krizhevsky": krizhevsky_lrn, "caffe": caffe_lrn}[lrn],
  )
  if params["conv1_1"]["kernel"].dtype == np.float64:
    net = net.double()
  return net.copy_weights(params)


def to_nchw(x):
  """A torch tensor [N, C, H, W] of an array [N, H, W, C]."""
  return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def to_nhwc(tensor):
  """An array [N, H, W, C] of a torch tensor [N, C, H, W]."""
  return np.moveaxis(tensor.detach().numpy(), 1, -1)


def assert_close(ours, wanted, tolerance, name=""):
  """Equal shapes, and differences within a share of the largest value."""
  ours, wanted = np.asarray(ours), np.asarray(wanted)
  assert ours.shape == wanted.shape, (name, ours.shape, wanted.shape)
  largest = np.abs(wanted).max()
  assert largest > 0, f"{name} is all zero: nothing is compared"
  error = np.abs(ours - wanted).max() / largest
  assert error <= tolerance, f"{name}: {error:.1e} of the largest value"


def descriptor(net, image, scale, layer, mean):
  """The mean of a layer over all positions of an image and its mirror's."""
  x = image_files.rescale(image, scale).astype(np.float32) - np.float32(mean)
  values = []
  for version in (x, x[:, ::-1]):
    with torch.no_grad():
      _, layers = net(to_nchw(version[None].copy()))
    values.append(layers[layer][0].mean(dim=(1, 2)).numpy())
  return np.mean(values, axis=0)


def unit(x):
  """A vector of length 1."""
  return x / np.linalg.norm(x)
