# make demo and make test are all that a fresh machine needs: Python 3.11+, pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

PROOFS := conformance inspector clients hosts fuzz rest_fuzz

.PHONY: help demo test check bench faults soak proof $(PROOFS) constraints clean

help:
	@echo "make demo   set up, then two agents and a third review a change in one room"
	@echo "make test   set up, then every check and test"
	@echo "make check  only the checks: ruff, pyright, import-linter"
	@echo "make bench  the figures; measures this machine, asserts nothing"
	@echo "make faults kills, power cuts, full disks and bad networks: is anything lost?"
	@echo "make soak   half an hour of mixed load with restarts: does anything grow?"
	@echo "make proof  suites, clients and hosts of others: $(PROOFS)"
	@echo "make clean  remove what make made"

demo: $(VENV)/.installed
	$(BIN)/room-mcp demo

test: check
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	$(BIN)/python -m bench

faults: $(VENV)/.dev
	$(BIN)/python -m faults

soak: $(VENV)/.dev
	$(BIN)/python -m faults.soak

# What could not be tried on this machine is said, and fails only the proof of all.
$(PROOFS): $(VENV)/.dev
	$(BIN)/python -m proof.$@ || test $$? -eq 3

fuzz: rest_fuzz

proof: $(VENV)/.dev
	$(BIN)/python -m proof

# A system Python may come without ensurepip; virtualenv, in a folder of its own, does without.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "room-mcp needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
		rm -rf $(VENV); \
		$(PYTHON) -m pip install --quiet --target $(VENV)-tools virtualenv && \
		PYTHONPATH=$(VENV)-tools $(PYTHON) -m virtualenv --quiet $(VENV); }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	@touch $@

# Pins what a fresh resolution gives today; read the diff before you commit it.
constraints:
	rm -rf $(VENV)-pins && $(PYTHON) -m venv $(VENV)-pins
	$(VENV)-pins/bin/python -m pip install --quiet . --requirement requirements-dev.txt
	$(VENV)-pins/bin/python -m pip freeze --exclude room-mcp --exclude pip --exclude setuptools > constraints.txt
	rm -rf $(VENV)-pins

clean:
	rm -rf $(VENV) $(VENV)-tools $(VENV)-pins .proof build dist .pytest_cache .ruff_cache .hypothesis
