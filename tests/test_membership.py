"""How a process learns that it is one of several."""

import pytest

from vggjax import main, membership
from vggjax.errors import InputError

ADDRESS = "--coordinator=here:8476"


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
  for name in ("SLURM_STEP_NODELIST", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.delenv("TPU_WORKER_HOSTNAMES", raising=False)


def test_options_are_taken_from_the_arguments():
  options, rest = membership.split_options(
    [
      "--config=a.py",
      ADDRESS,
      "--num_processes=2",
      "--process_id=1",
      "--workdir=w",
    ]
  )
  assert rest == ["--config=a.py", "--workdir=w"]
  assert (options.coordinator, options.num_processes) == ("here:8476", 2)
  assert (options.process_id, options.cluster) == (1, None)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--num_processes=2", "--process_id=0"], "go together"),
    ([ADDRESS, "--num_processes=2"], "go together"),
    ([ADDRESS], "needs --num_processes and --process_id"),
    ([ADDRESS, "--num_processes=2", "--process_id=2"], r"in \[0, 2\)"),
    (["--num_processes=two"], "invalid int value: 'two'"),
  ],
)
def test_bad_options_are_named(arguments, message, capsys):
  with pytest.raises(InputError, match=message):
    membership.split_options(arguments)
  assert main.main(arguments) == main.BAD_INPUT
  assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
  ("environment", "found"),
  [
    ({}, False),
    ({"SLURM_STEP_NODELIST": "a[1-2]", "SLURM_NTASKS": "2"}, True),
    ({"SLURM_STEP_NODELIST": "a1", "SLURM_NTASKS": "1"}, False),
    ({"SLURM_NTASKS": "8"}, False),  # In a batch script, outside of srun.
    ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
    ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ({"TPU_WORKER_HOSTNAMES": "w-0,w-1"}, True),
  ],
)
def test_schedulers_are_recognized(monkeypatch, environment, found):
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  assert membership.found_cluster() == found


def test_one_process_joins_nothing(monkeypatch):
  monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
  options, _ = membership.split_options(["--cluster=none"])
  membership.join(options)
  monkeypatch.delenv("OMPI_COMM_WORLD_SIZE")
  membership.join(membership.split_options([])[0])
  assert membership.run(lambda: 3) == 3


def test_what_jax_cannot_join_is_one_line(capsys):
  assert main.main(["--cluster=nowhere"]) == main.BAD_INPUT
  [line] = capsys.readouterr().err.splitlines()[-1:]
  assert line.startswith("vggjax: cannot join the other processes: ")
  assert "--cluster=none for one process" in line


def test_an_error_with_one_process_is_as_it_was():
  with pytest.raises(ZeroDivisionError), membership.ending_when_lost():
    membership.run(lambda: 1 // 0)
