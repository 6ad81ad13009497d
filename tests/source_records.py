"""What the tests of the data sources share."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("VGGJAX_CACHE", str(tmp_path / "cache"))


def records_of(source):
  return list(source.stream().as_numpy_iterator())
