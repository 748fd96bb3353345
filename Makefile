# Every command a contributor or the continuous integration needs. Each sets up what it needs and takes no argument.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

VIEWER := src/skyquilt/apps/web/static/index.html

.PHONY: demo test test-long check viewer browser bench docs clean

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[test,viewer]'
	@$(BIN)/python -m compileall -q src  # as pip does with what it installs: a fifth of a second at every start
	@touch $(STAMP)

$(VIEWER): $(shell find viewer -name node_modules -prune -o -type f -print) tools/build_viewer.py | $(STAMP)
	@$(BIN)/python tools/build_viewer.py

viewer: $(VIEWER)  ## build the app's pages (Node comes from a Python package)

browser:  ## Chromium for the tests of the pages, where this user may install it
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	  echo "tests in a browser are skipped: install Chromium (Debian: apt-get install chromium)"

demo: $(STAMP) $(VIEWER)  ## make a small synthetic sky, process it, say where the pictures are
	$(BIN)/skyquilt demo demo

test: check $(VIEWER) browser  ## format, lint, types, layers and every test (under ten minutes on two cores)
	$(BIN)/python -m pytest -m "not long and not browser" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "browser and not long" -n 2 --dist loadfile

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
	rm -rf .venv build dist demo viewer/node_modules src/skyquilt/apps/web/static .pytest_cache .mypy_cache .ruff_cache .hypothesis
