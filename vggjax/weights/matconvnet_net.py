"""MatConvNet's nets as MATLAB's files hold them, in all their layouts.

A SimpleNN is a cell array of layers, with what else is known in `meta`; before
version 1.0-beta17 `meta`'s fields were the net's own, before beta11 a layer's
weights were its `filters` and `biases`. A DagNN, as its saveobj writes it, has
a struct array of layers and one of their parameters; it is read if it is a
chain. Each may be the file's variables, or its variable `net`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vggjax.errors import InputError
from vggjax.weights import mat_file, mat_hdf5
from vggjax.weights.mat_values import (
  Value,
  as_list,
  as_numbers,
  as_struct,
  as_text,
  is_empty,
)

VARIABLES = ("layers", "params", "meta", "normalization", "classes", "net")
HDF5_HEADER = b"MATLAB 7.3"
# A DagNN's names of the types and options of SimpleNN's layers.
DAG_TYPES = {
  "dagnn.Conv": "conv",
  "dagnn.ReLU": "relu",
  "dagnn.Pooling": "pool",
  "dagnn.LRN": "lrn",
  "dagnn.DropOut": "dropout",
  "dagnn.SoftMax": "softmax",
  "dagnn.Loss": "loss",
}
SIMPLE_TYPES = {"normalize": "lrn", "softmaxloss": "loss"}
DAG_OPTIONS = {"pool": "poolSize"}
MAX_LAYERS = 1000


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer of any layout.

  Attributes:
    name: in the file.
    type: SimpleNN's: "conv", "relu", "pool", "lrn", "dropout", "softmax",
      "loss", or any other.
    fields: by SimpleNN's names; those that are not there have MatConvNet's
      default.
    weights: of a convolution: its kernel and bias.
  """

  name: str
  type: str
  fields: Mapping[str, Value]
  weights: Sequence[Value] = ()

  def numbers(self, option: str, default: Sequence[float]) -> list[float]:
    """The numbers of an option."""
    if option not in self.fields:
      return list(default)
    name = f"{self.name}'s {option}"
    return as_numbers(self.fields[option], name).ravel().tolist()

  def sides(self, option: str, count: int, default: float) -> tuple[float, ...]:
    """An option of the height and the width, or of the four sides.

    Args:
      option: its name.
      count: 2 or 4: [top bottom left right].
      default: of all.

    Returns:
      As many numbers as `count`; the file may have fewer that stand for all.
    """
    found = self.numbers(option, [default])
    if len(found) not in (1, 2, count):
      raise InputError(f"{self.name} has {len(found)} numbers for its {option}")
    return tuple(v for v in found for _ in range(count // len(found)))

  def check(
    self, option: str, count: int, default: float, wanted: float
  ) -> None:
    """Raises InputError if an option is not as in the paper's networks."""
    found = self.sides(option, count, default)
    if any(value != wanted for value in found):
      raise InputError(
        f"{self.name} has {option} {text(found)}; the paper's networks have "
        f"{wanted:g}"
      )

  def text(self, option: str, default: str) -> str:
    """A text among the options."""
    value = self.fields.get(option, default)
    return as_text(value, f"{self.name}'s {option}")


def read_net(path: Path) -> tuple[list[Layer], Mapping[str, Value]]:
  """The layers of a file's net, and its `meta`.

  Raises:
    InputError: if the file is damaged, or holds no net.
  """
  with path.open("rb") as file:
    is_hdf5 = file.read(len(HDF5_HEADER)) == HDF5_HEADER
  reader = mat_hdf5 if is_hdf5 else mat_file
  net: Mapping[str, Value] = reader.read_variables(path, VARIABLES)
  if "layers" not in net:
    if "net" not in net:
      raise InputError(
        "holds no net of MatConvNet: it has no variable `layers` or `net`; it "
        "may be cut off"
      )
    net = as_struct(net["net"], "net")
  items = as_list(_field(net, "layers", "net"), "layers")
  if len(items) > MAX_LAYERS:
    raise InputError(f"is no net of the paper: it has {len(items)} layers")
  structs = [
    as_struct(item, f"layer {number}") for number, item in enumerate(items, 1)
  ]
  # An old net has the fields of `meta` itself.
  meta = {
    name: net[name] for name in ("normalization", "classes") if name in net
  }
  if "meta" in net and not is_empty(net["meta"]):
    meta = {**meta, **as_struct(net["meta"], "meta")}
  if any("block" in struct for struct in structs):
    return _dag_layers(structs, net), meta
  return [_simple_layer(s, n) for n, s in enumerate(structs, 1)], meta


def _simple_layer(fields: Mapping[str, Value], number: int) -> Layer:
  """A layer of a SimpleNN."""
  name = f"layer{number}"
  if "name" in fields and not is_empty(fields["name"]):
    name = as_text(fields["name"], f"{name}'s name")
  kind = as_text(_field(fields, "type", name), f"{name}'s type")
  kind = SIMPLE_TYPES.get(kind, kind)
  weights: Sequence[Value] = ()
  if kind == "conv":
    if "weights" in fields:
      weights = as_list(fields["weights"], f"{name}'s weights")
    else:
      weights = [_field(fields, part, name) for part in ("filters", "biases")]
  return Layer(name, kind, fields, weights)


def _dag_layers(
  structs: Sequence[Mapping[str, Value]], net: Mapping[str, Value]
) -> list[Layer]:
  """The layers of a DagNN, which must be a chain."""
  params = {}
  for item in as_list(_field(net, "params", "net"), "params"):
    param = as_struct(item, "a parameter")
    name = as_text(_field(param, "name", "params"), "a parameter's name")
    params[name] = _field(param, "value", name)
  result = []
  current = None
  for number, struct in enumerate(structs, 1):
    name = as_text(_field(struct, "name", f"layer {number}"), "a layer's name")
    kind = as_text(_field(struct, "type", name), f"{name}'s type")
    kind = DAG_TYPES.get(kind, kind)
    inputs, outputs, used = (
      [as_text(v, f"{name}'s {part}") for v in _texts(struct, part, name)]
      for part in ("inputs", "outputs", "params")
    )
    # Several losses and errors may be computed from the scores.
    if kind != "loss":
      if (
        len(inputs) != 1 or len(outputs) != 1 or current not in (None, *inputs)
      ):
        raise InputError(
          f"is none of the paper's networks: its layers are no chain at {name}"
        )
      current = outputs[0]
    block = _field(struct, "block", name)
    fields = {} if is_empty(block) else as_struct(block, f"{name}'s block")
    fields = {
      **fields,
      **{k: fields[v] for k, v in DAG_OPTIONS.items() if v in fields},
    }
    weights = [_field(params, param, "params") for param in used]
    result.append(Layer(name, kind, fields, weights))
  return result


def _texts(
  struct: Mapping[str, Value], part: str, name: str
) -> Sequence[Value]:
  """The names in a field, of which a single one may stand without a cell."""
  value = struct.get(part, [])
  if isinstance(value, str) and value:
    return [value]
  return as_list(value, f"{name}'s {part}")


def _field(struct: Mapping[str, Value], field: str, name: str) -> Value:
  if field not in struct:
    raise InputError(f"is damaged, or no net: {name} lacks {field}")
  return struct[field]


def text(values: Sequence[float]) -> str:
  """Numbers for people."""
  return " ".join(f"{value:g}" for value in values)


def is_close(found: Sequence[float], wanted: Sequence[float]) -> bool:
  """Whether numbers are the same but for rounding."""
  return len(found) == len(wanted) and all(
    math.isclose(a, b, rel_tol=1e-4) for a, b in zip(found, wanted, strict=True)
  )
