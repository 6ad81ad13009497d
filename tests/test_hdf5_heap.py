"""Heaps of texts in HDF5 files that would hold libhdf5 up forever."""

import os
import struct
import subprocess
import sys

import h5py
import pytest

from vggjax.errors import InputError
from vggjax.weights import hdf5

READ = "import h5py, sys; h5py.File(sys.argv[1]).attrs['names'][:]"


def write(path):
  with h5py.File(path, "w") as file:
    file.attrs["names"] = ["conv1_1", "conv1_2", "a longer name"] * 5
  return path


def object_places(data):
  """Where a heap's objects begin, by the format's description."""
  heap = data.index(b"GCOL")
  (size,) = struct.unpack_from("<Q", data, heap + 8)
  place = heap + 16
  while place + 16 <= heap + size:
    number, length = struct.unpack_from("<H6xQ", data, place)
    yield place
    place += 16 + (length + 7) // 8 * 8 if number else length


def read(path):
  with hdf5.Source(path).open() as file:
    return hdf5.list_attribute(file, "names0")


def test_a_good_heap(tmp_path):
  path = write(tmp_path / "a.h5")
  assert len(list(object_places(path.read_bytes()))) == 16
  with hdf5.Source(path).open() as file:
    assert list(file.attrs["names"])[:2] == ["conv1_1", "conv1_2"]


@pytest.mark.parametrize("which", [0, 7, 15])
@pytest.mark.parametrize("size", [0, 2**64 - 16, 2**64 - 48])
def test_a_damaged_heap_is_refused(tmp_path, which, size):
  path = write(tmp_path / "a.h5")
  data = bytearray(path.read_bytes())
  place = list(object_places(data))[which]
  number = 0 if size == 0 else 3
  struct.pack_into("<H6xQ", data, place, number, size)
  path.write_bytes(data)
  os.utime(path, ns=(1, 1))
  with pytest.raises(InputError, match="a heap without an end"):
    read(path)


def test_the_library_alone_would_hang(tmp_path):
  """If this fails, libhdf5 has been mended, and the check may go."""
  path = write(tmp_path / "a.h5")
  data = bytearray(path.read_bytes())
  place = list(object_places(data))[-1]
  struct.pack_into("<H6xQ", data, place, 0, 0)
  path.write_bytes(data)
  command = [sys.executable, "-c", READ, str(path)]
  with pytest.raises(subprocess.TimeoutExpired):
    subprocess.run(command, timeout=4, check=False, capture_output=True)
