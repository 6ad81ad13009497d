"""The weights of training runs, with what is known of them."""

import json
from pathlib import Path
from typing import Any

from vggjax import checkpoint
from vggjax.addresses import location
from vggjax.errors import InputError
from vggjax.weights.weights import Weights


def load_run(workdir: str | Path, which: str = "best") -> Weights:
  """The weights of a training run.

  Args:
    workdir: the run's folder.
    which: "best" (lowest watched error), "last", or a step's number.

  Raises:
    InputError: if the folder holds no checkpoint, or not that one.
  """
  params, card, step = checkpoint.load_run(workdir, which)
  fields = {"network", "width", "num_outputs", "crop_size", "pool"}
  rest = {k: v for k, v in card.items() if k not in fields}
  rest |= {"step": step, **read_files(location(workdir))}
  return Weights(
    params=params,
    mean=tuple(rest.pop("mean")),
    objective=rest.pop("objective", "classes"),
    class_names=tuple(rest.pop("class_names")),
    card=rest,
    **{key: card[key] for key in fields},
  )


def read_files(workdir: Path) -> dict[str, Any]:
  """A run's config, and the errors that were measured, JSON values.

  Raises:
    InputError: if one of its files is not JSON.
  """
  result = {}
  config = workdir / checkpoint.CONFIG_FILE
  if config.exists():
    result["config"] = _read_json(config)
  errors = [
    {"evaluation": path.stem, **row}
    for path in sorted((workdir / checkpoint.EVALUATION_FOLDER).glob("*.json"))
    for row in _read_json(path)
  ]
  return {**result, "errors": errors} if errors else result


def _read_json(path: Path) -> Any:
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise InputError(f"{path}: not JSON: {error}") from error
