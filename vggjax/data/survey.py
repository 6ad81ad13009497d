"""Looks at every image of a data set before a long run."""

import collections
import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
import tqdm

from vggjax import images
from vggjax.cores import core_count
from vggjax.data import preprocess
from vggjax.data.records import Source
from vggjax.errors import InputError

_TOGETHER = 256
# What libjpeg says of a scan; TensorFlow gives the image all the same.
_LIBJPEG = (b"Corrupt JPEG", b"Premature end", b"Invalid SOS", b"Inconsistent")


@dataclasses.dataclass
class Survey:
  """What was found in a split.

  Attributes:
    split: its name.
    unreadable: (id, why) of the images that cannot be decoded.
    positions: their indices.
    damaged: (id, libjpeg's words) of those decoded with parts that are gray or
      wrong, as their scans are damaged.
    digests: of the content of each file that could be read, to its ids.
  """

  split: str
  unreadable: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  positions: list[int] = dataclasses.field(default_factory=list)
  damaged: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  digests: dict[bytes, list[str]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )


def survey(source: Source, progress: bool = False) -> Survey:
  """Reads and decodes every image of a split once, on all cores.

  Args:
    source: the split.
    progress: whether to show a bar on stderr.
  """
  found = Survey(source.split)
  with (
    ThreadPoolExecutor(core_count()) as pool,
    os.fdopen(os.dup(2), "w") as screen,
    tqdm.tqdm(
      total=source.num_examples,
      desc=f"images of {source.split}",
      unit="image",
      disable=not progress,
      file=screen,
      leave=False,
    ) as bar,
  ):
    for records in _chunks(source, found):
      contents = [content for _, _, content in records]
      with _errors_of_libraries() as errors:
        reasons = list(pool.map(_why_unreadable, contents))
      for record, reason in zip(records, reasons, strict=True):
        position, name, content = record
        found.digests[hashlib.sha256(content).digest()].append(name)
        if reason:
          found.unreadable.append((name, reason))
          found.positions.append(position)
      if _words_of_libjpeg(errors):
        found.damaged += _damaged(records, reasons)
      bar.update(len(records))
  return found


def in_two_splits(
  surveys: Sequence[Survey],
) -> dict[tuple[str, str], list[tuple[str, str]]]:
  """The images whose files are the same, byte for byte.

  Returns:
    For each pair of splits that share images, an id of each split.
  """
  shared = {}
  for i, one in enumerate(surveys):
    for other in surveys[i + 1 :]:
      same = one.digests.keys() & other.digests.keys()
      pairs = [(one.digests[key][0], other.digests[key][0]) for key in same]
      if pairs:
        shared[one.split, other.split] = sorted(pairs)
  return shared


def num_repeated(digests: Mapping[bytes, Sequence[str]]) -> int:
  """How many images of a split are there before."""
  return sum(len(names) - 1 for names in digests.values())


def _chunks(
  source: Source, found: Survey
) -> Iterator[list[tuple[int, str, bytes]]]:
  """(position, id, content) of the images, some at a time."""
  records = iter(source.stream())
  chunk = []
  for position in range(source.num_examples):
    try:
      record = next(records)
    except tf.errors.OpError as error:
      # The next one may be readable.
      [name] = source.ids([position])
      found.unreadable.append((name, str(error).partition("\n")[0]))
      found.positions.append(position)
      continue
    name, content = record["id"].numpy(), record["bytes"].numpy()
    chunk.append((position, name.decode(), content))
    if len(chunk) == _TOGETHER:
      yield chunk
      chunk = []
  yield chunk


def _why_unreadable(content: bytes) -> str:
  """One line; "" where an image can be decoded."""
  try:
    _decode(tf.constant(content))
  except (tf.errors.OpError, InputError) as error:
    try:
      images.decode(content)
    except InputError as plainer:
      return str(plainer).rpartition("cannot decode: ")[2]
    return str(error).partition("\n")[0]
  return ""


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _decode(content: tf.Tensor) -> tf.Tensor:
  return tf.shape(preprocess.decode(content))


def _damaged(
  records: Sequence[tuple[int, str, bytes]], reasons: Sequence[str]
) -> list[tuple[str, str]]:
  """Those that libjpeg complains of; one by one, as it names none."""
  damaged = []
  for (_, name, content), reason in zip(records, reasons, strict=True):
    if reason:
      continue
    with _errors_of_libraries() as errors:
      _decode(tf.constant(content))
    if words := _words_of_libjpeg(errors):
      damaged.append((name, words))
  return damaged


def _words_of_libjpeg(lines: Sequence[bytes]) -> str:
  """The first of its lines; "" where there is none."""
  found = (line for line in lines if line.startswith(_LIBJPEG))
  return next(found, b"").decode(errors="replace").strip()


@contextlib.contextmanager
def _errors_of_libraries() -> Iterator[list[bytes]]:
  """Collects what is written to stderr within, also by C."""
  lines: list[bytes] = []
  with tempfile.TemporaryFile() as file:
    screen = os.dup(2)
    try:
      os.dup2(file.fileno(), 2)
      yield lines
    finally:
      os.dup2(screen, 2)
      os.close(screen)
      file.seek(0)
      lines += file.readlines()
