SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUNTIME := .venv/.runtime
PROJECT := .venv/.project
DEV := .venv/.dev
FRONTEND := tests/e2e/frontend/node_modules/.package-lock.json
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-header --no-emit-index-url

.PHONY: help demo up test contract check lock system-python system system-tests

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: system $(PROJECT) ## A whole chain on this machine; the first time sets everything up
	@exec $(BIN)/chainctl demo

up: system $(PROJECT) ## Every process on this machine, until Ctrl-C
	@exec $(BIN)/chainctl up

test: system-tests $(PROJECT) $(DEV) $(FRONTEND) ## All tests, the fast ones first
	@exec $(BIN)/python -m pytest

contract: system-tests $(PROJECT) $(DEV) $(FRONTEND) ## Every recorded answer, chain and trap of an IRMA server
	@exec $(BIN)/python -m pytest -p tests.support.traps -m "contract or trap"

check: system-python $(PROJECT) $(DEV) ## Format, lint, types and import direction
	@$(BIN)/ruff format --check . || { echo "to mend: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

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
	@"$$(deploy/local/python.sh)" -m venv .venv
	@$(PIP) --require-hashes -r requirements-build.txt -r requirements.txt
	@touch $@

$(PROJECT): pyproject.toml $(RUNTIME)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The stock Yivi frontend, pinned by its hashes; a test follows a chain with it.
$(FRONTEND): tests/e2e/frontend/package-lock.json | system-tests
	@npm ci --prefix $(<D) --no-audit --no-fund --silent
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
