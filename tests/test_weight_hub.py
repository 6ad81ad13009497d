"""The Hub's files: from a cache laid out by hand, and from a server."""

import hashlib
import json
import sys

import file_server
import pytest
from file_server import DATA
from huggingface_hub import constants, utils

from vggjax.errors import InputError
from vggjax.weights import hub, names

REPOSITORY = "timm/vgg16.tv_in1k"
NAME = f"hf:{REPOSITORY}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "89abcdef0123456789abcdef0123456789abcdef"
# As timm writes it.
CONFIG = {
  "architecture": "vgg16",
  "num_classes": 1000,
  "num_features": 512,
  "pretrained_cfg": {
    "tag": "tv_in1k",
    "input_size": [3, 224, 224],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
  },
}
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class Cache:
  """A repository in the Hub's cache: refs, snapshots of links, and blobs."""

  def __init__(self, root, repository=REPOSITORY):
    self.root = root / f"models--{repository.replace('/', '--')}"

  def add(self, name, content, commit=COMMIT, ref="main"):
    data = (
      content if isinstance(content, bytes) else json.dumps(content).encode()
    )
    blob = self.root / "blobs" / hashlib.sha256(data).hexdigest()
    link = self.root / "snapshots" / commit / name
    for path in (blob, link, self.root / "refs" / ref):
      path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link.symlink_to(f"../../blobs/{blob.name}")
    (self.root / "refs" / ref).write_text(commit)

  def add_none(self, name, commit=COMMIT):
    """Notes that the repository lacks a file."""
    path = self.root / ".no_exist" / commit / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """An empty cache, and no network."""
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  return Cache(tmp_path / "hub")


def fails(name, *words):
  with pytest.raises(InputError) as caught:
    names.resolve(name, progress=False)
  message = str(caught.value)
  assert "\n" not in message
  for word in (NAME, *words):
    assert word in message, message


def test_a_config_gives_the_preprocessing(cache):
  cache.add("config.json", CONFIG)
  cache.add("model.safetensors", DATA)
  found = names.resolve(NAME)
  assert found.path.read_bytes() == DATA
  assert found.path.name == "model.safetensors"
  assert found.mean == pytest.approx(MEAN)
  assert found.std == pytest.approx(STD)
  assert found.imagenet_order
  assert found.class_names == ()
  assert not found.features_only
  url = f"https://huggingface.co/{REPOSITORY}"
  assert found.card == {"url": url, "revision": COMMIT}


def test_a_config_of_other_layouts(cache):
  labels = ["cat", "dog"]
  mean, std = [0, 0.5, 1], [0.5, 0.25, 1]
  cache.add("config.json", {"mean": mean, "std": std, "label_names": labels})
  cache.add("model.safetensors", DATA)
  found = names.resolve(NAME)
  assert found.mean == (0, 127.5, 255)
  assert found.std == (127.5, 63.75, 255)
  assert found.class_names == ("cat", "dog")
  assert not found.imagenet_order


def test_a_config_that_does_not_say(cache):
  cache.add("config.json", {"architecture": "vgg16"})
  cache.add("model.safetensors", DATA)
  found = names.resolve(NAME)
  assert (found.mean, found.std, found.class_names) == (None, None, ())


def test_no_config(cache):
  cache.add("model.safetensors", DATA)
  # It may say something, and nobody knows what.
  fails(NAME, "config.json is not in the cache", "by its path")
  cache.add_none("config.json")
  found = names.resolve(NAME)
  assert found.path.read_bytes() == DATA
  assert (found.mean, found.std, found.class_names) == (None, None, ())
  assert found.card["revision"] == COMMIT


def test_the_older_kind_of_file(cache):
  cache.add("config.json", CONFIG)
  cache.add("pytorch_model.bin", b"older")
  assert names.resolve(NAME).path.read_bytes() == b"older"
  cache.add("model.safetensors", DATA)
  assert names.resolve(NAME).path.read_bytes() == DATA


def test_revisions(cache):
  for commit, ref, data in (
    (COMMIT, "v1", b"first"),
    (LATER, "main", b"second"),
  ):
    cache.add("config.json", CONFIG, commit, ref)
    cache.add("model.safetensors", data, commit, ref)
  for revision, commit in (
    ("", LATER),
    ("@main", LATER),
    ("@v1", COMMIT),
    (f"@{COMMIT}", COMMIT),
  ):
    found = names.resolve(NAME + revision)
    data = {COMMIT: b"first", LATER: b"second"}[commit]
    assert found.path.read_bytes() == data
    assert found.card["revision"] == commit
  fails(f"{NAME}@v2", "could not be downloaded")


def test_files_of_two_commits_are_not_mixed(cache):
  cache.add("model.safetensors", DATA)
  cache.add("config.json", CONFIG, LATER)
  fails(NAME, "model.safetensors is not in the cache")


def test_offline_with_nothing(cache):
  cache.add("config.json", CONFIG)
  fails(
    NAME,
    "model.safetensors is not in the cache",
    "HF_HUB_OFFLINE",
    f"https://huggingface.co/{REPOSITORY}",
    "by its path",
  )
  cache.add_none("model.safetensors")
  fails(NAME, "pytorch_model.bin is not in the cache")
  cache.add_none("pytorch_model.bin")
  fails(NAME, "has neither model.safetensors nor pytorch_model.bin")


