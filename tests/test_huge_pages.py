"""Programs that begin again for the sake of huge pages."""

import os
import subprocess
import sys

import pytest

from vggjax import huge_pages

ON_REQUEST = "always [madvise] never\n"
PROGRAM = """
import os, sys
from pathlib import Path
from vggjax import huge_pages

huge_pages._MODE = Path(sys.argv[1])
huge_pages.begin_again()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[2:])
"""


@pytest.mark.parametrize(
  ("before", "after"),
  [
    (None, "glibc.malloc.hugetlb=1"),
    ("glibc.malloc.check=0", "glibc.malloc.check=0:glibc.malloc.hugetlb=1"),
  ],
)
def test_the_tunable_is_added(before, after):
  environment = {"A": "b"} | ({huge_pages.TUNABLES: before} if before else {})
  found = huge_pages.wanted(environment, ON_REQUEST)
  assert found == {"A": "b", huge_pages.TUNABLES: after}


@pytest.mark.parametrize(
  ("tunables", "mode"),
  [
    ("", "[always] madvise never\n"),
    ("", "always madvise [never]\n"),
    ("", ""),
    ("glibc.malloc.hugetlb=0", ON_REQUEST),
    ("glibc.malloc.hugetlb=1", ON_REQUEST),
  ],
)
def test_nothing_is_done_where_it_would_change_nothing(tunables, mode):
  assert huge_pages.wanted({huge_pages.TUNABLES: tunables}, mode) is None


def test_a_program_begins_again_once_with_its_arguments(tmp_path):
  libc = os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else ""
  if not (libc or "").startswith("glibc"):
    pytest.skip("the C library is not glibc")
  (tmp_path / "enabled").write_text(ON_REQUEST)
  environment = dict(os.environ)
  environment.pop(huge_pages.TUNABLES, None)
  command = [sys.executable, "-c", PROGRAM, tmp_path / "enabled", "a b", ""]
  with subprocess.Popen(
    command, stdout=subprocess.PIPE, text=True, env=environment
  ) as process:
    out, _ = process.communicate(timeout=60)
  expected = f"{process.pid} glibc.malloc.hugetlb=1 ['a b', '']\n"
  assert (process.returncode, out) == (0, expected)
