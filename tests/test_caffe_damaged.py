"""What the reader of Caffe's files makes of damaged ones."""

import time

import numpy as np
import pytest
from caffe_files import (
  assert_params,
  encode,
  expected_params,
  layers_of,
  messages,
  tiny_net,
  write,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vggjax.errors import InputError
from vggjax.weights import caffe, foreign

LAYOUTS = ("new", "V1", "V0")


def load(path):
  """The weights, or the one line that says why not; nothing else is allowed."""
  try:
    return foreign.to_weights(caffe.read(path))
  except InputError as error:
    message = str(error)
  assert message
  assert "\n" not in message
  return message


def is_refused(path, wanted):
  """Whether it is; if not, the layers that are there must be as wanted."""
  found = load(path)
  if isinstance(found, str):
    return True
  assert_params(found.params, {name: wanted[name] for name in found.params})
  return False


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cut_off_files(tmp_path, layout):
  data = encode(layers_of(tiny_net()), layout)
  wanted = expected_params(tiny_net())
  cuts = [*range(0, len(data), 97), *range(len(data) - 40, len(data))]
  refused = [is_refused(write(tmp_path, data[:n]), wanted) for n in cuts]
  # A file that ends where a layer does, after fc8, is a whole net.
  assert sum(refused) >= len(cuts) - 2
  assert not is_refused(write(tmp_path, data), wanted)


def test_files_that_end_between_layers(tmp_path):
  """What is left is refused, or a feature net without the FC layers."""
  layers = layers_of(tiny_net())
  wanted = expected_params(tiny_net())
  kept = []
  for number in range(len(layers) + 1):
    path = write(tmp_path, encode(layers[:number]))
    if not is_refused(path, wanted):
      kept.append(layers[number - 1].name)
  assert kept == ["conv5_1", "relu5_1", "pool5", "fc8", "prob"]


TAG = b"\xa2\x06"
HUGE = b"\x80\x80\x80\x80\x80\x20"  # 2**40.
BLOB_OF = {
  "a length of 2**40": b"\x2a" + HUGE,
  "a shape of 2**40": b"\x08" + HUGE + b"\x10" + HUGE + b"\x2a\x04abcd",
  "a negative shape": b"\x08" + b"\xff" * 9 + b"\x01\x2a\x04abcd",
  "minus times minus": b"\x3a\x16\x0a\x14"
  + 2 * (b"\xff" * 9 + b"\x01")
  + b"\x2a\x04abcd",
  "a shape of zeros": b"\x08\x00",
  "no shape": b"\x2a\x04abcd",
  "nothing": b"",
  "parts of floats": b"\x3a\x03\x0a\x01\x01\x2a\x05abcde",
  "parts of doubles": b"\x3a\x03\x0a\x01\x01\x42\x0cabcdefghijkl",
  "a float cut off": b"\x08\x01\x2dabc",
  "a group": b"\x2b\x2c",
  "the end of a group": b"\x2c",
  "wire type 6": b"\x2e\x00",
  "wire type 7": b"\x2f\x00",
  "field 0": b"\x02\x00",
  "a field number of 36 bits": b"\xff" * 5 + b"\x08\x00",
  "a long number": b"\x08" + b"\xff" * 10 + b"\x01",
  "numbers without end": b"\x08" + b"\xff" * 100_000,
  "a number for floats": b"\x28\x01",
  "doubles for floats": b"\x29abcdefgh",
  "text for the shape": b"\x3a\x03abc",
  "a shape of 5 axes": b"\x3a\x07\x0a\x05" + b"\x01" * 5 + b"\x2a\x04abcd",
  "a million axes": b"\x3a\xc4\x84\x3d\x0a\xc0\x84\x3d" + b"\x01" * 10**6,
  "a million fields": b"\x78\x01" * 10**6,
  "a million pieces": b"\x2dabcd\x78\x01" * 10**6,
  "a million floats of no shape": b"\x2dabcd" * 10**6,
}


def field(tag, data):
  length, size = b"", len(data)
  while size >= 128:
    length += bytes([size % 128 + 128])
    size //= 128
  return tag + length + bytes([size]) + data


def with_kernel(blob):
  """A whole net, but for the bytes of conv1_1's kernel."""
  net = messages().NetParameter.FromString(encode(layers_of(tiny_net())))
  result = b""
  for layer in net.layer:
    blobs = [blob.SerializeToString() for blob in layer.blobs]
    if layer.name == "conv1_1":
      blobs[0] = blob
    layer.ClearField("blobs")
    body = layer.SerializeToString()
    result += field(TAG, body + b"".join(field(b"\x3a", b) for b in blobs))
  return result


@pytest.mark.parametrize("case", BLOB_OF)
def test_damaged_blobs(tmp_path, case):
  path = write(tmp_path, with_kernel(BLOB_OF[case]))
  start = time.perf_counter()
  with pytest.raises(InputError, match=r"damaged|at most 4$|must have 4 axes"):
    caffe.read(path)
  # Seconds where walking each number would take minutes.
  assert time.perf_counter() - start < 10


def test_the_undamaged_blob_is_read(tmp_path):
  kernel, _ = layers_of(tiny_net())[1].blobs
  path = write(
    tmp_path,
    with_kernel(
      b"\x08\x01\x10\x03\x18\x05\x20\x05" + field(b"\x2a", kernel.tobytes())
    ),
  )
  assert not is_refused(path, expected_params(tiny_net()))


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\x0a\x03net", b"\x12\x00"])
def test_files_without_layers(tmp_path, data):
  with pytest.raises(
    InputError, match=r"is empty|damaged|no layer with weights"
  ):
    caffe.read(write(tmp_path, data))


def test_deep_nesting(tmp_path):
  for tag in (TAG, b"\x12", b"\x0a"):
    data = b""
    for _ in range(5000):
      data = field(tag, data)
    with pytest.raises(InputError, match="no layer with weights"):
      caffe.read(write(tmp_path, data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
  head=st.sampled_from([b"", b"\x0a", b"\x12", TAG]),
  data=st.binary(max_size=300),
)
def test_random_bytes(tmp_path, head, data):
  assert isinstance(load(write(tmp_path, head + data)), str)


@pytest.fixture(scope="module")
def hollow():
  """A net of zeros in each layout, and the bytes that are its structure."""
  layers = layers_of(tiny_net())
  for layer in layers:
    layer.blobs = [np.zeros_like(blob) for blob in layer.blobs]
  files = {layout: encode(layers, layout) for layout in LAYOUTS}
  return {
    layout: (data, [i for i, byte in enumerate(data) if byte])
    for layout, data in files.items()
  }


@settings(
  max_examples=300,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_changed_bytes(tmp_path, hollow, data):
  """A damaged file is refused, or a network with its structure."""
  content, places = hollow[data.draw(st.sampled_from(LAYOUTS))]
  content = bytearray(content)
  edits = st.tuples(
    st.sampled_from(places), st.integers(0, 2), st.binary(max_size=4)
  )
  for start, removed, added in data.draw(
    st.lists(edits, min_size=1, max_size=3)
  ):
    content[start : start + removed] = added
  weights = load(write(tmp_path, bytes(content)))
  if isinstance(weights, str):
    return
  assert weights.network == "B-shallow"
  for layer in weights.params.values():
    assert np.isfinite(layer["kernel"]).all()
    assert layer["kernel"].shape[-1] == len(layer["bias"])
