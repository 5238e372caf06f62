# One command each. Every target makes the environment it needs: Python 3.11+, git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check bench docs lock clean

demo: $(STAMP)
	$(BIN)/printright demo

test: $(STAMP)
	$(BIN)/python tests/programs.py
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not realtime and not load"
	$(BIN)/python -m pytest -m "realtime and not load"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python tests/programs.py bench
	$(BIN)/python -m bench

docs: $(STAMP)
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

$(UV): requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt

$(STAMP): $(UV) requirements/dev.txt pyproject.toml hatch_build.py $(wildcard contracts/*.vy contracts/*/*.vyi contracts/*.py)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# Renew the hash-locked requirements. No lock names an index address.
lock: $(UV)
	cd requirements && for name in uv dev octoprint klipper browser; do \
	  ../$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header $$name.in -o $$name.txt || exit 1; done

clean:
	rm -rf $(VENV) .cache site
