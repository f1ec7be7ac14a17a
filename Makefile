# Thin wrappers over the tools in .venv. `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
PACKAGE_SOURCES := pyproject.toml README.md

.PHONY: help demo setup test test-servers check fmt lint types arch docs serve lock clean test-clients console-shots

help:            ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Interlock needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt $(PACKAGE_SOURCES) | $(BIN)/python
	@echo "installing Interlock into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "installing the development tools into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.run  ## Start a server with the demo model, play the demonstration, keep serving (DEMO_EXIT=1: stop)
	@$(BIN)/interlock demo

setup: $(VENV)/.dev  ## Make .venv with everything

test: $(VENV)/.dev  ## All tests
	@$(BIN)/python -m pytest -n auto --dist worksteal

test-servers: $(VENV)/.dev  ## Clients and replies on several real servers that are killed (about 4 minutes)
	@$(BIN)/python -m pytest -m servers

check: $(VENV)/.dev  ## Exactly what CI runs: format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/ruff check src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

fmt: $(VENV)/.dev  ## Format the sources
	@$(BIN)/ruff format src tests benchmarks
	@$(BIN)/ruff check --fix-only -q src tests benchmarks

lint: $(VENV)/.dev  ## Lint the sources
	@$(BIN)/ruff check src tests benchmarks

types: $(VENV)/.dev  ## Check types
	@$(BIN)/mypy

arch: $(VENV)/.dev  ## Check import contracts and registries
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/architecture

docs: $(VENV)/.run  ## Write the generated pages of docs/reference anew
	@$(BIN)/python docs/generate.py

serve: $(VENV)/.run  ## Serve on 127.0.0.1:8080 with the data in ./interlock-data
	@$(BIN)/interlock serve --data interlock-data

console-shots: $(VENV)/.dev  ## Pictures of every page of the console into SHOTS (default ../console-shots)
	@PYTHONPATH=. $(BIN)/python tests/browser/shots.py $(or $(SHOTS),../console-shots)

lock:            ## Resolve the hashed locks anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra demo --extra otel --group build -o requirements/run.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra demo --extra otel --extra s3 --group build --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra bench-security -c requirements/run.txt -o requirements/security.txt pyproject.toml

clean:           ## Remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

-include benchmarks/bench.mk
-include tests/clients/clients.mk
-include tests/fuzz/fuzz.mk
