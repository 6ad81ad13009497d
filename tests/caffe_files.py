"""Caffe's model files, written by Google's protobuf library.

The messages are declared by their fields' numbers in Caffe's caffe.proto, and
the nets are torch's; no code of vggjax takes part.
"""

import dataclasses
import functools
import re
import types
from typing import Any

import numpy as np
import pytest
from torch_nets import TorchVGG, nn, torch

pytest.importorskip("google.protobuf")
from google.protobuf import (
  descriptor_pb2,
  descriptor_pool,
  message_factory,
)

# What a * marks is repeated, with a ! it is packed.
MESSAGES = {
  "BlobShape": "int64! dim=1",
  "BlobProto": """int32 num=1, int32 channels=2, int32 height=3, int32 width=4,
    float! data=5, float! diff=6, BlobShape shape=7, double! double_data=8""",
  "ConvolutionParameter": """uint32 num_output=1, bool bias_term=2,
    uint32* pad=3, uint32* kernel_size=4, uint32 group=5, uint32* stride=6,
    uint32 pad_h=9, uint32 pad_w=10, uint32 kernel_h=11, uint32 kernel_w=12,
    uint32 stride_h=13, uint32 stride_w=14, int32 axis=16, uint32* dilation=18
  """,
  "InnerProductParameter": """uint32 num_output=1, bool bias_term=2,
    int32 axis=5, bool transpose=6""",
  "LRNParameter": """uint32 local_size=1, float alpha=2, float beta=3,
    int32 norm_region=4, float k=5""",
  "PoolingParameter": """int32 pool=1, uint32 kernel_size=2, uint32 stride=3,
    uint32 pad=4, uint32 kernel_h=5, uint32 kernel_w=6, uint32 stride_h=7,
    uint32 stride_w=8, uint32 pad_h=9, uint32 pad_w=10,
    bool global_pooling=12, int32 round_mode=13""",
  "ReLUParameter": "float negative_slope=1",
  "V0LayerParameter": """string name=1, string type=2, uint32 num_output=3,
    uint32 pad=7, uint32 kernelsize=8, uint32 group=9, uint32 stride=10,
    int32 pool=11, uint32 local_size=13, float alpha=14, float beta=15,
    float k=22, BlobProto* blobs=50, float* blobs_lr=51""",
  "V1LayerParameter": """V0LayerParameter layer=1, string* bottom=2,
    string* top=3, string name=4, int32 type=5, BlobProto* blobs=6,
    float* blobs_lr=7, ConvolutionParameter convolution_param=10,
    InnerProductParameter inner_product_param=17, LRNParameter lrn_param=18,
    PoolingParameter pooling_param=19, ReLUParameter relu_param=30""",
  "LayerParameter": """string name=1, string type=2, string* bottom=3,
    string* top=4, BlobProto* blobs=7,
    ConvolutionParameter convolution_param=106,
    InnerProductParameter inner_product_param=117, LRNParameter lrn_param=118,
    PoolingParameter pooling_param=121, ReLUParameter relu_param=123""",
  "NetParameter": """string name=1, V1LayerParameter* layers=2, string* input=3,
    int32* input_dim=4, LayerParameter* layer=100""",
}
# Type: the message of its options, its number in V1, its name in V0.
TYPES = {
  "Convolution": ("convolution_param", 4, "conv"),
  "Data": ("", 5, "data"),
  "Dropout": ("", 6, "dropout"),
  "InnerProduct": ("inner_product_param", 14, "innerproduct"),
  "LRN": ("lrn_param", 15, "lrn"),
  "Pooling": ("pooling_param", 17, "pool"),
  "ReLU": ("relu_param", 18, "relu"),
  "Softmax": ("", 20, "softmax"),
  "TanH": ("", 23, "tanh"),
  "BatchNorm": ("", 100, "bn"),
  "padding": ("", 101, "padding"),
}


@functools.cache
def messages(packed=True):
  """The message classes, by name; numbers are packed or not."""
  file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
  for name, fields in MESSAGES.items():
    message = file.message_type.add(name=name)
    for text in fields.split(","):
      pattern = r"\s*(\w+)([*!]?) (\w+)=(\d+)\s*"
      kind, mark, field, number = re.fullmatch(pattern, text).groups()
      added = message.field.add(name=field, number=int(number))
      added.label = added.LABEL_REPEATED if mark else added.LABEL_OPTIONAL
      if hasattr(added, f"TYPE_{kind.upper()}"):
        added.type = getattr(added, f"TYPE_{kind.upper()}")
      else:
        added.type, added.type_name = added.TYPE_MESSAGE, f".caffe.{kind}"
      if mark == "!":
        added.options.packed = packed
  pool = descriptor_pool.DescriptorPool()
  pool.Add(file)
  return types.SimpleNamespace(
    **{
      name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"caffe.{name}")
      )
      for name in MESSAGES
    }
  )


@dataclasses.dataclass
class Layer:
  """A layer in the newest layout's terms; tests change these."""

  name: str
  type: str
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  blobs: list[np.ndarray] = dataclasses.field(default_factory=list)


