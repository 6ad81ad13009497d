"""Weights of the Hugging Face Hub, by huggingface_hub and in its own cache."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggjax.errors import InputError

CONFIG = "config.json"
# The first that the repository has.
FILES = ("model.safetensors", "pytorch_model.bin")
# Of a config.json; 22,000 label names are a tenth of it.
MOST_BYTES = 2**24


class UnreachableError(Exception):
  """A file is not in the cache, and the Hub does not say that it lacks it."""


@dataclasses.dataclass(frozen=True)
class HubFile:
  """A repository's weights, and what its config.json says of them.

  Attributes:
    path: of the file.
    url: of the repository.
    revision: the commit.
    mean: RGB, 0-255; None: it does not say.
    std: likewise.
    class_names: in the order of the outputs; (): it does not say.
    imagenet_order: whether the 1000 outputs are ImageNet's classes by synset.
  """

  path: Path
  url: str
  revision: str
  mean: tuple[float, ...] | None
  std: tuple[float, ...] | None
  class_names: tuple[str, ...]
  imagenet_order: bool


def fetch(
  repository: str, revision: str | None, *, progress: bool = True
) -> HubFile:
  """Downloads a repository's weights unless they are in the Hub's cache.

  Args:
    repository: "OWNER/NAME".
    revision: a branch, tag or commit; None: main.
    progress: whether to show bars on stderr.

  Raises:
    InputError: if huggingface_hub is missing, there is no such repository,
      revision or file, access is not granted, or the Hub cannot be reached.
  """
  try:
    from huggingface_hub import constants
  except ImportError as error:
    raise InputError(
      f"hf:{repository}: needs huggingface_hub ({error}); "
      "pip install 'vggjax[weights]'"
    ) from error
  url = f"{constants.ENDPOINT}/{repository}"
  with _one_line_errors(repository, revision, url), _bars(progress):
    config_path = _get(repository, CONFIG, revision)
    # Both of one commit, should the branch move meanwhile.
    commit = config_path.parent.name if config_path else revision
    path = _get_first(repository, commit)
  name = f"hf:{repository}"
  config = _read_config(name, config_path) if config_path else {}
  return HubFile(
    path=path,
    url=url,
    revision=path.parent.name,
    mean=_colors(name, config, "mean"),
    std=_colors(name, config, "std"),
    class_names=_class_names(name, config),
    # timm's names of weights end with the data set.
    imagenet_order=str(config.get("tag", "")).endswith("in1k"),
  )


def _get_first(repository: str, revision: str | None) -> Path:
  """The first of FILES that there is."""
  unreachable = None
  for name in FILES:
    try:
      if path := _get(repository, name, revision):
        return path
    except UnreachableError as error:
      unreachable = unreachable or error
  if unreachable:
    raise unreachable
  raise InputError(f"hf:{repository}: has neither {' nor '.join(FILES)}")


def _get(repository: str, name: str, revision: str | None) -> Path | None:
  """A file of a repository; None if the repository lacks it."""
  import huggingface_hub as hf
  from huggingface_hub import errors

  try:
    return Path(hf.hf_hub_download(repository, name, revision=revision))
  except errors.LocalEntryNotFoundError as error:
    found = hf.try_to_load_from_cache(repository, name, revision=revision)
    # The Hub has said so at an earlier time.
    if found is hf._CACHED_NO_EXIST:
      return None
    reason = " ".join(str(error.__cause__ or error).split())
    raise UnreachableError(
      f"{name} is not in the cache and could not be downloaded ({reason})"
    ) from error
  except errors.EntryNotFoundError:
    return None


@contextlib.contextmanager
def _one_line_errors(
  repository: str, revision: str | None, url: str
) -> Iterator[None]:
  """Turns the Hub's errors to InputError."""
  from huggingface_hub import errors

  name = f"hf:{repository}"
  instead = f"a file of weights from {url} can be given by its path instead"
  try:
    yield
  except InputError:
    raise
  except UnreachableError as error:
    raise InputError(f"{name}: {error}; {instead}") from error
  except errors.GatedRepoError as error:
    raise InputError(
      f"{name}: its owner grants access on request; ask at {url}, then log in "
      f"with `hf auth login`; {instead}"
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise InputError(
      f"{name}: there is no {url}, or it is private; log in with `hf auth "
      f"login` if it is yours; {instead}"
    ) from error
  except errors.RevisionNotFoundError as error:
    raise InputError(f"{name}: has no revision {revision!r}") from error
  # Of the disk, and of the HTTP library, which differs by version.
  except Exception as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise InputError(
      f"{name}: could not be downloaded: {reason}; {instead}"
    ) from error


@contextlib.contextmanager
def _bars(progress: bool) -> Iterator[None]:
  """Silences huggingface_hub's progress bars if asked to."""
  from huggingface_hub import utils

  if progress or utils.are_progress_bars_disabled():
    yield
    return
  utils.disable_progress_bars()
  try:
    yield
  finally:
    utils.enable_progress_bars()


def _read_config(name: str, path: Path) -> dict[str, Any]:
  """A config.json's values, those of timm's pretrained_cfg among them."""
  if path.stat().st_size > MOST_BYTES:
    raise InputError(f"{name}: its {CONFIG} has more than {MOST_BYTES:,} bytes")
  try:
    config = json.loads(path.read_text(encoding="utf-8"))
  except (ValueError, RecursionError) as error:
    raise InputError(f"{name}: its {CONFIG} is no JSON: {error}") from error
  inner = config.get("pretrained_cfg", {}) if isinstance(config, dict) else None
  if not isinstance(inner, dict):
    raise InputError(
      f"{name}: its {CONFIG} or pretrained_cfg is no JSON object"
    )
  return {**config, **inner}


def _colors(
  name: str, config: dict[str, Any], key: str
) -> tuple[float, ...] | None:
  """The mean or std in levels of 0-255; the file has them for 0-1."""
  values = config.get(key)
  if values is None:
    return None
  is_good = (
    isinstance(values, list)
    and len(values) == 3
    and all(type(v) in (int, float) and 0 <= v <= 1 for v in values)
    and (key == "mean" or all(values))
  )
  if not is_good:
    raise InputError(
      f"{name}: the {key} of its {CONFIG} is {str(values)[:80]}; three numbers "
      f"{'from 0' if key == 'mean' else 'above 0'} to 1 are expected"
    )
  return tuple(255.0 * v for v in values)


def _class_names(name: str, config: dict[str, Any]) -> tuple[str, ...]:
  """timm's label_names, if there are any."""
  names = config.get("label_names") or []
  if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
    raise InputError(f"{name}: label_names of its {CONFIG} is no list of text")
  return tuple(names)
