"""Damaged .keras files, and such that are out to do harm."""

import json
import struct
import zipfile

import keras_nets
import pytest
from keras_nets import refused

from vggjax.weights.load import load_weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A whole file."""
  path = tmp_path_factory.mktemp("whole") / "a.keras"
  keras_nets.make("A", side=32).save(path)
  assert load_weights(path).network == "A"
  return path


def rezipped(whole, tmp_path, members, **options):
  """A .keras file with members changed, None for those left out."""
  with zipfile.ZipFile(whole) as archive:
    content = {n: archive.read(n) for n in archive.namelist()} | members
  path = tmp_path / "b.keras"
  with zipfile.ZipFile(path, "w", **options) as archive:
    for name, data in content.items():
      if data is not None:
        archive.writestr(name, data)
  return path


def nested_models(depth):
  text = '{"class_name": "Sequential", "config": {"layers": [%s]}}'
  result = text % ""
  for _ in range(depth):
    result = text % result
  return result


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ("", "configuration that is damaged"),
    ("[" * 100_000, "nests too deep"),
    ('{"config":' * 50_000, "nests too deep"),
    (nested_models(20), "nests too deep"),
    (" " * 2**22 + "{}", "a configuration of 4194305 bytes"),
    ("1" * 10_000, "configuration that is damaged"),
    ("[]", "a layer must be {}"),
    ('{"config": {"layers": [1]}}', "a layer must be {}"),
    (json.dumps({"config": {"layers": [{}] * 2000}}), "of over 1000 layers"),
    ('{"config": {"layers": []}, "a": "\udcff"}', "that is damaged"),
    (None, "a zip without config.json"),
  ],
)
def test_configurations(whole, tmp_path, config, message):
  if config is not None:
    config = config.encode("utf-8", "surrogateescape")
  path = rezipped(whole, tmp_path, {"config.json": config})
  refused(path, message)


def test_zips(whole, tmp_path):
  name = "model.weights.h5"
  path = rezipped(whole, tmp_path, {name: b"no HDF5" * 100})
  refused(path, "cannot be read as a Keras model.*signature not found")
  path = rezipped(whole, tmp_path, {name: b""})
  refused(path, "cannot be read as a Keras model")
  deflated = {"compression": zipfile.ZIP_DEFLATED}
  path = rezipped(whole, tmp_path, {}, **deflated)
  refused(path, "compressed, as Keras does not; unpack it")
  bomb = rezipped(whole, tmp_path, {"config.json": b" " * 2**28}, **deflated)
  assert bomb.stat().st_size < 2**21
  refused(bomb, "a configuration of 4194305 bytes")


def test_zip_entries_that_lie(whole, tmp_path):
  """Their flags, sizes and places in the zip's directory."""
  data = whole.read_bytes()
  path = tmp_path / "a.keras"
  directory = data.rindex(b"PK\x01\x02")
  assert data[directory + 46 :].startswith(b"model.weights.h5")
  for offset, value, message in (
    (8, struct.pack("<H", 1), "encrypted"),
    (20, struct.pack("<L", 1000), "longer than the zip"),
    (24, struct.pack("<L", 2**31), "longer than the zip"),
    (20, struct.pack("<LL", 2**31, 2**31), "longer than the zip"),
    (42, struct.pack("<L", 1000), "has no model.weights.h5 where"),
    (42, struct.pack("<L", len(data)), "has no model.weights.h5 where"),
    (10, struct.pack("<H", 99), "compressed, as Keras does not"),
  ):
    start = directory + offset
    changed_data = data[:start] + value + data[start + len(value) :]
    assert len(changed_data) == len(data)
    path.write_bytes(changed_data)
    refused(path, message)
