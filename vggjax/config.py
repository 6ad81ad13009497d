"""Reading and checking a run's configuration (ml_collections)."""

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from vggjax.addresses import location
from vggjax.errors import InputError
from vggjax.evaluate.dense import SPATIAL
from vggjax.evaluate.store import PROTOCOLS
from vggjax.features.extract import AGGREGATES, REGIONS
from vggjax.files import written_whole
from vggjax.localize.head import REGRESSIONS
from vggjax.models.vgg import NETWORKS, REMATERIALIZE
from vggjax.models.warm_start import LAYER_SETS

PACKAGED = Path(__file__).parent / "configs"
# What absl and ml_collections raise of values that are not as they should be.
_BAD_VALUES = (
  *(flags.Error, OSError, SyntaxError, ValueError, TypeError, IndexError),
  *(OverflowError, MemoryError, RecursionError),
)
# Of whole numbers, which go into arrays of int32.
_LARGEST = 2**31 - 1


def parse_arguments(arguments: Sequence[str]) -> tuple[ConfigDict, str]:
  """Reads --config=FILE[:ARGUMENTS], --config.KEY=VALUE and --workdir=DIR.

  Args:
    arguments: of the command line, without the program's name.

  Returns:
    The checked config and the working directory.

  Raises:
    InputError: on anything that is not allowed.
  """
  argv = ["vggjax", *map(packaged_path, arguments)]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    "config", flag_values=values, sys_argv=argv, help_string="config file"
  )
  flags.DEFINE_string("workdir", None, "the run's folder", flag_values=values)
  try:
    rest = values(argv)[1:]
    config, workdir = values.config, values.workdir
    if config is not None:
      config.get("task")
  except (AttributeError, KeyError) as error:
    raise InputError(_unknown_key(argv, error)) from error
  except _BAD_VALUES as error:
    raise InputError(_one_line(error)) from error
  if rest:
    raise InputError(f"unexpected argument {rest[0]!r}; all are --flag=value")
  if config is None:
    raise InputError(
      "--config=FILE is missing, e.g. "
      "--config=configs/classification.py:A-256,mini"
    )
  if not workdir:
    raise InputError("--workdir=DIR is missing, e.g. --workdir=runs/A-256")
  location(workdir)
  check(config)
  return config, workdir


def packaged_path(argument: str) -> str:
  """--config=FILE with a file of the installed package where FILE is not."""
  match = re.fullmatch(r"--?config=([^:]+)(:.*)?", argument)
  if not match or os.path.exists(match[1]):
    return argument
  packaged = PACKAGED / Path(match[1]).name
  if not packaged.exists():
    names = sorted(p.name for p in PACKAGED.glob("[a-z]*.py"))
    raise InputError(
      f"config file {match[1]} is missing; the package's own are "
      f"{', '.join(names)}"
    )
  return f"--config={packaged}{match[2] or ''}"


def _unknown_key(argv: Sequence[str], error: Exception) -> str:
  """Names the override that the config does not have, and the nearest key."""
  keys = defaults()
  given = [m[1] for a in argv if (m := re.match(r"--?config\.([\w.]+)", a))]
  unknown = [key for key in given if key not in keys]
  if not unknown:
    return _one_line(error)
  near = difflib.get_close_matches(unknown[0], keys, n=1, cutoff=0.5)
  hint = f"; did you mean {near[0]}?" if near else "; configs/base.py has all"
  return f"there is no config key {unknown[0]}{hint}"


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split()) or type(error).__name__
  return "".join(c if c.isprintable() else "?" for c in text[:500])


def flatten(config: ConfigDict) -> dict[str, Any]:
  """The config's keys joined by dots, with their values."""
  result = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      inner = flatten(value)
      result |= {f"{key}.{name}": inner[name] for name in inner}
    else:
      result[key] = value
  return result


def save_config(config: ConfigDict, path: Path) -> None:
  """Writes a config as JSON that `load_config` reads."""
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n")


def load_config(path: Path) -> dict[str, Any]:
  """A saved config's flat keys; tuples for the file's lists."""
  saved = flatten(ConfigDict(json.loads(path.read_text())))
  return {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()}


def defaults() -> dict[str, Any]:
  """The flat keys of configs/base.py, which older saved configs may lack."""
  from vggjax.configs import base

  return flatten(base.get_config())


def open_config(path: Path) -> ConfigDict:
  """A saved config; keys that it lacks have their defaults.

  Raises:
    InputError: if it cannot be read.
  """
  from vggjax.configs import base

  config = base.get_config()
  try:
    config.update_from_flattened_dict(load_config(path))
    check(config)
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} is not a run's config: {error}") from error
  return config


def _choice(*allowed: Any) -> tuple[Callable, str]:
  names = ", ".join(map(str, allowed))
  return lambda value: value in allowed, f"one of {names}"


def _at_least(lowest: float) -> tuple[Callable, str]:
  return lambda value: value >= lowest, f"at least {lowest}"


def _between(low: float, high: float) -> tuple[Callable, str]:
  return lambda value: low <= value < high, f"in [{low}, {high})"


