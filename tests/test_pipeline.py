"""vggjax.data.pipeline: order, resumption, processes, masks, bad images."""

import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from pictures import encode, picture

from vggjax import geometry, images
from vggjax.data import pipeline, preprocess
from vggjax.data.sources import open_source
from vggjax.errors import InputError

NUM_IMAGES = 23
OPTIONS = {"batch_size": 4, "crop_size": 8, "train_scale": (9, 12), "seed": 5}


def numbered_picture(number):
  """Image `number` of a data set in which the label is the number."""
  return picture(10 + number % 3, 12 + number % 4, seed=number)


def encoded_picture(number):
  image = numbered_picture(number)
  return encode(image, "JPEG" if number % 2 else "PNG")


class NumberedPictures(tfds.core.GeneratorBasedBuilder):
  """NUM_IMAGES training images."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    features = tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=NUM_IMAGES),
      }
    )
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for i in range(NUM_IMAGES):
      yield i, {"image": numbered_picture(i), "label": i}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp("folder"))


def write_folder(root, num_images=NUM_IMAGES):
  rows = ["file,label,split"]
  for i in range(num_images):
    name = f"{i:03}.jpg" if i % 2 else f"{i:03}.png"
    (root / name).write_bytes(encoded_picture(i))
    rows.append(f"{name},{i},train")
  (root / "labels.csv").write_text("\n".join(rows) + "\n")
  return open_source(f"folder:{root}", "train")


@pytest.fixture(scope="module", params=["folder", "array_record", "tfrecord"])
def source(request, folder, tmp_path_factory):
  """The same images in the three ways of reading."""
  if request.param == "folder":
    return folder
  data_dir = tmp_path_factory.mktemp(request.param)
  tfds.builder(
    "numbered_pictures", data_dir=data_dir, file_format=request.param
  ).download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=4)
  )
  return open_source("numbered_pictures", "train", data_dir=data_dir)


def take(source, number, **options):
  batches = pipeline.train_batches(source, **{**OPTIONS, **options})
  return list(itertools.islice(batches, number))


def join(batches):
  return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}


def assert_equal(ours, theirs):
  assert len(ours) == len(theirs)
  for one, other in zip(ours, theirs, strict=True):
    assert one.keys() == other.keys()
    for key in one:
      np.testing.assert_array_equal(one[key], other[key])


def test_shapes_and_types(source):
  (batch,) = take(source, 1)
  assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
    "image": ((4, 8, 8, 3), np.uint8),
    "shift": ((4, 3), np.float32),
    "label": ((4,), np.int32),
  }
  assert not batch["shift"].any()


def test_every_epoch_is_another_permutation(source):
  steps = pipeline.steps_per_epoch(NUM_IMAGES, 4)
  assert steps == 5
  batches = take(source, 3 * steps, shuffle_buffer=6)
  epochs = [
    join(batches[i : i + steps])["label"].tolist()
    for i in (0, steps, 2 * steps)
  ]
  for epoch in epochs:
    assert len(set(epoch)) == len(epoch) == 20
    assert epoch != sorted(epoch)
  assert epochs[0] != epochs[1]
  assert epochs[1] != epochs[2]
  assert len(set(epochs[0]) | set(epochs[1]) | set(epochs[2])) > 20


def test_the_seed_decides(source):
  first = take(source, 4)
  assert_equal(first, take(source, 4))
  other = join(take(source, 4, seed=6))
  assert not np.array_equal(join(first)["label"], other["label"])


@pytest.mark.parametrize("first_step", [4, 8])
def test_resuming_gives_the_same_batches(source, first_step):
  whole = take(source, 11)
  rest = take(source, None, first_step=first_step, num_steps=11 - first_step)
  assert_equal(rest, whole[first_step:])


def test_num_steps_ends_the_iterator(source):
  assert len(take(source, None, num_steps=7)) == 7
  assert take(source, None, num_steps=0) == []


def test_processes_share_the_global_batch(source):
  whole = take(source, 4, first_step=3)
  shares = [
    take(source, 4, first_step=3, process_index=i, process_count=2)
    for i in range(2)
  ]
  assert_equal([join(parts) for parts in zip(*shares, strict=True)], whole)


def by_label(batches):
  joined = join(batches)
  return dict(zip(joined["label"].tolist(), joined["image"], strict=True))


def test_an_example_does_not_depend_on_the_batch_size(source):
  small = by_label(take(source, 5, batch_size=4))
  large = by_label(take(source, 2, batch_size=10))
  common = small.keys() & large.keys()
  assert len(common) >= 17
  for label in common:
    np.testing.assert_array_equal(small[label], large[label])


def test_examples_are_the_crops_of_preprocess(folder):
  color = pipeline.ColorShift(
    (0.2, 0.1, 0.05), ((1, 0, 0), (0, 1, 0), (0, 0, 1))
  )
  for epoch in (0, 1):
    batches = take(folder, 5, first_step=5 * epoch, mirror=False, color=color)
    joined = join(batches)
    for i, label in enumerate(joined["label"]):
      key = preprocess.example_key(
        5, tf.constant(epoch, tf.int64), tf.constant(label, tf.int64)
      )
      crop, _ = preprocess.random_crop(
        tf.constant(encoded_picture(label)),
        key,
        train_scale=(9, 12),
        crop_size=8,
        flip=False,
      )
      np.testing.assert_array_equal(joined["image"][i], crop)
      shift = preprocess.color_shift(key, color.matrix())
      np.testing.assert_allclose(joined["shift"][i], shift, rtol=1e-5)
  assert np.unique(joined["shift"]).size == joined["shift"].size


def test_capped_images_are_counted_and_logged(tmp_path, caplog):
  for i in range(6):
    width = 200 if i < 2 else 20
    (tmp_path / f"train/{i}").mkdir(parents=True)
    path = tmp_path / f"train/{i}/a.png"
    path.write_bytes(encode(picture(10, width, i)))
  source = open_source(f"folder:{tmp_path}", "train")
  batches = pipeline.train_batches(source, **{**OPTIONS, "batch_size": 3})
  with caplog.at_level(logging.INFO):
    for _ in range(4):
      next(batches)
  assert batches.capped == 4
  assert "epoch 0: 2 images longer than 8 S" in caplog.text
  assert "epoch 1: 2 images longer than 8 S" in caplog.text
  rescaled = pipeline.rescaled_images(source, [8, 9])
  shapes = [[i.shape[:2] for i in found] for *_, found in rescaled]
  assert rescaled.capped == 2
  assert shapes == 2 * [[(8, 64), (9, 72)]] + 4 * [[(8, 16), (9, 18)]]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"batch_size": 24}, "has only 23 images in train"),
    ({"batch_size": 0}, "batch size 0: must be a multiple"),
    ({"process_count": 3}, "batch size 4: must be a multiple of the 3"),
    ({"process_index": 2, "process_count": 2}, "process 2 of 2"),
    ({"crop_size": 10}, "crop size <= least S"),
    ({"crop_size": 0}, "1 <= crop size"),
    ({"train_scale": (12, 9)}, "least S <= greatest S"),
    ({"seed": -1}, "must be >= 0"),
    ({"first_step": -1}, "must be >= 0"),
  ],
)
def test_train_batches_refuses(folder, options, message):
  with pytest.raises(InputError, match=message):
    pipeline.train_batches(folder, **{**OPTIONS, **options})


def test_a_broken_image_is_named(tmp_path):
  source = write_folder(tmp_path, 8)
  (tmp_path / "005.jpg").write_bytes(encoded_picture(5)[:-150])
  batches = pipeline.train_batches(source, **OPTIONS)
  with pytest.raises(InputError, match=r"cannot decode 005\.jpg") as error:
    list(itertools.islice(batches, 2))
  assert "\n" not in str(error.value)
  assert 'on_error="skip"' in str(error.value)
  with pytest.raises(InputError, match=r"cannot decode 005\.jpg"):
    list(pipeline.crop_batches(source, batch_size=3, crop_size=8, test_scale=8))
  images_found = pipeline.rescaled_images(source, [8])
  for _ in range(5):
    next(images_found)
  with pytest.raises(InputError, match=r"cannot decode 005\.jpg"):
    next(images_found)


def test_a_broken_record_of_other_formats_is_named(tmp_path):
  """A text file is told by Pillow, a missing one by its reading."""
  source = write_folder(tmp_path, 4)
  (tmp_path / "002.png").write_text("not an image")
  with pytest.raises(InputError, match=r"cannot decode 002\.png") as error:
    next(pipeline.train_batches(source, **OPTIONS))
  assert "\n" not in str(error.value)
  (tmp_path / "002.png").unlink()
  with pytest.raises(InputError, match=r"cannot read.*002\.png") as error:
    next(pipeline.train_batches(source, **OPTIONS))
  assert "\n" not in str(error.value)


class NumberedBroken(NumberedPictures):
  """Image 7 is broken."""

  def _generate_examples(self):
    for i in range(NUM_IMAGES):
      encoded = encode(numbered_picture(i))
      path = self.data_path.parent / f"{i}.png"
      path.write_bytes(encoded[:60] if i == 7 else encoded)
      yield i, {"image": path, "label": i}


def test_a_broken_record_of_a_stream_is_named(tmp_path):
  source = open_source("numbered_broken", "train", data_dir=tmp_path)
  name = source.ids([source.labels().tolist().index(7)])[0]
  batches = pipeline.train_batches(source, **OPTIONS, num_steps=15)
  with pytest.raises(InputError, match=f"cannot decode {name}"):
    list(batches)


def test_training_needs_labels(tmp_path):
  for split, folder in (("train", "a/"), ("test", "")):
    (tmp_path / split / folder).mkdir(parents=True)
    for i in range(4):
      path = tmp_path / split / folder / f"{i}.png"
      path.write_bytes(encoded_picture(2))
  source = open_source(f"folder:{tmp_path}", "test")
  with pytest.raises(InputError, match="images without a label"):
    next(pipeline.train_batches(source, **OPTIONS))


def expected_crop(encoded, scale):
  return images.center_crop(images.rescale(images.decode(encoded), scale), 8)


@pytest.mark.parametrize(("batch_size", "count"), [(4, 1), (6, 2), (50, 5)])
def test_crop_batches_hold_every_image_once(source, batch_size, count):
  encoded = [r["bytes"] for r in source.stream().as_numpy_iterator()]
  processes = [
    list(
      pipeline.crop_batches(
        source,
        batch_size=batch_size,
        crop_size=8,
        test_scale=9,
        process_index=i,
        process_count=count,
      )
    )
    for i in range(count)
  ]
  steps = -(-NUM_IMAGES // batch_size)
  assert [len(batches) for batches in processes] == count * [steps]
  batches = [join(parts) for parts in zip(*processes, strict=True)]
  for batch in batches:
    assert batch["image"].shape == (batch_size, 8, 8, 3)
    assert batch["image"].dtype == np.uint8
    assert batch["mask"].dtype == np.float32
    assert batch["label"].dtype == np.int32
  joined = join(batches)
  # Padding comes last only.
  assert joined["mask"].tolist() == [1.0] * NUM_IMAGES + [0.0] * (
    steps * batch_size - NUM_IMAGES
  )
  real = joined["mask"] == 1
  np.testing.assert_array_equal(joined["label"][real], source.labels())
  assert (joined["label"][~real] == -1).all()
  assert not joined["image"][~real].any()
  for image, data in zip(joined["image"], encoded, strict=False):
    crop = expected_crop(data, 9)
    assert np.abs(image.astype(int) - crop).max() <= 1  # Ties in rounding.
    assert (image != crop).mean() < 0.02


def test_crop_batches_refuses(folder):
  for options in (
    {"batch_size": 4, "crop_size": 9, "test_scale": 8},
    {"batch_size": 4, "crop_size": 0, "test_scale": 8},
    {"batch_size": 0, "crop_size": 8, "test_scale": 8},
    {"batch_size": 3, "crop_size": 8, "test_scale": 8, "process_count": 2},
  ):
    with pytest.raises(InputError, match="must be"):
      pipeline.crop_batches(folder, **options)


def test_rescaled_images(source):
  encoded = [r["bytes"] for r in source.stream().as_numpy_iterator()]
  found = list(pipeline.rescaled_images(source, [8, 11]))
  assert [index for index, *_ in found] == list(range(NUM_IMAGES))
  assert [name for _, name, _, _ in found] == source.ids()
  assert [label for _, _, label, _ in found] == source.labels().tolist()
  for index, _, _, versions in found:
    image = images.decode(encoded[index])
    assert isinstance(versions, list)
    for scale, version in zip((8, 11), versions, strict=True):
      assert version.dtype == np.uint8
      expected = images.rescale(image, scale)
      size = geometry.rescaled_size(*image.shape[:2], scale)
      assert version.shape == expected.shape == (*size, 3)
      assert np.abs(version.astype(int) - expected).max() <= 1


WANTED = (0, 1, 4, 7, 13, 14, 22)


def test_rescaled_images_are_those_wanted(source):
  wanted = np.isin(np.arange(NUM_IMAGES), WANTED)
  whole = list(pipeline.rescaled_images(source, [8, 11]))
  found = list(pipeline.rescaled_images(source, [8, 11], wanted=wanted))
  assert [index for index, *_ in found] == list(WANTED)
  for (index, *names, versions), i in zip(found, WANTED, strict=True):
    assert (index, *names) == whole[i][:3]
    for ours, theirs in zip(versions, whole[i][3], strict=True):
      np.testing.assert_array_equal(ours, theirs)
  nothing = np.zeros(NUM_IMAGES, bool)
  assert list(pipeline.rescaled_images(source, [8], wanted=nothing)) == []


def test_rescaled_images_of_processes(source):
  wanted = np.isin(np.arange(NUM_IMAGES), WANTED)
  for options, indices in (
    ({}, range(NUM_IMAGES)),
    ({"wanted": wanted}, WANTED),
  ):
    for process in range(3):
      found = pipeline.rescaled_images(
        source, [8], process_index=process, process_count=3, **options
      )
      mine = [i for i in indices if i % 3 == process]
      assert [index for index, *_ in found] == mine


def test_images_not_wanted_are_not_decoded(tmp_path):
  source = write_folder(tmp_path, 8)
  (tmp_path / "005.jpg").write_bytes(b"no image")
  wanted = np.arange(8) != 5
  found = pipeline.rescaled_images(source, [8], wanted=wanted)
  assert [index for index, *_ in found] == [0, 1, 2, 3, 4, 6, 7]


def test_rescaled_images_refuses(folder):
  for options in ({"test_scales": []}, {"test_scales": [0]}):
    with pytest.raises(InputError, match="must be one Q or more"):
      pipeline.rescaled_images(folder, **options)
  with pytest.raises(InputError, match="process 1 of 1"):
    pipeline.rescaled_images(folder, [8], process_index=1)


def test_steps_per_epoch_drops_the_rest():
  assert pipeline.steps_per_epoch(1_281_167, 256) == 5004
