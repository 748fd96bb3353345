# Every command a contributor or the continuous integration needs. Each sets up what it needs and takes no argument.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-long check bench docs clean

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@$(BIN)/python -m compileall -q src  # as pip does with what it installs: a fifth of a second at every start
	@touch $(STAMP)

demo: $(STAMP)  ## make a small synthetic sky, process it, say where the pictures are
	$(BIN)/skyquilt demo demo

test: check  ## format, lint, types, layers and every test (under ten minutes on two cores)
	$(BIN)/python -m pytest -m "not long"

test-long: $(STAMP)  ## the slow laws and the long fault runs
	$(BIN)/python -m pytest -m long

check: $(STAMP)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## print the tables of bench/
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file; done

docs: $(STAMP)  ## regenerate docs/reference
	$(BIN)/python -m skyquilt.apps.cli.reference

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
