# `make` lists the targets. Each target that needs the environment creates it in .venv.

PYTHON ?= python3
# Python interpreters for `make test-versions`.
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[123].*/bin/python3) python3.11 python3.12 python3.13
# uv or pip. uv is five times as fast; pip needs nothing but Python.
INSTALLER ?= uv
# With CUDA: make environment LOCK=requirements-gpu.lock. Later calls keep the lock.
CHOSEN := $(shell ls -t .venv/installed-* 2> /dev/null | head -1)
LOCK ?= $(or $(CHOSEN:.venv/installed-%=%),requirements.lock)
INSTALLED := .venv/installed-$(LOCK)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC's default folder in /var/tmp is writable by every user of the machine.
export DVC_SITE_CACHE_DIR ?= $(CURDIR)/.dvc/tmp/site
# Prefect's client reads this variable only.
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help environment repro fast studies tune report lesson compare readme ui deploy worker test test-real \
	test-browser test-versions portable-proof faults nightly screenshot lint lock bench bench-gpu fast-recipe \
	time-to-accuracy service image soak release

help:
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-18s%s\n", $$1, $$2 }' Makefile

##@ Run

repro: $(INSTALLED)  ## Run every stage that is out of date (JOBS=N: N stages at once)
	python -m pipelines pipeline $(if $(JOBS),--jobs $(JOBS))

fast: $(INSTALLED)  ## Apply the preset `fast` of params.yaml, then do the same as repro
	python -m pipelines pipeline --preset fast $(if $(JOBS),--jobs $(JOBS))

studies: $(INSTALLED)  ## Train each network with several seeds and compare them; takes a day (JOBS=N)
	python -m pipelines studies $(if $(JOBS),--jobs $(JOBS))

tune: $(INSTALLED)  ## Search for better settings of each network; takes hours (JOBS=N)
	python -m pipelines tune $(if $(JOBS),--jobs $(JOBS))

##@ Compare

compare: $(INSTALLED)  ## Test whether the last commit changes predictions beyond chance
	convdepth compare HEAD~1 HEAD

