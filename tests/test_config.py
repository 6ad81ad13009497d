"""Reading configs: overrides, ranges, and what a user may get wrong."""

import pytest

from vggjax import config as configuration
from vggjax.configs import base, classification, localization, quickstart
from vggjax.errors import InputError
from vggjax.tasks import train

MINI = "--config=configs/classification.py:A-256,mini"
WORKDIR = "--workdir=runs/A-256"


def parse(*arguments, config=MINI, workdir=WORKDIR):
  return configuration.parse_arguments([config, *arguments, workdir])[0]


def test_every_run_of_every_profile_is_allowed():
  for run in classification.RUNS:
    for profile in classification.PROFILES:
      for file in ("classification", "evaluation"):
        config = f"--config=configs/{file}.py:{run},{profile}"
        parsed = parse(config=config)
        assert parsed.run == run
        assert parsed.task == {"classification": "train"}.get(file, "evaluate")


def test_localization_runs_start_from_classification_of_the_same_scale():
  for run, (source, objective, layers) in localization.RUNS.items():
    for profile in classification.PROFILES:
      config = parse(config=f"--config=configs/localization.py:{run},{profile}")
      begun = classification.get_config(f"{source},{profile}")
      assert config.train_scale == begun.train_scale
      assert config.crop_size == begun.crop_size
      assert (config.run, config.objective) == (run, objective)
      assert (config.init_from, config.init_layers) == (source, "body")
      assert config.train_layers == layers
      assert config.task == "train"
    config = f"--config=configs/localization.py:{run},mini,evaluate"
    assert parse(config=config).task == "evaluate"
  paper = localization.get_config("D-384-pcr")
  assert paper.learning_rate == 1e-3
  assert paper.dataset.source == "ilsvrc2012_loc"
  for bad, message in (
    ("D-128-pcr", "run 'D-128-pcr' is not one of D-256-pcr"),
    ("D-256-pcr,huge", "profile 'huge' is not one of"),
    ("D-256-pcr,mini,fly", "task 'fly' is not one of train, evaluate"),
  ):
    with pytest.raises(InputError, match=message):
      localization.get_config(bad)


def test_older_configs_have_the_new_keys_defaults():
  config = parse()
  saved = configuration.flatten(config)
  del saved["objective"], saved["dataset.boxes"]
  assert train.differing_keys(config, saved) == []
  config.objective = "pcr"
  [text] = train.differing_keys(config, saved)
  assert text == "objective 'classes' there, 'pcr' here"


def test_the_papers_settings_are_the_defaults():
  config = classification.get_config("D-256-512")
  wanted = {
    "network": "D",
    "width": 1.0,
    "crop_size": 224,
    "train_scale": (256, 512),
    "batch_size": 256,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "dropout_rate": 0.5,
    "learning_rate": 1e-3,
    "num_epochs": 74,
    "initializer": "normal",
    "init_std": 0.01,
    "init_from": "D-384",
    "init_layers": "all",
    "pool": "ceil",
    "color_shift_std": 0.1,
  }
  assert {key: config[key] for key in wanted} == wanted
  assert classification.get_config("D-256").init_layers == "paper"
  assert classification.get_config("D-256-512-fc").train_layers == "fc"


def test_stages_start_from_runs_that_exist():
  for _, _, source, _ in classification.RUNS.values():
    assert source is None or source in classification.RUNS


STAGES = {
  "random": {"A-256", "A-LRN-256", "B-shallow-256"},
  "warm": {"B-256", "C-256", "D-256", "E-256"},
  "384": {"C-384", "D-384", "E-384"},
  "256-512": {"C-256-512", "D-256-512", "D-256-512-fc", "E-256-512"},
}


def test_every_run_has_the_steps_of_its_stage():
  assert set(STAGES) == set(classification.MINI_STEPS)
  assert set.union(*STAGES.values()) == set(classification.RUNS)
  for stage, runs in STAGES.items():
    steps, boundaries = classification.MINI_STEPS[stage]
    for run in runs:
      assert classification.stage_of(run) == stage
      config = classification.get_config(f"{run},mini")
      assert (config.schedule, config.num_epochs) == ("fixed", 0)
      assert (config.num_steps, config.boundaries) == (steps, boundaries)
    # Every drop of the rate has steps after it.
    assert boundaries[0] > 0
    assert boundaries[-1] < steps


def test_mini_scales_are_the_papers_by_64_over_224():
  for run, scales in (("A-256", (73, 73)), ("D-384", (110, 110))):
    assert classification.get_config(f"{run},mini").train_scale == scales
  assert classification.get_config("D-256-512,mini").train_scale == (73, 146)


def test_overrides_reach_the_config():
  config = parse(
    "--config.dataset.source=folder:photos",
    "--config.test_scales=(64,73,82)",
    "--config.learning_rate=0.5",
    "--config.mirror=False",
  )
  assert config.dataset.source == "folder:photos"
  assert config.test_scales == (64, 73, 82)
  assert (config.learning_rate, config.mirror) == (0.5, False)
  assert configuration.default_test_scales(config) == (64, 73, 82)
  assert configuration.default_test_scales(parse()) == (73,)
  jittered = parse(config="--config=configs/evaluation.py:D-256-512")
  assert configuration.default_test_scales(jittered) == (384,)


