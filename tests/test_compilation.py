"""Programs kept on disk, in processes of their own."""

import os
import subprocess
import sys

import pytest

CODE = """
import jax, jax.numpy as jnp
from vggjax.compilation import keep_programs
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
keep_programs()
print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))[0, 0])
print(hits.count("/jax/compilation_cache/cache_hits"))
"""


def run(folder, **more):
  """The value computed, and how many programs were found."""
  environment = {
    **{k: v for k, v in os.environ.items() if not k.startswith("JAX_")},
    "VGGJAX_CACHE": str(folder / "cache"),
    "JAX_ENABLE_COMPILATION_CACHE": "true",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    **more,
  }
  done = subprocess.run(
    [sys.executable, "-c", CODE],
    env=environment,
    capture_output=True,
    text=True,
    check=True,
  )
  value, hits = done.stdout.split()
  return value, int(hits)


def test_the_second_process_finds_them(tmp_path):
  value, hits = run(tmp_path)
  assert hits == 0
  kept = list((tmp_path / "cache" / "programs").glob("*-cache"))
  assert kept
  again, hits = run(tmp_path)
  assert (again, hits > 0) == (value, True)
  # One that was cut off is compiled again.
  for path in kept:
    os.truncate(path, 10)
  again, hits = run(tmp_path)
  assert again == value


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("JAX_ENABLE_COMPILATION_CACHE", "false"),
    ("JAX_COMPILATION_CACHE_DIR", "elsewhere"),
    ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "60"),
  ],
)
def test_jaxs_own_settings_go_before(tmp_path, name, value):
  if value == "elsewhere":
    value = str(tmp_path / value)
  run(tmp_path, **{name: value})
  assert not list((tmp_path / "cache").rglob("*-cache"))
  assert (tmp_path / "elsewhere").exists() == name.endswith("DIR")
