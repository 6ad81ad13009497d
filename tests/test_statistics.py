"""vggjax.data.statistics against a two-pass computation in numpy."""

import json
import os

import numpy as np
import pytest
from pictures import encode, picture

from vggjax.data import cache
from vggjax.data.sources import open_source
from vggjax.data.statistics import IMAGENET, Statistics, compute_statistics
from vggjax.errors import InputError

SIZES = ((5, 9), (30, 7), (1, 1), (12, 40))


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "data/train/a").mkdir(parents=True)
  for i, (height, width) in enumerate(SIZES):
    path = tmp_path / f"data/train/a/{i}.png"
    path.write_bytes(encode(picture(height, width, i)))
  return tmp_path / "data"


def test_statistics_are_those_of_all_pixels(folder, tmp_path):
  source = open_source(f"folder:{folder}", "train")
  found = compute_statistics(source, tmp_path / "cache")
  pixels = np.concatenate(
    [picture(*size, i).reshape(-1, 3) for i, size in enumerate(SIZES)]
  )
  assert (found.num_images, found.num_pixels) == (4, len(pixels))
  np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
  covariance = np.cov(pixels.T / 255.0, bias=True)
  vectors = np.array(found.eigenvectors)
  values = np.array(found.eigenvalues)
  assert (np.diff(values) <= 0).all()
  np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
  np.testing.assert_allclose(covariance @ vectors, vectors * values, atol=1e-12)


def test_the_cache_is_used_and_follows_the_images(folder, tmp_path, capsys):
  source = open_source(f"folder:{folder}", "train")
  first = compute_statistics(source, tmp_path / "cache", progress=True)
  assert "4/4" in capsys.readouterr().err
  (path,) = (tmp_path / "cache" / "statistics").iterdir()
  content = json.loads(path.read_text())
  assert Statistics.from_json(content) == first
  content["num_images"] = 77
  path.write_text(json.dumps(content))
  assert compute_statistics(source, tmp_path / "cache").num_images == 77
  (folder / "train/a/4.png").write_bytes(encode(picture(8, 8)))
  grown = open_source(f"folder:{folder}", "train")
  assert compute_statistics(grown, tmp_path / "cache").num_images == 5


def test_the_default_cache_is_named_by_the_environment(
  folder, tmp_path, monkeypatch
):
  monkeypatch.setenv("VGGJAX_CACHE", str(tmp_path / "mine"))
  compute_statistics(open_source(f"folder:{folder}", "train"))
  assert len(list((tmp_path / "mine" / "statistics").iterdir())) == 1
  monkeypatch.delenv("VGGJAX_CACHE")
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  path = cache.cache_path("statistics", "abc")
  assert path == tmp_path / "home/.cache/vggjax/statistics/abc.json"


def test_killed_in_the_middle_it_leaves_nothing(folder, tmp_path, monkeypatch):
  def killed(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, "replace", killed)
  source = open_source(f"folder:{folder}", "train")
  with pytest.raises(KeyboardInterrupt):
    compute_statistics(source, tmp_path / "cache")
  assert list((tmp_path / "cache" / "statistics").iterdir()) == []


def test_a_broken_image_is_named(folder, tmp_path):
  (folder / "train/a/2.png").write_bytes(b"\x89PNG no")
  source = open_source(f"folder:{folder}", "train")
  with pytest.raises(InputError, match=r"cannot decode train/a/2\.png"):
    compute_statistics(source, tmp_path / "cache")
  assert not (tmp_path / "cache").exists()


def test_imagenet_needs_no_pass(tmp_path):
  folder = tmp_path / "ILSVRC/Data/CLS-LOC/train/n01"
  folder.mkdir(parents=True)
  (folder / "n01_1.JPEG").write_bytes(b"never decoded")
  source = open_source(f"folder:{tmp_path}", "train")
  assert compute_statistics(source) is IMAGENET
  vectors = np.array(IMAGENET.eigenvectors)
  np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)


def test_json_round_trip():
  again = Statistics.from_json(json.loads(json.dumps(IMAGENET.to_json())))
  assert again == IMAGENET


@pytest.mark.parametrize(
  "content",
  [{}, [], {**IMAGENET.to_json(), "mean": [1, 2]}, {"mean": "abc"}],
)
def test_from_json_refuses_other_content(content):
  with pytest.raises(InputError, match="not the statistics"):
    Statistics.from_json(content)


def test_color_shift_takes_the_eigenvectors():
  color = IMAGENET.color_shift(std=0.2, scaling="sqrt")
  assert color.eigenvalues == IMAGENET.eigenvalues
  expected = 51 * np.array(IMAGENET.eigenvectors)[:, 0] * 0.2175**0.5
  np.testing.assert_allclose(color.matrix()[:, 0], expected, rtol=1e-6)
