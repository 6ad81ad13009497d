"""Keras files that are damaged, of other networks, or out to do harm."""

import h5py
import keras_nets
import numpy as np
import pytest
from keras_nets import keras, layers, refused

from vggjax.weights.load import load_weights

FC2 = "fc2/fc2/kernel:0"
CONV1 = "block1_conv1/block1_conv1/kernel:0"
KINDS = ("a.h5", "a.weights.h5", "a.keras")


@pytest.fixture(scope="module")
def model():
  return keras_nets.make("A", side=32)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
  """A folder with the model in each layout."""
  folder = tmp_path_factory.mktemp("whole")
  keras_nets.write_legacy(folder / "a.h5", keras_nets.as_content(model))
  model.save_weights(folder / "a.weights.h5")
  model.save(folder / "a.keras")
  for kind in KINDS:
    assert load_weights(folder / kind).network == "A"
  return folder


def changed(whole, tmp_path, change, kind="a.h5"):
  """A copy of a file, changed as HDF5."""
  path = tmp_path / kind
  path.write_bytes((whole / kind).read_bytes())
  with h5py.File(path, "r+") as file:
    change(file)
  return path


@pytest.mark.parametrize("kind", KINDS)
def test_truncated(whole, tmp_path, kind):
  data = (whole / kind).read_bytes()
  path = tmp_path / kind
  for share in (0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999):
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "cannot be read|of no format that is known")


def put(name, array):
  def change(file):
    del file[name]
    file[name] = array

  return change


def listed(name, values):
  def change(file):
    file[name].attrs["weight_names"] = [value.encode() for value in values]

  return change


def deleted(name):
  def change(file):
    del file[name]

  return change


def nan(file):
  file[FC2][5, 7] = np.nan


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (nan, "fc2's kernel holds nan; the file is damaged"),
    (put(FC2, np.ones((256, 255))), "255 output channels and a bias of 256"),
    (put(FC2, np.ones((255, 256))), "fc2 has a kernel .* does not fit"),
    (put(FC2, np.ones((256, 256, 1))), "fc2 is no layer of the paper's"),
    (put(FC2, np.ones((256, 256), int)), "holds int64 and no floating-point"),
    (put(FC2, "text"), "holds object and no floating-point"),
    (put(FC2, h5py.Empty("f4")), "has no axes"),
    (put(CONV1, np.ones((4, 3, 3, 3))), r"\[4, 3, 3, 3\], in Theano's order"),
    (put(CONV1, np.ones((3, 2, 3, 4))), "is not square"),
    (put(CONV1, np.ones((3, 3, 1, 4))), "does not fit 3 input channels"),
    (put("fc1/fc1", np.ones(3)), "fc1/fc1 is not a group"),
    (deleted("fc1/fc1/bias:0"), "lacks fc1/fc1/bias:0"),
    (deleted("fc1"), "lacks fc1"),
    (listed("fc1", ["fc1/kernel:0"]), "fc1 has no bias"),
    (listed("fc1", ["fc1"]), "fc1/fc1 is not a dataset"),
    (listed("fc1", ["../x", "/fc2"]), "lacks fc1/../x"),
    (listed("fc1", ["a\nb", "c"]), r"lacks fc1/a\?b"),
    (listed("fc1", ["fc1/bias:0"] * 2), "some twice; it is damaged"),
    (listed("fc1", []), "these are none of the networks"),
    (listed("fc1", map(str, range(2000))), "2000 values in its attribute"),
  ],
)
def test_damaged(whole, tmp_path, change, message):
  refused(changed(whole, tmp_path, change), message)


def test_attributes(whole, tmp_path):
  def no_list(file):
    del file["fc1"].attrs["weight_names"]

  def numbers(file):
    file.attrs["layer_names"] = [1, 2]

  def mean(value):
    def change(file):
      file.attrs["mean"] = value

    return change

  for change, message in (
    (no_list, "fc1 lacks the attribute weight_names"),
    (numbers, "an attribute that is no text"),
    (mean([1.0, 2.0]), "its mean must be 3 numbers"),
    (mean([1.0, 2.0, np.nan]), "its mean must be 3 numbers"),
    (mean("x"), "cannot be read as an HDF5 file"),
  ):
    refused(changed(whole, tmp_path, change), message)


