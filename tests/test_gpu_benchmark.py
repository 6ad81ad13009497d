"""The benchmark on GPUs, in small and without one."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

pytest.importorskip("torch")

from benchmarks import _gpu_bench, _gpu_input, _gpu_profile, gpu
from benchmarks._gpu_bench import Case, DoesNotFitError, Result

ROOT = Path(__file__).parents[1]
# As on a machine that has JAX, Flax and torch alone.
MISSING = "tensorflow", "tensorflow_datasets", "ml_collections", "tensorboardX"


def run(*arguments):
  """What the command prints where those packages are missing."""
  blocked = f"sys.modules.update(dict.fromkeys({MISSING}))"
  code = (
    f"import sys; {blocked}; from benchmarks import gpu; sys.exit(gpu.main())"
  )
  environment = {
    **os.environ,
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": str(ROOT),
    "XLA_FLAGS": "",
  }
  done = subprocess.run(
    [sys.executable, "-c", code, *arguments],
    env=environment,
    cwd=ROOT,
    text=True,
    capture_output=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_tiny_without_tensorflow(tmp_path):
  path = tmp_path / "gpu.json"
  text = run(
    *("--tiny", "--eager", "--only=train,dense,profile,input"),
    *("--network=D", "--precision=bf16", f"--json={path}"),
  )
  rows = json.loads(path.read_text())["rows"]
  assert set(rows) == {
    "matrix product, bf16",
    "matrix product, tf32",
    "copy on the device",
    "train D, batch 8, bf16",
    "dense D, Q 36, bf16",
    "profile D, batch 8, bf16",
    "fed D, batch 8, bf16",
  }
  ours = rows["train D, batch 8, bf16"]
  ratio = ours["rate"] / ours["peers"]["torch"]
  assert text.splitlines()[-1] == f"ratio {ratio:.2f}"
  assert "the gradient of conv1_1 differs by" in text
  assert "| conv1_1 | backward |" in text
  assert "no tensorflow, tensorflow_datasets: computed from" in text


def test_without_a_gpu(capsys):
  assert gpu.main(["--only=train,multicrop"]) == 0
  text = capsys.readouterr().out
  assert text.splitlines()[-1] == "no GPU: not measured"
  assert "| train E, batch 256, tf32 | not measured |" in text
  assert "| dense" not in text


@pytest.mark.parametrize("option", ["--only=nothing", "--images=/nothing"])
def test_bad_options(option, capsys):
  with pytest.raises(SystemExit):
    gpu.main([option])
  assert "nothing" in capsys.readouterr().err


@pytest.fixture
def bench(monkeypatch):
  monkeypatch.setattr(gpu, "free_memory", lambda: None)
  return _gpu_bench.Bench(_gpu_bench.TINY, jax.devices(), "cpu", False)


def test_what_does_not_fit_or_fails_is_a_row(bench, capsys):
  def fail(error):
    def measure(_):
      raise error

    return measure

  cases = [
    Case("train", "large", fail(DoesNotFitError())),
    Case("train", "broken", fail(ValueError("why"))),
    Case("train", "good", lambda _: Result(2.0, peers={"torch": 1.0})),
  ]
  end = time.monotonic() + 60
  results, failed = gpu.measure_all(bench, cases, end)
  assert failed
  assert results["large"] == "does not fit"
  assert results["broken"] == "failed: ValueError"
  assert results["good"].ratio == 2
  assert "why" in capsys.readouterr().err
  results, failed = gpu.measure_all(bench, cases, 0.0)
  assert not failed
  assert set(results.values()) == {"not measured: no time left"}


def test_peers_that_do_not_fit(monkeypatch):
  monkeypatch.setattr(_gpu_bench, "free_memory", lambda: None)

  def large():
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  def wrong():
    raise RuntimeError("something else")

  def fine():
    return lambda: None

  seconds, left_out = _gpu_bench.time_peers({"ours": fine, "torch": large}, 1)
  assert set(seconds) == {"ours"}
  assert left_out == ["torch"]
  with pytest.raises(DoesNotFitError):
    _gpu_bench.time_peers({"ours": large, "torch": fine}, 1)
  with pytest.raises(RuntimeError, match="something else"):
    _gpu_bench.time_peers({"ours": fine, "torch": wrong}, 1)


def test_results_that_differ_are_an_error():
  _gpu_bench.check_close([1.0, 2.0], [1.0, 2.001], 0.01, "it")
  with pytest.raises(RuntimeError, match="it is not torch's"):
    _gpu_bench.check_close([1.0, 2.0], [1.0, 2.1], 0.01, "it")
  with pytest.raises(RuntimeError):
    _gpu_bench.check_close([float("nan")], [1.0], 0.01, "it")


def test_goals():
  case = Case("train", "x", lambda _: None, least_ratio=1.0, least_share=0.6)
  good = Result(3.0, flops=7.0, ceiling=10.0, peers={"a": 1.0, "b": 2.0})
  assert (good.ratio, good.share) == (1.5, 0.7)
  assert "| 3.0 images/s |" in gpu.table([case], {"x": good})
  assert "| ratio 1.0, 60 % | yes |" in gpu.table([case], {"x": good})
  slow = Result(3.0, flops=5.0, ceiling=10.0, peers={"a": 1.0})
  assert "| ratio 1.0, 60 % | no |" in gpu.table([case], {"x": slow})


def test_a_trace_of_a_gpu(tmp_path):
  """Of lines that sum up the streams nothing counts."""

  def thread(tid, name):
    args = {"name": name}
    return {"ph": "M", "name": "thread_name", "pid": 1, "tid": tid} | {
      "args": args
    }

  def event(tid, name, dur, **args):
    timed = {"ph": "X", "name": name, "dur": dur, "args": args}
    return timed | {"pid": 1, "tid": tid}

  events = [
    thread(1, "Stream #13(Compute)"),
    thread(2, "XLA Ops"),
    event(1, "kernel", 30.0, hlo_op="conv.1"),
    event(1, "kernel", 10.0, hlo_op="conv.1"),
    event(1, "MemcpyH2D", 5.0),
    event(2, "conv.1", 40.0, hlo_op="conv.1"),
  ]
  place = tmp_path / "plugins" / "a.trace.json.gz"
  place.parent.mkdir()
  with gzip.open(place, "wt") as file:
    json.dump({"traceEvents": events}, file)
  seconds = _gpu_profile.seconds_by_op(_gpu_profile.read_events(tmp_path))
  assert seconds == pytest.approx({"conv.1": 4e-5, "MemcpyH2D": 5e-6})


CONV = "jit(f)/transpose(jvp(VGG))/conv1_1/conv"
PROGRAM = f"""
%fused_computation.2 (p: f32[8]) -> f32[8] {{
  %a = f32[8] add(%p, %p), metadata={{op_name="jit(f)/add"}}
  ROOT %b = f32[8] max(%a, %p), metadata={{op_name="jit(f)/jvp(VGG)/fc6/max"}}
}}

