"""The bounding boxes of tfds data sets: both ways of reading, and shapes."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from boxed_pictures import NUM_CLASSES, encoded_scene, scene, true_boxes
from pictures import picture
from source_records import own_cache as own_cache
from source_records import records_of

from vggjax.data import pipeline
from vggjax.data.datasets import Shapes, ShapesConfig
from vggjax.data.sources import open_source
from vggjax.errors import InputError

NUM_SCENES = 16
KEPT = [i for i in range(NUM_SCENES) if i % 4 != 3]


def features(**others):
  label = tfds.features.ClassLabel(num_classes=NUM_CLASSES)
  return tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(shape=(None, None, 3)),
      "label": label,
      **others,
    }
  )


def objects_feature(num_classes=NUM_CLASSES, bbox_format="REL_YXYX"):
  bbox_format = tfds.features.bounding_boxes_utils.BBoxFormat[bbox_format]
  return tfds.features.Sequence(
    {
      "label": tfds.features.ClassLabel(num_classes=num_classes),
      "bbox": tfds.features.BBoxFeature(bbox_format=bbox_format),
      "extra": np.bool_,
    }
  )


class BoxedPictures(tfds.core.GeneratorBasedBuilder):
  """The scenes; in `none` without the objects of their class."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=features(
        objects=objects_feature(), file_name=tfds.features.Text()
      ),
    )

  def _split_generators(self, dl_manager):
    return {name: self._generate_examples(name) for name in ("train", "none")}

  def _generate_examples(self, split):
    for i in range(NUM_SCENES):
      image, label, objects = scene(i)
      height, width = image.shape[:2]
      path = self.data_path.parent / f"{i}"
      path.write_bytes(encoded_scene(i))
      yield (
        i,
        {
          "image": path,
          "label": label,
          "file_name": f"{i}.png",
          "objects": [
            {
              "label": name,
              "bbox": tfds.features.BBox(
                ymin=ymin / height,
                xmin=xmin / width,
                ymax=(ymax + 1) / height,
                xmax=(xmax + 1) / width,
              ),
              "extra": True,
            }
            for name, (xmin, ymin, xmax, ymax) in objects
            if split == "train" or name != label
          ],
        },
      )


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def data_dir(request, tmp_path_factory):
  path = tmp_path_factory.mktemp(request.param)
  tfds.builder(
    "boxed_pictures", data_dir=path, file_format=request.param
  ).download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=3)
  )
  return path


def open_boxed(data_dir, split="train", **options):
  return open_source(
    "boxed_pictures", split, data_dir=data_dir, with_boxes=True, **options
  )


def test_records_have_the_boxes_of_their_class(data_dir, tmp_path):
  source = open_boxed(data_dir)
  plain = open_source("boxed_pictures", "train", data_dir=data_dir)
  assert (source.num_examples, source.without_boxes) == (12, 4)
  assert (plain.num_examples, plain.without_boxes) == (16, 0)
  numbers = [int(name.split(".")[0]) for name in source.ids()]
  assert sorted(numbers) == KEPT
  records = records_of(source)
  assert [int(record["index"]) for record in records] == list(range(12))
  for number, record, boxes in zip(
    numbers, records, source.true_boxes(), strict=True
  ):
    assert record["label"] == scene(number)[1]
    assert record["bytes"] == encoded_scene(number)
    assert (boxes.dtype, boxes.shape[1]) == (np.float32, 4)
    np.testing.assert_array_equal(record["boxes"], boxes)
    np.testing.assert_allclose(boxes, true_boxes(number), atol=1e-6)
  assert "boxes" not in records_of(plain)[0]
  assert source.fingerprint != plain.fingerprint
  # What was counted is kept.
  assert len(list((tmp_path / "cache/without_boxes").iterdir())) == 1
  again = open_boxed(data_dir)
  assert (again.ids(), again.without_boxes) == (source.ids(), 4)


def test_slices_and_skipping(data_dir):
  source = open_boxed(data_dir)
  halves = [open_boxed(data_dir, f"train[{s}]") for s in (":50%", "50%:")]
  assert sum(half.num_examples for half in halves) == 12
  assert [name for half in halves for name in half.ids()] == source.ids()
  left = source.without([0, 5])
  assert left.num_examples == 10
  assert left.skipped == (source.ids()[0], source.ids()[5])
  expected = [i for i in range(12) if i not in (0, 5)]
  assert left.ids() == [source.ids()[i] for i in expected]
  for ours, i in zip(left.true_boxes(), expected, strict=True):
    np.testing.assert_array_equal(ours, source.true_boxes()[i])
  whole = open_boxed(data_dir, on_error="skip")
  assert (whole.num_examples, whole.skipped) == (12, ())


