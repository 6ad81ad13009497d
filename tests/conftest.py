"""Eight simulated CPU devices, and the real images where they are."""

import gc
import os
import shutil
import tempfile
from importlib import metadata

os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
# Programs compile in two thirds of the time, as they did before XLA had these.
# Another version may not know the flag, and ends the process then.
if metadata.version("jaxlib").startswith("0.10."):
  os.environ["XLA_FLAGS"] = (
    "--xla_cpu_use_fusion_emitters=false " + os.environ["XLA_FLAGS"]
  )
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests share what they compile with each other, and with nothing else.
if "PYTEST_XDIST_WORKER" not in os.environ:
  os.environ |= {
    "JAX_ENABLE_COMPILATION_CACHE": "true",
    "JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(prefix="vggjax-tests-"),
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }

from pathlib import Path

import gcs_server
import hypothesis
import jax
import pytest
import saved_run

from vggjax import startup

# How long a case takes is the machine's affair.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
gc.set_threshold(startup.OBJECTS, 20, 20)
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_unconfigure():
  if "PYTEST_XDIST_WORKER" not in os.environ:
    shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def quick_garbage_collection():
  """What earlier tests left, some million objects, is not looked at again."""
  gc.collect()
  gc.freeze()


@pytest.fixture(scope="session")
def clothing():
  """The folder of the clothing photographs; skips where it is missing."""
  return _real("clothing144")


@pytest.fixture(scope="session")
def imagenet_images():
  """The folder of 128 ImageNet validation images; skips where it is missing."""
  return _real("ilsvrc2012_val128")


def _real(name: str) -> Path:
  path = REAL_DATA / name
  if not path.is_dir():
    pytest.skip(f"{name} is not on this machine")
  return path


@pytest.fixture
def quick_compile():
  """Programs that XLA optimizes little: compiling takes a test's time."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
  """The photos of `saved`; tests change copies."""
  return saved_run.photo_folder(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def saved(photos, tmp_path_factory):
  """A run without posteriors; tests work on copies."""
  return saved_run.save_run(tmp_path_factory.mktemp("runs") / "A-256", photos)


@pytest.fixture(scope="session")
def gcs():
  """One for all tests, as its clients keep its address."""
  with gcs_server.serving("bucket") as found, pytest.MonkeyPatch.context() as m:
    m.setenv("STORAGE_EMULATOR_HOST", found[1])
    m.setenv("TENSORSTORE_GCS_HTTP_URL", found[1])
    yield found[0]


@pytest.fixture
def bucket(gcs, tmp_path, monkeypatch):
  """The store, empty."""
  gcs.objects.clear()
  gcs.failing = 0
  monkeypatch.setenv("VGGJAX_CACHE", str(tmp_path / "cache"))
  return gcs
