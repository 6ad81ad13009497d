"""Files from the web: checked, kept, and downloaded only once."""

import hashlib
import os
import re
import urllib.parse
from pathlib import Path

from vggjax.errors import InputError
from vggjax.weights.part_file import PartFile, locked, new_hash
from vggjax.weights.transfer import fetch

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")


def download(
  url: str,
  folder: str | os.PathLike,
  *,
  checksum: str = "",
  progress: bool = True,
) -> Path:
  """Downloads a file unless the folder has it.

  A download that was cut off goes on where it stopped, in a later process too,
  if the server still has the same version of the file. Of several processes
  that want one file, the first downloads it and the others wait.

  Args:
    url: http:// or https://.
    folder: made if missing; the file's name in it is the URL's with a hash of
      the URL.
    checksum: "algorithm:digits", md5, sha1, sha256 or sha512, and its first
      hexadecimal digits or all of them; "": none is known.
    progress: whether to show a bar on stderr.

  Returns:
    The file's path.

  Raises:
    InputError: if the server cannot be reached or lacks the file, the file is
      not the one of the checksum, or it cannot be written.
  """
  check_url(url)
  algorithm, digits = parse_checksum(checksum)
  target = Path(folder).expanduser() / file_name(url)
  try:
    if _is_there(target, algorithm, digits):
      return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target, progress) as path:
      # Another process may have been faster.
      if not _is_there(target, algorithm, digits):
        part = PartFile(path, algorithm)
        try:
          _fetch_checked(url, part, digits, progress)
          part.finish(target)
        finally:
          part.tidy()
  except OSError as error:
    reason = (error.strerror or str(error)).lower()
    raise InputError(
      f"{error.filename or target}: {reason}; $VGGJAX_CACHE can name another "
      "folder for downloads"
    ) from error
  return target


def check_url(url: str) -> None:
  """Raises InputError unless a URL has http or https, and a server."""
  try:
    parts = urllib.parse.urlsplit(url)
    is_good = parts.scheme in ("http", "https") and parts.port != 0
    # An empty label fails.
    is_good &= bool((parts.hostname or "").encode("idna"))
  except ValueError:
    is_good = False
  if not is_good or not re.fullmatch(r"[\x21-\x7e]+", url):
    raise InputError(f"{url!r}: not a URL of the form https://server/file")


def parse_checksum(checksum: str) -> tuple[str, str]:
  """The algorithm, and the first digits in lower case.

  Raises:
    InputError: if it has another form.
  """
  if not checksum:
    return "sha256", ""
  algorithm, _, digits = checksum.partition(":")
  length = 2 * new_hash(algorithm).digest_size if algorithm in ALGORITHMS else 0
  if not re.fullmatch(r"[0-9a-fA-F]+", digits) or len(digits) > length:
    raise InputError(
      f"checksum {checksum!r} must be ALGORITHM:DIGITS, of "
      f"{', '.join(ALGORITHMS)} and hexadecimal digits"
    )
  return algorithm, digits.lower()


def file_name(url: str) -> str:
  """The URL's last part, and eight digits that tell equal names apart."""
  path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
  name = re.sub(r"[^A-Za-z0-9._-]", "_", path.rstrip("/").rpartition("/")[2])
  stem, suffix = os.path.splitext(name.lstrip(".") or "file")
  digits = hashlib.sha256(url.encode()).hexdigest()[:8]
  return f"{stem[:80]}-{digits}{suffix[:16]}"


def _is_there(target: Path, algorithm: str, digits: str) -> bool:
  """Whether the file is whole: an earlier download may have lacked a digest."""
  if not target.is_file():
    return False
  if not digits:
    return True
  with target.open("rb") as file:
    found = hashlib.file_digest(file, lambda: new_hash(algorithm))
  return found.hexdigest().startswith(digits)


def _fetch_checked(
  url: str, part: PartFile, digits: str, progress: bool
) -> None:
  """Completes a part, and removes it if it has another digest."""
  while True:
    fetch(url, part, progress)
    found = part.hash.hexdigest()
    if found.startswith(digits):
      return
    if not part.resumed:
      part.remove()
      raise InputError(
        f"{url}: has the {part.hash.name} {found} in place of {digits}, so it "
        "is another file; it was removed"
      )
    # What an earlier process left may be damaged.
    part.restart("")
