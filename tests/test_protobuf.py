"""The reader of protocol buffers, against Google's library."""

import mmap

import caffe_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggjax.errors import InputError
from vggjax.weights import protobuf
from vggjax.weights.protobuf import DOUBLE, FLOAT, INT, TEXT

BLOB = {
  1: ("num", INT),
  5: ("data", FLOAT),
  7: ("shape", {1: ("dim", INT)}),
  8: ("double_data", DOUBLE),
}
NET = {
  1: ("name", TEXT),
  4: ("input_dim", INT),
  100: ("layer", [{1: ("name", TEXT), 7: ("blobs", [BLOB])}]),
}

FLOATS = st.lists(st.floats(width=32), max_size=40)
BLOBS = st.fixed_dictionaries(
  {},
  optional={
    "num": st.integers(-(2**31), 2**31 - 1),
    "data": FLOATS,
    "diff": FLOATS,
    "double_data": st.lists(st.floats(), max_size=40),
    "shape": st.fixed_dictionaries(
      {"dim": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)}
    ),
  },
)


def assert_same_blob(found, blob):
  assert found.get("num", [0])[-1] == blob.num
  assert found.get("shape", {}).get("dim", []) == list(blob.shape.dim)
  for name, dtype in (("data", np.float32), ("double_data", np.float64)):
    parts = [np.zeros(0, dtype), *found.get(name, [])]
    assert all(part.dtype == dtype for part in parts)
    wanted = np.array(getattr(blob, name), dtype)
    np.testing.assert_array_equal(np.concatenate(parts), wanted)


@given(pieces=st.lists(st.tuples(st.booleans(), BLOBS), max_size=5))
def test_messages_in_pieces(pieces):
  """Bytes one after another are one message; packed numbers and single ones."""
  data = b"".join(
    caffe_files.messages(packed).BlobProto(**blob).SerializeToString()
    for packed, blob in pieces
  )
  wanted = caffe_files.messages().BlobProto.FromString(data)
  assert_same_blob(protobuf.parse(data, BLOB), wanted)


@given(
  packed=st.booleans(),
  name=st.text(max_size=30),
  dims=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
  layers=st.lists(st.lists(BLOBS, max_size=3), max_size=4),
)
def test_nested_messages(packed, name, dims, layers):
  net = caffe_files.messages(packed).NetParameter(name=name, input_dim=dims)
  for number, blobs in enumerate(layers):
    one = net.layer.add(name=f"conv{number}", type="Convolution")
    one.bottom.append("what is not in the schema")
    one.convolution_param.pad.extend([1, 2])
    for blob in blobs:
      one.blobs.add(**blob)
  found = protobuf.parse(net.SerializeToString(), NET)
  printable = "".join(c if c.isprintable() else "?" for c in name)
  assert found.get("name", [""]) == [printable]
  assert found.get("input_dim", []) == dims
  assert len(found.get("layer", [])) == len(layers)
  for layer, wanted in zip(found.get("layer", []), net.layer, strict=True):
    assert set(layer) <= {"name", "blobs"}
    assert layer["name"] == [wanted.name]
    blobs = layer.get("blobs", [])
    for blob, wanted_blob in zip(blobs, wanted.blobs, strict=True):
      assert_same_blob(blob, wanted_blob)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 48, 49, 1000, 3_000_000])
def test_floats_are_views(tmp_path, packed, count):
  values = np.random.default_rng(0).normal(size=count).astype(np.float32)
  proto = caffe_files.messages(packed)
  blob = proto.BlobProto(num=7, data=values.tolist(), diff=[1, 2])
  path = tmp_path / "blob"
  path.write_bytes(blob.SerializeToString())
  with path.open("rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
  (found,) = protobuf.parse(mapped, BLOB)["data"]
  np.testing.assert_array_equal(found, values)
  assert not found.flags.owndata
  assert not found.flags.writeable
  inside = np.frombuffer(mapped, np.uint8)
  assert np.shares_memory(found.view(np.uint8) if packed else found, inside)


@given(data=st.binary(max_size=60))
def test_any_bytes(data):
  """What both accept they read alike; ours refuses more."""
  try:
    found = protobuf.parse(data, BLOB)
  except InputError:
    return
  wanted = caffe_files.messages().BlobProto.FromString(data)
  found["num"] = [
    int(np.int64(n).astype(np.int32)) for n in found.get("num", [0])
  ]
  assert_same_blob(found, wanted)


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"\x08", "a number is cut off"),
    (b"\x08\xff\xff", r"a number is cut off \(byte 1\)"),
    (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 10 bytes"),
    (b"\x2a\x05abcd", r"field of 5 bytes is longer .* \(byte 0\)"),
    (b"\x2a\x05abcde", "5 bytes are no numbers of 4 bytes"),
    (b"\x42\x04abcd", "4 bytes are no numbers of 8 bytes"),
    (b"\x2dabc", "a number is cut off"),
    (b"\x2dabcd\x2dabc", r"a number is cut off \(byte 5\)"),
    (b"\x3a\x03\x0a\x02\x01", r"longer than what is left \(byte 2\)"),
    (b"\x10\x01\x2b\x2c", r"wire type 3 .* \(byte 2\)"),
    (b"\x00\x00", "no field number 0"),
    (b"\x28\x01", "its data is of wire type 0"),
    (b"\x10\x01" * 100_001, "more than 100000 fields"),
  ],
)
def test_what_is_wrong(data, message):
  with pytest.raises(InputError, match=message):
    protobuf.parse(data, BLOB)
