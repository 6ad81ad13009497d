"""The package without TensorFlow, and what importing it costs."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vggjax

ROOT = Path(vggjax.__file__).parents[1]
# The first needs TensorFlow; configs are files for --config.
LEFT_OUT = ("vggjax.data", "vggjax.configs")


def modules():
  """All modules of the package but those left out."""
  found = ["vggjax"]
  for module in pkgutil.walk_packages(vggjax.__path__, "vggjax."):
    is_out = any(
      module.name == name or module.name.startswith(f"{name}.")
      for name in LEFT_OUT
    )
    if not is_out:
      found.append(module.name)
  return found


def run_python(code):
  """The last line that a fresh interpreter prints, as JSON."""
  result = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout.splitlines()[-1])


def test_the_package_imports_without_tensorflow():
  names = modules()
  for name in ("vggjax.models.vgg", "vggjax.evaluate.dense", "vggjax.main"):
    assert name in names
  code = f"""
import importlib, json, sys, traceback
sys.modules["tensorflow"] = None
sys.modules["tensorflow_datasets"] = None
failed = {{}}
for name in {names!r}:
  try:
    importlib.import_module(name)
  except BaseException:
    failed[name] = traceback.format_exc()
# The block works: what needs TensorFlow does not find it.
for name in ("tensorflow", "tensorflow_datasets"):
  try:
    importlib.import_module(name)
    failed[name] = "was not blocked"
  except ImportError:
    pass
print(json.dumps(failed))
"""
  failed = run_python(code)
  assert not failed, "\n".join(failed.values())


def test_import_vggjax_is_light():
  heavy = [
    "jax",
    "matplotlib",
    "orbax",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
  ]
  code = f"""
import json, sys
import vggjax, vggjax.__main__, vggjax.startup
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
  assert run_python(code) == []


def test_public_names():
  for name in vggjax.__all__:
    assert hasattr(vggjax, name), name
  assert {"NETWORKS", "create_model", "dense_posteriors"} <= set(vggjax.__all__)
  assert set(vggjax.__all__) <= set(dir(vggjax))
  with pytest.raises(AttributeError, match=r"'vggjax' has no attribute 'net'"):
    vggjax.net  # noqa: B018


def test_what_tools_read_of_the_public_names_is_what_is_imported():
  tree = ast.parse(Path(vggjax.__file__).read_text())
  found = {
    node.names[0].name: node.module
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom)
  }
  assert found == vggjax._MODULES


def test_training_starts_without_what_its_libraries_would_import(tmp_path):
  """TensorFlow's Keras, which is still found, and tensorboardX's torch."""
  code = f"""
import json, os, sys
from vggjax.train import log
import vggjax.data.pipeline
writer = log.Log({str(tmp_path)!r}, first_step=0, num_steps=1, every=1,
                 batch_size=1, progress=False)
writer.train(1, {{"loss": 1.0}})
writer.close()
loaded = [n for n in ("keras", "torch", "sklearn") if n in sys.modules]
import tensorflow as tf
print(json.dumps([
  loaded, "TF_USE_LEGACY_KERAS" in os.environ, "keras" in dir(tf),
  tf.keras.__name__
]))
"""
  loaded, is_set, is_there, name = run_python(code)
  assert (loaded, is_set, is_there) == ([], False, True)
  assert name == "keras._tf_keras.keras"
