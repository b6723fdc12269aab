# Commands for users and developers; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.ready
PEERS := .venv-peers
# Turn off the telemetry of libraries, and let Python cache bytecode.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := true
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

PYTEST := python -m pytest -n 2 --dist loadgroup
ONLY_PYTHON := not (database or server or browser or endurance or container)
LOCK := uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header
MEASURE_COVERAGE := --cov --cov-report=json:.coverage.json

.PHONY: help repro ui serve image test-fast test test-all test-container coverage fuzz bench bench-peers \
	check lint types format lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(ENV): requirements/bootstrap.txt requirements/all.txt pyproject.toml
	@echo "Creating the virtual environment .venv (takes about a minute the first time) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/all.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m marquee.algorithms.precompile
	@touch $@

$(PEERS): $(ENV) requirements/peers.txt
	@echo "Creating the virtual environment $(PEERS) (downloads some gigabytes the first time) ..."
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes -r requirements/peers.txt
	@touch $@

repro: $(ENV) ## run the pipeline on the data set of params.yaml, and print the leaderboard
	@marquee repro

ui: $(ENV) ## start the MLflow UI on port 5000
	@marquee ui

serve: $(ENV) ## serve the last packaged model on port 3000
	@marquee serve

image: $(ENV) ## build a container image of the last packaged model, with docker, podman or nerdctl
	@marquee image

test-fast: $(ENV) ## run the fast tests (under a minute on two cores)
	@$(PYTEST) -m "$(ONLY_PYTHON) and not slow"

test: $(ENV) ## run all tests that need only Python (under five minutes on two cores)
	@$(PYTEST) -m "$(ONLY_PYTHON)"

test-all: $(ENV) ## run all tests except container tests (apt-get install postgresql chromium haproxy keepalived iproute2 curl)
	@$(PYTEST) -m "not container"

test-container: $(ENV) ## run the container tests with a real engine (as root)
	@deploy/container/with-engine.sh python -m pytest -q -m container

coverage: $(ENV) ## run the fast tests; print branch coverage and the ten least covered modules
	@$(PYTEST) -m "$(ONLY_PYTHON) and not slow" $(MEASURE_COVERAGE)

fuzz: $(ENV) ## send a hundred thousand generated requests to the API (takes some minutes)
	@MARQUEE_FUZZ=10 python -m pytest -q -o timeout=3600 tests/online/api/test_fuzz.py

bench: $(ENV) ## compare with scikit-surprise on MovieLens 1M in MARQUEE_DATA_DIR (takes half an hour)
	@python -m benchmarks.table $(BENCH)

bench-peers: $(PEERS) ## compare with Cornac, LensKit and implicit as well
	@python -m benchmarks.table --peers $(BENCH)

lint: $(ENV) ## check formatting and lint rules with ruff
	@ruff format --check . && ruff check .

types: $(ENV) ## check types with mypy
	@mypy

check: lint types test-all ## run lint, types and test-all, as CI does

format: $(ENV) ## format the code and fix what ruff can fix
	@ruff format . && ruff check --fix .

lock: $(ENV) ## update the locked requirements, with hashes
	@$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) --extra offline --extra dev pyproject.toml -o requirements/all.txt
	@$(LOCK) --extra peers pyproject.toml -o requirements/peers.txt
	@$(LOCK) -c requirements/all.txt pyproject.toml -o requirements/service.txt

clean: ## delete the virtual environment; data, models and runs are kept
	@rm -rf .venv
