# Marquee: every command a person needs, one line each. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.ready
PEERS := .venv-peers
# Nothing that we run phones home, and nothing recompiles Python on every start.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := true
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

.PHONY: help repro image test test-all test-container fuzz check serve ui bench bench-peers lint types lock format clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(ENV): requirements/bootstrap.txt requirements/all.txt pyproject.toml
	@echo "Making the environment in .venv (about a minute the first time) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/all.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m marquee.algorithms.precompile
	@touch $@

$(PEERS): $(ENV) requirements/peers.txt
	@echo "Making the peers' environment in $(PEERS) (some gigabytes the first time) ..."
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes -r requirements/peers.txt
	@touch $@

repro: $(ENV) ## run the whole pipeline on the data set of params.yaml
	@marquee repro

ui: $(ENV) ## open the runs in the MLflow UI
	@marquee ui

serve: $(ENV) ## serve the packaged model on port 3000
	@marquee serve

image: $(ENV) ## the container image of the packaged model, with docker, podman or nerdctl
	@marquee image

test: $(ENV) ## the tests that need nothing but Python, under five minutes on two cores
	@python -m pytest -n 2 --dist loadgroup -m "not (database or server or browser or endurance or container)"

test-all: $(ENV) ## those that start servers, a PostgreSQL and a Chromium too (apt-get install postgresql chromium haproxy keepalived iproute2 curl)
	@python -m pytest -n 2 --dist loadgroup -m "not container"

test-container: $(ENV) ## the image in a real engine: read-only, without rights, killed and read back (root)
	@deploy/container/with-engine.sh python -m pytest -q -m container

fuzz: $(ENV) ## a hundred thousand requests that nobody thought of, some minutes
	@MARQUEE_FUZZ=10 python -m pytest -q -o timeout=3600 tests/online/api/test_fuzz.py

bench: $(ENV) ## the engine beside scikit-surprise on MovieLens 1M (MARQUEE_DATA_DIR), about half an hour
	@python -m benchmarks.table $(BENCH)

bench-peers: $(PEERS) ## the same with Cornac, LensKit and implicit
	@python -m benchmarks.table --peers $(BENCH)

lint: $(ENV) ## ruff: format and rules
	@ruff format --check . && ruff check .

types: $(ENV) ## mypy, strict
	@mypy

check: lint types test-all ## what CI runs: lint, types, and every test

format: $(ENV) ## format the code
	@ruff format . && ruff check --fix .

lock: $(ENV) ## write the hash-locked requirements anew
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header requirements/bootstrap.in -o requirements/bootstrap.txt
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --extra offline --extra dev pyproject.toml -o requirements/all.txt
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --extra peers pyproject.toml -o requirements/peers.txt
	@uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header -c requirements/all.txt pyproject.toml -o requirements/service.txt

clean: ## remove the environment (data, models and runs stay)
	@rm -rf .venv
