# `make` lists what there is. The first target that needs it creates the environment in .venv.

PYTHON ?= python3
# requirements-gpu.lock adds CUDA: make environment LOCK=requirements-gpu.lock, from then on by itself
CHOSEN := $(shell ls -t .venv/installed-* 2> /dev/null | head -1)
LOCK ?= $(or $(CHOSEN:.venv/installed-%=%),requirements.lock)
INSTALLED := .venv/installed-$(LOCK)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC's default is a folder in /var/tmp that every user of the machine can write to.
export DVC_SITE_CACHE_DIR ?= $(CURDIR)/.dvc/tmp/site
# Prefect's client asks this variable, and no file.
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help environment repro fast studies report screenshot tune ui deploy worker test test-real test-browser faults compare readme bench bench-gpu fast-recipe time-to-accuracy lint lock

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

environment: $(INSTALLED)  ## Create or update .venv from the lock

repro: $(INSTALLED)  ## Run the whole pipeline: only what has changed (JOBS=N: how many at once)
	python -m pipelines pipeline $(if $(JOBS),--jobs $(JOBS))

fast: $(INSTALLED)  ## The same with the preset `fast` of params.yaml
	python -m pipelines pipeline --preset fast $(if $(JOBS),--jobs $(JOBS))

studies: $(INSTALLED)  ## Run the studies, for hours: several seeds of each network (JOBS=N)
	python -m pipelines studies $(if $(JOBS),--jobs $(JOBS))

report: $(INSTALLED)  ## Build the page of all results from what git keeps, in seconds; trains nothing
	dvc repro --quiet normalize
	dvc repro --quiet --single-item studies/dvc.yaml:report
	@echo "The report: file://$(CURDIR)/metrics/report/index.html"

screenshot: report  ## Write the README's picture of the report; needs Chromium
	CONVDEPTH_SCREENSHOT=docs/report.png pytest -m browser -k first_screen

tune: $(INSTALLED)  ## Search for better settings of each network, for hours (JOBS=N)
	python -m pipelines tune $(if $(JOBS),--jobs $(JOBS))

ui: $(INSTALLED)  ## Start a Prefect server that stays, and say where its page is
	python -m pipelines ui

deploy: $(INSTALLED)  ## Put the schedule, the work pool and the deployments on the server
	python -m pipelines deploy

worker: $(INSTALLED)  ## Run on this machine what the server schedules, until it is stopped
	exec python -m pipelines worker $(if $(POOL),--pool $(POOL)) $(if $(NAME),--name $(NAME))

test: $(INSTALLED)  ## Run the tests; none needs the network
	pytest --numprocesses 2 --dist loadfile

test-real: $(INSTALLED)  ## Download the real MNIST and train on some of it
	pytest -m real

test-browser: $(INSTALLED)  ## Open the report in a real Chromium (on Debian: apt-get install chromium)
	pytest -m browser

faults: $(INSTALLED)  ## Break everything on purpose, for half an hour, and write what survived into benchmarks/
	pytest -m faults --faults=full --numprocesses 2 --dist worksteal

compare: $(INSTALLED)  ## Say whether the last commit changed what the networks answer, beyond chance
	convdepth compare HEAD~1 HEAD

readme: $(INSTALLED)  ## Write the results into the tables of the README
	convdepth readme README.md --metrics metrics --notebook data/notebook.json

bench: $(INSTALLED)  ## Measure, for two hours, on a machine that does nothing else, and write benchmarks/
	python benchmarks/around_training.py
	python benchmarks/operations.py
	python benchmarks/training_speed.py
	python benchmarks/memory.py
	python benchmarks/precision_cost.py
	python benchmarks/growth.py
	python benchmarks/checkpoint_cost.py
	python benchmarks/flow_overhead.py

bench-gpu: $(INSTALLED)  ## Measure on a GPU, and write benchmarks/
	python benchmarks/gpu_speed.py

fast-recipe: $(INSTALLED)  ## Measure which recipe is fast, by held-out images, and write benchmarks/
	python benchmarks/fast_recipe.py

time-to-accuracy: $(INSTALLED)  ## Measure, for two hours, how long the notebook's accuracies take, and write benchmarks/
	python benchmarks/time_to_accuracy.py

lint: $(INSTALLED)  ## Check style and types
	ruff check
	ruff format --check
	mypy

lock: $(INSTALLED)  ## Resolve the dependencies of pyproject.toml anew; needs uv
	uv pip compile pyproject.toml --extra dev $(RESOLVE) --output-file requirements.lock
	uv pip compile pyproject.toml --extra dev --extra gpu $(RESOLVE) --output-file requirements-gpu.lock

# A lock without addresses and without the extras taken off, which pip's check of hashes needs.
RESOLVE := --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-annotate --no-header --quiet

$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed, got $$($(PYTHON) --version). Try: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $(LOCK)
	pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
