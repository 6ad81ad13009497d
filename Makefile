# make quickstart   everything from nothing to a table and pictures
# make test         lint, import rules and the test suite
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint clean

.venv/installed: setup.py pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vggjax needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade-strategy only-if-needed --editable '.[all,lint]'
	touch $@

quickstart: .venv/installed
	$(BIN)/python -m vggjax.main --config=configs/quickstart.py --workdir=runs/quickstart
	$(BIN)/python -m vggjax.main --config=configs/quickstart.py:evaluate --workdir=runs/quickstart

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2

clean:
	rm -rf .venv build dist *.egg-info
