# Every verb works from a fresh clone: what it needs is set up first, and set up only once.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
TASK ?= location
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready

# No downloads and no telemetry at run time; trainers/common/environment.py says the same for commands typed by hand.
export HF_HUB_OFFLINE ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help setup dataset train test test-slow lint check probe study ladder rl bench map ui clean-runs clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo '  TASK=location chooses the task, ARGS="--seed 1" adds settings'

setup: $(READY) ## create .venv with the pinned versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; give one with PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[maps,postgresql,dev]'
	@touch $(READY)

dataset: $(READY) ## build a task's dataset: make dataset TASK=location
	$(BIN)/python -m trainers.commands.dataset --task $(TASK) $(ARGS)

train: $(READY) ## build what is missing, then train: make train TASK=location
	$(BIN)/accelerate launch --quiet $(LAUNCH) trainers/run.py --task $(TASK) $(ARGS)

test: $(READY) ## the fast tests
	$(BIN)/python -m pytest -n 2 -q $(ARGS)

test-slow: $(READY) ## the slow tests too
	$(BIN)/python -m pytest -n 2 -m '' -q $(ARGS)

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

check: lint test ## lint, types and fast tests

probe: $(READY) ## fit the probe to a run: make probe ARGS="--run outputs/runs/distance_small-001"
	$(BIN)/python -m trainers.commands.probe $(ARGS)

study: $(READY) ## the forgetting study: base, fine-tunings, remedies, table, figure (about an hour)
	$(BIN)/python -m tasks.geography.forgetting $(ARGS)

ladder: $(READY) ## ARC: decoder-only, encoder-decoder and champion, table and figure (about an hour)
	$(BIN)/python -m tasks.arc.ladder $(ARGS)

rl: $(READY) ## in-context RL: both models trained, compared in rooms they have not seen (40 min on one core)
	$(BIN)/python -m tasks.in_context_rl.compare $(ARGS)

bench: $(READY) ## speed beside stock Trainer, bare loops, generate and row-by-row building (about 15 min)
	$(BIN)/python -m tasks.bench $(ARGS)

map: $(READY) ## write the file maps of the READMEs from the docstrings
	$(BIN)/python -m tests.file_map

ui: $(READY) ## MLflow's page for the tracked runs, at http://127.0.0.1:5000
	$(BIN)/mlflow ui $(ARGS)

clean-runs: $(READY) ## delete runs for good that were marked deleted in MLflow; lists them and asks first
	$(BIN)/python -m trainers.commands.clean_runs $(ARGS)

clean: ## delete caches and the environment; outputs and tracked runs stay
	rm -rf .venv .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Said explicitly, so that accelerate does not print that it chose them; a user's own LAUNCH wins.
LAUNCH ?= --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no
