"""One file over HTTP into a part file, by as many requests as it takes."""

import http.client
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import tqdm

from vggjax.errors import InputError
from vggjax.weights.part_file import PartFile

# To connect, and between any two bytes.
TIMEOUT_SECONDS = 30.0
# Failures in a row, that is with less than HEADWAY bytes each, to give up.
ATTEMPTS = 4
HEADWAY = 2**20
# The first pause; each further one is twice as long.
PAUSE_SECONDS = 1.0
CHUNK = 2**16
# The server may answer otherwise in a moment.
RETRIED = (408, 425, 429, 500, 502, 503, 504)


class BrokenOffError(Exception):
  """What broke off, but may go on; the message is the reason."""


def fetch(url: str, part: PartFile, progress: bool) -> None:
  """Completes a part, in several requests if it must be.

  Args:
    url: http:// or https://.
    part: what is there of the file; changed in place.
    progress: whether to show a bar on stderr.

  Raises:
    InputError: if the server cannot be reached, lacks the file, or breaks off
      again and again.
    OSError: if the part cannot be written.
  """
  opener = urllib.request.build_opener(_WebOnly)
  failures = 0
  while True:
    before = part.size
    try:
      return _request(opener, url, part, progress)
    except BrokenOffError as error:
      failures = 1 if part.size - before >= HEADWAY else failures + 1
      if failures >= ATTEMPTS:
        raise InputError(_failure(url, str(error), part)) from error
      if progress:
        tqdm.tqdm.write(f"{url}: {error}; trying again", file=sys.stderr)
    time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))


def _failure(url: str, reason: str, part: PartFile) -> str:
  kept = ""
  if part.size and part.tag:
    kept = f" ({part.size:,} bytes are kept, and a next run goes on there)"
  return (
    f"{url}: could not be downloaded: {reason}{kept}; a file of weights that "
    "came another way can be given by its path"
  )


def _request(opener, url: str, part: PartFile, progress: bool) -> None:
  """Asks for what is missing of a part, and adds it.

  Raises:
    BrokenOffError: if something is still missing.
  """
  headers = {"User-Agent": "vggjax", "Accept-Encoding": "identity"}
  if part.size and part.tag:
    headers |= {"Range": f"bytes={part.size}-", "If-Range": part.tag}
  with _open(opener, urllib.request.Request(url, headers=headers), part) as (
    response
  ):
    _check_kind(url, response)
    if response.status == 206:
      _check_range(response, part)
    else:
      part.restart(_tag(response))
    length = response.headers.get("Content-Length", "")
    total = None
    if re.fullmatch("[0-9]{1,18}", length):
      total = part.size + int(length)
    _check_space(part, total)
    bar = tqdm.tqdm(
      desc=part.path.name.removesuffix(".part"),
      total=total,
      initial=part.size,
      unit="B",
      unit_scale=True,
      unit_divisor=1024,
      disable=not progress,
    )
    with bar, part.appending():
      while chunk := _read(response):
        part.append(chunk)
        bar.update(len(chunk))
  if total is not None and part.size != total:
    raise BrokenOffError(f"broke off after {part.size:,} of {total:,} bytes")


def _open(opener, request: urllib.request.Request, part: PartFile):
  """The response to a request, of a status of success."""
  url = request.full_url
  try:
    return opener.open(request, timeout=TIMEOUT_SECONDS)
  except urllib.error.HTTPError as error:
    error.close()
    reason = f"the server answers {error.code} {_one_line(error.reason)}"
    if error.code == 416:
      # It has fewer bytes than the part, which is of another version then.
      part.restart("")
    if error.code in (*RETRIED, 416):
      raise BrokenOffError(reason) from error
  # ValueError: of a redirection to what is no URL.
  except (OSError, http.client.HTTPException, ValueError) as error:
    cause = getattr(error, "reason", error)
    reason = _reason(cause)
    if not isinstance(cause, ssl.SSLCertVerificationError):
      raise BrokenOffError(reason) from error
  raise InputError(_failure(url, reason, part))


def _read(response) -> bytes:
  try:
    return response.read(CHUNK)
  except (OSError, http.client.HTTPException) as error:
    raise BrokenOffError(_reason(error)) from error


def _reason(error: BaseException | str) -> str:
  if isinstance(error, TimeoutError):
    return f"no answer for {TIMEOUT_SECONDS:.0f} s"
  if isinstance(error, http.client.HTTPException):
    return f"the connection broke off ({type(error).__name__})"
  return _one_line(getattr(error, "strerror", None) or error).lower()


def _one_line(text) -> str:
  return " ".join(str(text).split())


def _check_kind(url: str, response) -> None:
  """Raises InputError on what is no file, or a packed one."""
  kind = response.headers.get_content_type()
  if kind == "text/html":
    raise InputError(f"{url}: is a web page and not a file of weights")
  coding = response.headers.get("Content-Encoding", "identity")
  if coding != "identity":
    raise InputError(f"{url}: the server packs the file ({coding}) unasked")


def _check_range(response, part: PartFile) -> None:
  """Empties a part with which an answer does not go on, and raises."""
  start = response.headers.get("Content-Range", "").partition("-")[0]
  # Some servers ignore If-Range, so the tag is compared here too; with a date
  # as the tag they need not repeat it.
  tag = _tag(response)
  is_same = tag == part.tag or not (tag or part.tag.startswith('"'))
  if start != f"bytes {part.size}" or not is_same:
    part.restart("")
    raise BrokenOffError("the file on the server has changed")


def _tag(response) -> str:
  """A strong ETag or a date, which a later request can name; or ""."""
  tag = response.headers.get("ETag", "")
  if not tag or tag.startswith("W/"):
    tag = response.headers.get("Last-Modified", "")
  return tag if tag.isascii() and tag.isprintable() else ""


def _check_space(part: PartFile, total: int | None) -> None:
  missing = (total or 0) - part.size
  free = shutil.disk_usage(part.path.parent).free
  if missing > free:
    raise InputError(
      f"{part.path.parent}: {missing / 1e6:,.0f} MB are needed and "
      f"{free / 1e6:,.0f} MB free; $VGGJAX_CACHE can name another folder for "
      "downloads"
    )


class _WebOnly(urllib.request.HTTPRedirectHandler):
  """Follows redirections to http and https, and never from https to http."""

  def redirect_request(self, req, fp, code, msg, headers, newurl):
    old, new = (urllib.parse.urlsplit(u).scheme for u in (req.full_url, newurl))
    if new not in ("http", "https") or (old, new) == ("https", "http"):
      raise urllib.error.HTTPError(
        newurl, code, f"and leads to {newurl}, which is refused", headers, fp
      )
    return super().redirect_request(req, fp, code, msg, headers, newurl)
