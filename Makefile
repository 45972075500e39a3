# `make demo` shows what ripu does; `make test` checks everything that is quick. Both set up their own environment.
PYTHON ?= python3
BIN := .venv/bin
# Two processes. The tests of a file stay in one of them, which makes the fixtures of a module once.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

# Bytecode is written, also where the environment forbids it: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-slow test-all test-cluster fuzz lint docs docs-links clean

demo: .venv/installed
	$(BIN)/ripu sweep --budgets 2.2,5 --mode region

test: lint
	$(BIN)/pytest $(PARALLEL) --durations=20 -m "not slow and not cluster"

test-slow: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) --durations=20 -m "slow or cluster"

test-all: test test-slow

test-cluster: .venv/installed-dev
	$(BIN)/pytest $(PARALLEL) -m cluster

# Random inputs, new ones each time: 6,000 cases of each of 17 kinds, one of which has 4,320. `make test` tries a fixed few.
fuzz: .venv/installed-dev
	RIPU_FUZZ_CASES=6000 $(BIN)/pytest $(PARALLEL) --timeout 0 tests/fuzz

# The site, in build/docs/index.html. A warning, such as a broken link inside the site, is an error.
docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -j auto docs build/docs

# Links to other sites. Slow, and needs the internet.
docs-links: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b linkcheck docs build/links

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2 || $(BIN)/mypy  # again in one process: on a busy machine, the workers of mypy may not connect in time

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ripu-ray needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
