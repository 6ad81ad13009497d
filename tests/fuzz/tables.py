"""Tables in CSV: python -m tests.fuzz.tables. See the package."""

import math
import os
import sys
import tempfile
from pathlib import Path

TOKENS = (
  *(b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\x00", b"\xef\xbb\xbf", b";"),
  *(b"nan", b"inf", b"1e999", b"-1", b"9" * 400, b"x" * 200_000, b"file"),
  *(b"ImageId,PredictionString", b"\xff", "é☃".encode(), b"\x1a", b"\t"),
)


def seeds():
  """Of boxes and of labels, ours and Kaggle's."""
  return {
    "boxes": b"file,xmin,ymin,xmax,ymax,label\na.jpg,1,2,30,40.5,dog\n",
    "boxes2": b"file,xmin,ymin,xmax,ymax\r\na.jpg,1,2,3,4\r\nb,0,0,9,9\r\n",
    "kaggle": b"ImageId,PredictionString\na,n01440764 1 2 3 4 n01440764 1 2 9 9"
    b" \nb,n01443537 0 0 1 1\n",
    "labels": b"file,label,split\na.jpg,dog,train\nb.jpg,cat,val\n",
    "labels2": b'\xef\xbb\xbffile,label\n"a,b.jpg","d ""o"" g"\n',
  }


def check(data):
  """Rows are as they should be, or refused."""
  from vggjax.annotations import BoxTable
  from vggjax.data.label_table import read_label_table
  from vggjax.errors import InputError

  path = Path(tempfile.gettempdir()) / f"vggjax-fuzz-{os.getpid()}.csv"
  path.write_bytes(data)

  def read_boxes():
    with path.open(newline="", encoding="utf-8-sig") as file:
      return list(BoxTable(str(path), file))

  outcomes = []
  for read in (read_boxes, lambda: read_label_table(path)):
    try:
      outcomes.append(read())
    except InputError as error:
      message = str(error)
      outcomes.append(None)
    assert outcomes[-1] is not None or "\n" not in message, message
  path.unlink()
  for _, file, boxes in outcomes[0] or ():
    assert file == file.strip() != ""
    for _, edges in boxes:
      assert all(map(math.isfinite, edges))
      assert edges[0] < edges[2]
      assert edges[1] < edges[3]
  for row in outcomes[1] or ():
    assert all(value is None or value == value.strip() for value in row)
    assert row[0]
    assert row[1]
  return "refused" if outcomes == [None] * 2 else "read"


if __name__ == "__main__":
  from fuzz import engine, tables

  sys.exit(engine.main(tables))
