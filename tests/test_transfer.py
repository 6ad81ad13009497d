"""Transfers from a server on this machine that fails in all ways."""

import hashlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request

import file_server
import pytest
from file_server import CUT, DATA, OTHER, cut_off, fails, files, get

from vggjax.weights import transfer
from vggjax.weights.download import file_name


@pytest.fixture
def server(monkeypatch):
  with file_server.running(monkeypatch) as server:
    yield server


@pytest.fixture
def folder(tmp_path):
  return tmp_path / "cache" / "weights"


def test_what_was_cut_off_goes_on(server, folder):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}, {"cut": 50_000}, {}])
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=70000-", "bytes=120000-"]
  assert {request.if_range for request in server.requests[1:]} == {'"1"'}


@pytest.mark.parametrize(
  ("options", "tag"),
  [
    ({}, '"1"'),
    ({"modified": "Tue, 01 Jan 2019 00:00:00 GMT"}, '"1"'),
    (
      {"etag": None, "modified": "Tue, 01 Jan 2019 00:00:00 GMT"},
      "Tue, 01 Jan 2019 00:00:00 GMT",
    ),
    (
      {"etag": 'W/"1"', "modified": "Tue, 01 Jan 2019 00:00:00 GMT"},
      "Tue, 01 Jan 2019 00:00:00 GMT",
    ),
    # Nothing tells whether it is the same file still.
    ({"etag": 'W/"1"'}, None),
    ({"etag": None}, None),
  ],
)
def test_a_later_run_asks_only_for_the_rest(
  server, folder, monkeypatch, options, tag
):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}], **options)
  cut_off(url, folder, monkeypatch)
  name = file_name(url)
  if tag is None:
    assert files(folder) == []
  else:
    assert files(folder) == [f"{name}.part", f"{name}.part.tag"]
    assert (folder / f"{name}.part").read_bytes() == DATA[:CUT]
  path = get(url, folder)
  assert path.read_bytes() == DATA
  assert len(server.requests) == 2
  assert server.requests[1].range == (tag and "bytes=70000-")
  assert server.requests[1].if_range == tag
  assert files(folder) == [name]


def test_cut_off_without_a_tag_starts_again(server, folder):
  url = server.add("/net.pth", DATA, etag=None, plan=[{"cut": CUT}])
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, None]


def test_a_killed_process_is_taken_up(server, folder):
  url = server.add("/net.pth", DATA, plan=[{"stall": 30}])
  code = f"""
from vggjax.weights.download import download
download({url!r}, {str(folder)!r})
"""
  process = subprocess.Popen(
    [sys.executable, "-c", code], stderr=subprocess.DEVNULL
  )
  part = folder / f"{file_name(url)}.part"
  end = time.monotonic() + 60
  while not part.exists() or part.stat().st_size < transfer.CHUNK:
    assert time.monotonic() < end
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, f"bytes={transfer.CHUNK}-"]
  assert files(folder) == [file_name(url)]


@pytest.mark.parametrize("if_range", [True, False])
def test_two_versions_are_not_put_together(
  server, folder, monkeypatch, if_range
):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  server.add("/net.pth", OTHER, etag='"2"', if_range=if_range)
  assert get(url, folder).read_bytes() == OTHER
  ranges = [None, "bytes=70000-"]
  # A server that ignores If-Range sends the rest of the other version.
  assert server.ranges() == ranges if if_range else [*ranges, None]


