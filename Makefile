# Two commands on a fresh machine: `make demo` and `make test`. Everything they need is installed into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo check test lint format docs bench clean distclean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# A file of tests stays on one core, so that what its tests share is made once.
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadfile
SPEC ?= benchmarks/real-images.yaml
BENCH_OUT ?= build/bench

help:
	@echo "make setup   .venv with unlesion in it"
	@echo "make demo    virtual cohort, training, detection, evaluation: demo/report.html"
	@echo "make check   the fast tests (under 3 minutes)"
	@echo "make test    all tests"
	@echo "make lint    format, lint, types, imports"
	@echo "make format  let ruff format and fix what it can"
	@echo "make docs    the site, in site/"
	@echo "make bench   SPEC=benchmarks/….yaml: the leaderboard, in build/bench"
	@echo "make clean   remove what demo, docs, bench and tests made (distclean: .venv too)"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "unlesion needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev,docs]'
	@touch $@

demo: demo/report.html
	@echo "open demo/report.html (again from the start: make clean demo)"

demo/report.html: | $(INSTALLED)
	$(BIN)/unlesion demo --out demo

check: setup
	$(BIN)/python -m pytest -q -m "not slow" $(IN_PARALLEL)

test: setup
	$(BIN)/python -m pytest $(IN_PARALLEL)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup
	$(BIN)/unlesion bench $(SPEC) --out $(BENCH_OUT) --results benchmarks/results --resume

clean:
	rm -rf demo site build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache

distclean: clean
	rm -rf .venv
