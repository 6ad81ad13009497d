"""ImageNet's classes, checked with what is known of them from elsewhere."""

from vggjax import imagenet


def test_labels():
  synsets = imagenet.synsets()
  assert len(set(synsets)) == 1000
  # Labels that everyone knows.
  for label, words in {
    0: "tench, Tinca tinca",
    1: "goldfish, Carassius auratus",
    207: "golden retriever",
    281: "tabby, tabby cat",
    463: "bucket, pail",
    999: "toilet tissue, toilet paper, bathroom tissue",
  }.items():
    assert imagenet.readable(synsets[label]) == words
  assert imagenet.readable("shirt") == "shirt"


def test_numbers_of_the_development_kit():
  ids = imagenet.ilsvrc_ids()
  assert sorted(ids.values()) == list(range(1, 1001))
  assert ids["n02119789"] == 1
  assert imagenet.readable("n02119789") == "kit fox, Vulpes macrotis"


def test_with_and_without_words():
  names = [f"{s} {imagenet.readable(s)}" for s in imagenet.synsets()]
  assert imagenet.are_imagenet(names)
  assert imagenet.are_imagenet(imagenet.synsets()[::-1])
  assert not imagenet.are_imagenet(["n01440764"] * 1000)
  assert not imagenet.are_imagenet(["", "cat"])


def test_the_labels_of_real_images(imagenet_images):
  listed = (imagenet_images / "synsets.txt").read_text().split()
  assert imagenet.synsets() == tuple(listed)
