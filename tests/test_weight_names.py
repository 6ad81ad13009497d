"""Names lead to the published files, and to what their sources say."""

import dataclasses
import hashlib
import importlib.util
import re
from pathlib import Path
from urllib.parse import urlsplit

import file_server
import numpy as np
import pytest
from file_server import DATA

from vggjax.errors import InputError
from vggjax.weights import names

DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}


@pytest.fixture
def server(monkeypatch, tmp_path):
  monkeypatch.setenv("VGGJAX_CACHE", str(tmp_path / "cache"))
  with file_server.running(monkeypatch) as server:
    yield server


@pytest.mark.parametrize("name", names.NAMED)
def test_the_table_is_well_formed(name):
  entry = names.NAMED[name]
  url = urlsplit(entry.url)
  assert url.scheme in ("http", "https")
  assert url.hostname.count(".") >= 2
  assert url.path.endswith((".caffemodel", ".mat", ".pth", ".h5"))
  algorithm, digits = entry.checksum.split(":")
  assert re.fullmatch("[0-9a-f]+", digits)
  assert len(digits) == DIGITS[algorithm] or (algorithm, len(digits)) == (
    "sha256",
    8,
  )
  # A network's number of layers is in the file's name too.
  assert re.search(r"\d+", name)[0] in url.path.rpartition("/")[2]
  assert (entry.mean is None) == (entry.std is None)


def test_no_file_is_named_twice():
  for field in ("url", "checksum"):
    values = [getattr(entry, field) for entry in names.NAMED.values()]
    assert len(set(values)) == len(values)


def test_torchvision_puts_the_digits_in_the_name():
  found = [n for n in names.NAMED if n.startswith("torchvision:")]
  assert len(found) == 5
  for name in found:
    entry = names.NAMED[name]
    digits = re.search(r"-([0-9a-f]{8})\.pth$", entry.url)[1]
    assert entry.checksum.startswith(f"sha256:{digits}")


def test_keras_says_the_same():
  spec = importlib.util.find_spec("keras")
  if spec is None:
    pytest.skip("keras is not installed")
  found = [n for n in names.NAMED if n.startswith("keras:")]
  assert len(found) == 4
  for name in found:
    net, _, top = name.removeprefix("keras:").partition("-")
    source = Path(spec.origin).parent / "src" / "applications" / f"{net}.py"
    text = re.sub(r'"\s*"', "", source.read_text())
    branch = text[text.index("if include_top:\n            weights_path") :]
    digits = re.findall(r'file_hash="(\w+)"', branch)
    assert names.NAMED[name].checksum == f"md5:{digits[top == 'notop']}"
    constant = "WEIGHTS_PATH_NO_TOP" if top else "WEIGHTS_PATH"
    url = re.search(rf'^{constant} = \(\s*"(.*)"', text, re.MULTILINE)[1]
    assert names.NAMED[name].url == url


def test_the_features_alone_have_their_own_preprocessing():
  """Of Caffe's nets, whose mean was rounded; pixels are not scaled."""
  entry = names.NAMED["torchvision:vgg16-features"]
  np.testing.assert_allclose(entry.mean, [123, 117, 104], atol=2e-3)
  assert entry.std == (1, 1, 1)
  assert entry.features_only
  others = [e for e in names.NAMED.values() if e is not entry]
  assert not any(e.features_only or e.mean for e in others)


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("oxford:vgg16", True),
    ("oxford:vgg99", True),
    ("torchvision:vgg16-features", True),
    ("hf:timm/vgg16.tv_in1k", True),
    ("hf:", True),
    ("https://server/net.pth", True),
    ("HTTP://server/net.pth", True),
    ("vgg16", False),
    ("net.pth", False),
    ("", False),
    ("C:\\nets\\vgg16.pth", False),
    ("c:/nets/vgg16.pth", False),
    ("D:vgg16.pth", False),
    ("./oxford:vgg16", False),
    ("/nets/oxford:vgg16", False),
    ("file:///net.pth", False),
    ("other:vgg16", False),
    ("oxford", False),
    ("oxford:\0", True),
  ],
)
def test_is_name(text, expected):
  assert names.is_name(text) is expected


def test_an_existing_file_is_no_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert names.is_name("oxford:vgg16")
  Path("oxford:vgg16").write_text("")
  assert not names.is_name("oxford:vgg16")


@pytest.mark.parametrize("name", names.NAMED)
def test_resolve(server, monkeypatch, tmp_path, name):
  entry = names.NAMED[name]
  url = server.add(urlsplit(entry.url).path, DATA)
  checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()[:8]}"
  local = dataclasses.replace(entry, url=url, checksum=checksum)
  monkeypatch.setitem(names.NAMED, name, local)
  found = names.resolve(name, progress=False)
  assert found.path.read_bytes() == DATA
  assert found.path.parent == tmp_path / "cache" / "weights"
  assert found.path.suffix == Path(urlsplit(url).path).suffix
  assert found.card == {"url": url}
  is_features = name == "torchvision:vgg16-features"
  assert found.features_only == is_features
  assert found.imagenet_order == (not is_features and "notop" not in name)
  assert (found.mean is not None) == is_features
  assert (found.std is not None) == is_features
  assert names.resolve(name, progress=False) == found
  assert len(server.requests) == 1


def test_a_name_with_another_file(server, monkeypatch):
  entry = dataclasses.replace(
    names.NAMED["oxford:vgg16"], url=server.add("/net", DATA)
  )
  monkeypatch.setitem(names.NAMED, "oxford:vgg16", entry)
  with pytest.raises(InputError) as caught:
    names.resolve("oxford:vgg16", progress=False)
  assert hashlib.sha1(DATA).hexdigest() in str(caught.value)
  assert entry.checksum.removeprefix("sha1:") in str(caught.value)


def test_a_url(server):
  url = server.add("/net.pth", DATA)
  found = names.resolve(url.replace("http:", "HTTP:"), progress=False)
  assert found.path.read_bytes() == DATA
  assert found == names.resolve(url, progress=False)
  assert (found.mean, found.std) == (None, None)
  assert not found.features_only
  assert not found.imagenet_order
  assert found.class_names == ()
  assert found.card == {"url": url}


def test_the_cache_of_the_home_folder(server, monkeypatch, tmp_path):
  monkeypatch.delenv("VGGJAX_CACHE")
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  found = names.resolve(server.add("/net.pth", DATA), progress=False)
  assert found.path.parent == tmp_path / "home/.cache/vggjax/weights"


def test_the_bar_is_shown_if_asked_for(server, capfd):
  names.resolve(server.add("/a.pth", DATA), progress=False)
  assert capfd.readouterr().err == ""
  names.resolve(server.add("/b.pth", DATA))
  assert "100%" in capfd.readouterr().err


@pytest.mark.parametrize(
  ("name", "close"),
  [
    ("oxford:vgg-19", "oxford:vgg19"),
    ("Torchvision:VGG19", "torchvision:vgg19"),
    ("keras:vgg16-no-top", "keras:vgg16-notop"),
    ("qqqq", ""),
    ("", ""),
  ],
)
def test_unknown_names(name, close):
  with pytest.raises(InputError) as caught:
    names.resolve(name)
  message = str(caught.value)
  assert "\n" not in message
  assert repr(name) in message
  assert ("did you mean" in message) == bool(close)
  assert f"did you mean {close}? " in message or not close
  listed = message[message.index("known are") :]
  for known in (*names.NAMED, "hf:OWNER/NAME", "https://"):
    assert known in listed
