"""Killed, stopped and started again: the end is that of an undisturbed run.

A short version of soak/kills.py.
"""

import tiny
from soak import kills


def test_a_run_killed_and_stopped_ends_as_one_undisturbed(tmp_path):
  photos = tiny.photo_folder(tmp_path / "photos", train=64)
  hits = kills.survive(
    tmp_path,
    3,
    {"step": 0.05, "save": 0.0, "stop": 0.0},
    seed=0,
    source=f"folder:{photos}",
    splits=("train", "validation", "test"),
    tasks=("train",),
  )
  assert sum(hits.values()) == 3
  assert hits["stop"] == 1
