"""A web server of files that fails in the ways that servers fail."""

import contextlib
import dataclasses
import http.server
import random
import re
import threading
import time
from collections.abc import Iterator

import pytest

from vggjax.errors import InputError
from vggjax.weights import part_file, transfer
from vggjax.weights.download import download

DATA = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
# Bytes that come before a connection breaks off.
CUT = 70_000


@dataclasses.dataclass
class Served:
  """A file, and how it is served.

  Attributes:
    data: of the file.
    etag: None: not sent.
    modified: Last-Modified; None: not sent.
    ranges: whether Range is honored.
    if_range: whether If-Range is; else a Range always is.
    status: sent in place of the file.
    location: of a redirection.
    length: of Content-Length in place of the true one; None: the true one.
    cut: the connection ends after this many bytes.
    stall: seconds of silence after half of the bytes.
    chunked: whether it is sent in chunks, without a length.
    kind: of Content-Type.
    extra: further headers.
    plan: changes to these for the first, second, ... request.
  """

  data: bytes = b""
  etag: str | None = '"1"'
  modified: str | None = None
  ranges: bool = True
  if_range: bool = True
  status: int = 200
  location: str = ""
  length: int | None = None
  cut: int | None = None
  stall: float = 0
  chunked: bool = False
  kind: str = "application/octet-stream"
  extra: dict = dataclasses.field(default_factory=dict)
  plan: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Request:
  """What was asked for; range and if_range are headers or None."""

  method: str
  path: str
  range: str | None
  if_range: str | None


class FileServer:
  """Attributes:
  url: of the folder of `files`.
  files: Served by path, e.g. "/a/b.bin".
  requests: all so far.
  """

  def __init__(self):
    self.files: dict[str, Served] = {}
    self.requests: list[Request] = []
    self.lock = threading.Lock()
    handler = type("Handler", (_Handler,), {"owner": self})
    self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    self.server.daemon_threads = True
    self.url = f"http://127.0.0.1:{self.server.server_port}"

  def add(self, path: str, data: bytes = b"", **options) -> str:
    """Serves a file; returns its URL."""
    self.files[path] = Served(data, **options)
    return self.url + path

  def ranges(self) -> list[str | None]:
    """The Range of each request."""
    return [request.range for request in self.requests]


@contextlib.contextmanager
def running(monkeypatch) -> Iterator[FileServer]:
  """A server in a thread; pauses are short, and no proxy is in between."""
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)
  monkeypatch.setattr(part_file, "POLL_SECONDS", 0.01)
  server = FileServer()
  # The default polls for the end twice a second.
  thread = threading.Thread(
    target=server.server.serve_forever, args=(0.01,), daemon=True
  )
  thread.start()
  try:
    yield server
  finally:
    server.server.shutdown()
    server.server.server_close()
    thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = "HTTP/1.1"
  owner: FileServer

  def log_message(self, *_):
    """Says nothing."""

  def do_HEAD(self):
    self.answer(with_body=False)

  def do_GET(self):
    self.answer(with_body=True)

  def answer(self, with_body):
    asked, condition = self.headers["Range"], self.headers["If-Range"]
    with self.owner.lock:
      self.owner.requests.append(
        Request(self.command, self.path, asked, condition)
      )
      served = self.owner.files.get(self.path, Served(status=404))
      if served.plan:
        served = dataclasses.replace(served, **served.plan.pop(0))
    headers = {"Content-Type": served.kind, "ETag": served.etag}
    headers["Last-Modified"] = served.modified
    status, body = served.status, served.data
    if status != 200:
      body = b"sorry"
      headers["Location"] = served.location or None
    elif self.is_partial(served, asked, condition):
      status, body = self.part_of(served.data, asked, headers)
    headers["Content-Length"] = served.length
    if served.length is None:
      headers["Content-Length"] = len(body)
    if served.chunked:
      headers |= {"Transfer-Encoding": "chunked", "Content-Length": None}
    self.send_response(status)
    for name, value in {**headers, **served.extra}.items():
      if value is not None:
        self.send_header(name, str(value))
    self.end_headers()
    if with_body:
      # The client may be gone: that is what is tested.
      with contextlib.suppress(OSError):
        self.send_body(body, served)
    if served.cut is not None or served.length is not None:
      self.close_connection = True

  def is_partial(self, served, asked, condition):
    if not asked or not served.ranges:
      return False
    is_same = condition in (None, served.etag, served.modified)
    return is_same or not served.if_range

  def part_of(self, data, asked, headers):
    start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
    if start >= len(data):
      headers["Content-Range"] = f"bytes */{len(data)}"
      return 416, b""
    headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return 206, data[start:]

  def send_body(self, body, served):
    body = body[: served.cut]
    half = len(body) // 2
    pieces = [body[:half], body[half:]]
    for piece in filter(None, pieces):
      if served.chunked:
        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
      else:
        self.wfile.write(piece)
      self.wfile.flush()
      time.sleep(served.stall)
    if served.chunked and served.cut is None:
      self.wfile.write(b"0\r\n\r\n")


def get(url, folder, **options):
  """A download without a bar."""
  return download(url, folder, progress=False, **options)


def fails(url, folder, *words, **options):
  """Downloads what must fail with one line that has all the words."""
  with pytest.raises(InputError) as caught:
    get(url, folder, **options)
  message = str(caught.value)
  assert "\n" not in message
  for word in words:
    assert word in message, message
  return message


def cut_off(url, folder, monkeypatch):
  """Downloads the first CUT bytes of a file whose server then breaks off."""
  with monkeypatch.context() as patch:
    patch.setattr(transfer, "ATTEMPTS", 1)
    fails(url, folder, "broke off after 70,000 of 200,000")


def files(folder):
  """The names in a folder."""
  return sorted(path.name for path in folder.iterdir())
