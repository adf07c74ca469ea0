PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

TORCH := torch>=2.10,<2.14

.PHONY: demo test check reliability bench clean

demo: $(VENV)/.installed
	$(BIN)/coordnet train ablation=image_quick

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reliability: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m reliability --reliability=docs/reliability.md
	$(BIN)/python scripts/kill_run.py
	$(BIN)/python scripts/kill_sweep.py
	$(BIN)/python scripts/full_disk.py

bench: $(VENV)/.installed
	$(BIN)/python scripts/bench

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coordnet needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
