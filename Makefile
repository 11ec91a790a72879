# Estafeta. `make` lists the targets; `demo` and `test` install what they need by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test lint browser coverage check-slow clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Estafeta needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": run make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "Making $(VENV)" && $(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing Estafeta (a minute or two)" && $(PIP) --editable . && touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need" && $(PIP) --editable '.[dev]' && touch $@

install: $(VENV)/.installed ## Set up .venv with the command estafeta

demo: install ## Run the whole pipeline over a made-up company, in .estafeta/demo/
	@$(BIN)/estafeta demo

lint: $(VENV)/.installed-dev ## ruff, mypy (strict), import-linter, Dagster definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/dagster definitions validate --workspace workspace.yaml --log-level error

browser: ## Chromium for the test of the dashboard page, where apt may install it
	@command -v chromium chromium-browser google-chrome >/dev/null || \
		timeout 240 sh -c 'apt-get -o Acquire::Retries=0 -o Acquire::http::Timeout=20 update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium' >/dev/null 2>&1 || \
		echo "No Chromium, and apt may not install it: the test of the dashboard page is skipped"

test: lint browser ## All gates and tests
	@$(BIN)/python -m pytest tests/rules tests/sources tests/stand_in -m "not slow" -n 2 --dist worksteal
	@$(BIN)/python -m pytest tests/e2e tests/audit tests/assets tests/pipelines tests/warehouse tests/dashboards \
		tests/test_definitions.py \
		-m "not slow" -n 2 --dist worksteal

coverage: $(VENV)/.installed-dev ## Coverage of rules and sources by their own tests; counting lines takes half as long again
	@$(BIN)/python -m pytest tests/rules tests/sources tests/stand_in -m "not slow" -n 2 --dist worksteal \
		--cov --cov-report=term

check-slow: coverage ## The long suites, and coverage
	@$(BIN)/python -m pytest -m slow

clean: ## Remove the environment, caches and the demo
	rm -rf $(VENV) .estafeta/demo .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
