"""An archive left in tfds' manual_dir: a tar file, or what it unpacks to."""

import mmap
import tarfile
from pathlib import Path, PurePosixPath

from vggjax.data.listing import IMAGE_SUFFIXES, walk_images
from vggjax.errors import InputError

_TAR_ERRORS = (
  OSError,
  EOFError,
  OverflowError,
  RecursionError,  # Headers of headers.
  ValueError,  # Of mmap: an empty file, an offset outside of it.
  tarfile.TarError,
)


class ManualArchive:
  """The files of an archive; a tar file is read as it is, not unpacked.

  Attributes:
    path: the tar file, or the folder that it was unpacked in.

  Raises:
    InputError: if the folder has neither, or the tar file is damaged; of the
      methods, if a file is missing.
  """

  def __init__(self, folder: Path, tar: str, unpacked: str, url: str):
    """
    Args:
      folder: manual_dir.
      tar: name of the tar file.
      unpacked: the folder that it unpacks to, its path in the tar file.
      url: where to get it, for the message.
    """
    self._places = None
    self.path = folder / tar
    if self.path.is_file():
      try:
        with self.path.open("rb") as file:
          self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._places = _places(self._content)
      except _TAR_ERRORS as error:
        raise InputError(
          f"{self.path}: not a whole tar file: get it again from {url}"
        ) from error
    elif (folder / unpacked).is_dir():
      self.path = folder
    else:
      raise InputError(
        f"{folder}: has neither {tar} nor its folder {unpacked}; get it from "
        f"{url}"
      )

  def read(self, name: str) -> bytes:
    """A file's content."""
    try:
      if self._places is None:
        return (self.path / name).read_bytes()
      start, end = self._places[name]
    except (FileNotFoundError, KeyError) as error:
      raise InputError(f"{self.path}: has no file {name}") from error
    except OSError as error:
      raise InputError(f"{self.path}: cannot read {name}: {error}") from error
    return self._content[start:end]

  def images(self, folder: str) -> list[str]:
    """The visible images in a folder, at any depth, sorted."""
    if self._places is None:
      return sorted(walk_images(self.path, folder))
    return sorted(
      name for name in self._places if _is_visible_image(name, folder)
    )


def _places(content: mmap.mmap) -> dict[str, tuple[int, int]]:
  """Where in a tar file the files' contents begin and end.

  An mmap reads no more than there is, whatever length a header tells.
  """
  places = {}
  last = -1
  with tarfile.open(fileobj=content, mode="r:") as tar:
    for member in tar:
      end = member.offset_data + member.size
      if not last < member.offset < member.offset_data <= end <= len(content):
        raise tarfile.ReadError(f"{member.name!r} lies outside of the file")
      last = member.offset
      if member.isreg() and not member.issparse():
        name = str(PurePosixPath(member.name))  # Without a leading "./".
        places[name] = (member.offset_data, end)
    # tarfile takes a damaged header for the end, which is a block of zeros.
    block = tarfile.BLOCKSIZE
    if content[tar.offset : tar.offset + block] != bytes(block):
      raise tarfile.ReadError("ends too early")
  return places


def _is_visible_image(name: str, folder: str) -> bool:
  path = PurePosixPath(name)
  return (
    path.is_relative_to(folder)
    and path.suffix.lower() in IMAGE_SUFFIXES
    and not any(part.startswith(".") for part in path.parts)
  )