def test_a_server_without_ranges_starts_again(server, folder, monkeypatch):
  url = server.add("/net.pth", DATA, ranges=False, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=70000-"]


def test_a_range_of_other_bytes_is_not_used(server, folder, monkeypatch):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  wrong = {"extra": {"Content-Range": "bytes 0-199999/200000"}}
  server.files["/net.pth"].plan = [wrong]
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=70000-", None]


@pytest.mark.parametrize("checksum", [False, True])
def test_a_part_longer_than_the_file(server, folder, monkeypatch, checksum):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  part = folder / f"{file_name(url)}.part"
  part.write_bytes(OTHER * 2)
  known = f"md5:{hashlib.md5(DATA).hexdigest()}" if checksum else ""
  assert get(url, folder, checksum=known).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=400000-", None]


def test_a_damaged_part_is_found_by_the_checksum(server, folder, monkeypatch):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  (folder / f"{file_name(url)}.part").write_bytes(OTHER[:CUT])
  checksum = f"sha1:{hashlib.sha1(DATA).hexdigest()}"
  assert get(url, folder, checksum=checksum).read_bytes() == DATA
  assert server.ranges() == [None, "bytes=70000-", None]


@pytest.mark.parametrize("tag", [b"", b"\xff\x00", b'"1"\r\nX-Bad: 1', None])
def test_a_damaged_tag_starts_again(server, folder, monkeypatch, tag):
  url = server.add("/net.pth", DATA, plan=[{"cut": CUT}])
  cut_off(url, folder, monkeypatch)
  path = folder / f"{file_name(url)}.part.tag"
  path.unlink() if tag is None else path.write_bytes(tag)
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_lasting_errors_end_at_once(server, folder, status):
  url = server.add("/net.pth", status=status)
  message = fails(url, folder, url, f"the server answers {status} ")
  assert message.endswith("can be given by its path")
  assert len(server.requests) == 1
  assert files(folder) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_errors_are_tried_again(server, folder, status):
  url = server.add("/net.pth", DATA, plan=[{"status": status}] * 3)
  assert get(url, folder).read_bytes() == DATA
  assert len(server.requests) == 4
  url = server.add("/other.pth", status=status)
  fails(url, folder, f"the server answers {status}")
  assert len(server.requests) == 8


def test_headway_is_no_failure(server, folder, monkeypatch):
  plan = [{"cut": 20_000}] * 9
  url = server.add("/net.pth", DATA, plan=plan)
  monkeypatch.setattr(transfer, "HEADWAY", 20_000)
  assert get(url, folder).read_bytes() == DATA
  assert len(server.requests) == 10
  monkeypatch.setattr(transfer, "HEADWAY", 20_001)
  url = server.add("/other.pth", DATA, plan=[{"cut": 20_000}] * 9)
  fails(url, folder, "80,000 bytes are kept")


def test_pauses_grow(server, folder, monkeypatch):
  pauses = []
  clock = types.SimpleNamespace(sleep=pauses.append)
  monkeypatch.setattr(transfer, "time", clock)
  fails(server.add("/net.pth", status=503), folder, "503")
  assert pauses == [0.01, 0.02, 0.04]


def test_more_promised_than_sent(server, folder):
  url = server.add("/net.pth", DATA, length=300_000, ranges=False)
  fails(url, folder, "broke off after 200,000 of 300,000 bytes")
  assert not (folder / file_name(url)).exists()


def test_less_promised_than_sent(server, folder):
  url = server.add("/net.pth", DATA, length=100_000)
  checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
  found = hashlib.sha256(DATA[:100_000]).hexdigest()
  fails(url, folder, found, checksum=checksum)


@pytest.mark.parametrize("length", ["-1", "1e5", "9" * 5000])
def test_odd_lengths_are_ignored(server, folder, length):
  url = server.add("/net.pth", DATA, length=length)
  assert get(url, folder).read_bytes() == DATA


def test_chunks_without_a_length(server, folder):
  url = server.add("/net.pth", DATA, chunked=True, plan=[{"cut": CUT}])
  assert get(url, folder).read_bytes() == DATA
  assert server.ranges() == [None, f"bytes={transfer.CHUNK}-"]


def test_redirections(server, folder):
  server.add("/real.bin", DATA, plan=[{"cut": CUT}])
  server.add("/second", status=301, location="real.bin")
  url = server.add("/net.pth", status=302, location=f"{server.url}/second")
  path = get(url, folder)
  assert path.read_bytes() == DATA
  assert path.name == file_name(url)
  assert [(r.path, r.range) for r in server.requests] == [
    ("/net.pth", None),
    ("/second", None),
    ("/real.bin", None),
    ("/net.pth", "bytes=70000-"),
    ("/second", "bytes=70000-"),
    ("/real.bin", "bytes=70000-"),
  ]


@pytest.mark.parametrize(
  ("target", "reason"),
  [
    ("file://{}", "not allowed"),
    ("data:text/plain,x", "not allowed"),
    ("ftp://127.0.0.1{}", "which is refused"),
    ("//[::{}", "invalid"),
  ],
)
def test_redirections_away_from_the_web(
  server, folder, tmp_path, target, reason
):
  secret = tmp_path / "secret"
  secret.write_text("secret")
  location = target.format(secret)
  url = server.add("/net.pth", status=302, location=location)
  fails(url, folder, url, reason)
  assert {request.path for request in server.requests} == {"/net.pth"}
  assert not (folder / file_name(url)).exists()


def test_endless_redirections(server, folder):
  url = server.add("/net.pth", status=302, location="/net.pth")
  fails(url, folder, "302", "infinite loop")


def test_redirections_keep_the_encryption():
  handler = transfer._WebOnly()

  def lead(old, new):
    request = urllib.request.Request(old)
    return handler.redirect_request(request, None, 302, "Found", {}, new)

  assert lead("http://a/x", "https://b/y").full_url == "https://b/y"
  assert lead("https://a/x", "https://b/y").full_url == "https://b/y"
  with pytest.raises(urllib.error.HTTPError, match="refused"):
    lead("https://a/x", "http://a/y")


def test_a_web_page_is_no_file(server, folder):
  url = server.add("/net.pth", b"<html>Log in", kind="text/html; charset=utf-8")
  fails(url, folder, url, "web page")
  assert not (folder / file_name(url)).exists()


def test_a_packed_file_is_not_kept(server, folder):
  url = server.add("/net.pth", DATA, extra={"Content-Encoding": "gzip"})
  fails(url, folder, url, "gzip")
  assert not (folder / file_name(url)).exists()


def test_nobody_there(server, folder):
  with socket.socket() as closed:
    closed.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.pth"
    message = fails(url, folder, url, "connection refused", "by its path")
  assert len(message) < 200


def test_silence_is_an_error(server, folder, monkeypatch):
  monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.2)
  url = server.add("/net.pth", DATA, plan=[{"stall": 2}])
  assert get(url, folder).read_bytes() == DATA
  # What came before the silence is not asked for again.
  assert server.ranges()[0] is None
  assert server.ranges()[1].startswith("bytes=")
  with socket.create_server(("127.0.0.1", 0)) as mute:
    monkeypatch.setattr(transfer, "ATTEMPTS", 2)
    url = f"http://127.0.0.1:{mute.getsockname()[1]}/net.pth"
    fails(url, folder, "no answer for")


def test_what_is_no_web_server(server, folder):
  with socket.create_server(("127.0.0.1", 0)) as other:

    def greet():
      for _ in range(transfer.ATTEMPTS):
        connection = other.accept()[0]
        with connection:
          connection.recv(2**16)
          connection.sendall(b"220 mail ready\r\n")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{other.getsockname()[1]}/net.pth"
    fails(url, folder, "the connection broke off (BadStatusLine)")
    thread.join()


@pytest.mark.parametrize(
  ("error", "reason", "count"),
  [
    (socket.gaierror(-2, "Name or service not known"), "name or service", 4),
    (ssl.SSLCertVerificationError(1, "certificate has expired"), "expired", 1),
    (ssl.SSLError(1, "record layer failure"), "record layer failure", 4),
  ],
)
def test_what_the_network_may_say(
  server, folder, monkeypatch, error, reason, count
):
  opened = []

  class Opener:
    def open(self, request, timeout):
      opened.append(request.full_url)
      raise urllib.error.URLError(error)

  monkeypatch.setattr(urllib.request, "build_opener", lambda *_: Opener())
  url = "https://server/net.pth"
  fails(url, folder, url, reason, "by its path")
  assert opened == [url] * count
