"""The peer: networks D and E in PyTorch, as one would write them to be fast."""

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from benchmarks._gpu_bench import MEAN, Bench
from vggjax.models.vgg import FC_LAYERS, block_layers

RATE, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 5e-4


def prepare(device: str) -> None:
  """Settings for speed: TF32 for float32, and a search for convolutions."""
  if device == "cuda":
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True


class Net(torch.nn.Module):
  """A network in channels_last, whose FC layers are matrix products.

  Args:
    network: "D", "E" or another without LRN.
    params: {layer: {"kernel": HWIO, "bias"}}.
    dropout: the rate in training.
    precision: "bf16": autocast; "tf32".
    device: "cuda" or "cpu".
  """

  def __init__(
    self,
    network: str,
    params: dict,
    *,
    dropout: float,
    precision: str,
    device: str,
  ):
    super().__init__()
    self.order = [layer.name for layer in block_layers(network)]
    self.dropout, self.device = dropout, device
    self.autocast = precision == "bf16"
    self.window = params["fc6"]["kernel"].shape[0]
    self.convs = torch.nn.ModuleDict()
    self.fcs = torch.nn.ModuleDict()
    for name, layer in params.items():
      kernel = torch.from_numpy(np.asarray(layer["kernel"]))
      if name in FC_LAYERS:
        # The windows are flattened in HWC order.
        weight = kernel.reshape(-1, kernel.shape[-1]).T
        module = self.fcs[name] = torch.nn.Linear(*reversed(weight.shape))
      else:
        weight = kernel.permute(3, 2, 0, 1)
        side = weight.shape[-1]
        module = self.convs[name] = torch.nn.Conv2d(
          weight.shape[1], weight.shape[0], side, padding=side // 2
        )
      with torch.no_grad():
        module.weight.copy_(weight)
        module.bias.copy_(torch.from_numpy(np.asarray(layer["bias"])))
    self.register_buffer("mean", torch.tensor(MEAN))
    self.to(device=device, memory_format=torch.channels_last)

  def scores(self, x: torch.Tensor) -> torch.Tensor:
    """[N, h, w, K] of images float [N, 3, H, W] minus the mean."""
    for name in self.order:
      if name in self.convs:
        x = functional.relu(self.convs[name](x))
      else:
        x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
    fc6, side = self.fcs["fc6"], self.window
    if x.shape[2] == x.shape[3] == side:
      x = fc6(x.permute(0, 2, 3, 1).flatten(1))[:, None, None]
    else:
      weight = fc6.weight.view(-1, side, side, x.shape[1])
      x = functional.conv2d(x, weight.permute(0, 3, 1, 2), fc6.bias)
      x = x.permute(0, 2, 3, 1)
    x = functional.dropout(functional.relu(x), self.dropout, self.training)
    x = functional.dropout(
      functional.relu(self.fcs["fc7"](x)), self.dropout, self.training
    )
    return self.fcs["fc8"](x)

  def precision(self) -> contextlib.AbstractContextManager:
    """In which the layers compute."""
    return torch.autocast(self.device, torch.bfloat16, enabled=self.autocast)

  def forward(
    self, image: torch.Tensor, shift: torch.Tensor, label: torch.Tensor
  ) -> torch.Tensor:
    """The mean loss of a training batch as `train_step` gets it."""
    x = image.float() + (shift - self.mean)[:, None, None]
    scores = self.scores(x.permute(0, 3, 1, 2))
    return functional.cross_entropy(scores.float().mean((1, 2)), label)


class TrainStep:
  """SGD steps on one batch that is on the device."""

  def __init__(
    self,
    bench: Bench,
    network: str,
    params: dict,
    batch: dict[str, np.ndarray],
    *,
    precision: str,
    dropout: float = 0.5,
    rate: float = RATE,
    compiled: bool = True,
  ):
    self.net = Net(
      network,
      params,
      dropout=dropout,
      precision=precision,
      device=bench.torch_device,
    )
    self._loss_of = self.net
    if compiled:
      # Else only the first few networks and batches are compiled.
      torch._dynamo.reset()
      self._loss_of = torch.compile(self.net, dynamic=False)
    self._optimizer = torch.optim.SGD(
      self.net.parameters(),
      rate,
      momentum=MOMENTUM,
      weight_decay=WEIGHT_DECAY,
      fused=bench.torch_device == "cuda",
    )
    self._batch = {
      name: torch.from_numpy(a).to(bench.torch_device)
      for name, a in batch.items()
    }
    self._batch["label"] = self._batch["label"].long()

  def run(self, steps: int) -> float:
    """Does so many steps, to their end; the last one's loss."""
    for _ in range(steps):
      self._optimizer.zero_grad(set_to_none=True)
      with self.net.precision():
        loss = self._loss_of(**self._batch)
      loss.backward()
      self._optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def dense_posteriors(
  net: Net, batches: Sequence[np.ndarray]
) -> list[np.ndarray]:
  """Averaged with the mirror image's, of batches uint8 [n, H, W, 3]."""
  found = []
  for batch in batches:
    x = _to_input(net, batch)
    with net.precision():
      scores = net.scores(torch.cat([x, x.flip(3)]))
    posteriors = scores.float().mean((1, 2)).softmax(1)
    found.append(posteriors.view(2, len(batch), -1).mean(0))
  return torch.cat(found).cpu().numpy()


@torch.inference_mode()
def multicrop_posteriors(
  net: Net, crops: Sequence[np.ndarray]
) -> list[np.ndarray]:
  """Of images, from the crops uint8 [n, c, c, 3] of each, also mirrored."""
  found = []
  for image in crops:
    x = _to_input(net, image)
    with net.precision():
      scores = net.scores(torch.cat([x, x.flip(3)]))
    found.append(scores[:, 0, 0].float().softmax(1).mean(0))
  return torch.stack(found).cpu().numpy()


def _to_input(net: Net, batch: np.ndarray) -> torch.Tensor:
  """Float [n, 3, H, W] minus the mean, in channels_last."""
  image = torch.from_numpy(batch).to(net.device)
  return (image.float() - net.mean).permute(0, 3, 1, 2)