def layers_of(net: TorchVGG, fc="inner", padding_layers=False) -> list[Layer]:
  """A torch net's layers; its first convolution takes BGR, as Caffe's do.

  Args:
    net: of torch_nets.
    fc: "inner": fc6 to fc8 are inner products; "transposed": whose kernels are
      [inputs, outputs]; "conv": convolutions.
    padding_layers: whether layers of their own pad, as in the oldest files.
  """
  result = [Layer("data", "Data")]
  for name, module in net.layers:
    if isinstance(module, nn.MaxPool2d):
      options = {"pool": 0, "kernel_size": 2, "stride": 2}
      if not module.ceil_mode:
        options["round_mode"] = 1
      result.append(Layer(name, "Pooling", options))
    elif isinstance(module, nn.LocalResponseNorm):
      # torch divides alpha by the size, as Caffe does.
      options = {"local_size": module.size, "alpha": module.alpha}
      options |= {"beta": module.beta, "k": module.k}
      result.append(Layer(name, "LRN", options))
    else:
      result += _weight_layers(name, module, fc, padding_layers)
  return [*result, Layer("prob", "Softmax")]


def _weight_layers(name, module, fc, padding_layers) -> list[Layer]:
  kernel = module.weight.detach().numpy()
  bias = module.bias.detach().numpy()
  pad = module.padding[0]
  number = name.removeprefix("conv").removeprefix("fc")
  is_inner = name.startswith("fc") and fc != "conv"
  options = {"num_output": len(bias)}
  result = []
  if is_inner:
    kernel = kernel.reshape(len(bias), -1)
    if fc == "transposed":
      kernel, options["transpose"] = kernel.T, True
  else:
    options |= {"pad": [pad], "kernel_size": [kernel.shape[2]]}
    if padding_layers and pad:
      result.append(Layer(f"pad{number}", "padding", {"pad": pad}))
      options["pad"] = [0]
  kind = "InnerProduct" if is_inner else "Convolution"
  result.append(Layer(name, kind, options, [kernel, bias]))
  if name != "fc8":
    result.append(Layer(f"relu{number}", "ReLU"))
  if name in ("fc6", "fc7"):
    result.append(Layer(f"drop{number}", "Dropout"))
  return result


def encode(
  layers: list[Layer],
  layout="new",
  *,
  shapes="legacy",
  double=False,
  packed=True,
  name="net",
) -> bytes:
  """A .caffemodel.

  Args:
    layers: of the net.
    layout: "new", "V1" or "V0".
    shapes: "legacy": as four numbers; "new": as a list.
    double: whether the blobs are of double precision.
    packed: whether repeated numbers are.
    name: the net's.
  """
  proto = messages(packed)
  net = proto.NetParameter(name=name)
  top = "data"
  for layer in layers:
    field, number, old_name = TYPES[layer.type]
    one = net.layer.add() if layout == "new" else net.layers.add()
    one.bottom.append(top)
    one.top.append(layer.name)
    top = layer.name
    inner = one.layer if layout == "V0" else one
    inner.name = layer.name
    kinds = {"new": layer.type, "V1": number, "V0": old_name}
    inner.type = kinds[layout]
    options = inner if layout == "V0" or not field else getattr(one, field)
    for key, value in layer.options.items():
      if layout == "V0":
        # One number for both sides, and no rounding.
        key = "kernelsize" if key == "kernel_size" else key
        value = value[0] if isinstance(value, list) else value
      if isinstance(value, list):
        getattr(options, key).extend(value)
      else:
        setattr(options, key, value)
    for array in layer.blobs:
      fill_blob(inner.blobs.add(), array, shapes, double)
  return net.SerializeToString()


def fill_blob(blob, array, shapes="legacy", double=False):
  """Writes an array to a BlobProto."""
  if shapes == "legacy":
    four = (1,) * (4 - array.ndim) + array.shape
    blob.num, blob.channels, blob.height, blob.width = four
  else:
    blob.shape.dim.extend(array.shape)
  values = blob.double_data if double else blob.data
  values.extend(np.ravel(array).tolist())


@functools.cache
def make_net(network="D", **options) -> TorchVGG:
  """A net with random weights; not to be changed."""
  options = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32, **options}
  net = TorchVGG(network, **options)
  torch.manual_seed(3)
  with torch.no_grad():
    for name, module in net.layers:
      if hasattr(module, "weight"):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.uniform_(module.bias, -1, 1)
      if name == "fc8":
        module.weight /= 60
  return net


def tiny_net(network="B-shallow") -> TorchVGG:
  """A net whose file has 31 KB."""
  return make_net(network, width=1 / 64, num_outputs=2)


def caffe_input(images: np.ndarray, mean=(103.939, 116.779, 123.68)):
  """What Caffe nets are fed: [N, 3, H, W] of uint8 RGB, BGR minus the mean."""
  bgr = images[..., ::-1].astype(np.float32) - np.array(mean, np.float32)
  return torch.from_numpy(bgr).permute(0, 3, 1, 2)


def expected_params(net: TorchVGG) -> dict[str, dict[str, np.ndarray]]:
  """Ours, HWIO and RGB, of a net that takes BGR."""
  result = {}
  for name, module in net.layers:
    if isinstance(module, nn.Conv2d):
      kernel = module.weight.detach().permute(2, 3, 1, 0).numpy()
      if name == "conv1_1":
        kernel = kernel[:, :, [2, 1, 0]]
      bias = module.bias.detach().numpy()
      result[name] = {"kernel": kernel, "bias": bias}
  return result


def write(folder, data: bytes):
  """A file's path; a new file, as an older one may still be mapped."""
  path = folder / "net.caffemodel"
  path.unlink(missing_ok=True)
  path.write_bytes(data)
  return path


def assert_params(params, wanted):
  """Equal bit for bit, and float32."""
  assert list(params) == list(wanted)
  for name, layer in wanted.items():
    for kind, array in layer.items():
      assert params[name][kind].dtype == np.float32
      np.testing.assert_array_equal(params[name][kind], array, name)
