"""The examples of the documents run, with tiny networks in D's place."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch_nets
from pictures import picture
from PIL import Image

import vggjax
from vggjax import membership
from vggjax.config import parse_arguments
from vggjax.weights.weights import Weights

pytestmark = pytest.mark.usefixtures("quick_compile")
TEXT = (Path(__file__).parents[1] / "docs" / "weights.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where the examples' files are."""
  root = tmp_path_factory.mktemp("docs")
  options = {"width": 1 / 32, "num_outputs": 5}
  model = vggjax.create_model("D", **options)
  params = torch_nets.random_params(model)
  weights = Weights("D", params, (124.0, 117.0, 104.0), **options)
  vggjax.save_weights(root / "vgg16.safetensors", weights)
  vggjax.save_weights(root / "dense.stablehlo", weights, format="stablehlo")
  Image.fromarray(picture(60, 90, seed=0)).save(root / "cat.jpg")
  return root


def test_there_are_examples():
  assert len(EXAMPLES) == 6


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs(folder, tmp_path, monkeypatch, number):
  monkeypatch.chdir(shutil.copytree(folder, tmp_path / "work"))
  names = {}
  exec(compile(EXAMPLES[number], f"example {number}", "exec"), names)
  shapes = {
    "posteriors": (1, 5),
    "features": (1, 128),
    "score_map": (1, 2, 4, 5),
    "pool5": (2, 7, 7, 16),
    "gradient": (1, 64, 96, 3),
  }
  for name, shape in shapes.items():
    if name in names:
      assert names[name].shape == shape
      assert name == "score_map" or float(abs(names[name]).max()) > 0
  assert set(names) & {*shapes, "weights"}


PODS = (Path(__file__).parents[1] / "docs" / "pods.md").read_text()


@pytest.mark.parametrize(
  "script", re.findall(r"```sh\n(.*?)```", PODS, re.DOTALL)
)
def test_scripts_for_pods_are_sound(script, tmp_path):
  path = tmp_path / "script.sh"
  path.write_text(script if script[:2] == "#!" else f"#!/bin/bash\n{script}")
  subprocess.run(["bash", "-n", path], check=True)
  if shutil.which("shellcheck"):
    subprocess.run(["shellcheck", path], check=True)


def test_the_arguments_of_the_jobset_are_those_of_a_process():
  [jobset] = re.findall(r"```yaml\n(.*?)```", PODS, re.DOTALL)
  arguments = re.findall(r"^ +- (--\S+)$", jobset, re.MULTILINE)
  arguments = [a.replace("$(JOB_COMPLETION_INDEX)", "3") for a in arguments]
  options, rest = membership.split_options(arguments)
  assert options.coordinator == "vgg-workers-0-0.vgg:8476"
  assert (options.num_processes, options.process_id) == (4, 3)
  config, workdir = parse_arguments(rest)
  assert (config.network, workdir) == ("D", "/shared/runs/D-256")


def test_the_example_of_features(saved, tmp_path, monkeypatch):
  text = (Path(__file__).parents[1] / "docs" / "features.md").read_text()
  [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  (tmp_path / "runs").mkdir()
  shutil.copytree(saved, tmp_path / "runs" / "A-256")
  for number, name in enumerate("ab"):
    image = picture(60, 90, seed=number)
    Image.fromarray(image).save(tmp_path / f"{name}.jpg")
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(compile(example, "docs/features.md", "exec"), names)
  assert names["classifier"].predict(["b.jpg", "a.jpg"]).tolist() == [
    "dog",
    "cat",
  ]
