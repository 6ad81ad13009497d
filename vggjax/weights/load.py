"""Weights from files of all formats, told apart by their content."""

import dataclasses
import importlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vggjax import imagenet
from vggjax.addresses import is_address, location, reaching
from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights import foreign, names
from vggjax.weights.weights import Weights

# The card's key where the class names are those usual for a format.
ASSUMED = "assumed_class_order"
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def _is_torch(path: Path, head: bytes) -> bool:
  return head.startswith(LEGACY_TORCH) or any(
    name.endswith("data.pkl") for name in _zip_members(path)
  )


def _is_keras_zip(path: Path, head: bytes) -> bool:
  return "model.weights.h5" in _zip_members(path)


def _zip_members(path: Path) -> list[str]:
  """The names in a zip file; of another file, or a damaged one, none."""
  try:
    with zipfile.ZipFile(path) as file:
      return file.namelist()
  except (zipfile.BadZipFile, OSError, ValueError):
    return []


@dataclasses.dataclass(frozen=True)
class Format:
  """A file format.

  Attributes:
    name: for people.
    is_it: whether a file, whose first bytes are given too, has it.
    module: of vggjax.weights, whose `read` takes the path; imported when used.
  """

  name: str
  is_it: Callable[[Path, bytes], bool]
  module: str


FORMATS = (
  Format("a PyTorch file", _is_torch, "torch_file"),
  Format("a Keras model", _is_keras_zip, "keras_file"),
  Format(
    "an HDF5 file", lambda _, head: head.startswith(b"\x89HDF\r\n"), "hdf5_file"
  ),
  Format(
    "a MATLAB file",
    lambda _, head: head.startswith((b"MATLAB 5.0", b"MATLAB 7.3")),
    "matconvnet",
  ),
  Format(
    "a safetensors file",
    lambda _, head: head[8:9] == b"{",
    "safetensors_file",
  ),
  # A protocol buffer has no magic number: its first field is the net's name, an
  # input, or a layer.
  Format(
    "a Caffe model",
    lambda _, head: head[:1] in (b"\x0a", b"\x12", b"\x1a", b"\xa2"),
    "caffe",
  ),
)


def load_weights(
  path_or_name: str | Path,
  *,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  class_names: Sequence[str] | None = None,
  progress: bool = True,
) -> Weights:
  """Loads weights, telling the format and the network from the content.

  Reads Oxford's .caffemodel, MatConvNet's .mat, torchvision's and timm's .pth
  and .safetensors, Keras's .h5, .weights.h5 and .keras, flaxmodels' .h5, our
  own .safetensors, and the folders of training runs. Weights without the FC
  layers become a feature net (num_outputs 0). The order of the channels and
  the scaling of the pixels are folded into conv1_1: the network takes RGB
  pixels of 0-255 minus `Weights.mean`.

  Args:
    path_or_name: a file or a run's folder; or a name, e.g. "oxford:vgg16",
      "torchvision:vgg16", "keras:vgg19", "hf:OWNER/NAME", or an https address,
      which is downloaded once (see `weights.names`).
    mean: RGB, 0-255, in place of what is usual for the format.
    std: RGB, 0-255, what the weights' input is divided by, likewise.
    class_names: in the order of the outputs, in place of the file's.
    progress: whether to show a bar while downloading.

  Raises:
    InputError: if it is missing, damaged, not one of the paper's networks, or
      cannot be downloaded.
    StorageError: if it is on gs:// and cannot be reached.
  """
  given = {"mean": mean, "std": std, "class_names": class_names}
  given = {key: value for key, value in given.items() if value is not None}
  path = location(path_or_name)
  with reaching(path):
    # Of a store that refuses, is_dir() says False.
    is_there = path.exists()
    if path.is_dir():
      if given:
        raise InputError(f"{path}: a run keeps its own {', '.join(given)}")
      from vggjax.weights.run_folder import load_run  # orbax is slow to import.

      return load_run(path)
  if is_there or not names.is_name(str(path_or_name)):
    return load_file(path, **given)
  found = names.resolve(str(path_or_name), progress=progress)
  known = {
    "mean": found.mean,
    "std": found.std,
    "class_names": found.class_names,
  }
  known = {key: value for key, value in known.items() if value}
  weights = load_file(
    found.path, features_only=found.features_only, **{**known, **given}
  )
  card = {**weights.card, **found.card, "source": str(path_or_name)}
  if found.imagenet_order:
    card.pop(ASSUMED, None)
  return dataclasses.replace(weights, card=card)


def load_file(
  path: str | Path,
  *,
  mean: Sequence[float] | None = None,
  std: Sequence[float] | None = None,
  class_names: Sequence[str] | None = None,
  features_only: bool = False,
) -> Weights:
  """Reads a file of weights, see `load_weights`.

  Args:
    path: of the file.
    mean: see `load_weights`.
    std: likewise.
    class_names: likewise.
    features_only: whether to leave out the FC layers.

  Returns:
    The weights, with ImageNet's synsets as the class names where the format
    orders its 1000 outputs so.
  """
  path = location(path)
  if is_address(path):
    raise InputError(
      f"{path} holds no run; files of weights are read from a file system: "
      "copy it there"
    )
  try:
    with path.open("rb") as file:
      head = file.read(128)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror.lower()}") from error
  kind = format_of(path, head)
  try:
    reader = importlib.import_module(f"vggjax.weights.{kind.module}")
    found = reader.read(path)
    if isinstance(found, foreign.Foreign):
      changes = {"mean": mean, "std": std, "class_names": class_names}
      changes = {k: v for k, v in changes.items() if v is not None}
      if features_only:
        changes["layers"] = found.layers[: -len(vgg.FC_LAYERS)]
        changes["class_names"] = ()
      found = dataclasses.replace(found, **changes)
      weights = foreign.to_weights(found)
      return with_imagenet_names(weights) if found.imagenet_order else weights
  except InputError as error:
    raise InputError(f"{path}: {error}") from error
  # The libraries that read foreign files raise of everything where one is
  # damaged on purpose.
  except Exception as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise InputError(
      f"{path}: cannot be read as {kind.name}: {reason}"
    ) from error
  if mean is not None or std is not None or class_names is not None:
    raise InputError(
      f"{path}: keeps its own mean and class names; give none with it"
    )
  return found


def format_of(path: Path, head: bytes) -> Format:
  """The format of a file, by its content."""
  for kind in FORMATS:
    if kind.is_it(path, head):
      return kind
  hint = ""
  if head.startswith(b"\x80"):
    hint = "; a pickle, which could run code; save a PyTorch state_dict instead"
  elif head.lstrip().startswith((b"<", b"version https://git-lfs")):
    hint = "; a web page or a pointer was stored in place of the file"
  raise InputError(f"{path}: of no format that is known{hint}")


def with_imagenet_names(weights: Weights) -> Weights:
  """Names 1000 unnamed classes after ImageNet's synsets."""
  if weights.class_names or weights.num_outputs != 1000:
    return weights
  card = {**weights.card, ASSUMED: "ILSVRC's, by synset"}
  return dataclasses.replace(weights, class_names=imagenet.synsets(), card=card)
