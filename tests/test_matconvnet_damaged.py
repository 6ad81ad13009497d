"""MATLAB's files that are damaged, on purpose too: each ends in one line."""

import time
import tracemalloc
import zlib

import mat_bytes
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from mat_bytes import ALL_WRITERS, element, matrix, nested, numbers
from mat_files import WRITERS, write_v6
from matconvnet_files import refusal, small_net

from vggjax.errors import InputError
from vggjax.weights import foreign, matconvnet
from vggjax.weights.load import load_weights


def test_the_writer_by_hand_is_right(tmp_path):
  """What SciPy reads of it."""
  variables = {
    "layers": [{"name": "crane", "pad": np.array([[1.5, 2]])}, 300.0]
  }
  for form in ("big", "small"):
    ALL_WRITERS[form](tmp_path / "x.mat", variables)
    found = scipy.io.loadmat(tmp_path / "x.mat", squeeze_me=True)["layers"]
    assert str(found[0]["name"]) == "crane"
    np.testing.assert_array_equal(found[0]["pad"][()], [1.5, 2])
    assert found[1] == 300


@pytest.mark.parametrize("form", WRITERS)
def test_truncated_files(tmp_path, form):
  """Anywhere: of the mean, too, nothing is assumed."""
  net = small_net()
  WRITERS[form](tmp_path / "whole", net)
  load_weights(tmp_path / "whole")
  data = (tmp_path / "whole").read_bytes()
  cuts = [*range(0, 300, 7), *np.linspace(300, len(data) - 1, 60).astype(int)]
  for cut in cuts:
    (tmp_path / "cut").write_bytes(data[:cut])
    text = refusal(tmp_path / "cut")
    assert form == "v7.3" or "cannot be read as" not in text


@pytest.mark.parametrize("form", WRITERS)
def test_random_bytes_after_the_header(tmp_path, form):
  WRITERS[form](tmp_path / "x", small_net())
  random = np.random.default_rng(0)
  header = (tmp_path / "x").read_bytes()[:128]
  for size in (0, 1, 7, 8, 100, 5000):
    (tmp_path / "x").write_bytes(header + random.bytes(size))
    refusal(tmp_path / "x")


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
  path = tmp_path_factory.mktemp("whole") / "x"
  write_v6(path, small_net(classes={"name": ["a", "b"]}))
  return path.read_bytes()


EDITS = st.lists(
  st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.one_of(
      st.binary(min_size=1, max_size=8),
      st.sampled_from(
        [
          int(value).to_bytes(4, "little")
          for value in (0, 1, 2, 3, 4, 6, 14, 15, 17, 2**31 - 1, 2**32 - 1)
        ]
      ),
    ),
  ),
  min_size=1,
  max_size=4,
)


@settings(max_examples=300)
@given(edits=EDITS)
def test_edited_files_are_read_or_refused(tmp_path_factory, whole_file, edits):
  """By the reader itself: the net around it catches nothing here."""
  data = bytearray(whole_file)
  # Words of tags and headers: not of the large arrays of fc6 and fc7.
  words = np.flatnonzero(np.frombuffer(data, "<u4") < 2**16)
  for share, new in edits:
    at = 4 * int(words[int(share * len(words))])
    data[at : at + len(new)] = new
  path = tmp_path_factory.getbasetemp() / "edited"
  path.write_bytes(data)
  text = ""
  try:
    foreign.to_weights(matconvnet.read(path))
  except InputError as error:
    text = str(error)
  assert "\n" not in text


MANY = 2**31 - 1
CLAIMS = {
  "numbers": matrix(
    6, (MANY, MANY), "layers", element(9, bytes(64), size=2**32 - 8)
  ),
  "numbers without data": matrix(6, (MANY, MANY), "layers", element(9, b"")),
  "cells": matrix(1, (MANY, 1), "layers"),
  "many cells": matrix(1, (MANY, MANY, MANY), "layers"),
  "structs": matrix(2, (MANY, 1), "layers", numbers(8, "i4"), element(1, b"")),
  "structs of fields": matrix(
    2, (2, MANY), "layers", numbers(2, "i4"), element(1, b"a\0b\0")
  ),
  "text": matrix(4, (1, MANY), "layers", element(4, bytes(64), size=MANY)),
  "names of fields": matrix(
    2, (1, 1), "layers", numbers(-1, "i4"), element(1, b"ab")
  ),
  "negative": matrix(6, (-1, 1), "layers", element(9, bytes(8))),
  "axes": matrix(6, (1,) * 200, "layers", element(9, bytes(8))),
  "size": element(14, bytes(64), size=2**32 - 1),
  "nested": nested(100_000, "layers"),
  "empty cells": matrix(
    1, (2_000_000, 1), "layers", element(14, b"") * 2_000_000
  ),
}


