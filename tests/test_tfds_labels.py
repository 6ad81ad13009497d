"""tfds data sets whose images have several labels, in both ways of reading."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pictures import encode, picture
from source_records import own_cache as own_cache
from source_records import records_of
from voc_devkit import OBJECTS, TARGETS, targets_of, write_devkit

from vggjax import images
from vggjax.data import pipeline
from vggjax.data.sources import open_source
from vggjax.errors import InputError

FORMATS = ["tfrecord", "array_record"]


def prepare(name, data_dir, file_format):
  builder = tfds.builder(name, data_dir=data_dir, file_format=file_format)
  config = tfds.download.DownloadConfig(num_shards=2)
  builder.download_and_prepare(download_config=config)


def open_labels(name, split, data_dir, **options):
  return open_source(
    name, split, data_dir=data_dir, multi_label=True, **options
  )


@pytest.fixture(scope="module", params=FORMATS)
def voc_dir(request, tmp_path_factory):
  """tfds' own builders, of small archives; VOC2012's test has no XML."""
  archive = tmp_path_factory.mktemp("archive")
  write_devkit(archive / "VOCdevkit/VOC2007")
  write_devkit(archive / "VOCdevkit/VOC2012", annotated=("train", "val"))
  data_dir = tmp_path_factory.mktemp(request.param)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      tfds.download.DownloadManager,
      "download_and_extract",
      lambda self, urls: dict.fromkeys(urls, str(archive)),
    )
    for year in ("2007", "2012"):
      prepare(f"voc/{year}", data_dir, request.param)
  return data_dir, archive / "VOCdevkit", request.param == "array_record"


@pytest.mark.parametrize("split", TARGETS)
def test_voc(voc_dir, split):
  data_dir, devkit, random_access = voc_dir
  source = open_labels("voc/2007", split, data_dir)
  assert (source.multi_label, source.random_access) == (True, random_access)
  assert len(source.class_names) == 20
  stems = list(OBJECTS["val" if split == "validation" else split])
  expected = targets_of(split, source.class_names)
  # tfds has its own order.
  order = [stems.index(name.removesuffix(".jpg")) for name in source.ids()]
  assert sorted(order) == list(range(len(stems)))
  assert source.targets().dtype == np.int8
  np.testing.assert_array_equal(source.targets(), expected[order])
  assert (source.labels() == -1).all()
  for record, i in zip(records_of(source), order, strict=True):
    np.testing.assert_array_equal(record["targets"], expected[i])
    path = devkit / f"VOC2007/JPEGImages/{stems[i]}.jpg"
    assert record["bytes"] == path.read_bytes()
  # The folder itself, in the data set's order of the classes.
  names = devkit / "VOC2007/names.txt"
  names.write_text("\n".join(source.class_names))
  folder = open_source(
    f"folder:{devkit}/VOC2007", split, multi_label=True, class_list="names.txt"
  )
  np.testing.assert_array_equal(folder.targets()[order], source.targets())


def test_a_split_without_annotations_is_unknown(voc_dir):
  data_dir, _, _ = voc_dir
  assert open_labels("voc/2012", "train", data_dir).targets().any()
  source = open_labels("voc/2012", "test", data_dir)
  np.testing.assert_array_equal(source.targets(), np.zeros((3, 20)))


def test_slices_and_fingerprints(voc_dir):
  data_dir, _, _ = voc_dir
  whole = open_labels("voc/2007", "train", data_dir)
  parts = [
    open_labels("voc/2007", f"train[{part}]", data_dir)
    for part in (":50%", "50%:")
  ]
  joined = np.concatenate([part.targets() for part in parts])
  np.testing.assert_array_equal(joined, whole.targets())
  others = [open_labels("voc/2012", "train", data_dir), whole, *parts]
  assert len({source.fingerprint for source in others}) == 4


LABELS = ("read", "ride", "run")
# Image, box (xmin, ymin, xmax, ymax, pixels), labels; the image is 12 x 15.
PEOPLE = [
  ("a", (2, 3, 9, 11), [1]),
  ("a", (0, 0, 4, 4), [0, 2]),
  ("b", (5, 1, 15, 12), [2]),
  ("c", (7, 6, 8, 7), [0, 1, 2]),
  ("d", (1, 2, 14, 3), [1]),
]
PEOPLE_TARGETS = [(-1, 1, -1), (1, -1, 1), (-1, -1, 1), (1, 1, 1), (-1, 1, -1)]


class TaggedPeople(tfds.core.GeneratorBasedBuilder):
  """A person an example; `test` has no labels; `label` is there for once."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    label = tfds.features.ClassLabel(names=LABELS)
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(None, None, 3)),
          "file_name": tfds.features.Text(),
          "label": label,
          "labels": tfds.features.Sequence(label),
          "bbox": tfds.features.BBoxFeature(),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    names = ("train", "test", "broken")
    return {name: self._generate_examples(name) for name in names}

  def _generate_examples(self, split):
    for i, (name, (xmin, ymin, xmax, ymax), labels) in enumerate(PEOPLE):
      encoded = encoded_person(name)
      cut = split == "broken" and i in (1, 3)
      yield (
        i,
        {
          "image": io.BytesIO(encoded[:40] if cut else encoded),
          "file_name": f"{i}_{name}.png",
          "label": labels[0],
          "labels": [] if split == "test" else labels,
          "bbox": tfds.features.BBox(
            ymin / 12, xmin / 15, ymax / 12, xmax / 15
          ),
        },
      )