def test_other_files_are_not_read(whole, tmp_path):
  """Links, external storage and virtual datasets, all of them valid."""
  secret = tmp_path / "secret.h5"
  array = np.ones((256, 256), np.float32)
  with h5py.File(secret, "w") as file:
    file["kernel"] = array
  raw = tmp_path / "secret.raw"
  raw.write_bytes(array.tobytes())
  virtual = h5py.VirtualLayout(array.shape, array.dtype)
  virtual[:] = h5py.VirtualSource(secret, "kernel", array.shape)

  def link(target):
    def change(file):
      del file[FC2]
      file[FC2] = target

    return change

  def external(file):
    del file[FC2]
    storage = [(str(raw), 0, array.nbytes)]
    file.create_dataset(FC2, array.shape, "f4", external=storage)

  def of_sources(file):
    del file[FC2]
    file.create_virtual_dataset(FC2, virtual)

  def at_top(file):
    file.move("fc2", "away")
    file["fc2"] = h5py.SoftLink("/away")

  def cyclic(file):
    del file["fc2"]
    file["fc2"] = h5py.SoftLink("/fc2")

  for change, message in (
    (link(h5py.ExternalLink(str(secret), "kernel")), f"a link at {FC2}"),
    (link(h5py.SoftLink("/fc1/fc1/kernel:0")), f"a link at {FC2}"),
    (external, f"{FC2} is stored in another file"),
    (of_sources, f"{FC2} is stored in another file"),
    (at_top, "a link at fc2"),
    (cyclic, "a link at fc2"),
  ):
    path = changed(whole, tmp_path, change)
    with h5py.File(path) as file:
      # What is refused could be read.
      assert change is cyclic or file[FC2].shape[1] == 256
    refused(path, message)

  def v3(file):
    file["layers/conv2d_99"] = h5py.ExternalLink(str(secret), "/")

  path = changed(whole, tmp_path, v3, "a.weights.h5")
  refused(path, "a link at layers/conv2d_99")


def test_groups_in_circles(whole, tmp_path):
  def circle(file):
    for name in "abc":
      file[f"layers/model_{name}/layers"] = file["layers"]

  def chain(file):
    file["layers/custom/self"] = file["layers"]

  def many(file):
    for i in range(2000):
      file.create_group(f"layers/x{i}")

  for change, message in (
    (circle, "nests over 8 deep|over 10000 entries"),
    (chain, "a kind .custom. that the paper's networks lack"),
    (many, r"has 20\d\d entries in /layers"),
  ):
    refused(changed(whole, tmp_path, change, "a.weights.h5"), message)


def test_shapes_that_are_not_stored(whole, tmp_path):
  """Their numbers would fill the memory."""

  def fill(**options):
    def change(file):
      del file[FC2]
      file.create_dataset(FC2, (2**20, 2**24), "f4", **options)

    return change

  def zeros(file):
    del file[FC2]
    array = np.zeros((2**11, 2**12))
    file.create_dataset(FC2, data=array, compression="gzip")

  def large_chunks(file):
    del file[FC2]
    file.create_dataset(
      FC2,
      data=np.zeros((256, 256)),
      chunks=(2**13, 2**13),
      maxshape=(None, None),
      compression="gzip",
    )

  for change in (
    fill(),
    fill(chunks=(2**10, 2**10)),
    fill(chunks=(2**10, 2**10), compression="gzip"),
    zeros,
    large_chunks,
  ):
    path = changed(whole, tmp_path, change)
    refused(path, f"{FC2} has the shape .*; it is damaged")


def test_what_is_no_vgg(tmp_path):
  path = tmp_path / "a.h5"
  with h5py.File(path, "w") as file:
    file.attrs["nb_layers"] = 2
    file["layer_0/param_0"] = np.ones((64, 3, 3, 3))
  refused(path, "is a file of Keras 0")
  with h5py.File(path, "w") as file:
    file["data\n"] = np.ones(3)
  refused(path, r"neither Keras's nor flaxmodels'.*holds data\?")
  with h5py.File(path, "w"):
    pass
  refused(path, "holds nothing")
  net = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
  net.save(path)
  refused(path, "its layers are fc; none of the networks")
  net.save_weights(tmp_path / "b.weights.h5")
  refused(tmp_path / "b.weights.h5", "none of the networks")
  net = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5)])
  net.save_weights(tmp_path / "b.weights.h5")
  refused(tmp_path / "b.weights.h5", "holds no layer with weights")
