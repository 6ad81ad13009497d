"""A short budget of each fuzzer, and what they found before."""

import importlib

import pytest
from fuzz import annotations as fuzz_annotations
from fuzz import engine, images, overrides, tables, weights
from fuzz.mutate import mutated
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vggjax import config as configuration
from vggjax.errors import InputError


@pytest.mark.parametrize("target", [images, weights], ids=["images", "weights"])
def test_files_in_a_bounded_process(target):
  report = engine.run(target, runs=150, seed=3)
  assert not report.findings
  assert report.outcomes["refused"] > 30
  assert report.outcomes["read"] > 5


@pytest.mark.parametrize(
  "target",
  [overrides, fuzz_annotations, tables],
  ids=["overrides", "annotations", "tables"],
)
def test_texts(target):
  seeds = target.seeds()
  pool = [seeds[key] for key in sorted(seeds)]
  assert "refused" not in map(target.check, pool)
  outcomes = {
    target.check(mutated(pool, target.TOKENS, 0, number))
    for number in range(150)
  }
  assert outcomes == {"read", "refused"}


VALUES = st.one_of(
  st.text(max_size=40),
  st.integers().map(str),
  st.floats().map(str),
  st.lists(st.one_of(st.integers(), st.text(max_size=3))).map(tuple).map(repr),
  st.sampled_from(
    ["True", "None", "nan", "inf", "1e999", "9" * 5000, "", "()"]
  ),
)


@settings(max_examples=150)
@given(st.sampled_from(sorted(configuration.defaults())), VALUES)
@example("learning_rate", "nan")
@example("weight_decay", "inf")
@example("seed", "9" * 5000)
@example("boundaries", "(1, 'a')")
@example("train_scale", "(256, 256.5)")
@example("test_scales", "(True,)")
def test_any_value_of_any_key(key, value):
  overrides.check(f"{key}={value}".encode("utf-8", "surrogatepass"))


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_as_a_table_or_an_annotation(text):
  data = text.encode("utf-8", "surrogatepass")
  tables.check(b"file,label\n" + data)
  tables.check(b"file,xmin,ymin,xmax,ymax\n" + data)
  fuzz_annotations.check(b"<annotation>" + data + b"</annotation>")


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (
      f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l9;</annotation>',
      "no DOCTYPE",
    ),
    (
      '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
      "<annotation>&a;</annotation>",
      "no DOCTYPE",
    ),
    ("<annotation>&a;</annotation>", "not an XML file"),
    ("<annotation>" + "<object>" * 100_000, "not an XML file"),
    ("<annotation>" + " " * 2**20 + "</annotation>", "too large"),
  ],
  ids=["laughs", "external", "undefined", "deep", "huge"],
)
def test_hostile_annotations(content, message, tmp_path):
  from vggjax.annotations import read_labels, read_xml

  path = tmp_path / "a.xml"
  path.write_text(content)
  for read in (read_labels, lambda p: read_xml(p, is_ilsvrc=False)):
    with pytest.raises(InputError, match=message) as error:
      read(path)
    assert "\n" not in str(error.value)


HOSTILE = """
import os, time
TOKENS = ()
def seeds(): return {"a": bytes(range(40))}
def check(data):
  if data == bytes(range(40)): return "read"
  kind = sum(data) % 4
  if kind == 0: os.abort()
  if kind == 1: time.sleep(60)
  if kind == 2: raise KeyError("three\\nlines")
  return "refused"
"""


def test_what_crashes_hangs_or_raises_is_found(tmp_path, monkeypatch):
  (tmp_path / "hostile.py").write_text(HOSTILE)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  hostile = importlib.import_module("hostile")
  keep = tmp_path / "kept"
  report = engine.run(hostile, runs=8, seconds=0.5, keep=keep)
  wanted = {}
  for number in range(8):
    kind = sum(mutated([bytes(range(40))], (), 0, number)) % 4
    if kind < 3:
      words = ("ends the interpreter", "hangs", "KeyError: 'three")
      wanted[number] = words[kind]
  assert report.findings.keys() == wanted.keys()
  assert len(set(wanted.values())) == 3
  for number, text in report.findings.items():
    assert text.startswith(wanted[number])
    data = (keep / f"hostile-0-{number}").read_bytes()
    assert data == mutated([bytes(range(40))], (), 0, number)