def assert_refused_cheaply(path):
  """By the reader itself, without the time and memory that a file claims."""
  start = time.perf_counter()
  tracemalloc.start()
  text = refusal(path)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert "cannot be read as" not in text
  assert time.perf_counter() - start < 5
  assert peak < 2**28


def compressed(data):
  """An element of compressed bytes, which is not padded."""
  return element(15, data)[: 8 + len(data)] if len(data) > 4 else bytes(8)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("case", CLAIMS)
def test_false_claims_end_soon(tmp_path, case, compress):
  variable = CLAIMS[case]
  if compress:
    variable = compressed(zlib.compress(variable))
  (tmp_path / "x").write_bytes(mat_bytes.file(variable))
  assert_refused_cheaply(tmp_path / "x")


def test_decompression_stops_at_what_the_tag_says(tmp_path):
  net = small_net()
  layers, meta = (mat_bytes.encode(net[name], name) for name in net)
  packed = zlib.compress(layers)
  (tmp_path / "x").write_bytes(mat_bytes.file(compressed(packed), meta))
  load_weights(tmp_path / "x")
  for data in (
    zlib.compress(layers + bytes(8)),
    zlib.compress(layers + bytes(2**29)),
    zlib.compress(layers[:-8]),
    zlib.compress(element(14, layers[8:], size=2**32 - 8)),
    zlib.compress(element(9, layers[8:])),
    zlib.compress(b"abc"),
    # Of the checksum, and all of it; of the data.
    packed[:-1],
    packed[:-4],
    packed[:-40],
    packed[:-1] + bytes([packed[-1] ^ 1]),
    b"no zlib stream",
    b"",
  ):
    variables = compressed(data), meta
    (tmp_path / "x").write_bytes(mat_bytes.file(*variables))
    assert_refused_cheaply(tmp_path / "x")


def test_fewer_bytes_than_the_tag_says(tmp_path):
  """Zeros in their place would be read as text that nothing needs."""
  net = small_net()
  net["meta"]["note"] = "x" * 40
  layers, meta = (mat_bytes.encode(net[name], name) for name in net)
  for cut in (0, 8):
    data = zlib.compress(meta[: len(meta) - cut])
    (tmp_path / "x").write_bytes(mat_bytes.file(layers, compressed(data)))
    if cut:
      assert_refused_cheaply(tmp_path / "x")
    else:
      load_weights(tmp_path / "x")


def test_objects_and_functions_are_refused(tmp_path):
  words = (element(1, b"MCOS"), element(1, b"dagnn.DagNN"))
  body = matrix(13, (6, 1), "", numbers(range(6), "u4"))
  for variable, what in (
    (matrix(17, None, "net", *words, body), r"an object (MCOS dagnn.DagNN)"),
    (matrix(16, (1, 1), "net", body), "a function handle"),
    (matrix(5, (2, 2), "net", body, body, body), "a sparse array"),
    (matrix(3, (1, 1), "net", *words), "an object"),
    (
      matrix(6, (1, 1), "net", numbers(1, "f8"), numbers(1, "f8"), flags=0x800),
      "complex numbers",
    ),
    (matrix(4, (2, 2), "net", element(4, bytes(8))), "a matrix of characters"),
  ):
    (tmp_path / "x").write_bytes(mat_bytes.file(variable))
    assert refusal(tmp_path / "x") == f"net is {what} and not a struct"


def test_objects_that_no_layer_needs_are_ignored(tmp_path):
  """A function handle among a layer's options, and other variables."""
  net = small_net()
  body = matrix(6, (1, 1), "", numbers(1, "f8"))
  net["layers"][0]["opts"] = [matrix(16, (1, 1), "", body)]
  variables = [mat_bytes.encode(value, name) for name, value in net.items()]
  other = matrix(17, None, "other", element(1, b"MCOS"), element(1, b"table"))
  variables += [other, nested(100_000, "another")]
  (tmp_path / "x").write_bytes(mat_bytes.file(*variables))
  assert load_weights(tmp_path / "x").network == "A"
