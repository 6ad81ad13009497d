"""The documents show the results as they are."""

import pytest

from experiments import include

DOCUMENT = """before
<!-- include results/a.md -->
old
<!-- end -->
between
<!-- include results/b.md -->
<!-- end -->
after
"""


@pytest.fixture
def root(tmp_path):
  (tmp_path / "results").mkdir()
  (tmp_path / "results/a.md").write_text("| new \\1 |\n")
  (tmp_path / "results/b.md").write_text("**b**\n")
  return tmp_path


def test_each_block_becomes_its_file(root):
  wanted = """before
<!-- include results/a.md -->

| new \\1 |

<!-- end -->
between
<!-- include results/b.md -->

**b**

<!-- end -->
after
"""
  found = include.included(DOCUMENT, root)
  assert found == wanted
  assert include.included(found, root) == found


def test_check_and_update(root, monkeypatch, capsys):
  monkeypatch.setattr(include, "ROOT", root)
  path = root / "README.md"
  path.write_text(DOCUMENT)
  assert include.main(["--check", str(path)]) == 1
  assert path.read_text() == DOCUMENT
  assert include.main([str(path)]) == 0
  assert include.main(["--check", str(path)]) == 0
  assert "| new" in path.read_text()
  (root / "results/b.md").unlink()
  assert include.main([str(path)]) == 2
  assert "b.md" in capsys.readouterr().err


def test_the_documents_do_not_drift():
  assert include.main(["--check"]) == 0