def test_batches(data_dir):
  source = open_boxed(data_dir)
  options = {"batch_size": 4, "crop_size": 16}
  batches = list(
    pipeline.train_batches(
      source, train_scale=(20, 30), seed=1, num_steps=6, **options
    )
  )
  keys = ["box", "box_weight", "image", "label", "shift"]
  assert [sorted(batch) for batch in batches] == 6 * [keys]
  for epoch in (batches[:3], batches[3:]):
    labels = np.concatenate([batch["label"] for batch in epoch])
    assert sorted(labels) == sorted(scene(i)[1] for i in KEPT)
  batches = list(pipeline.crop_batches(source, test_scale=20, **options))
  assert [batch["mask"].sum() for batch in batches] == [4, 4, 4]
  found = list(pipeline.rescaled_images(source, [16]))
  assert [name for _, name, *_ in found] == source.ids()


def test_a_set_without_boxes_of_its_classes_is_refused(data_dir):
  message = "boxed_pictures: no image of none has a box of its class"
  with pytest.raises(InputError, match=message):
    open_boxed(data_dir, "none")


class _Bad(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version("1.0.0")
  OTHERS = {}  # noqa: RUF012

  def _info(self):
    found = features(**self.OTHERS)
    return tfds.core.DatasetInfo(builder=self, features=found)

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    example = {"image": picture(6, 8), "label": 1}
    for name in self.OTHERS:
      example[name] = []
    yield 0, example


class BoxesMissing(_Bad):
  """No objects."""


class BoxesOfOtherClasses(_Bad):
  """Another number of classes."""

  OTHERS = {"objects": objects_feature(num_classes=4)}  # noqa: RUF012


class BoxesInPixels(_Bad):
  """Another format."""

  OTHERS = {"objects": objects_feature(bbox_format="XYXY")}  # noqa: RUF012


class BoxesOfLabels(_Bad):
  """Objects that are but labels."""

  OTHERS = {  # noqa: RUF012
    "objects": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=3))
  }


@pytest.mark.parametrize(
  ("name", "found"),
  [
    ("boxes_missing", "image, label$"),
    ("boxes_of_other_classes", "image, label, objects$"),
    ("boxes_in_pixels", "image, label, objects$"),
    ("boxes_of_labels", "image, label, objects$"),
  ],
)
def test_features_that_are_no_boxes(tmp_path, name, found):
  with pytest.raises(InputError, match=f"{name}: has no boxes.*{found}") as e:
    open_source(name, "train", data_dir=tmp_path, with_boxes=True)
  assert "\n" not in str(e.value)
  assert open_source(name, "train", data_dir=tmp_path).num_examples == 1


class BoxesEmpty(_Bad):
  """A box of no width."""

  OTHERS = {"objects": objects_feature()}  # noqa: RUF012

  def _generate_examples(self):
    bbox = tfds.features.BBox(ymin=0.25, xmin=0.5, ymax=1.0, xmax=0.5)
    yield (
      0,
      {
        "image": picture(6, 8),
        "label": 1,
        "objects": [{"bbox": bbox, "label": 1, "extra": False}],
      },
    )


def test_an_empty_box_is_named(tmp_path):
  with pytest.raises(InputError) as error:
    open_source("boxes_empty", "train", data_dir=tmp_path, with_boxes=True)
  message = str(error.value)
  assert "\n" not in message
  assert "edges [0.5, 0.25, 0.5, 1.0]" in message


@pytest.fixture(scope="module")
def shapes_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("shapes")
  config = ShapesConfig(
    name="few", num_train=30, num_validation=3, num_test=3, num_workers=0
  )
  Shapes(
    config=config, data_dir=path, file_format="array_record"
  ).download_and_prepare()
  return path


def test_the_first_box_of_shapes_is_the_largest_object(shapes_dir):
  spec = "shapes/few"
  source = open_source(spec, "train", data_dir=shapes_dir, with_boxes=True)
  assert (source.num_examples, source.without_boxes) == (30, 0)
  builder = tfds.builder(spec, data_dir=shapes_dir)
  several = 0
  for example, boxes, record in zip(
    builder.as_data_source("train"),
    source.true_boxes(),
    source.stream(),
    strict=True,
  ):
    assert record["label"] == example["label"]
    objects = example["objects"]
    (first,) = np.flatnonzero(objects["is_largest"])
    ymin, xmin, ymax, xmax = objects["bbox"][first]
    np.testing.assert_array_equal(boxes[0], [xmin, ymin, xmax, ymax])
    same = np.asarray(objects["label"]) == example["label"]
    assert len(boxes) == same.sum()
    several += len(boxes) > 1
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    assert (np.diff(areas) <= 0).all()
  assert several
  read = source.read(tf.constant(4, tf.int64))
  np.testing.assert_array_equal(read["boxes"], source.true_boxes()[4])
