"""One file wanted by several threads and processes at once."""

import contextlib
import hashlib
import os
import threading
import time

import file_server
import pytest
from file_server import CUT, DATA, fails, files, get

from vggjax.errors import InputError
from vggjax.weights import part_file
from vggjax.weights.download import download, file_name


@pytest.fixture
def server(monkeypatch):
  with file_server.running(monkeypatch) as server:
    yield server


@pytest.fixture
def folder(tmp_path):
  return tmp_path / "cache" / "weights"


def many(work, count=4):
  """Runs work in threads; returns the results in the order of their ends."""
  results = []
  threads = [
    threading.Thread(target=lambda: results.append(work()))
    for _ in range(count)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(30)
  assert len(results) == count
  return results


def test_one_of_several_downloads_and_the_others_wait(server, folder):
  url = server.add("/net.pth", DATA, plan=[{"stall": 0.3}])
  paths = many(lambda: get(url, folder))
  assert len(set(paths)) == 1
  assert paths[0].read_bytes() == DATA
  assert len(server.requests) == 1
  assert files(folder) == [paths[0].name]


def test_the_others_take_over_from_one_that_fails(server, folder):
  plan = [{"stall": 0.3, "status": 404}]
  url = server.add("/net.pth", DATA, plan=plan)

  def work():
    with contextlib.suppress(InputError):
      return get(url, folder)

  paths = many(work)
  assert paths.count(None) == 1
  assert (folder / file_name(url)).read_bytes() == DATA
  assert len(server.requests) == 2


@pytest.mark.parametrize("kind", ["no module", "not by this disk"])
def test_without_locks_each_has_its_own_part(server, folder, monkeypatch, kind):
  if kind == "no module":
    monkeypatch.setattr(part_file, "fcntl", None)
  else:

    def refuse(*_):
      raise OSError(37, "No locks available")

    monkeypatch.setattr(part_file.fcntl, "flock", refuse)
  url = server.add("/net.pth", DATA, plan=[{"stall": 0.2}] * 4)
  paths = many(lambda: get(url, folder))
  assert len(set(paths)) == 1
  assert paths[0].read_bytes() == DATA
  assert len(server.requests) == 4
  url = server.add("/gone.pth", DATA, cut=CUT, ranges=False)
  fails(url, folder, "broke off")
  assert files(folder) == [paths[0].name]


def test_waiting_ends(server, folder, monkeypatch, capsys):
  url = server.add("/net.pth", DATA)
  monkeypatch.setattr(part_file, "STALLED_SECONDS", 0.1)
  folder.mkdir(parents=True)
  with part_file.locked(folder / file_name(url), progress=False):
    with pytest.raises(InputError, match="has got nothing for"):
      download(url, folder)
    assert capsys.readouterr().err.count("another process") == 1
  assert server.requests == []
  assert get(url, folder).read_bytes() == DATA


def test_waiting_goes_on_while_the_other_makes_headway(
  server, folder, monkeypatch
):
  monkeypatch.setattr(part_file, "STALLED_SECONDS", 0.2)
  url = server.add("/net.pth", DATA)
  target = folder / file_name(url)
  folder.mkdir(parents=True)
  with part_file.locked(target, progress=False) as part:
    waiting = threading.Thread(target=get, args=(url, folder))
    waiting.start()
    for size in range(1, 6):
      time.sleep(0.1)
      part.write_bytes(DATA[:size])
    assert waiting.is_alive()
    os.replace(part, target)
  waiting.join(10)
  assert server.requests == []


def test_a_lock_that_was_removed_is_none(folder, monkeypatch):
  folder.mkdir(parents=True)
  lock_path = folder / "net.pth.lock"
  flock, calls = part_file.fcntl.flock, []

  def late(descriptor, operation):
    if not calls:
      # The last owner is done, between the opening and the locking.
      lock_path.unlink()
    calls.append(descriptor)
    flock(descriptor, operation)

  monkeypatch.setattr(part_file.fcntl, "flock", late)
  with part_file.locked(folder / "net.pth", progress=False):
    assert lock_path.exists()
  assert len(calls) == 2
  assert files(folder) == []


def test_a_disk_that_takes_little_at_a_time(folder):
  folder.mkdir(parents=True)
  part = part_file.PartFile(folder / "net.part", "md5")

  class Slow:
    def __init__(self, file):
      self.file = file

    def write(self, data):
      return self.file.write(data[:7])

  with part.appending():
    part._file = Slow(part._file)
    part.append(DATA[:100])
    part.append(b"")
  assert part.size == 100
  assert (folder / "net.part").read_bytes() == DATA[:100]
  assert part.hash.digest() == hashlib.md5(DATA[:100]).digest()