def _scales(value: Any) -> bool:
  return all(type(v) is int and 1 <= v <= _LARGEST for v in value)


# key: (whether a value is allowed, what is)
CHECKS = {
  "task": _choice("train", "evaluate", "transfer"),
  "seed": _between(0, 2**31),
  "network": _choice(*NETWORKS),
  "width": (lambda value: 1 / 64 <= value <= 4, "in [1/64, 4]"),
  "crop_size": (lambda v: v >= 32 and v % 32 == 0, "a multiple of 32"),
  "pool": _choice("ceil", "floor"),
  "lrn": _choice("krizhevsky", "caffe"),
  "dropout_rate": _between(0, 1),
  "initializer": _choice("normal", "glorot"),
  "init_std": (lambda value: value > 0, "above 0"),
  "objective": _choice("classes", *REGRESSIONS),
  "dtype": _choice("float32", "bfloat16", "float64"),
  "rematerialize": _choice(*REMATERIALIZE),
  "init_layers": _choice(*LAYER_SETS),
  "train_layers": _choice("all", "fc"),
  "batch_size": _at_least(1),
  "microbatches": _at_least(1),
  "momentum": _between(0, 1),
  "weight_decay": _at_least(0),
  "learning_rate": (lambda value: value > 0, "above 0"),
  "schedule": _choice("plateau", "fixed"),
  "patience": _at_least(1),
  "min_improvement": _at_least(0),
  "max_drops": _at_least(0),
  "boundaries": (
    lambda v: _scales(v) and list(v) == sorted(set(v)),
    "rising steps, e.g. (1000, 2000)",
  ),
  "num_epochs": _at_least(0),
  "num_steps": _at_least(0),
  "dataset.on_error": _choice("raise", "skip"),
  "color_shift_std": _at_least(0),
  "color_shift_scale": _choice("eigenvalues", "sqrt"),
  "protocol": _choice(*PROTOCOLS),
  "spatial": _choice(*SPATIAL),
  "pool5_offsets": _choice(1, 2),
  "merge_threshold": _at_least(0),
  "test_batch_size": _at_least(0),
  "test_precision": _choice("highest", "high", "default"),
  "transfer.aggregate": _choice(*AGGREGATES),
  "transfer.region": _choice(*REGIONS, "both"),
  "transfer.measure": _choice("recall", "ap", "ap11"),
  "transfer.random_splits": _at_least(0),
  "transfer.train_per_class": _at_least(2),
  "transfer.test_per_class": _at_least(0),
  "num_devices": _at_least(0),
  "log_every": _at_least(1),
  "checkpoint_every": _at_least(1),
  "keep_checkpoints": _at_least(1),
}


def check(config: ConfigDict) -> None:
  """Raises InputError, naming key, value and range, unless all are allowed."""
  values = flatten(config)
  for key, (allowed, text) in CHECKS.items():
    if not allowed(values[key]):
      shown = repr(values[key])[:200]
      raise InputError(f"{key} is {shown}; it must be {text}")
  for key, value in values.items():
    if isinstance(value, str) and not value.isprintable():
      raise InputError(f"{key} is {value[:80]!r}; it must be one line of text")
    if isinstance(value, float) and not math.isfinite(value):
      raise InputError(f"{key} is {value}; it must be finite")
    if isinstance(value, int) and abs(value) > _LARGEST:
      raise InputError(f"{key} must be at most {_LARGEST}")
  _check_scales(values)
  if not values["dataset.source"]:
    raise InputError(
      "dataset.source is empty; give a tfds name, shapes or folder:PATH"
    )
  epochs, steps = values["num_epochs"], values["num_steps"]
  if (epochs > 0) == (steps > 0):
    raise InputError(
      f"num_epochs is {epochs} and num_steps is {steps}; the run's length is "
      "one of them, and the other must be 0"
    )
  watches = values["task"] == "train" and values["schedule"] == "plateau"
  if watches and not values["dataset.validation_split"]:
    raise InputError(
      "schedule=plateau watches dataset.validation_split, which is empty; "
      "name a split or use schedule=fixed with boundaries"
    )


def _check_scales(values: dict[str, Any]) -> None:
  crop, scale = values["crop_size"], values["train_scale"]
  if len(scale) != 2 or not _scales(scale) or scale[0] > scale[1]:
    raise InputError(
      f"train_scale is {scale!r}; it must be (S_min, S_max), two pixel counts"
    )
  if scale[0] < crop:
    raise InputError(
      f"train_scale is {scale!r}, smaller than crop_size {crop}; S must be at "
      "least the crop"
    )
  tests = values["test_scales"]
  if not _scales(tests):
    raise InputError(f"test_scales is {tests!r}; it must hold pixel counts")
  small = [q for q in tests if q < crop]
  if small:
    raise InputError(
      f"test_scales holds {small[0]}, smaller than crop_size {crop}; Q must be "
      "at least the crop"
    )


def default_test_scales(config: ConfigDict) -> tuple[int, ...]:
  """`test_scales`, or else S, or 0.5 (S_min + S_max) (Sect. 4.1)."""
  return tuple(config.test_scales) or (sum(config.train_scale) // 2,)
