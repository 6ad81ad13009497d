"""vggjax.data.pipeline, training: order, resumption, bad images."""

import itertools
import logging

import numpy as np
import pytest
import tensorflow as tf
from numbered_pictures import (
  NUM_IMAGES,
  OPTIONS,
  NumberedPictures,
  assert_equal,
  encoded_picture,
  join,
  numbered_picture,
  take,
  write_folder,
)
from numbered_pictures import folder as folder
from numbered_pictures import source as source
from pictures import encode, picture

from vggjax.data import pipeline, preprocess
from vggjax.data.sources import open_source
from vggjax.errors import InputError


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
      crop = preprocess.random_crop(
        tf.constant(encoded_picture(label)),
        key,
        train_scale=(9, 12),
        crop_size=8,
        flip=False,
      )
      np.testing.assert_array_equal(joined["image"][i], crop.image)
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
  for split, below in (("train", "a/"), ("test", "")):
    (tmp_path / split / below).mkdir(parents=True)
    for i in range(4):
      path = tmp_path / split / below / f"{i}.png"
      path.write_bytes(encoded_picture(2))
  source = open_source(f"folder:{tmp_path}", "test")
  with pytest.raises(InputError, match="images without a label"):
    next(pipeline.train_batches(source, **OPTIONS))


def test_steps_per_epoch_drops_the_rest():
  assert pipeline.steps_per_epoch(1_281_167, 256) == 5004
