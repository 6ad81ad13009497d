"""MATLAB's files of version 7.3 that are damaged, or reach for other files."""

import gc
import sys
import time

import h5py
import numpy as np
import pytest
from mat_files import write_v6, write_v73
from matconvnet_files import refusal, small_net

from vggjax.weights.load import load_weights


def h5_edits():
  """What is wrong, its change of a file, and what is said of it."""

  def cell(file, index):
    return file[file["layers"][index, 0]]

  def replace(file, data=None, path="fc", **options):
    weights = file[cell(file, 0)["weights"][0, 0]]
    name = weights.name
    del file[name]
    item = file.create_dataset(name, data=data, **options)
    item.attrs["MATLAB_class"] = np.bytes_("single")
    cells = cell(file, 0)["weights"]
    cells[0, 0] = item.ref

  def external_link(file):
    del file["layers"]
    file["layers"] = h5py.ExternalLink("/etc/hostname", "/layers")

  def soft_link(file):
    del file["layers"]
    file["layers"] = h5py.SoftLink("/meta")

  def claim(file):
    replace(file, shape=(1, 3, 2**20, 2**20), dtype="f4", chunks=(1, 1, 64, 64))

  def external_numbers(file):
    replace(
      file,
      shape=(1, 3, 3, 3),
      dtype="f4",
      external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)],
    )

  def virtual(file):
    name = file[cell(file, 0)["weights"][0, 0]].name
    del file[name]
    layout = h5py.VirtualLayout((1, 3, 3, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (1, 3, 3, 3))
    item = file.create_virtual_dataset(name, layout)
    item.attrs["MATLAB_class"] = np.bytes_("single")
    cell(file, 0)["weights"][0, 0] = item.ref

  def null(file):
    cell(file, 0)["weights"][0, 0] = h5py.Reference()

  def cycle(file):
    file["layers"][0, 0] = file["layers"].ref

  def no_references(file):
    del file["layers"]
    file["layers"] = np.ones((3, 1))
    file["layers"].attrs["MATLAB_class"] = np.bytes_("cell")

  def many_cells(file):
    del file["layers"]
    file.create_dataset(
      "layers", (2**40, 1), h5py.ref_dtype, chunks=(1024, 1)
    ).attrs["MATLAB_class"] = np.bytes_("cell")

  def an_object(file):
    del file["layers"]
    file["net"] = np.arange(6, dtype=np.uint32)
    file["net"].attrs["MATLAB_class"] = np.bytes_("dagnn.DagNN")
    file["net"].attrs["MATLAB_object_decode"] = np.int32(3)

  def a_function(file):
    del file["layers"]
    file.create_group("net").attrs["MATLAB_class"] = np.bytes_(
      "function_handle"
    )

  def complex_kernel(file):
    replace(file, np.ones((1, 3, 3, 3), [("real", "f4"), ("imag", "f4")]))

  def of_fields(file):
    del file["layers"]
    group = file.create_group("layers")
    group.attrs["MATLAB_class"] = np.bytes_("struct")
    for index, name in enumerate(("block", "name"), 1):
      refs = np.array([file["meta"].ref] * index, h5py.ref_dtype)
      group.create_dataset(name, data=refs, dtype=h5py.ref_dtype)

  yield external_link, "layers is no object of this file"
  yield soft_link, "layers is no object of this file"
  yield claim, "an array of shape [1, 3, 1048576, 1048576] has 0 bytes"
  yield external_numbers, "an array's numbers are not in this file"
  yield virtual, "an array's numbers are not in this file"
  yield null, "a cell refers to what is not there"
  yield cycle, "layer 1 is a cell or struct array of 29 and not a struct"
  yield no_references, "a cell array of 3 elements"
  yield many_cells, "has 0 bytes"
  yield an_object, "net is uint32 of class dagnn.DagNN and not a struct"
  yield a_function, "net is a function handle and not a struct"
  yield complex_kernel, "and not numbers"
  yield of_fields, "the fields of a struct array differ in size"


@pytest.mark.parametrize(("edit", "message"), h5_edits())
def test_damaged_hdf5(tmp_path, edit, message):
  write_v73(tmp_path / "x", small_net())
  data = (tmp_path / "x").read_bytes()[:512]
  with h5py.File(tmp_path / "x", "r+") as file:
    edit(file)
  assert (tmp_path / "x").read_bytes()[:512] == data
  start = time.perf_counter()
  assert message in refusal(tmp_path / "x")
  assert time.perf_counter() - start < 5


def test_files_are_closed(tmp_path):
  write_v73(tmp_path / "x", small_net())
  # Those that other tests refused are held by their errors.
  gc.collect()
  load_weights(tmp_path / "x")
  kinds = h5py.h5f.OBJ_FILE | h5py.h5f.OBJ_GROUP | h5py.h5f.OBJ_DATASET
  assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, kinds) == 0


def test_without_h5py(tmp_path, monkeypatch):
  write_v73(tmp_path / "x", small_net())
  monkeypatch.setitem(sys.modules, "h5py", None)
  assert "pip install 'vggjax[weights]'" in refusal(tmp_path / "x")
  # The other versions do not need it.
  write_v6(tmp_path / "y", small_net())
  assert load_weights(tmp_path / "y").network == "A"
