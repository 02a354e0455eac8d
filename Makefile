# make dev   the main job: a bot that survives every save
# make test  format, lint, types, tests
# Both set up their own environment in .venv/ first; nothing else on the machine is touched.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The first Python that will do: the machine's own, else a newer or older one beside it.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 3
PEERS := build/bench/peers
SYNAPSE := build/synapse

.PHONY: help dev scan chat test test-matrix soak bench format check clean

help:
	@echo 'make dev    run the bot that ships: it links once and survives every save'
	@echo 'make scan   link it: be the phone that scans the QR code'
	@echo 'make chat   talk to it'
	@echo 'make test   format, lint, types and tests'
	@echo 'make test-matrix  the bot on Matrix, against a real homeserver (minutes)'
	@echo 'make soak   the tests that take minutes'
	@echo 'make bench  our restarts beside nodemon, pm2, watchfiles, ..., our store beside rsync, restic, ...'
	@echo 'make clean  remove the environment (sessions and snapshots stay)'

dev: $(VENV)/.ready
	@exec $(BIN)/stillhere dev

scan: $(VENV)/.ready
	@exec $(BIN)/python -m bot.phone scan

chat: $(VENV)/.ready
	@exec $(BIN)/python -m bot.phone chat

test: check
	@echo 'test: the tests, on $(WORKERS) workers (about five minutes on two cores)'
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# A server of its own, on loopback, that the tests start: the default tests need none.
test-matrix: $(VENV)/.ready-for-matrix $(SYNAPSE)/.ready
	@echo 'test-matrix: the bot on a real homeserver (some minutes)'
	@$(BIN)/python -m pytest -m 'matrix or not long' tests/matrix tests/unit/bot/test_bot_matrix.py

soak: $(VENV)/.ready-for-tests
	@echo 'soak: the tests that take minutes'
	@$(BIN)/python -m pytest -n $(WORKERS) -m long

# BENCH='--quick', or '--only restart', or '--only session --only restore'; all of it: --help.
bench: $(VENV)/.ready-for-tests $(PEERS)/.ready
	@$(BIN)/python -m tests.bench $(BENCH)

check: $(VENV)/.ready-for-tests
	@echo 'test: format'
	@$(BIN)/ruff format --check --quiet .
	@echo 'test: lint'
	@$(BIN)/ruff check --quiet .
	@echo 'test: types'
	@$(BIN)/mypy

format: $(VENV)/.ready-for-tests
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { \
		echo 'stillhere needs Python 3.11, 3.12 or 3.13, and none is on PATH.' >&2; \
		echo 'Install one, or name it: make PYTHON=/path/to/python3.12 dev' >&2; exit 2; }
	@echo 'setup: a virtual environment in $(VENV)/, with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) || { \
		echo 'On Debian and Ubuntu the package python3-venv is needed for that.' >&2; exit 2; }

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	@echo 'setup: stillhere and what it needs (once; about ten seconds)'
	@$(PIP) install --editable '.[bot]'
	@touch $@

$(PEERS)/.ready: tests/bench/install-peers | $(VENV)/bin/python
	@echo 'setup: the tools that restarts are compared with, in $(PEERS)/ (once; half a minute)'
	@tests/bench/install-peers $(PEERS) $(BIN)/python

# For tests of Node bots, where there is npm: without it they are skipped.
build/bots/.ready: tests/bots/package.json
	@mkdir -p build/bots && cp $< build/bots/
	@npm install --silent --prefix build/bots
	@touch $@

$(VENV)/.ready-for-matrix: pyproject.toml $(VENV)/.ready-for-tests
	@echo 'setup: what the bot needs on Matrix (once)'
	@$(PIP) install --editable '.[bot,dev,whatsapp,matrix]'
	@touch $@

$(SYNAPSE)/.ready: tests/matrix/install-synapse | $(VENV)/bin/python
	@echo 'setup: a Matrix homeserver to test with, in $(SYNAPSE)/ (once; a minute)'
	@tests/matrix/install-synapse $(SYNAPSE) $(BIN)/python

$(VENV)/.ready-for-tests: pyproject.toml | $(VENV)/bin/python
	@echo 'setup: stillhere and the tools that test it (once; about half a minute)'
	@$(PIP) install --editable '.[bot,dev,whatsapp]'
	@touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build/bench build/bots $(SYNAPSE)