readme: $(INSTALLED)  ## Write the committed results into the tables of README.md and docs/
	convdepth readme README.md docs/*.md --metrics metrics --notebook data/notebook.json

bench: $(INSTALLED)  ## Measure speed and memory for two hours on an idle machine; update benchmarks/
	python benchmarks/around_training.py
	python benchmarks/operations.py
	python benchmarks/training_speed.py
	python benchmarks/portable_cost.py
	python benchmarks/fit_calls.py
	python benchmarks/memory.py
	python benchmarks/precision_cost.py
	python benchmarks/growth.py
	python benchmarks/checkpoint_cost.py
	python benchmarks/flow_overhead.py
	python benchmarks/pictures.py
	python benchmarks/export_formats.py

bench-gpu: $(INSTALLED)  ## Measure training speed on a GPU; update benchmarks/
	python benchmarks/gpu_speed.py

fast-recipe: $(INSTALLED)  ## Compare fast recipes, and data pruning, on held-out images; update benchmarks/
	python benchmarks/fast_recipe.py
	python benchmarks/data_pruning.py

time-to-accuracy: $(INSTALLED)  ## Measure the time to the notebook's accuracies; after `make bench`
	python benchmarks/time_to_accuracy.py

##@ Look

report: $(INSTALLED)  ## Build the report page metrics/report/index.html from the committed results
	dvc repro --quiet normalize
	dvc repro --quiet --single-item studies/dvc.yaml:report
	@echo "The report: file://$(CURDIR)/metrics/report/index.html"

lesson: $(INSTALLED)  ## Open the notebook for teachers, docs/lesson.py, in a browser
	marimo edit --skip-update-check docs/lesson.py

release: report  ## Write release/ and release.tar: models, report, cards and checksums of the last commit
	convdepth release release
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w,go-w --format=gnu -cf release.tar release
	@echo "The bundle: release.tar. In a fresh clone, \`tar -xf release.tar\` makes its models known to \`convdepth predict\`."

ui: $(INSTALLED)  ## Start a Prefect server in the background and print its address
	python -m pipelines ui

##@ Schedule

deploy: $(INSTALLED)  ## Create the work pool, the deployments and the schedule on the Prefect server
	python -m pipelines deploy

worker: $(INSTALLED)  ## Run scheduled flows on this machine until you stop it (POOL=, NAME=)
	exec python -m pipelines worker $(if $(POOL),--pool $(POOL)) $(if $(NAME),--name $(NAME))

service: $(INSTALLED)  ## Write systemd user units for the server and the worker, and print how to start them
	@mkdir -p "$(UNITS)"
	@for unit in $(SERVICES:%=%.service); do \
		sed "s|@PROJECT@|$$(printf %s "$(CURDIR)" | sed 's/%/%%/g; s/[&|\\]/\\&/g')|" pipelines/deploy/$$unit > "$(UNITS)/$$unit"; done
	@printf '%s\n' "Units: $(UNITS)" "Start now, and with each login:" \
		"  systemctl --user daemon-reload && systemctl --user enable --now $(SERVICES)" \
		"Keep them when you log out, and start them when the machine does:  loginctl enable-linger" \
		"Logs:    journalctl --user --follow $(SERVICES:%=--unit %)" \
		"Remove:  systemctl --user disable --now $(SERVICES); rm $(SERVICES:%=\"$(UNITS)/%.service\")"

SERVICES := convdepth-server convdepth-worker
UNITS := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)/systemd/user

image:  ## Build the container image convdepth:cpu (TARGET=cuda: with CUDA; OPTIONS=: of the build)
	$(DOCKER) build --target $(TARGET) --build-arg COMMIT=$$(git rev-parse HEAD) $(OPTIONS) --tag convdepth:$(TARGET) .

DOCKER ?= docker
TARGET ?= cpu

##@ Develop

environment: $(INSTALLED)  ## Create or update .venv from the lock (INSTALLER=pip: without uv)

test: $(INSTALLED)  ## Run the tests that need no network (MARKS="not nightly": other tests)
	pytest --numprocesses 2 --dist worksteal --durations 15 $(if $(MARKS),-m "$(MARKS)")

test-real: $(INSTALLED)  ## Download MNIST and train on a part of it
	pytest -m real

test-browser: $(INSTALLED)  ## Open the report and the demo in Chromium (on Debian: apt-get install chromium)
	pytest -m browser

portable-proof: $(INSTALLED)  ## Train on emulated CPUs and compare bytes (on Debian: apt-get install qemu-user)
	pytest -m portable --numprocesses 2 --dist worksteal

test-versions: $(INSTALLED)  ## Compare results between Python versions, byte by byte (PYTHONS="...")
	@$(use_pip_settings); PYTHONS="$(PYTHONS)" pytest -m versions

faults: $(INSTALLED)  ## Inject every fault for half an hour; write the survivors into benchmarks/
	pytest -m faults --faults=full --numprocesses 2 --dist worksteal

nightly: $(INSTALLED)  ## Run the slow tests: soak tests, every fault, all Python versions
	@$(use_pip_settings); PYTHONS="$(PYTHONS)" pytest -m "nightly or faults or versions" --faults=full --numprocesses 2 \
		--dist worksteal --durations 15

soak: $(INSTALLED)  ## Run 30 nights with injected faults, for ten minutes, as root; update benchmarks/
	pytest -m nightly --faults=full tests/pipelines/flows/test_soak.py

screenshot: report  ## Write a screenshot of the report to docs/report.png; needs Chromium
	CONVDEPTH_SCREENSHOT=docs/report.png pytest -m browser -k first_screen

lint: $(INSTALLED)  ## Check style and types
	ruff check
	ruff format --check
	mypy

lock: $(INSTALLED)  ## Resolve the dependencies of pyproject.toml again
	@$(use_pip_settings); $(RESOLVE) $(STORAGE) --extra dev --output-file requirements.lock
	@$(use_pip_settings); $(RESOLVE) $(STORAGE) --extra dev --extra gpu --output-file requirements-gpu.lock
	@$(use_pip_settings); $(RESOLVE) --extra docker --extra kubernetes --constraint requirements.lock \
		$$(sed -nE 's/^([a-z0-9._-]+).*==.*/--no-emit-package \1/p' requirements.lock) --output-file requirements-pools.lock

# No index address in the lock. pip needs the extras when it checks hashes.
STORAGE := --extra s3 --extra ssh --extra export --extra release --extra notebook
RESOLVE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-annotate --no-header --quiet

# uv ignores pip's configuration. Hashes make the order of package indexes irrelevant.
pip_setting = $$(pip config get global.$(1) 2> /dev/null | xargs)
use_pip_settings = export UV_INDEX_STRATEGY=unsafe-best-match UV_SYSTEM_CERTS=1; \
	certificates="$${SSL_CERT_FILE:-$${PIP_CERT:-$(call pip_setting,cert)}}"; \
	[ -z "$$certificates" ] || export SSL_CERT_FILE="$$certificates"; \
	export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$(call pip_setting,index-url)}}"; \
	export UV_INDEX="$${UV_INDEX:-$${PIP_EXTRA_INDEX_URL:-$(call pip_setting,extra-index-url)}}"
QUIET_PIP := pip install --quiet --disable-pip-version-check

$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed, got $$($(PYTHON) --version). Try: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
ifeq ($(INSTALLER),uv)
	sed -n '/^uv==/,/[^\]$$/p' $(LOCK) > .venv/uv.txt
	$(QUIET_PIP) --no-deps --require-hashes --requirement .venv/uv.txt
	@$(use_pip_settings); uv pip install --quiet --compile-bytecode --python .venv --no-deps --require-hashes --requirement $(LOCK) || \
		{ echo "uv cannot install $(LOCK). pip installs it now, in about two minutes." >&2; \
		$(QUIET_PIP) --no-deps --require-hashes --requirement $(LOCK); }
else
	$(QUIET_PIP) --no-deps --require-hashes --requirement $(LOCK)
endif
	$(QUIET_PIP) --no-deps --no-build-isolation --editable .
	@cp $(LOCK) $@  # what is installed, for comparison with the lock of a commit
