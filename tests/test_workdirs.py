"""Keys that may change when a run goes on; file systems without locks."""

import errno
import fcntl

from vggjax import config as configuration
from vggjax import files
from vggjax.tasks import train, workdirs

# What shapes the parameters at a step. A new key goes here or among the free.
SHAPING = {
  *("seed", "network", "width", "crop_size", "pool", "lrn", "dropout_rate"),
  *("initializer", "init_std", "objective", "dtype"),
  *("init_from", "init_layers", "train_layers"),
  *("batch_size", "momentum", "weight_decay", "caffe_bias", "learning_rate"),
  *("schedule", "patience", "min_improvement", "max_drops", "boundaries"),
  *("dataset.source", "dataset.train_split", "dataset.validation_split"),
  *("dataset.split_seed", "dataset.labels_csv", "dataset.class_list"),
  *("dataset.boxes", "dataset.on_error"),
  *("train_scale", "mirror", "color_shift", "color_shift_std"),
  "color_shift_scale",
}


def test_every_key_shapes_the_result_or_is_free():
  keys = {k for k in configuration.defaults() if k.split(".")[0] != "transfer"}
  assert keys == SHAPING | train.FREE_KEYS
  assert not SHAPING & train.FREE_KEYS


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, capsys):
  def fail(*_):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(fcntl, "flock", fail)
  with files.locked(tmp_path / "lock") as has_locks:
    assert not has_locks
  with workdirs.locked(tmp_path / "new" / "run"):
    assert (tmp_path / "new" / "run").is_dir()
  assert "has no locks: see to it that no other" in capsys.readouterr().err
