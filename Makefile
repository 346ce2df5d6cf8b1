SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUNTIME := .venv/.runtime
PROJECT := .venv/.project
DEV := .venv/.dev
NODE_TESTS := tests/e2e/frontend tests/contract/asyncapi docs/examples
NODE_MODULES := $(NODE_TESTS:%=%/node_modules/.package-lock.json)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-header --no-emit-index-url

.PHONY: help demo up test contract delivery bench history events replay check schemas lock system-python system system-tests

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: system $(PROJECT) ## A whole chain on this machine; the first time sets everything up
	@exec $(BIN)/chainctl demo

up: system $(PROJECT) ## Every process on this machine, until Ctrl-C
	@exec $(BIN)/chainctl up

test: system-tests $(PROJECT) $(DEV) $(NODE_MODULES) ## All tests, the fast ones first
	@exec $(BIN)/python -m pytest

contract: system-tests $(PROJECT) $(DEV) $(NODE_MODULES) ## Every recorded answer, chain and trap of an IRMA server
	@exec $(BIN)/python -m pytest -p tests.support.traps -m "contract or trap"

delivery: system-tests $(PROJECT) ## Every answer and fault, a hanging endpoint, outages: proved
	@exec $(BIN)/chainctl prove delivery

bench: system-tests $(PROJECT) ## Callback hops per second, against a bare loop
	@exec $(BIN)/chainctl prove bench

replay: system-tests $(PROJECT) ## 10,000 failed chains replayed amid live traffic; a million; cancelled halfway
	@exec $(BIN)/chainctl prove replay

history: system-tests $(PROJECT) ## A backlog of 1,000,000 events, worked off by one history worker
	@exec $(BIN)/chainctl prove history

events: system-tests $(PROJECT) ## Subscribers of every kind, cut off amid 10,000 chains, have exactly what happened
	@exec $(BIN)/chainctl prove events

check: system-python $(PROJECT) $(DEV) ## Format, lint, types, import direction, contract
	@$(BIN)/ruff format --check . || { echo "to mend: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/chainctl contract check

schemas: system-python $(PROJECT) ## Write what the models say into schemas/generated
	@$(BIN)/chainctl contract write

lock: system-python $(DEV) ## Choose versions anew and pin them with hashes
	$(COMPILE) --upgrade pyproject.toml -o requirements.txt
	$(COMPILE) --upgrade pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	$(COMPILE) --upgrade --group build -c requirements-dev.txt -o requirements-build.txt

# What the machine itself must have; a few milliseconds when it is all there.
system-python:
	@deploy/local/setup.sh --python
system:
	@deploy/local/setup.sh
system-tests:
	@deploy/local/setup.sh --tests

$(RUNTIME): requirements.txt requirements-build.txt | system-python
	@echo "Installing into .venv with $$(deploy/local/python.sh) ..."
	@deploy/local/venv.sh
	@$(PIP) --require-hashes -r requirements-build.txt -r requirements.txt
	@touch $@

$(PROJECT): pyproject.toml $(RUNTIME)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# What tests run in Node, pinned by hashes: the stock Yivi frontend, which follows a chain,
# AsyncAPI's own parser, and the example of a subscriber. No package's own script is run.
$(NODE_MODULES): %/node_modules/.package-lock.json: %/package-lock.json | system-tests
	@npm ci --prefix $(<D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
