"""Google Cloud Storage's JSON API, as far as gcsfs and tensorstore use it.

Objects are kept in memory, with generations: writes and deletions may ask for
one, as OCDBT's do.
"""

import base64
import contextlib
import email
import email.policy
import hashlib
import http.server
import itertools
import json
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple


class Object(NamedTuple):
  """An object: bytes, and the number of the write that made it."""

  content: bytes
  generation: int


class Store:
  """The objects of one bucket by name; what they hold is only replaced.

  Attributes:
    objects: by name.
    failing: a status that answers all requests for objects; 0: none.
  """

  def __init__(self, bucket: str):
    self.bucket = bucket
    self.objects: dict[str, Object] = {}
    self.failing = 0
    self.lock = threading.Lock()
    self._generations = itertools.count(1)

  def put(self, name: str, content: bytes, expected: str | None) -> bool:
    """Writes; whether the object had the generation expected."""
    with self.lock:
      if not self._is(name, expected):
        return False
      self.objects[name] = Object(content, next(self._generations))
      return True

  def delete(self, name: str, expected: str | None) -> bool:
    """Deletes likewise; raises KeyError if there is no such object."""
    with self.lock:
      if not self._is(name, expected):
        return False
      del self.objects[name]
      return True

  def _is(self, name, expected):
    found = self.objects.get(name, Object(b"", 0))
    return expected is None or found.generation == int(expected)

  def about(self, name: str) -> dict[str, str]:
    """An object's resource; raises KeyError if there is none."""
    content, generation = self.objects[name]
    return {
      "kind": "storage#object",
      "bucket": self.bucket,
      "name": name,
      "size": str(len(content)),
      "generation": str(generation),
      "metageneration": "1",
      "updated": "2026-01-01T00:00:00.000Z",
      "timeCreated": "2026-01-01T00:00:00.000Z",
      "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
    }

  def listing(self, prefix: str, delimiter: str) -> dict[str, object]:
    """The objects below a prefix, and the prefixes below it."""
    items, prefixes = [], set()
    for name in sorted(self.objects):
      if not name.startswith(prefix):
        continue
      head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
      if found:
        prefixes.add(prefix + head + delimiter)
      else:
        items.append(self.about(name))
    return {"items": items, "prefixes": sorted(prefixes)}


