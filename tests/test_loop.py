"""The loop: resuming, the plateau schedule, stopping on non-finite numbers."""

import json

import numpy as np
import pytest
import tiny

from vggjax import parallel
from vggjax.checkpoint import Checkpoints, load_run
from vggjax.errors import InputError, NonFiniteError
from vggjax.train import log, loop

STEPS_PER_EPOCH = 3
DATA = tiny.batches(12)


def train(
  workdir,
  num_steps=9,
  data=DATA,
  stop_after=None,
  should_stop=lambda step: False,
  **plan,
):
  """Trains; with `stop_after` the batches end as if the process had died."""
  state = tiny.state()
  devices = parallel.select_devices(2)
  plan = loop.Plan(
    steps_per_epoch=STEPS_PER_EPOCH,
    num_steps=num_steps,
    **{"checkpoint_every": 2, "learning_rate": 0.01, **plan},
  )

  def train_batches(first_step):
    yield from data[first_step:stop_after]
    raise InterruptedError

  def validation_batches():
    batch = {k: DATA[0][k] for k in ("image", "label")}
    yield {**batch, "mask": np.ones(16, np.float32)}

  with Checkpoints(workdir, keep=2) as checkpoints:
    if steps := checkpoints.steps():
      state = loop.restore(checkpoints, state, steps[-1])
    with log.Log(
      workdir,
      first_step=int(state.step),
      num_steps=num_steps,
      every=1,
      batch_size=16,
      progress=False,
    ) as writer:
      return loop.train(
        state,
        plan=plan,
        train_batches=train_batches,
        validation_batches=validation_batches,
        checkpoints=checkpoints,
        card={"mean": [1.0, 2.0, 3.0]},
        log=writer,
        devices=devices,
        should_stop=should_stop,
      )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("undisturbed")
  plan = {"patience": 1, "min_improvement": 100.0}
  return workdir, train(workdir, **plan), plan


def test_a_stopped_run_ends_as_one_never_stopped(tmp_path, undisturbed):
  _, wanted, plan = undisturbed
  for stop_after in (5, 7):
    with pytest.raises(InterruptedError):
      train(tmp_path, stop_after=stop_after, **plan)
  found = train(tmp_path, **plan)
  tiny.assert_identical(found, wanted)


def test_the_same_twice_gives_the_same_bits(tmp_path, undisturbed):
  _, wanted, plan = undisturbed
  tiny.assert_identical(train(tmp_path, **plan), wanted)


def test_asked_to_stop_it_saves_after_the_step(tmp_path, undisturbed):
  _, wanted, plan = undisturbed
  stopped = train(tmp_path, should_stop=lambda step: step == 5, **plan)
  assert stopped.step == 5
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps()[-1] == 5
  tiny.assert_identical(train(tmp_path, **plan), wanted)


def test_the_metrics_of_a_resumed_run_stand_once(tmp_path, undisturbed):
  workdir, _, plan = undisturbed
  with pytest.raises(InterruptedError):
    train(tmp_path, stop_after=5, **plan)
  with (tmp_path / log.METRICS_FILE).open("a") as file:
    file.write('{"kind": "train", "step": 5, "lo')  # A torn line.
  train(tmp_path, **plan)

  def values(folder):
    return [
      {k: v for k, v in record.items() if k != "images_per_second"}
      for record in log.read_metrics(folder)
    ]

  assert values(tmp_path) == values(workdir)
  steps = [r["step"] for r in values(workdir) if r["kind"] == "train"]
  assert steps == list(range(1, 10))


def test_the_plateau_divides_the_rate_by_ten(undisturbed):
  workdir, final, _ = undisturbed
  records = [r for r in log.read_metrics(workdir) if r["kind"] == "train"]
  rates = [record["learning_rate"] for record in records]
  # Nothing improves by 100 points but the first epoch, against infinity.
  np.testing.assert_allclose(rates, [1e-2] * 6 + [1e-3] * 3, rtol=1e-6)
  assert int(final.plateau.drops) == 2
  rate = final.opt_state.hyperparams["learning_rate"]
  assert float(rate) == pytest.approx(1e-4)


def test_a_partial_last_epoch_leaves_the_schedule_alone(tmp_path, undisturbed):
  """So that a run may be made longer without changing what it has done."""
  _, wanted, plan = undisturbed
  short = train(tmp_path, num_steps=4, **plan)
  assert short.plateau.epochs_since_best == 0
  tiny.assert_identical(train(tmp_path, **plan), wanted)


def test_newest_and_best_checkpoints_are_kept(undisturbed):
  workdir, final, _ = undisturbed
  records = [r for r in log.read_metrics(workdir) if r["kind"] == "validation"]
  best = min(records, key=lambda r: r["top1_error"])["step"]
  with Checkpoints(workdir, read_only=True) as checkpoints:
    assert checkpoints.steps() == sorted({best, 8, 9})
    assert checkpoints.best_step() == best
  params, card, step = load_run(workdir, "last")
  assert (card, step) == ({"mean": [1.0, 2.0, 3.0]}, 9)
  tiny.assert_identical(params, final.params)
  assert load_run(workdir)[2] == best
  assert load_run(workdir, "8")[2] == 8


def test_a_non_finite_loss_stops_and_keeps_the_good_checkpoint(tmp_path):
  bad = [dict(batch) for batch in DATA]
  bad[4]["shift"] = np.full_like(bad[4]["shift"], np.nan)
  with pytest.raises(NonFiniteError, match="the loss is nan at step 5"):
    train(tmp_path, data=bad, checkpoint_every=1)
  params, _, step = load_run(tmp_path, "last")
  assert step == 4
  assert all(np.isfinite(a["kernel"]).all() for a in params.values())


def test_loading_what_is_not_there_names_it(tmp_path, undisturbed):
  with pytest.raises(InputError, match="holds no training run"):
    load_run(tmp_path / "nowhere")
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(InputError, match="no complete checkpoint"):
    load_run(tmp_path)
  with pytest.raises(InputError, match="'7' is not best, last or one of"):
    load_run(undisturbed[0], "7")


def test_tensorboard_files_hold_the_scalars(undisturbed):
  [file] = (undisturbed[0] / "tensorboard").glob("events*")
  content = file.read_bytes()
  for tag in (b"train/loss", b"train/learning_rate", b"validation/top1_error"):
    assert tag in content


def test_metrics_are_json_lines_with_units_known(undisturbed):
  lines = (undisturbed[0] / log.METRICS_FILE).read_text().splitlines()
  first = json.loads(lines[0])
  assert first["kind"] == "train"
  assert 0 <= first["top1_error"] <= 100
  assert first["images_per_second"] > 0
