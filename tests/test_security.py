"""What the code never does with what it reads, and bounds of what it needs."""

import ast
import importlib.util
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vggjax import config as configuration
from vggjax.errors import InputError

ROOT = Path(__file__).parents[1]
FILES = sorted(
  path
  for folder in ("vggjax", "configs", "experiments", "benchmarks")
  for path in (ROOT / folder).rglob("*.py")
)
# Functions that run code, or hand a text to a shell.
FORBIDDEN = {
  *("eval", "exec", "compile", "__import__", "execfile"),
  *("os.system", "os.popen", "subprocess.getoutput"),
  *("subprocess.getstatusoutput", "pickle.load", "pickle.loads"),
  *("marshal.load", "marshal.loads", "shelve.open", "yaml.load"),
  *("dill.load", "joblib.load", "numpy.load_pickle"),
}


def calls(tree):
  for node in ast.walk(tree):
    if isinstance(node, ast.Call):
      yield ast.unparse(node.func), {k.arg: k.value for k in node.keywords}


def faults(text):
  """What a source file must not do."""
  for name, keywords in calls(ast.parse(text)):
    if name in FORBIDDEN:
      yield name
    if "shell" in keywords:
      yield f"{name}(shell=...)"
    if (
      ast.unparse(keywords.get("allow_pickle", ast.Constant(False))) != "False"
    ):
      yield f"{name}(allow_pickle=...)"
    if name == "torch.load":
      only = keywords.get("weights_only")
      if not (isinstance(only, ast.Constant) and only.value is True):
        yield "torch.load without weights_only=True"


def test_no_code_from_files_and_no_shell():
  assert len(FILES) > 100
  found = {
    str(path): names
    for path in FILES
    if (names := list(faults(path.read_text())))
  }
  assert not found


@pytest.mark.parametrize(
  "text",
  [
    "eval(x)",
    "pickle.loads(x)",
    "subprocess.run(x, shell=True)",
    "np.load(x, allow_pickle=True)",
    "torch.load(x, weights_only=False)",
    "torch.load(x)",
    "os.system(x)",
  ],
)
def test_each_would_be_found(text):
  assert list(faults(text))


@pytest.mark.parametrize("key", ["train_scale", "batch_size", "boundaries"])
def test_values_are_literals(key, tmp_path, monkeypatch):
  victim = tmp_path / "victim"
  monkeypatch.setenv("VICTIM", str(victim))
  code = (
    "__import__('pathlib').Path(__import__('os').environ['VICTIM']).touch()"
  )
  for value in (code, f"({code}, 3)", f"[{code}]", "1+1", "(lambda: 3)()"):
    with pytest.raises(InputError) as error:
      configuration.parse_arguments(
        [
          "--config=classification.py:A-256",
          f"--config.{key}={value}",
          "--workdir=runs/x",
        ]
      )
    assert "\n" not in str(error.value)
  assert not victim.exists()


def test_every_dependency_has_bounds(monkeypatch):
  found = {}
  fake = SimpleNamespace(setup=found.update, find_packages=lambda **_: [])
  monkeypatch.setitem(sys.modules, "setuptools", fake)
  spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
  spec.loader.exec_module(importlib.util.module_from_spec(spec))
  groups = [found["install_requires"], *found["extras_require"].values()]
  for requirement in itertools.chain.from_iterable(groups):
    bounds = requirement.partition(";")[0]
    assert "==" in bounds or (">=" in bounds and ",<" in bounds), requirement
