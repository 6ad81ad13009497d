# make quickstart   from nothing to a trained net, a table and pictures
# make test         lint, import rules and the test suite
# make bench        all benchmarks; results in benchmarks/results
PYTHON ?= python3
BIN := .venv/bin
SETUP := setup.py pyproject.toml
# Python compiles what is imported, and keeps it even where that is turned off;
# pip would compile all of TensorFlow, which takes a minute.
export PYTHONDONTWRITEBYTECODE =
INSTALL := $(BIN)/pip install --quiet --no-compile --editable

.PHONY: quickstart test lint bench clean

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "vggjax needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/for_use: .venv/created $(SETUP)
	$(INSTALL) '.[data,plots]'
	touch $@

.venv/for_tests: .venv/created $(SETUP)
	$(INSTALL) '.[all,lint]'
	touch $@

quickstart: .venv/for_use
	$(BIN)/python -m vggjax.main --config=configs/quickstart.py \
	  --workdir=runs/quickstart
	$(BIN)/python -m vggjax.main --config=configs/quickstart.py:evaluate \
	  --workdir=runs/quickstart

lint: .venv/for_tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: .venv/for_tests
	$(BIN)/python -m benchmarks.run_all

clean:
	rm -rf .venv build dist *.egg-info
