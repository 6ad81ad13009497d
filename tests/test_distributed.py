"""What processes tell each other, with threads in place of processes."""

import threading
import types

import pytest

from vggjax import distributed
from vggjax.distributed import SharedError
from vggjax.errors import InputError
from vggjax.tasks import processes


class Service:
  """A coordination service in memory."""

  def __init__(self):
    self._values = {}
    self._changed = threading.Condition()

  def key_value_set(self, key, value):
    with self._changed:
      assert key not in self._values
      self._values[key] = value
      self._changed.notify_all()

  def blocking_key_value_get(self, key, milliseconds):
    with self._changed:
      assert self._changed.wait_for(lambda: key in self._values, 10)
      return self._values[key]


class Turns(threading.local):
  """Counts for each thread."""

  turn = -1

  def __next__(self):
    self.turn += 1
    return self.turn


@pytest.fixture
def together(monkeypatch):
  """Calls a function of the index in three processes; what each gives."""
  here = threading.local()
  monkeypatch.setattr(distributed, "count", lambda: 3)
  monkeypatch.setattr(distributed, "index", lambda: here.index)
  monkeypatch.setattr(distributed, "_turns", Turns())

  def call(function):
    results, service = [None] * 3, Service()
    monkeypatch.setattr(distributed, "client", lambda: service)

    def run(index):
      here.index = index
      try:
        results[index] = function(index)
      except Exception as error:
        results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    return results

  return call


def test_one_process_has_itself_alone():
  assert (distributed.count(), distributed.index()) == (1, 0)
  assert distributed.is_chief()
  assert distributed.gather({"a": (1,)}) == [{"a": (1,)}]
  distributed.agree({"a": 1})
  assert distributed.chief_first(lambda: "once") == "once"
  with pytest.raises(InputError, match="as it is"), distributed.together():
    raise InputError("as it is")
  processes.refuse_several("nothing")


def test_gather_keeps_the_order_and_every_digit(together):
  values = [0.1 + 0.2, 1e300, -0.0]

  def twice(index):
    return distributed.gather(values[index]), distributed.gather(index)

  assert together(twice) == [(values, [0, 1, 2])] * 3


def test_who_differs_is_named(together):
  def compare(index):
    distributed.agree({"batch_size": 16, "network": "A"})
    distributed.agree({"batch_size": 32 if index == 2 else 16})

  errors = together(compare)
  assert all(isinstance(error, SharedError) for error in errors)
  assert {str(error) for error in errors} == {
    "process 2 of 3 differs: batch_size 32 there, 16 in process 0; all need "
    "the same arguments and data"
  }


def test_the_error_of_one_is_that_of_all(together):
  def read(index):
    with distributed.together():
      if index == 1:
        raise InputError("photos is missing")

  errors = together(read)
  assert [str(e) for e in errors] == ["process 1 of 3: photos is missing"] * 3
  assert all(isinstance(error, SharedError) for error in errors)


def test_the_same_error_of_all_is_told_once(together):
  def parse(index):
    try:
      with distributed.together():
        raise InputError("batch_size is 0")
    except InputError as error:
      return str(error), distributed.tells(error)

  assert together(parse) == [("batch_size is 0", i == 0) for i in range(3)]


def test_an_error_of_one_alone_is_told_by_it(together):
  error = InputError("unreadable")
  assert together(lambda index: distributed.tells(error)) == [True] * 3


def test_the_chief_goes_first(together):
  order = []

  def prepare(index):
    return distributed.chief_first(lambda: order.append(index) or index)

  assert together(prepare) == [0, 1, 2]
  assert order[0] == 0
  assert sorted(order) == [0, 1, 2]


def test_tasks_for_one_process_say_so(together):
  errors = together(lambda index: processes.refuse_several("transfer"))
  assert "transfer runs in one process, this is one of 3" in str(errors[2])


def test_a_workdir_is_shared(together, tmp_path, monkeypatch):
  def check(index):
    processes.check_workdir(tmp_path / "run")

  assert together(check) == [None] * 3
  assert list((tmp_path / "run").iterdir()) == []
  monkeypatch.setattr(processes, "PATIENCE", 0.0)

  def apart(index):
    processes.check_workdir(tmp_path / str(index // 2))

  errors = together(apart)
  assert "process 2 of 3: workdir" in str(errors[0])
  assert "a file system that all processes share" in str(errors[1])


def test_data_sets_are_compared(together):
  def compare(index):
    source = types.SimpleNamespace(
      num_examples=9 + (index == 1), fingerprint="f" * 64
    )
    processes.agree_on_data(training=source, validation=None)

  assert "number of training images 10 there, 9 in process 0" in str(
    together(compare)[0]
  )


def test_another_topology_is_said(capsys):
  before = {"processes": 2, "devices": 8}
  now = processes.topology([None])
  processes.note_topology({"topology": before}, [None])
  processes.note_topology({"topology": now}, [None])
  processes.note_topology({}, [None])  # Saved by an older version.
  assert capsys.readouterr().err == (
    "vggjax: saved with 2 processes, 8 devices, goes on with 1 process, 1 "
    "device; the same up to rounding\n"
  )
