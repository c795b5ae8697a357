# Every verb works from a fresh clone: what it needs is set up first, and set up only once.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
TASK ?= location
NAME ?= forgetting_small
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
# What `world-models` is. Like all tools below it is started as a module: scripts in .venv/bin hold the absolute path of
# the place where they were made, and fail, or run the original's code, in a project that has been moved or copied.
WORLD_MODELS := $(BIN)/python -m trainers

# No downloads and no telemetry at run time; trainers/common/environment.py says the same for commands typed by hand.
export HF_HUB_OFFLINE ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help setup dataset train test test-slow lint check probe study bench map ui clean-runs clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo '  TASK=location chooses the task, NAME=arc_small the study, ARGS="--seed 1" adds settings'

setup: $(READY) ## create .venv with the pinned versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; give one with PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[arc,rl,sweep,slurm,notebook,tensorboard,wandb,maps,postgresql,dev]'
	@touch $(READY)

dataset: $(READY) ## build a task's dataset: make dataset TASK=location
	$(WORLD_MODELS) dataset --task $(TASK) $(ARGS)

train: $(READY) ## build what is missing, then train: make train TASK=location
	$(BIN)/python -m accelerate.commands.launch --quiet $(LAUNCH) trainers/run.py --task $(TASK) $(ARGS)

test: $(READY) ## the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -q $(ARGS)

test-slow: $(READY) ## the slow tests too
	$(BIN)/python -m pytest -n 2 --dist loadfile -m '' -q $(ARGS)

lint: $(READY) ## style and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright

check: lint test ## lint, types and fast tests

probe: $(READY) ## fit the probe to a run: make probe ARGS=outputs/runs/distance_small-001
	$(WORLD_MODELS) probe $(ARGS)

study: $(READY) ## train and report the runs of a study: make study NAME=arc_small (forgetting_small: about an hour)
	$(WORLD_MODELS) study $(NAME) $(ARGS)

bench: $(READY) ## speed beside stock Trainer, bare loops, generate and row-by-row building (about 15 min)
	$(BIN)/python -m tasks.bench $(ARGS)

map: $(READY) ## write the file maps of the READMEs from the docstrings
	$(BIN)/python -m tests.file_map

ui: $(READY) ## MLflow's page for the tracked runs, at http://127.0.0.1:5000
	$(BIN)/python -m mlflow ui $(ARGS)

clean-runs: $(READY) ## delete runs for good that were marked deleted in MLflow; lists them and asks first
	$(WORLD_MODELS) clean-runs $(ARGS)

clean: ## delete caches and the environment; outputs and tracked runs stay
	rm -rf .venv .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Said explicitly, so that accelerate does not print that it chose them; a user's own LAUNCH wins.
LAUNCH ?= --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no
