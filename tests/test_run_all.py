"""All benchmarks by one command, in a folder of small ones."""

import pytest

from benchmarks import _harness, run_all

GOOD = '"""Something fast.\n\nMore.\n"""\nprint("first")\nprint("ratio {}")\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(run_all, "find_accelerators", lambda: "")
  folder = tmp_path / "fast"
  folder.mkdir()
  (folder / "__init__.py").write_text("")
  (folder / "_helper.py").write_text("raise SystemExit(1)")
  (folder / "gpu.py").write_text("raise SystemExit(1)")
  (folder / "merge.py").write_text(GOOD.format("1.25"))
  (folder / "svm.py").write_text(GOOD.format("0.99"))
  return folder


def results(folder):
  return (folder / "results" / f"{_harness.hardware_slug()}.md").read_text()


def test_runs_all_and_keeps_what_they_print(folder):
  assert run_all.main([f"--folder={folder}"]) == 0
  text = results(folder)
  wanted = "| [merge](#merge) | Something fast | 1.25 | 1.0 | yes |\n"
  assert wanted in text
  assert "| [svm](#svm) | Something fast | 0.99 | 1.0 | no |\n" in text
  assert text.count("````text\nfirst\nratio ") == 2
  assert "Python 3" in text
  assert "gpu" not in text


def test_one_that_fails_is_a_row_and_the_code(folder):
  broken = '"""Breaks."""\nprint("ratio 2.00")\nraise ValueError("why")\n'
  (folder / "broken.py").write_text(broken)
  (folder / "silent.py").write_text('"""Says nothing."""\n')
  assert run_all.main([f"--folder={folder}"]) == 1
  text = results(folder)
  assert "| [broken](#broken) | Breaks |  |  | failed: code 1 |" in text
  assert "| Says nothing |  |  | failed: no ratio at the end |" in text
  assert "ValueError: why" in text
  assert "| 1.25 |" in text


def test_only_replaces_these(folder):
  assert run_all.main([f"--folder={folder}"]) == 0
  before = run_all.read(next((folder / "results").iterdir()))
  # Of another size: Python knows a module that has changed by size and second.
  (folder / "merge.py").write_text(GOOD.format("1.50") + "\n")
  (folder / "svm.py").write_text("raise SystemExit(1)")
  assert run_all.main([f"--folder={folder}", "--only=merge"]) == 0
  text = results(folder)
  assert "| 1.50 | 1.0 | yes |" in text
  assert "1.25" not in text
  after = run_all.read(next((folder / "results").iterdir()))
  assert after["svm"] == before["svm"]


def test_an_unknown_name(folder, capsys):
  with pytest.raises(SystemExit):
    run_all.main([f"--folder={folder}", "--only=svm,nothing"])
  assert "no benchmark nothing here; there are merge, svm" in (
    capsys.readouterr().err
  )


def test_gpu_runs_where_there_is_one(folder):
  assert "gpu" in run_all.find(folder, with_gpu=True)
  assert _harness.hardware_slug("1 x NVIDIA H200") == "nvidia-h200"
  assert _harness.hardware_slug("8 x NVIDIA H200") == "8-x-nvidia-h200"


def test_peers_take_turns():
  calls = []
  peers = {name: lambda name=name: calls.append(name) for name in "ab"}
  seconds = _harness.alternate(peers, 2)
  assert calls == list("ababab")
  assert set(seconds) == {"a", "b"}
  assert min(seconds.values()) >= 0
