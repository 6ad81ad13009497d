"""Downloads are checked, kept under safe names, and made only once."""

import hashlib
import resource
import shutil

import file_server
import pytest
from file_server import CUT, DATA, OTHER, cut_off, fails, files, get

from vggjax.weights.download import download, file_name


@pytest.fixture
def server(monkeypatch):
  with file_server.running(monkeypatch) as server:
    yield server


@pytest.fixture
def folder(tmp_path):
  return tmp_path / "cache" / "weights"


def test_downloads_once(server, folder):
  url = server.add("/some/net.pth", DATA)
  path = get(url, folder)
  assert path.read_bytes() == DATA
  assert path.parent == folder
  assert path.name.startswith("net-")
  assert path.suffix == ".pth"
  assert len(server.requests) == 1
  assert get(url, str(folder)) == path
  assert len(server.requests) == 1
  assert files(folder) == [path.name]


def test_a_cached_file_needs_no_server_and_no_right_to_write(server, folder):
  url = server.add("/net.pth", DATA)
  path = get(url, folder)
  server.files.clear()
  before = folder.stat().st_mtime_ns
  checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
  assert get(url, folder, checksum=checksum) == path
  assert folder.stat().st_mtime_ns == before


def test_equal_names_of_two_urls(server, folder):
  first = get(server.add("/a/net.pth", DATA), folder)
  second = get(server.add("/b/net.pth", OTHER), folder)
  third = get(server.add("/b/net.pth?v=2", DATA), folder)
  assert [p.read_bytes() for p in (first, second, third)] == [DATA, OTHER, DATA]
  assert len(files(folder)) == 3


@pytest.mark.parametrize(
  "path",
  [
    "",
    "/",
    "/.ssh",
    "/..%2F..%2Fetc%2Fpasswd",
    "/a/..",
    "/%00",
    "/C%3A%5Cx",
    "/" + "x" * 3000 + "." + "y" * 3000,
  ],
)
def test_names_stay_in_the_folder(path, tmp_path):
  name = file_name("https://server" + path)
  assert (tmp_path / name).parent == tmp_path
  assert not name.startswith(".")
  (tmp_path / f"{name}.part.tag").write_text("of a length that the disk takes")


def test_more_than_the_disk_has(server, folder):
  url = server.add("/net.pth", DATA, length=10**17)
  fails(url, folder, "100,000,000,000 MB are needed", "$VGGJAX_CACHE")
  assert len(server.requests) == 1


def test_space_is_asked_for_what_is_missing(server, folder, monkeypatch):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  usage = shutil.disk_usage(folder)

  def free(count):
    monkeypatch.setattr(
      shutil, "disk_usage", lambda _: usage._replace(free=count)
    )

  free(129_999)
  fails(url, folder, "0 MB are needed")
  free(130_000)
  assert get(url, folder).read_bytes() == DATA


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("count", [8, None])
def test_checksums(server, folder, algorithm, count):
  url = server.add("/net.pth", DATA)
  digits = hashlib.new(algorithm, DATA).hexdigest()[:count]
  wrong = digits[:-1] + ("0" if digits[-1] != "0" else "1")
  found = hashlib.new(algorithm, DATA).hexdigest()
  words = (algorithm, found, wrong, "removed")
  fails(url, folder, *words, checksum=f"{algorithm}:{wrong}")
  assert files(folder) == []
  path = get(url, folder, checksum=f"{algorithm}:{digits.upper()}")
  assert path.read_bytes() == DATA
  assert len(server.requests) == 2


def test_a_checksum_that_comes_later_is_checked_too(server, folder):
  url = server.add("/net.pth", OTHER)
  path = get(url, folder)
  server.add("/net.pth", DATA)
  assert get(url, folder) == path
  assert path.read_bytes() == OTHER
  get(url, folder, checksum=f"sha256:{hashlib.sha256(DATA).hexdigest()}")
  assert path.read_bytes() == DATA
  assert len(server.requests) == 2


@pytest.mark.parametrize(
  "checksum",
  ["sha256", "sha256:", "sha256:xyz", "crc32:1234", "md5:" + "0" * 33],
)
def test_odd_checksums(server, folder, checksum):
  fails(server.url, folder, repr(checksum), checksum=checksum)
  assert server.requests == []


@pytest.mark.parametrize(
  "url",
  [
    "file:///etc/passwd",
    "ftp://server/x",
    "server/x",
    "",
    "https://",
    "https:///x",
    "https://server:99999/x",
    "https://server:x/x",
    "https://a..b/x",
    "https://[::/x",
    "https://server/a b",
    "https://server/a\r\nHost: b",
    "https://server/\u00e9",
  ],
)
def test_what_is_no_url(url, folder):
  fails(url, folder, repr(url), "not a URL")
  assert not folder.exists()


def test_a_full_disk(server, folder):
  url = server.add("/net.pth", DATA)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, hard))
  try:
    fails(url, folder, "file too large", "$VGGJAX_CACHE")
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=70000-"]


def test_a_folder_that_cannot_be(server, tmp_path):
  (tmp_path / "file").write_text("")
  url = server.add("/net.pth", DATA)
  fails(url, tmp_path / "file", str(tmp_path / "file"), "file exists")
  fails(url, tmp_path / "file" / "weights", "not a directory")
  assert server.requests == []


def test_the_bar(server, folder, capfd):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  name = download(url, folder).name
  out, err = capfd.readouterr()
  assert out == ""
  assert f"{name}: 100%" in err.replace("\r", "\n")
  assert "broke off after 70,000 of 200,000 bytes; trying again" in err
  get(server.add("/other.pth", DATA, plan=[{"cut": CUT}]), folder)
  assert capfd.readouterr() == ("", "")
