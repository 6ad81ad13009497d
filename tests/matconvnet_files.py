"""MatConvNet's nets in all their layouts, as mat_files' values of MATLAB.

The networks are torch's; no code of vggjax takes part in the writing.
"""

import foreign_nets
import numpy as np
import pytest
from mat_bytes import ALL_WRITERS
from mat_files import Structs
from torch_nets import nn, torch

from vggjax.errors import InputError
from vggjax.weights.load import load_weights

# No two of its colors are alike, and none is the usual one.
MEAN = (121.5, 110.25, 95.125)
MEAN_PIXEL = np.array(MEAN).reshape(1, 1, 3)
# Networks whose files are little but structure.
SMALL = {"num_outputs": 2, "crop_size": 32, "width": 1 / 64}
WNIDS = [f"n0000000{i}" for i in range(7)]
WORDS = ["tench, Tinca", "crane", "crane", "ça", "e", "f", "g"]
CEIL_PAD = (0.0, 1.0, 0.0, 1.0)
NO_PAD = (0.0, 0.0, 0.0, 0.0)


def make_net(network, **options):
  """A torch net for pixels of 0-255 minus a mean, and its parameters."""
  net = foreign_nets.make(network, **options)
  net.features[0].weight.data /= 60
  return net, params_of(net)


def params_of(net):
  """{"conv1_1": {"kernel": HWIO, "bias"}} of a TorchvisionVGG."""
  result = {}
  block, index = 1, 0
  for module in net.features:
    if isinstance(module, nn.MaxPool2d):
      block, index = block + 1, 0
    elif isinstance(module, nn.Conv2d):
      index += 1
      result[f"conv{block}_{index}"] = (module.weight, module.bias)
  channels = net.features[-3].out_channels
  linear = [m for m in net.classifier if isinstance(m, nn.Linear)]
  for name, module in zip(("fc6", "fc7", "fc8"), linear, strict=True):
    side = round((module.in_features / channels) ** 0.5)
    shape = (module.out_features, channels, side, side)
    result[name] = (module.weight.reshape(shape), module.bias)
    channels = module.out_features
  return {
    name: {
      "kernel": kernel.detach().permute(2, 3, 1, 0).numpy().copy(),
      "bias": bias.detach().numpy().copy(),
    }
    for name, (kernel, bias) in result.items()
  }


def scores(net, images, mean=MEAN):
  """A torch net's scores [N, K] of uint8 RGB images."""
  x = images.astype(np.float32) - np.array(mean, np.float32)
  with torch.no_grad():
    return net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


def layers_of(params, *, pool_pad=CEIL_PAD, lrn=None, layout="new"):
  """A SimpleNN's cell array of layers.

  Args:
    params: by layer.
    pool_pad: of all pooling layers.
    lrn: the `param` of a normalization after conv1_1, if there is one.
    layout: "new", "beta16" or "beta8".
  """
  result = []
  block = 1
  for name, layer in params.items():
    if name[:4] == "conv" and int(name[4]) > block:
      result.append(pool_layer(block, pool_pad))
      block += 1
    elif name == "fc6":
      result.append(pool_layer(block, pool_pad))
    kernel, bias = layer["kernel"], layer["bias"]
    pad = 0 if name.startswith("fc") else kernel.shape[0] // 2
    conv = {"name": name, "type": "conv"}
    if layout == "beta8":
      conv |= {"filters": trimmed(kernel), "biases": bias[None]}
    elif layout == "beta16":
      conv = {"weights": [trimmed(kernel), bias[None]], **conv}
    else:
      conv["weights"] = [trimmed(kernel), bias[:, None]]
      conv |= {"size": np.array(kernel.shape, float), "dilate": 1.0}
      conv |= {"precious": False, "opts": ["CudnnWorkspaceLimit", 5e8]}
    conv |= {"pad": np.full((1, 4), float(pad)), "stride": np.ones((1, 2))}
    result.append(conv)
    if name != "fc8":
      suffix = name[4:] if name[:4] == "conv" else name[2:]
      relu = {"name": f"relu{suffix}", "type": "relu"}
      result.append(relu if layout == "beta8" else {**relu, "leak": 0.0})
    if name == "conv1_1" and lrn is not None:
      kind = "lrn" if layout == "new" else "normalize"
      param = np.array([lrn])
      result.append({"name": "norm1", "type": kind, "param": param})
    if name in ("fc6", "fc7") and layout == "new":
      dropout = {"name": f"dropout{name[2:]}", "type": "dropout", "rate": 0.5}
      result.append(dropout)
  return [*result, {"name": "prob", "type": "softmax"}]


def pool_layer(block, pad):
  return {
    "name": f"pool{block}",
    "type": "pool",
    "method": "max",
    "pool": np.array([[2.0, 2.0]]),
    "stride": np.array([[2.0, 2.0]]),
    "pad": np.array([pad]),
    "weights": [],
  }


def trimmed(array):
  """Without last axes of one, which MATLAB drops."""
  while array.ndim > 2 and array.shape[-1] == 1:
    array = array[..., 0]
  return array


def simple_net(params, *, mean=MEAN_PIXEL, classes=None, **options):
  """The variables of a SimpleNN."""
  known = {"normalization": {"averageImage": mean, "interpolation": "bicubic"}}
  if classes is not None:
    known["classes"] = classes
  layers = layers_of(params, **options)
  if options.get("layout", "new") == "new":
    return {"layers": layers, "meta": known}
  return {"layers": layers, **known}


DAG_TYPES = {
  "conv": "dagnn.Conv",
  "relu": "dagnn.ReLU",
  "pool": "dagnn.Pooling",
  "lrn": "dagnn.LRN",
  "dropout": "dagnn.DropOut",
  "softmax": "dagnn.SoftMax",
}


def dag_net(params, **options):
  """A DagNN's saveobj of the same."""
  net = simple_net(params, **options)
  layers, values = Structs(), Structs()
  for index, layer in enumerate(net["layers"]):
    layer = dict(layer)
    name, kind = layer.pop("name"), layer.pop("type")
    used = []
    for letter, value in zip("fb", layer.pop("weights", []), strict=False):
      used.append(f"{name}{letter}")
      rate = {"learningRate": 1.0, "weightDecay": 1.0}
      values.append({"name": used[-1], "value": value, **rate})
    if kind == "pool":
      layer["poolSize"] = layer.pop("pool")
    layers.append(
      {
        "name": name,
        "type": DAG_TYPES[kind],
        "inputs": [f"x{index}"],
        "outputs": [f"x{index + 1}"],
        "params": used,
        "block": layer,
      }
    )
  return {"layers": layers, "params": values, "meta": net["meta"]}


def saved(path, variables, form="v6"):
  """What is loaded of a file of a form of ALL_WRITERS."""
  ALL_WRITERS[form](path, variables)
  return load_weights(path)


def small_net(**options):
  """The variables of a network of few numbers."""
  return simple_net(make_net("A", **SMALL)[1], **options)


def refusal(path):
  """The one line in which a file is refused."""
  with pytest.raises(InputError) as error:
    load_weights(path)
  text = str(error.value)
  assert text.startswith(f"{path}: ")
  assert text.isprintable()
  assert len(text) < 500
  return text.removeprefix(f"{path}: ")