def test_a_packaged_config_is_found_by_its_name():
  assert parse(config="--config=quickstart.py").run == "quickstart"
  assert quickstart.get_config("evaluate").task == "evaluate"


@pytest.mark.parametrize(
  ("override", "message"),
  [
    ("learing_rate=1", "no config key learing_rate; did you mean learning_rat"),
    ("dataset.sorce=x", "no config key dataset.sorce; did you mean dataset.so"),
    ("zzz=1", "no config key zzz; configs/base.py has all"),
    ("learning_rate=abc", "learning_rate=abc: could not convert"),
    ("batch_size=2.5", "batch_size=2.5: invalid literal"),
    ("batch_size=0", "batch_size is 0; it must be at least 1"),
    ("network=F", "network is 'F'; it must be one of A, A-LRN"),
    ("width=0", r"width is 0.0; it must be in \[1/64, 4\]"),
    ("crop_size=60", "crop_size is 60; it must be a multiple of 32"),
    ("pool=flor", "pool is 'flor'; it must be one of ceil, floor"),
    ("dropout_rate=1", r"dropout_rate is 1.0; it must be in \[0, 1\)"),
    ("learning_rate=nan", "learning_rate is nan; it must be above 0"),
    ("train_scale=(60,73)", "smaller than crop_size 64"),
    ("train_scale=(90,73)", r"it must be \(S_min, S_max\)"),
    ("test_scales=(64,32)", "test_scales holds 32, smaller than crop_size"),
    ("boundaries=(20,10)", "boundaries is .* rising steps"),
    ("schedule=cosine", "schedule is 'cosine'; it must be one of plateau"),
    ("spatial=max", "spatial is 'max'; it must be one of scores"),
    ("dataset.source=", "dataset.source is empty"),
    ("protocol=crops", "protocol is 'crops'; it must be one of dense, multi"),
    ("num_epochs=5", "num_epochs is 5 and num_steps is 2400; the run's length"),
    ("num_steps=0", "num_epochs is 0 and num_steps is 0; the run's length is"),
    ("num_steps=-1", "num_steps is -1; it must be at least 0"),
    ("dataset.on_error=ignore", "one of raise, skip"),
  ],
)
def test_bad_values_are_refused_in_one_line(override, message):
  with pytest.raises(InputError, match=message) as error:
    parse(f"--config.{override}")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (["dataset.validation_split=", "schedule=plateau"], "plateau watches"),
    (["num_epochs=3", "num_steps=7"], "num_epochs is 3 and num_steps is 7"),
  ],
)
def test_bad_pairs_are_refused_in_one_line(overrides, message):
  with pytest.raises(InputError, match=message) as error:
    parse(*(f"--config.{override}" for override in overrides))
  assert "\n" not in str(error.value)


def test_the_runs_length_is_in_epochs_or_in_steps():
  steps = parse("--config.num_steps=7")
  assert train.make_plan(steps, 1000).num_steps == 7
  assert train.make_plan(steps, 2000).num_steps == 7
  epochs = parse("--config.num_steps=0", "--config.num_epochs=3")
  # 15 batches of 64 in an epoch; what is left over is dropped.
  assert train.make_plan(epochs, 1000).num_steps == 45
  assert train.make_plan(epochs, 1000).steps_per_epoch == 15
  paper = classification.get_config("A-256")
  assert train.make_plan(paper, 1_281_167).num_steps == 74 * 5004


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([WORKDIR], "--config=FILE is missing"),
    ([MINI], "--workdir=DIR is missing"),
    ([MINI, WORKDIR, "extra"], "unexpected argument 'extra'"),
    ([MINI, WORKDIR, "--wrkdir=x"], "wrkdir.*Did you mean: workdir"),
    (["--config=nowhere.py", WORKDIR], "nowhere.py is missing; the package's"),
    (["--config=classification.py:Z-256", WORKDIR], "run 'Z-256' is not one"),
    (["--config=classification.py:A-256,maxi", WORKDIR], "profile 'maxi' is"),
    (["--config=quickstart.py:test", WORKDIR], "quickstart 'test' is not"),
    (["--config.seed=1", MINI, WORKDIR], "before a value for --config"),
  ],
)
def test_bad_command_lines_are_refused_in_one_line(arguments, message):
  with pytest.raises(InputError, match=message) as error:
    configuration.parse_arguments(arguments)
  assert "\n" not in str(error.value)


def test_every_key_of_the_base_is_read_somewhere():
  """No option that nothing reads."""
  root = configuration.PACKAGED.resolve().parent / "vggjax"
  code = "".join(path.read_text() for path in root.rglob("*.py"))
  code = code.replace((root / "config.py").read_text(), "")
  code += (root / "config.py").read_text().split("def check(")[1]
  loops = ("network", "width", "crop_size", "pool", "lrn")
  for key in configuration.flatten(base.get_config()):
    name = key.split(".")[-1]
    is_read = any(
      f"{at}.{name}" in code for at in ("config", "dataset", "transfer")
    )
    assert is_read or name in loops, f"nothing reads {key}"


def test_a_saved_config_reads_back_the_same(tmp_path):
  config = parse("--config.test_scales=(64,73,82)")
  configuration.save_config(config, tmp_path / "config.json")
  saved = configuration.load_config(tmp_path / "config.json")
  assert saved == configuration.flatten(config)