class Handler(http.server.BaseHTTPRequestHandler):
  """Answers for the server's `store`."""

  protocol_version = "HTTP/1.1"

  def do_GET(self) -> None:
    self._answer()

  def do_POST(self) -> None:
    self._answer()

  def do_PUT(self) -> None:
    self._answer()

  def do_DELETE(self) -> None:
    self._answer()

  def log_message(self, *_) -> None:
    """Not to standard error."""

  def _answer(self) -> None:
    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
    store = self.server.store
    try:
      if store.failing:
        self._reply(store.failing, {"error": {"message": "not today"}})
      elif self.path.startswith("/batch/"):
        self._batch(body)
      else:
        self._reply(*self._one(self.command, self.path, self.headers, body))
    except KeyError as error:
      self._reply(404, {"error": {"message": f"no {error}"}})

  def _one(self, command, path, headers, body):
    """The status, what to send, and the headers of one request."""
    store = self.server.store
    url = urllib.parse.urlsplit(path)
    options = dict(urllib.parse.parse_qsl(url.query))
    expected = options.get("ifGenerationMatch")
    match = re.match(
      r"(/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?$", url.path
    )
    kind, bucket, name = match[1], match[2], match[3]
    if bucket != store.bucket:
      raise KeyError(bucket)
    name = name and urllib.parse.unquote(name)
    if kind == "/upload":
      return self._upload(options, headers, body)
    if command == "POST":
      return 200, self._move(url.path)
    if command == "DELETE":
      return (204 if store.delete(name, expected) else 412), None
    if name is None:
      if not url.path.endswith("/o"):
        return 200, {"kind": "storage#bucket", "name": bucket}
      prefix, delimiter = options.get("prefix", ""), options.get("delimiter")
      return 200, store.listing(prefix, delimiter)
    if kind or options.get("alt") == "media":
      return self._content(name, options, headers)
    return 200, store.about(name)

  def _move(self, path):
    """SOURCE/moveTo/o/TARGET."""
    store = self.server.store
    source, target = map(
      urllib.parse.unquote,
      re.fullmatch(r".*/o/(.*)/moveTo/o/(.*)", path).groups(),
    )
    store.put(target, store.objects[source].content, None)
    store.delete(source, None)
    return store.about(target)

  def _content(self, name, options, headers):
    content, generation = self.server.store.objects[name]
    found = {"x-goog-generation": str(generation)}
    if options.get("ifGenerationNotMatch") == str(generation):
      return 304, None, found
    if options.get("ifGenerationMatch", str(generation)) != str(generation):
      return 412, None
    if match := re.match(r"bytes=(\d+)-(\d*)", headers.get("Range") or ""):
      start, last = int(match[1]), int(match[2] or len(content) - 1)
      size = len(content)
      part = content[start : last + 1]
      end = start + len(part) - 1
      return 206, part, found | {"Content-Range": f"bytes {start}-{end}/{size}"}
    return 200, content, found

  def _upload(self, options, headers, body):
    store, kind = self.server.store, options["uploadType"]
    name, expected = options.get("name"), options.get("ifGenerationMatch")
    if kind == "multipart":
      head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
      message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
      about, part = message.iter_parts()
      name = json.loads(about.get_content())["name"]
      body = part.get_payload(decode=True)
    elif kind == "resumable" and "upload_id" not in options:
      name = json.loads(body)["name"]
      query = urllib.parse.urlencode({**options, "name": name, "upload_id": 1})
      place = f"/upload/storage/v1/b/{store.bucket}/o?{query}"
      self.server.parts[name] = b""
      return 200, None, {"Location": self.server.address + place}
    elif kind == "resumable":
      self.server.parts[name] += body
      if headers["Content-Range"].endswith("/*"):
        last = len(self.server.parts[name]) - 1
        return 308, None, {"Range": f"bytes=0-{last}"}
      body = self.server.parts.pop(name)
    if not store.put(name, body, expected):
      return 412, None
    return 200, store.about(name)

  def _batch(self, body):
    """Several requests in one: gcsfs deletes so."""
    head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    answers = []
    for part in message.iter_parts():
      line = part.get_payload().lstrip().splitlines()[0]
      command, path, _ = line.split()
      try:
        status = self._one(command, path, {}, b"")[0]
      except KeyError:
        status = 404
      answers.append(
        "--part\r\nContent-Type: application/http\r\n"
        f"Content-ID: <response-{part['Content-ID'].strip('<>')}>\r\n\r\n"
        f"HTTP/1.1 {status} \r\n\r\n\r\n"
      )
    kind = {"Content-Type": "multipart/mixed; boundary=part"}
    self._reply(200, "".join([*answers, "--part--"]).encode(), kind)

  def _reply(self, status, content=None, headers=None):
    if isinstance(content, dict):
      content = json.dumps(content).encode()
      headers = {"Content-Type": "application/json", **(headers or {})}
    content = content or b""
    self.send_response(status)
    for name, value in (headers or {}).items():
      self.send_header(name, value)
    if status not in (204, 304):
      self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    if status not in (204, 304):
      self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
  """One whose clients hang up when they like."""

  daemon_threads = True

  def handle_error(self, request, client_address) -> None:
    if not isinstance(sys.exception(), ConnectionError):
      super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(bucket: str) -> Iterator[tuple[Store, str]]:
  """A store of one bucket, and its address for the clients' environment."""
  server = Server(("127.0.0.1", 0), Handler)
  server.store = Store(bucket)
  server.parts = {}
  server.address = f"http://127.0.0.1:{server.server_port}"
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield server.store, server.address
  finally:
    server.shutdown()
    server.server_close()
