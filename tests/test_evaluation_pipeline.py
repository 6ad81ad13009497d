"""vggjax.data.pipeline, evaluation: each image once, rescaled or cropped."""

import numpy as np
import pytest
import tiny
from numbered_pictures import NUM_IMAGES, join, write_folder
from numbered_pictures import folder as folder
from numbered_pictures import source as source

from vggjax import geometry, images
from vggjax.data import pipeline
from vggjax.data.boxes import cut
from vggjax.data.sources import open_source
from vggjax.errors import InputError


def expected_crop(encoded, scale):
  rescaled = images.rescale(images.decode(encoded), scale)
  top, left = ((side - 8) // 2 for side in rescaled.shape[:2])
  return rescaled[top : top + 8, left : left + 8]


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


def test_crop_batches_are_passed_over_again(folder):
  batches = pipeline.crop_batches(
    folder, batch_size=4, crop_size=8, test_scale=9
  )
  next(iter(batches))  # A pass that ends early changes nothing.
  first, second = list(batches), list(batches)
  assert len(first) > 1
  for one, other in zip(first, second, strict=True):
    tiny.assert_identical(one, other)


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


def test_rescaled_images_of_boxes(tmp_path):
  """Of the first box, that is the largest, and of no pixel beside it."""
  plain = write_folder(tmp_path, 6)
  rows = ["file,xmin,ymin,xmax,ymax"]
  for i in range(6):
    # The last pixels included.
    rows += [f"{i:03},1,1,2,2", f"{i:03},{i},2,{i + 6},8"]
  (tmp_path / "boxes.csv").write_text("\n".join(rows))
  source = open_source(f"folder:{tmp_path}", "train", with_boxes=True)
  options = {"test_scales": [8, 14], "of_boxes": True}
  found = list(pipeline.rescaled_images(source, **options))
  assert [name for _, name, _, _ in found] == plain.ids()
  assert [label for _, _, label, _ in found] == plain.labels().tolist()
  for i, name, _, versions in found:
    image = images.decode((tmp_path / name).read_bytes())
    part = image[2:9, i : i + 7]
    for scale, version in zip((8, 14), versions, strict=True):
      expected = images.rescale(part, scale)
      assert version.shape == expected.shape
      assert np.abs(version.astype(int) - expected).max() <= 1
      # A row more or less is told by its size or its pixels.
      for slip in (image[2:8, i : i + 7], image[1:9, i : i + 7]):
        other = images.rescale(slip, scale)
        assert (
          other.shape != version.shape
          or np.abs(version.astype(int) - other).max() > 8
        )
  wanted = np.isin(np.arange(6), (1, 4))
  some = list(pipeline.rescaled_images(source, wanted=wanted, **options))
  assert [index for index, *_ in some] == [1, 4]
  for ours, i in zip(some, (1, 4), strict=True):
    np.testing.assert_array_equal(ours[3][1], found[i][3][1])
  with pytest.raises(ValueError, match="opened without boxes"):
    pipeline.rescaled_images(plain, **options)


@pytest.mark.parametrize(
  ("box", "rows", "columns"),
  [
    ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 12)),
    # 4 to 8 columns, which float32 misses by a little; 2.6 to 8.4 rows.
    ((1 / 3, 0.26, 2 / 3, 0.84), (2, 9), (4, 8)),
    ((0.3, 0.7, 0.6, 0.9), (7, 9), (3, 8)),
    # Less than a pixel, at the edges of the image and within.
    ((1 - 1e-5, 1 - 1e-5, 1.0, 1.0), (9, 10), (11, 12)),
    ((0.0, 0.0, 1e-5, 1e-5), (0, 1), (0, 1)),
    ((0.5, 0.55, 0.5 + 1e-5, 0.56), (5, 6), (6, 7)),
  ],
)
def test_cut(box, rows, columns):
  image = np.arange(10 * 12 * 3, dtype=np.uint16).reshape(10, 12, 3)
  found = cut(image, np.array(box, np.float32))
  np.testing.assert_array_equal(found, image[slice(*rows), slice(*columns)])


def test_rescaled_images_refuses(folder):
  for options in ({"test_scales": []}, {"test_scales": [0]}):
    with pytest.raises(InputError, match="must be one Q or more"):
      pipeline.rescaled_images(folder, **options)
  with pytest.raises(InputError, match="process 1 of 1"):
    pipeline.rescaled_images(folder, [8], process_index=1)
