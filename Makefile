# Each target sets up what it needs: a virtual environment in .venv, from pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Only what makes the locks is more than pip; what they hold, pip installs.
LOCK = $(BIN)/uv pip compile --no-config --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help run test check bench torture lock audit format clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## the service beside a simulated provider: a dozen webhooks become pictures
	@$(BIN)/holdfast demo

test: $(VENV)/.dev ## the whole test suite
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not torture"

check: $(VENV)/.dev ## ruff, mypy --strict, the walls between the rooms, the README
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_readme.py tests/test_architecture.py

bench: $(VENV)/.bench ## how fast everything is, against what people would write instead
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.beside
	$(BIN)/python -m benchmarks.gateway
	$(BIN)/python -m benchmarks.absorb --postgres
	$(BIN)/python -m benchmarks.nodes
	$(BIN)/python -m benchmarks.queue --postgres
	$(BIN)/python -m benchmarks.archive
	$(BIN)/python -m benchmarks.rebuild
	$(BIN)/python -m benchmarks.render
	$(BIN)/python -m benchmarks.render_hop
	$(BIN)/python -m benchmarks.search --rows 200000
	$(BIN)/python -m benchmarks.similar
	$(BIN)/python -m benchmarks.gallery
	$(BIN)/python -m benchmarks.demo

torture: $(VENV)/.dev ## every promise attacked, and a table of it: twenty minutes; TORTURE=--long: many hours
	$(BIN)/python -m tests.torture $(TORTURE)
	GENERATIONS=5000 $(BIN)/python -m pytest tests/acceptance/test_rebuild.py -k deleted

lock: $(VENV)/.lock ## what is installed in images, anew: by version and hash, for every platform
	$(LOCK) pyproject.toml --extra render --extra credentials --extra postgres -o deploy/requirements-render.lock
	$(LOCK) pyproject.toml --extra postgres -c deploy/requirements-render.lock -o deploy/requirements.lock
	echo 'setuptools>=77' | $(LOCK) - -c deploy/requirements-render.lock -o deploy/requirements-build.lock

audit: $(VENV)/.lock ## is a vulnerability known in what the locks name? fails where nobody can be asked
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r deploy/requirements.lock
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r deploy/requirements-render.lock

format: $(VENV)/.dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## take away what the other targets made, the demo's archive too
	rm -rf $(VENV) holdfast-data/demo build *.egg-info .*_cache .hypothesis .coverage

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@ $(VENV)/.run

$(VENV)/.lock: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' 'pip-audit>=2.9'
	@touch $@