@pytest.mark.parametrize(
  "config",
  [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    [],
    {"pretrained_cfg": []},
    {"mean": [0.5, 0.5]},
    {"mean": 0.5},
    {"mean": "0.5"},
    {"mean": [0.5, 0.5, "0.5"]},
    {"mean": [0.5, 0.5, True]},
    {"mean": [123.68, 116.779, 103.939]},
    {"mean": [0.5, 0.5, -0.1]},
    {"mean": [0.5, 0.5, float("nan")]},
    {"mean": [0.5, 0.5, 10**400]},
    {"std": [0.5, 0.5, 0]},
    {"label_names": "cat"},
    {"label_names": ["cat", 1]},
    {"pretrained_cfg": {"std": [1, 1, float("inf")]}},
  ],
)
def test_damaged_configs(cache, config):
  cache.add("config.json", config)
  cache.add("model.safetensors", DATA)
  fails(NAME, "config.json")


def test_a_config_too_large(cache, monkeypatch):
  monkeypatch.setattr(hub, "MOST_BYTES", 10)
  cache.add("config.json", CONFIG)
  cache.add("model.safetensors", DATA)
  fails(NAME, "more than 10 bytes")


@pytest.mark.parametrize(
  "rest",
  ["", "vgg16", "/vgg16", "timm/", "a/b/c", "timm/vgg16@", "timm/vgg 16"],
)
def test_malformed_names(cache, rest):
  with pytest.raises(InputError, match="OWNER/NAME"):
    names.resolve(f"hf:{rest}")


def test_names_the_hub_does_not_allow(cache):
  with pytest.raises(InputError, match="hf:timm/-a"):
    names.resolve("hf:timm/-a")


def test_without_huggingface_hub(cache, monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  fails(NAME, "huggingface_hub", "pip install 'vggjax[weights]'")


@pytest.fixture
def server(cache, monkeypatch):
  """A Hub on this machine, with the empty cache."""
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
  with file_server.running(monkeypatch) as server:
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    for url in ("https://huggingface.co", "https://hub-ci.huggingface.co"):
      template = template.replace(url, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server


def publish(server, name, data=b"", revision="main", **options):
  etag = f'"{hashlib.sha256(data).hexdigest()}"'
  path = f"/{REPOSITORY}/resolve/{revision}/{name}"
  extra = {"X-Repo-Commit": COMMIT, **options.pop("extra", {})}
  server.add(path, data, etag=etag, extra=extra, **options)


def refuse(server, name, status, code, revision="main"):
  extra = {"X-Error-Code": code}
  publish(server, name, status=status, extra=extra, revision=revision)


def test_from_a_server(server):
  publish(server, "config.json", json.dumps(CONFIG).encode())
  publish(server, "model.safetensors", DATA, revision=COMMIT)
  found = names.resolve(NAME, progress=False)
  assert found.path.read_bytes() == DATA
  assert found.mean == pytest.approx(MEAN)
  assert found.card == {"url": f"{server.url}/{REPOSITORY}", "revision": COMMIT}


def test_no_config_on_the_server(server):
  refuse(server, "config.json", 404, "EntryNotFound")
  refuse(server, "model.safetensors", 404, "EntryNotFound")
  publish(server, "pytorch_model.bin", DATA)
  found = names.resolve(NAME, progress=False)
  assert found.path.name == "pytorch_model.bin"
  assert found.path.read_bytes() == DATA
  assert found.mean is None


@pytest.mark.parametrize(
  ("status", "code", "words"),
  [
    (404, "RepoNotFound", ["there is no", "hf auth login"]),
    (403, "GatedRepo", ["grants access on request", "hf auth login"]),
    (404, "RevisionNotFound", ["has no revision 'v1'"]),
    (400, "", ["could not be downloaded", "by its path"]),
    (401, "", ["could not be downloaded", "by its path"]),
  ],
)
def test_what_the_hub_refuses(server, status, code, words):
  refuse(server, "config.json", status, code, revision="v1")
  fails(f"{NAME}@v1", *words)


def test_a_repository_without_weights(server):
  for name in ("config.json", *hub.FILES):
    refuse(server, name, 404, "EntryNotFound")
  fails(NAME, "has neither model.safetensors nor pytorch_model.bin")


@pytest.mark.parametrize("progress", [False, True])
def test_the_bars(cache, monkeypatch, progress):
  cache.add("config.json", CONFIG)
  cache.add("model.safetensors", DATA)
  module = sys.modules["huggingface_hub.utils.tqdm"]
  monkeypatch.setattr(module, "HF_HUB_DISABLE_PROGRESS_BARS", None)
  shown, get = [], hub._get

  def watched(*args):
    shown.append(not utils.are_progress_bars_disabled())
    return get(*args)

  monkeypatch.setattr(hub, "_get", watched)
  names.resolve(NAME, progress=progress)
  assert shown == [progress, progress]
  assert not utils.are_progress_bars_disabled()
  # Those that the user has silenced stay so.
  utils.disable_progress_bars()
  try:
    names.resolve(NAME, progress=progress)
    assert shown[2:] == [False, False]
    assert utils.are_progress_bars_disabled()
  finally:
    utils.enable_progress_bars()