def encoded_person(name):
  return encode(picture(12, 15, ord(name)))


@pytest.fixture(scope="module", params=FORMATS)
def people_dir(request, tmp_path_factory):
  path = tmp_path_factory.mktemp(request.param)
  prepare("tagged_people", path, request.param)
  return path


def numbers(source):
  return [int(name.split("_")[0]) for name in source.ids()]


def test_labels_alone(people_dir):
  source = open_labels("tagged_people", "train", people_dir)
  assert source.class_names == LABELS
  rows = np.array(PEOPLE_TARGETS)
  assert sorted(numbers(source)) == [0, 1, 2, 3, 4]
  np.testing.assert_array_equal(source.targets(), rows[numbers(source)])
  unknown = open_labels("tagged_people", "test", people_dir)
  np.testing.assert_array_equal(unknown.targets(), np.zeros((5, 3)))
  # The same data set with one label an image.
  plain = open_source("tagged_people", "train", data_dir=people_dir)
  assert plain.fingerprint != source.fingerprint
  assert plain.labels().tolist() == [PEOPLE[i][2][0] for i in numbers(plain)]
  assert "targets" not in records_of(plain)[0]
  with pytest.raises(ValueError, match="not opened as multi-label"):
    plain.targets()


def test_targets_stay_with_their_examples(people_dir):
  rows = np.array(PEOPLE_TARGETS)
  source = open_labels("tagged_people", "train", people_dir)
  left = source.without([1, 2])
  assert left.ids() == [source.ids()[i] for i in (0, 3, 4)]
  np.testing.assert_array_equal(left.targets(), rows[numbers(left)])
  left = open_labels("tagged_people", "broken", people_dir, on_error="skip")
  assert sorted(left.skipped) == ["1_a.png", "3_c.png"]
  assert sorted(numbers(left)) == [0, 2, 4]
  np.testing.assert_array_equal(left.targets(), rows[numbers(left)])
  for record, i in zip(records_of(left), numbers(left), strict=True):
    np.testing.assert_array_equal(record["targets"], rows[i])


def test_boxes_of_the_examples(people_dir):
  source = open_labels("tagged_people", "train", people_dir, with_boxes=True)
  plain = open_labels("tagged_people", "train", people_dir)
  assert source.fingerprint != plain.fingerprint
  assert (source.num_examples, source.without_boxes) == (5, 0)
  rows = np.array(PEOPLE_TARGETS)
  np.testing.assert_array_equal(source.targets(), rows[numbers(source)])
  for i, boxes, record in zip(
    numbers(source), source.true_boxes(), records_of(source), strict=True
  ):
    assert boxes.shape == (1, 4)
    edges = np.divide(PEOPLE[i][1], (15, 12, 15, 12))
    np.testing.assert_allclose(boxes[0], edges, atol=1e-6)
    np.testing.assert_array_equal(record["boxes"], boxes)


