"""Weights by name: where each source publishes them, and what it says.

Files are downloaded once, into the folder `weights` of $VGGJAX_CACHE or
~/.cache/vggjax. Those of the Hugging Face Hub are in huggingface_hub's own
cache ($HF_HOME or ~/.cache/huggingface).
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggjax.errors import InputError
from vggjax.files import cache_folder
from vggjax.weights import hub
from vggjax.weights.download import download

HUB = "hf:"
WEB = ("https://", "http://")
OTHERS = f"{HUB}OWNER/NAME[@REVISION] and {WEB[0]}... addresses"


@dataclasses.dataclass(frozen=True)
class Named:
  """A published file.

  Attributes:
    url: of the file.
    checksum: "algorithm:digits", the first ones where only these are known.
    mean: RGB, 0-255, where it is not the one usual for the format.
    std: likewise.
    features_only: whether the file's FC layers hold nothing of use.
    imagenet_order: whether its 1000 outputs are ImageNet's classes by synset.
  """

  url: str
  checksum: str
  mean: Sequence[float] | None = None
  std: Sequence[float] | None = None
  features_only: bool = False
  imagenet_order: bool = True


OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"
MATCONVNET = "http://www.vlfeat.org/matconvnet/models"
TORCHVISION = "https://download.pytorch.org/models"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"

NAMED = {
  "oxford:vgg16": Named(
    f"{OXFORD}/VGG_ILSVRC_16_layers.caffemodel",
    "sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
  ),
  "oxford:vgg19": Named(
    f"{OXFORD}/VGG_ILSVRC_19_layers.caffemodel",
    "sha1:239785e7862442717d831f682bb824055e51e9ba",
  ),
  "matconvnet:vgg16": Named(
    f"{MATCONVNET}/imagenet-vgg-verydeep-16.mat",
    "md5:f72d927587ca4c97fbd165ec9cb9997f",
  ),
  "matconvnet:vgg19": Named(
    f"{MATCONVNET}/imagenet-vgg-verydeep-19.mat",
    "md5:106118b7cf60435e6d8e04f6a6dc3657",
  ),
  "torchvision:vgg11": Named(
    f"{TORCHVISION}/vgg11-8a719046.pth", "sha256:8a719046"
  ),
  "torchvision:vgg13": Named(
    f"{TORCHVISION}/vgg13-19584684.pth", "sha256:19584684"
  ),
  "torchvision:vgg16": Named(
    f"{TORCHVISION}/vgg16-397923af.pth",
    "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
  ),
  "torchvision:vgg19": Named(
    f"{TORCHVISION}/vgg19-dcbb9e9d.pth",
    "sha256:dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
  ),
  # Its FC layers are NaN; the rest are Caffe's, for pixels of 0-255.
  "torchvision:vgg16-features": Named(
    f"{TORCHVISION}/vgg16_features-amdegroot-88682ab5.pth",
    "sha256:88682ab5",
    mean=tuple(255 * m for m in (0.48235, 0.45882, 0.40784)),
    std=(1.0, 1.0, 1.0),
    features_only=True,
    imagenet_order=False,
  ),
  "keras:vgg16": Named(
    f"{KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    "md5:64373286793e3c8b2b4e3219cbf3544b",
  ),
  "keras:vgg19": Named(
    f"{KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
    "md5:cbe5617147190e668d6c5d5026f83318",
  ),
  # Without FC layers, so there are none to leave out.
  "keras:vgg16-notop": Named(
    f"{KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "md5:6d6bbae143d832006294945121d1f1fc",
    imagenet_order=False,
  ),
  "keras:vgg19-notop": Named(
    f"{KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "md5:253f8cb515780f3b799900260a226db6",
    imagenet_order=False,
  ),
}


@dataclasses.dataclass(frozen=True)
class Resolved:
  """A name's file, and what its source says of it.

  Attributes:
    path: of the file.
    mean: RGB, 0-255; None: the one usual for the file's format.
    std: likewise.
    features_only: whether the FC layers, which the file has, hold nothing of
      use.
    imagenet_order: whether the 1000 outputs are ImageNet's classes by synset;
      False: the source does not say so.
    class_names: in the order of the outputs; (): the source does not say.
    card: where it comes from, JSON values.
  """

  path: Path
  mean: tuple[float, ...] | None
  std: tuple[float, ...] | None
  features_only: bool
  imagenet_order: bool
  card: dict[str, Any]
  class_names: tuple[str, ...] = ()


def is_name(text: str) -> bool:
  """Whether a text has the form of a name, and is no file's path."""
  if text.lower().startswith(WEB):
    return True
  schemes = {name.partition(":")[0] for name in (*NAMED, HUB)}
  scheme, colon, _ = text.partition(":")
  return bool(colon) and scheme in schemes and not os.path.exists(text)


def resolve(name: str, *, progress: bool = True) -> Resolved:
  """Downloads the file of a name unless it is in the cache.

  Args:
    name: a key of NAMED, hf:OWNER/NAME[@REVISION], or a URL.
    progress: whether to show a bar on stderr.

  Raises:
    InputError: if there is no such name, or the file cannot be downloaded or
      is not the one published.
  """
  if name.startswith(HUB):
    return _resolve_hub(name, progress)
  if name.lower().startswith(WEB):
    scheme, rest = name.split(":", 1)
    entry = Named(f"{scheme.lower()}:{rest}", "", imagenet_order=False)
  elif name in NAMED:
    entry = NAMED[name]
  else:
    raise InputError(_unknown(name))
  path = download(
    entry.url,
    cache_folder() / "weights",
    checksum=entry.checksum,
    progress=progress,
  )
  return Resolved(
    path=path,
    mean=entry.mean and tuple(entry.mean),
    std=entry.std and tuple(entry.std),
    features_only=entry.features_only,
    imagenet_order=entry.imagenet_order,
    card={"url": entry.url},
  )


def _resolve_hub(name: str, progress: bool) -> Resolved:
  match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(\S+))?", name[len(HUB) :])
  if match is None:
    raise InputError(f"{name!r}: must be {HUB}OWNER/NAME or with @REVISION")
  found = hub.fetch(*match.groups(), progress=progress)
  return Resolved(
    path=found.path,
    mean=found.mean,
    std=found.std,
    features_only=False,
    imagenet_order=found.imagenet_order,
    class_names=found.class_names,
    card={"url": found.url, "revision": found.revision},
  )


def _unknown(name: str) -> str:
  close = difflib.get_close_matches(name.lower(), NAMED, n=1)
  hint = f"did you mean {close[0]}? " if close else ""
  return (
    f"{name!r}: there are no weights of this name; {hint}known are "
    f"{', '.join(NAMED)}, {OTHERS}"
  )
