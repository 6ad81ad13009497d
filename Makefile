# make quickstart   from nothing to a trained net, a table and pictures
# make test         lint, import rules and the test suite
# make bench        all benchmarks; results in benchmarks/results
PYTHON ?= python3
BIN := .venv/bin
SETUP := setup.py pyproject.toml

.PHONY: quickstart test lint bench clean

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "vggjax needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/for_use: .venv/created $(SETUP)
	$(BIN)/pip install --quiet --editable '.[data,plots]'
	touch $@

.venv/for_tests: .venv/created $(SETUP)
	$(BIN)/pip install --quiet --editable '.[all,lint]'
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