ENTRY %main.9 (p: f32[8]) -> f32[8] {{
  %fusion.2 = f32[8] fusion(%p), kind=kLoop, calls=%fused_computation.2
  ROOT %conv.1 = f32[8] custom-call(%p), metadata={{op_name="{CONV}" id=1}}
}}
"""


def test_time_by_layer():
  sources = _gpu_profile.read_sources(PROGRAM)
  assert sources["fusion.2"] == "jit(f)/jvp(VGG)/fc6/max"
  seconds = {"fusion.2": 0.001, "conv.1": 0.003, "copy": 0.004}
  flops = {("conv1_1", "backward"): 6e9, ("fc6", "forward"): 2e9}
  text = _gpu_profile.layers_table(seconds, sources, flops, 4e12)
  assert "| conv1_1 | backward | 3.000 | 37.5 % | 75.0 % | 50 % |" in text
  assert "| fc6 | forward | 1.000 | 12.5 % | 25.0 % | 50 % |" in text
  assert "| none | unnamed | 4.000 | 50.0 % |" in text
  text = _gpu_profile.ops_table(seconds, sources)
  assert text.splitlines()[2].startswith("| copy |")


def test_the_cores_that_input_needs(monkeypatch):
  monkeypatch.setattr(_gpu_input, "core_count", lambda: 4)
  result = _gpu_input.estimate(1000.0, 100.0, ["tensorflow"])
  assert result.rate == 400
  assert "needs 10 cores of 4; would wait 60 % of the time" in result.note
  enough = _gpu_input.estimate(100.0, 100.0, [])
  assert "needs 1 cores of 4; would wait 0 % of the time" in enough.note
