"""The model of cost, by hand and beside what small networks take."""

import json

import pytest

import vggjax
from experiments import cost, cost_check, cost_model, imagenet_shapes
from experiments.cost_model import Line, Machine
from vggjax.models import parameters

D_MACS = 15_470_264_320


@pytest.mark.parametrize("network", ["A-LRN", "B-shallow", "C", "E"])
def test_macs_are_those_of_the_network(network):
  model = vggjax.create_model(network, width=1 / 4, crop_size=64)
  for size in ((64, 64), (75, 131)):
    found = cost_model.forward_macs(model, *size)
    assert found == parameters.count_macs(model, *size)


def test_d_has_the_papers_macs():
  assert cost_model.forward_macs(vggjax.create_model("D"), 224) == D_MACS


def test_fit_finds_a_line():
  line = cost_model.fit([(1e9, 0.12), (2e9, 0.22), (5e9, 0.52)])
  assert line.overhead == pytest.approx(0.02)
  assert line.per_mac == pytest.approx(1e-10)
  assert line.seconds(3e9) == pytest.approx(0.32)


def test_fit_of_one_point_or_of_a_negative_overhead():
  assert cost_model.fit([(2e9, 0.5)]).per_mac == pytest.approx(2.5e-10)
  line = cost_model.fit([(1e9, 0.1), (2e9, 0.4)])
  # Of 10 and 5 MACs a nanosecond: (10 + 5) / (10^2 + 5^2).
  assert line.overhead == 0
  assert line.per_mac == pytest.approx(0.12e-9)


def test_a_step_by_hand():
  line = Line(1e-12)
  machine = Machine(line, line, line, bandwidth=100e9)
  model = vggjax.create_model("D")
  one = 3 * 256 * D_MACS * 1e-12
  assert machine.step(model, 256, 1) == pytest.approx(one)
  # 138,357,544 floats, of which each of 8 devices sends 7/8 twice.
  average = 2 * 7 / 8 * 4 * 138_357_544 / 100e9
  assert machine.all_reduce(model, 8) == pytest.approx(average)
  assert machine.step(model, 256, 8) == pytest.approx(one / 8 + average)


def test_input_bounds_a_step():
  line = Line(1e-12)
  machine = Machine(line, line, line, input_rate=10.0)
  assert machine.step(vggjax.create_model("A"), 256, 1) == 25.6


def test_padding_of_dense_evaluation():
  model = vggjax.create_model("D")
  # 256 x 341 is padded to 256 x 352.
  needed, computed = cost_model.dense_macs(model, 256, [(375, 500)])
  assert needed == parameters.count_macs(model, 256, 341)
  assert computed == parameters.count_macs(model, 256, 352)
  both = cost_model.dense_macs(model, 256, [(375, 500), (500, 500)])
  other = cost_model.dense_macs(model, 256, [(500, 500)])
  assert both[0] == pytest.approx((needed + other[0]) / 2)


def test_a_run_by_hand():
  machine = cost_model.machine_of(1000.0, bandwidth=1e30)
  seconds = 74 * (1_281_167 // 256) * 256 / 1000
  assert cost.train_seconds(machine, "D-256", 1) == pytest.approx(seconds)
  on_four = cost.train_seconds(machine, "D-256", 4)
  assert on_four == pytest.approx(seconds / 4)
  fc = cost.train_seconds(machine, "D-256-512-fc", 1)
  assert fc == pytest.approx(seconds / 3)


def test_shapes_in_their_proportions():
  assert sum(imagenet_shapes.SHAPES.values()) == 128
  shapes = imagenet_shapes.common_shapes(82)
  common = {s: n for s, n in imagenet_shapes.SHAPES.items() if n > 1}
  assert {s: shapes.count(s) for s in common} == common
  assert len(imagenet_shapes.common_shapes(7)) == 7


def test_tables(capsys):
  options = ["--images_per_second=1000", "--basis=given", "--price=2"]
  assert cost.main([*options, "--devices", "1", "4", "--bandwidth=100"]) == 0
  text = capsys.readouterr().out
  assert "Basis: given; 100 GB/s between devices" in text
  hours = 74 * (1_281_167 // 256) * 256 / 1000 / 3600
  assert f"| train D-256 | {hours:,.1f} h |" in text
  assert "| 1 device | 256.0 ms | 0.0 ms | 1,000 | 1.00 |" in text
  # 64 ms and 2 * 3/4 * 553.4 MB at 100 GB/s.
  assert "| 4 devices | 72.3 ms | 8.3 ms | 3,541 | 3.54 |" in text
  assert "| Q = 512 |" in text


def test_measured_on_a_gpu(tmp_path, capsys):
  path = tmp_path / "gpu.json"
  rows = {
    "matrix product, bf16": {"rate": None},
    "train D, batch 128, bf16": {"rate": 4000.0},
    "train D, batch 256, bf16": {"rate": 4000.0},
    "train D, batch 128, tf32": {"rate": 1500.0},
    "train D, batch 256, bf16, 4 devices": {"rate": 15_000.0},
    "multi-crop D, Q 256, bf16": {"rate": 100.0},
  }
  path.write_text(json.dumps({"rows": rows}))
  machine = cost_model.read_measured(path, "bf16")
  model = vggjax.create_model("D")
  assert machine.step(model, 256, 1) == pytest.approx(256 / 4000)
  assert machine.multicrop_image(model) == pytest.approx(1 / 100)
  options = ["--basis=x", "--devices", "1", f"--measured={path}"]
  assert cost.main([*options, "--precision=tf32"]) == 0
  assert "| 1,500 |" in capsys.readouterr().out
  path.write_text('{"rows": {}}')
  with pytest.raises(SystemExit):
    cost.main(options)
  assert "has no training in bf16" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ([], "either --images_per_second or --measured"),
    (["--images_per_second=0", "--basis=x"], "must be above 0"),
    (["--images_per_second=9"], "--basis must say"),
    (["--images_per_second=9", "--basis=x"], "need --bandwidth"),
    (
      ["--images_per_second=9", "--basis=x", "--devices", "0"],
      "devices must be at least 1",
    ),
  ],
)
def test_bad_options(options, message, capsys):
  with pytest.raises(SystemExit):
    cost.main(options)
  assert message in capsys.readouterr().err


@pytest.mark.usefixtures("quick_compile")
def test_check_measures_and_predicts():
  points = [
    cost_check.Point("train", "A", 2, fitted=True),
    cost_check.Point("dense", "A", 2, 40, fitted=True),
    cost_check.Point("dense", "A", 1, 40),
  ]
  found = cost_check.measure(points, width=1 / 16, crop_size=32, repeats=1)
  assert [finding.point for finding in found] == points
  # What the line is fitted to, and half of its multiply-accumulates.
  assert found[1].predicted == pytest.approx(found[1].measured)
  assert found[2].predicted == pytest.approx(found[1].measured / 2)
  text = cost_check.markdown(found)
  assert "| dense | A | 1 | 40 |" in text
  assert "Errors of the 1 points not fitted" in text
