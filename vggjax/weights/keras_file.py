"""Keras's .keras files: a zip with the configuration and an HDF5 file."""

import struct
import zipfile
import zlib
from pathlib import Path

from vggjax.errors import InputError
from vggjax.weights import hdf5, keras_config, keras_v3
from vggjax.weights.foreign import Foreign

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
ENCRYPTED = 1
# A zip's entry begins with a header, of which two lengths end: of the file's
# name, and of what else stands before the content.
HEADER = struct.Struct("<4s22xHH")
SIGNATURE = b"PK\x03\x04"


def read(path: Path) -> Foreign:
  """Reads the layers; their numbers stay on the disk until they are used.

  The zip is never unpacked, and nothing in it is run.

  Raises:
    InputError: if it is not one of the paper's networks, or damaged.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      layers = keras_config.parse(_config(archive))
      source = _weights(path, archive)
  except (zipfile.BadZipFile, zlib.error) as error:
    raise InputError(
      f"is a damaged zip ({hdf5.shown(str(error))}); download it again"
    ) from error
  return keras_v3.read(source, layers)


def _config(archive: zipfile.ZipFile) -> bytes:
  entry = _entry(archive, CONFIG)
  with archive.open(entry) as file:
    # What the zip says of the length may be wrong.
    return file.read(keras_config.MAX_BYTES + 1)


def _weights(path: Path, archive: zipfile.ZipFile) -> hdf5.Source:
  """Where the HDF5 file is within the zip."""
  entry = _entry(archive, WEIGHTS)
  if entry.compress_type != zipfile.ZIP_STORED:
    raise InputError(
      f"has {WEIGHTS} compressed, as Keras does not; unpack it (unzip), and "
      "load that file"
    )
  with path.open("rb") as file:
    file.seek(entry.header_offset)
    header = file.read(HEADER.size)
    size = file.seek(0, 2)
  if len(header) < HEADER.size or not header.startswith(SIGNATURE):
    raise InputError(f"has no {WEIGHTS} where it should be; it is damaged")
  _, *lengths = HEADER.unpack(header)
  start = entry.header_offset + HEADER.size + sum(lengths)
  if entry.file_size != entry.compress_size or start + entry.file_size > size:
    raise InputError(f"{WEIGHTS} is longer than the zip; it is damaged")
  return hdf5.Source(path, start, entry.file_size)


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
  try:
    entry = archive.getinfo(name)
  except KeyError as error:
    raise InputError(f"is a zip without {name}; it is damaged") from error
  if entry.flag_bits & ENCRYPTED:
    raise InputError(f"has {name} encrypted; unpack it with its password")
  return entry
