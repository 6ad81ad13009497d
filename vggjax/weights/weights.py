"""A network's parameters with what their user must know."""

import dataclasses
from typing import Any

from vggjax.errors import InputError
from vggjax.models import create, vgg


@dataclasses.dataclass(frozen=True)
class Weights:
  """What `load_weights` returns and `save_weights` writes.

  Raises InputError if the mean is not of three colors, or the class names are
  not as many as the outputs.

  Attributes:
    network: one of NETWORKS.
    params: by layer, e.g. params["conv1_1"]["kernel"], float32 arrays.
    mean: RGB, 0-255, to be subtracted from the images.
    class_names: in the order of the outputs; (): not known.
    width: factor on the channels of every layer but the last.
    num_outputs: channels of fc8; 0: without FC layers.
    crop_size: of the training crops, pixels.
    objective: what the outputs are: "classes"; or boxes, 4 outputs for all
      classes ("scr") or for each ("pcr"), see `localize.head`.
    pool: rounding of odd sides in max-pooling, "ceil" or "floor".
    card: what else is known, JSON values, e.g. where they come from.
  """

  network: str
  params: dict[str, dict[str, Any]]
  mean: tuple[float, ...]
  class_names: tuple[str, ...] = ()
  width: float = 1.0
  num_outputs: int = 1000
  crop_size: int = 224
  pool: str = "ceil"
  objective: str = "classes"
  card: dict[str, Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if len(self.mean) != 3:
      raise InputError(
        f"mean must be 3 numbers, R, G, B, and is {self.mean}; give mean=..."
      )
    names = len(self.class_names)
    outputs = {"classes": names, "scr": 4, "pcr": 4 * names}
    if self.objective not in outputs:
      raise InputError(
        f"objective {self.objective!r} is not one of {', '.join(outputs)}"
      )
    if names and outputs[self.objective] != self.num_outputs:
      raise InputError(
        f"it names {names} classes and has {self.num_outputs} outputs"
      )

  def create_model(self, **overrides: Any) -> vgg.VGG:
    """The network; `overrides` are keywords of `create_model`.

    Raises:
      InputError: on a value outside its range.
    """
    options = {
      "network": self.network,
      "num_outputs": self.num_outputs,
      "width": self.width,
      "crop_size": self.crop_size,
      "pool": self.pool,
    }
    if "lrn" in self.card:
      options["lrn"] = self.card["lrn"]
    return create.create_model(**{**options, **overrides})