def test_images_cut_to_the_boxes(people_dir):
  source = open_labels("tagged_people", "train", people_dir, with_boxes=True)
  found = list(pipeline.rescaled_images(source, [9, 20], of_boxes=True))
  whole = pipeline.rescaled_images(source, [9, 20])
  for i, (_, _, label, versions), (*_, others) in zip(
    numbers(source), found, whole, strict=True
  ):
    name, (xmin, ymin, xmax, ymax), _ = PEOPLE[i]
    image = images.decode(encoded_person(name))
    assert label == -1
    for scale, version, other in zip((9, 20), versions, others, strict=True):
      expected = images.rescale(image[ymin:ymax, xmin:xmax], scale)
      assert version.shape == expected.shape
      assert np.abs(version.astype(int) - expected).max() <= 1
      assert np.abs(other.astype(int) - images.rescale(image, scale)).max() <= 1
  with pytest.raises(ValueError, match="opened without boxes"):
    pipeline.rescaled_images(
      open_labels("tagged_people", "train", people_dir), [9], of_boxes=True
    )


class _Objects(tfds.core.GeneratorBasedBuilder):
  """The objects of the devkit's training images."""

  VERSION = tfds.core.Version("1.0.0")
  OTHERS = {}  # noqa: RUF012

  def _info(self):
    label = tfds.features.ClassLabel(
      names=["person", "bicycle", "car", "horse"]
    )
    objects = tfds.features.Sequence({"label": label, **self.OTHERS})
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {"image": tfds.features.Image(), "objects": objects}
      ),
    )

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for name, objects in OBJECTS["train"].items():
      rows = [
        {"label": label, **dict.fromkeys(self.OTHERS, bool(difficult))}
        for label, difficult in objects
      ]
      yield name, {"image": picture(6, 8, int(name)), "objects": rows}


class TaggedObjects(_Objects):
  """With labels alone."""


class DifficultObjects(_Objects):
  """With the difficult ones marked."""

  OTHERS = {"is_difficult": np.bool_}  # noqa: RUF012


@pytest.mark.parametrize("file_format", FORMATS)
def test_objects(tmp_path, file_format):
  # Of person, bicycle, car and horse; an image is told by its pixels.
  by_image = {
    "000012": ((-1, -1, 1, 1), (-1, -1, 1, 0)),
    "000017": ((1, -1, -1, 1), (0, -1, -1, 1)),
    "000023": ((-1, 1, -1, -1), (-1, 0, -1, -1)),
    "000026": ((1, -1, -1, -1), (1, -1, -1, -1)),
  }
  for number, name in enumerate(("tagged_objects", "difficult_objects")):
    prepare(name, tmp_path, file_format)
    source = open_labels(name, "train", tmp_path)
    assert source.class_names == ("person", "bicycle", "car", "horse")
    found = {}
    for record, row in zip(records_of(source), source.targets(), strict=True):
      np.testing.assert_array_equal(record["targets"], row)
      pixels = images.decode(record["bytes"])
      (stem,) = (
        stem
        for stem in by_image
        if np.array_equal(pixels, picture(6, 8, int(stem)))
      )
      found[stem] = tuple(row)
    assert found == {stem: rows[number] for stem, rows in by_image.items()}


class OneLabel(_Objects):
  """Neither labels nor objects."""

  def _info(self):
    label = tfds.features.ClassLabel(num_classes=3)
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {"image": tfds.features.Image(), "label": label}
      ),
    )

  def _split_generators(self, dl_manager):
    raise AssertionError("it is refused before it is prepared")


def test_refused(people_dir, tmp_path):
  message = "one_label: must have the features image and labels.*image, label$"
  with pytest.raises(InputError, match=message):
    open_labels("one_label", "train", tmp_path)
  # Their boxes are of objects.
  message = "tagged_objects: has no box an example: .* it has image, objects$"
  with pytest.raises(InputError, match=message) as error:
    open_labels("tagged_objects", "train", tmp_path, with_boxes=True)
  assert "\n" not in str(error.value)
  with pytest.raises(InputError, match="must have the features image and la"):
    open_source("tagged_objects", "train", data_dir=tmp_path)
  with pytest.raises(InputError, match="class_list and boxes need a folder"):
    open_labels("tagged_people", "train", people_dir, class_list="names.txt")
