"""Paths on gs://, against a store that keeps its objects in memory."""

import dataclasses
import sys

import numpy as np
import pytest
from etils import epath
from etils.epath import gpath

from vggjax import addresses, files
from vggjax.errors import InputError
from vggjax.evaluate import shares
from vggjax.train import spool
from vggjax.weights.load import load_weights


@pytest.mark.parametrize("name", ["runs/a:b/c", "/runs/gs:/c", "hf:a/b", "."])
def test_a_path_is_one_of_a_file_system(name):
  path = addresses.location(name)
  assert str(path) == name
  assert not addresses.is_address(path)
  assert files.scratch(path) is path


@pytest.mark.parametrize("name", ["s3://b/run", "gs:/b/run", "gs:///b", "az:/"])
def test_other_stores_are_refused_not_made_folders(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError, match="neither a path nor gs://BUCKET"):
    addresses.location(name)
  with (
    pytest.raises(InputError, match="neither a path nor"),
    files.written_whole(f"{name}/a.json"),
  ):
    pass
  assert not list(tmp_path.iterdir())


def test_what_gcs_needs_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  with pytest.raises(InputError, match=r"pip install 'vggjax\[gcs\]'"):
    addresses.location("gs://bucket/run")


def test_files_at_an_address_are_whole_or_as_they_were(bucket):
  path = addresses.location("gs://bucket/a/b.json")
  assert addresses.is_address(path)
  assert str(path) == "gs://bucket/a/b.json"
  with files.written_whole("gs://bucket/a/b.json") as temporary:
    temporary.write_text("first")
  assert bucket.objects["a/b.json"].content == b"first"
  with (
    pytest.raises(FileNotFoundError),
    files.written_whole(path) as temporary,
  ):
    temporary.with_name("missing").read_text()
  assert path.read_text() == "first"
  with files.locked(path) as has_locks:
    assert not has_locks


def test_gcsfs_is_used_whatever_was_asked_before(bucket, tmp_path, monkeypatch):
  monkeypatch.delenv("EPATH_USE_TF", raising=False)
  gpath._is_tf_installed.cache_clear()
  assert epath.Path(tmp_path).exists()
  assert gpath._is_tf_installed()  # What it answered it keeps.
  bucket.put("a/b", b"1", None)
  assert addresses.location("gs://bucket/a").exists()


def test_files_of_many_parts(bucket, tmp_path):
  content = np.random.default_rng(0).bytes(11_000_000)
  (tmp_path / "a").write_bytes(content)
  path = addresses.location("gs://bucket/a")
  addresses.upload(tmp_path / "a", path)
  assert bucket.objects["a"].content == content
  addresses.download(path, tmp_path / "b")
  assert (tmp_path / "b").read_bytes() == content


def test_what_grows_is_copied_now_and_then(bucket, tmp_path):
  bucket.put("run/lines", b"1\n", None)
  found = spool.Spool(addresses.location("gs://bucket/run"))
  found.fetch("lines")
  found.fetch("others")
  (found.folder / "deeper").mkdir()
  (found.folder / "deeper" / "a").write_text("a")
  with (found.folder / "lines").open("a") as file:
    file.write("2\n")
  found.copy(now=False)  # It is too early.
  assert set(bucket.objects) == {"run/lines"}
  found.copy()
  assert bucket.objects["run/lines"].content == b"1\n2\n"
  before = dict(bucket.objects)
  found.copy()
  assert bucket.objects == before  # Not even written again.
  (found.folder / "deeper" / "a").write_text("ab")
  found.close()
  assert bucket.objects["run/deeper/a"].content == b"ab"
  assert not found.folder.exists()
  here = spool.Spool(tmp_path)
  here.copy()
  here.close()
  assert here.folder == tmp_path
  assert tmp_path.exists()


def test_weights_at_an_address_must_be_a_run(bucket):
  bucket.put("a.safetensors", b"0", None)
  with pytest.raises(InputError, match=r"a\.safetensors holds no run"):
    load_weights("gs://bucket/a.safetensors")


@dataclasses.dataclass
class Machine:
  """One that has a cache of its own."""

  monkeypatch: pytest.MonkeyPatch
  folder: object

  def open_rows(self, index, count=3):
    self.monkeypatch.setenv("VGGJAX_CACHE", str(self.folder))
    return shares.ShareRows(
      addresses.location("gs://bucket/run/posteriors/test/dense-32.partial"),
      8,
      {"params": "abc"},
      process_index=index,
      process_count=count,
    )


def test_shares_of_several_machines_meet(bucket, tmp_path, monkeypatch):
  values = np.arange(24, dtype=np.float32).reshape(8, 3)
  machines = [Machine(monkeypatch, tmp_path / f"{i}") for i in range(3)]
  rows = []
  for i, machine in enumerate(machines):
    rows.append(machine.open_rows(i))
    mine = values[i::3]
    rows[i].put(range(len(mine)), mine)
  assert not bucket.objects
  for share in rows:
    share.hand_over()
  assert not any(tmp_path.joinpath("1").rglob("*.npy"))
  # The second is killed now, and begins anew: what it handed over is there.
  assert machines[1].open_rows(1).done.all()
  np.testing.assert_array_equal(rows[0].all_values(), values)
  rows[0].remove_all()
  assert not bucket.objects
  assert not any(tmp_path.joinpath("0").rglob("*.npy"))
