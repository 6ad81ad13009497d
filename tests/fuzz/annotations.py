"""Annotations in XML: python -m tests.fuzz.annotations. See the package."""

import math
import os
import sys
import tempfile
from pathlib import Path

_OBJECT = """
  <object><name>{}</name><difficult>0</difficult><bndbox><xmin>{}</xmin>
  <ymin>12</ymin><xmax>90.5</xmax><ymax>80</ymax></bndbox></object>"""
TOKENS = (
  *(b"<object>", b"</object>", b"<bndbox>", b"<name>", b"<xmin>", b"<part>"),
  *(b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&lt;", b"&#0;", b"&#x10ffff;"),
  *(b"<![CDATA[", b"]]>", b"<!--", b"-->", b"nan", b"inf", b"1e999", b"-1"),
  *(b"9" * 400, b"<a>" * 2000, b"\x00", b"\xff\xfe", b"<?xml encoding='x'?>"),
)


def seeds():
  """Of VOC's and ImageNet's kind."""
  files = {}
  for key, objects in {
    "none": (),
    "one": (("dog", 3),),
    "two": (("n01440764", -4.5), ("n01443537", 0)),
    "odd": (("ein Tier ☃", 89),),
  }.items():
    body = "".join(_OBJECT.format(*values) for values in objects)
    files[key] = f"<annotation>{body}</annotation>".encode()
  files["declared"] = b"\xef\xbb\xbf<?xml version='1.0'?>" + files["one"]
  return files


def check(data):
  """Boxes are finite and in order, or refused."""
  from vggjax import annotations
  from vggjax.errors import InputError

  path = Path(tempfile.gettempdir()) / f"vggjax-fuzz-{os.getpid()}.xml"
  path.write_bytes(data)
  outcomes = []
  for read in (
    lambda: annotations.read_xml(path, is_ilsvrc=True),
    lambda: annotations.read_xml(path, is_ilsvrc=False),
    lambda: annotations.read_labels(path),
  ):
    try:
      outcomes.append(read())
    except InputError as error:
      message = str(error)
      outcomes.append(None)
    assert outcomes[-1] is not None or "\n" not in message
  path.unlink()
  for boxes in outcomes[:2]:
    for label, edges in boxes or ():
      assert label is None or label
      assert all(map(math.isfinite, edges))
      assert edges[0] < edges[2]
      assert edges[1] < edges[3]
  return "refused" if outcomes == [None] * 3 else "read"


if __name__ == "__main__":
  from fuzz import annotations as target
  from fuzz import engine

  sys.exit(engine.main(target))
