PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
# TensorFlow, which KerasHub brings along, is kept out of the main environment.
KERAS_VENV ?= .venv-keras
# The one that has torch for a GPU: an environment that is there already, such as BENCH_PYTHON=python3.
BENCH_PYTHON ?= $(BIN)/python
# A worker for each core; one that has nothing left takes from another, so that what a module's tests share is seldom made twice.
SIDE_BY_SIDE := --numprocesses=logical --maxprocesses=8 --dist=worksteal
# After how many seconds a test hangs, where ten minutes may be too few.
TWENTY_MINUTES := --timeout=1200
AN_HOUR := --timeout=3600 --override-ini=faulthandler_timeout=4000
# MLflow's own server, whose packages are older than some of ours.
MLFLOW_VENV ?= .venv-mlflow
# trackio's server and dashboard, of which the trainer needs nothing.
TRACKIO_VENV ?= .venv-trackio
# bitsandbytes alone, beside the main environment.
QLORA  := .qlora
WANDB  := .wandb

# Programs that tests start by the hundred compile our files once, also where the environment says otherwise.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo cluster bench-trainer bench-tenants bench-operator bench-reports bench-gpu test test-fast test-integration images sbom verify-images test-slow chaos bench-kill bench-page test-extras test-keras test-mlflow test-qlora test-trackio test-wandb test-devcluster generate verify version lock lint format clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): pyproject.toml devcluster/pyproject.toml locks/dev.lock
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint locks/dev.lock torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint locks/dev.lock -e '.[dev]' -e 'devcluster[testing]'
	touch $@

$(KERAS_VENV)/.installed: pyproject.toml locks/dev.lock
	test -d $(KERAS_VENV) || $(PYTHON) -m venv $(KERAS_VENV)
	$(KERAS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint locks/dev.lock torch
	$(KERAS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint locks/dev.lock -e '.[trainer,keras]' hypothesis pytest pytest-asyncio pytest-timeout
	touch $@

$(MLFLOW_VENV)/.installed:
	test -d $(MLFLOW_VENV) || $(PYTHON) -m venv $(MLFLOW_VENV)
	$(MLFLOW_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'mlflow>=3.17,<4'
	touch $@

$(TRACKIO_VENV)/.installed:
	test -d $(TRACKIO_VENV) || $(PYTHON) -m venv $(TRACKIO_VENV)
	$(TRACKIO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'trackio>=0.43,<0.44'
	touch $@

$(QLORA)/.installed: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(QLORA) 'bitsandbytes>=0.50'
	touch $@

$(WANDB)/.installed: $(READY) locks/wandb.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target $(WANDB) -r locks/wandb.lock
	touch $@

demo: $(READY)  ## Fine-tune a real model on a cluster in this machine, from a manifest to its status
	$(BIN)/python demo/demo.py

cluster: $(READY)  ## Start the demo's cluster and the operator for jobs of your own, until Ctrl-C
	$(BIN)/python demo/demo.py --cluster

bench-trainer: $(READY)  ## Compare our trainer with plain scripts, side by side; BENCH=--quick takes a minute or two
	$(BIN)/python benchmarks/trainer.py $(BENCH)

bench-tenants: $(READY)  ## Measure what one tenant's jobs cost another, and an object the operator: KUBEBUILDER_ASSETS=FOLDER, BENCH='--jobs 10000'
	$(BIN)/python benchmarks/tenants.py $(BENCH)

bench-operator: $(READY)  ## Measure jobs a second, requests, CPU and memory a job beside a bare Kopf handler; KUBEBUILDER_ASSETS=FOLDER, BENCH='--jobs 100'
	$(BIN)/python benchmarks/fleet.py $(BENCH)

bench-reports: $(READY)  ## Measure reports on connections that stay open beside new ones, and what connections take in memory
	$(BIN)/python benchmarks/reports.py $(BENCH)

bench-gpu: $(if $(filter $(BIN)/python,$(BENCH_PYTHON)),$(READY))  ## Measure the trainer on a GPU, in 8 minutes; BENCH_PYTHON=python3 names what has torch, BENCH='--json FILE'
	$(BENCH_PYTHON) benchmarks/gpu.py $(BENCH)

test: $(READY)  ## Run the test suite, side by side on the cores; TESTS='-k NAME' or a path for a part of it
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

test-fast: $(READY)  ## Run the fast unit tests, after each change: none of PyTorch, none marked thorough, and a tenth of the examples
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --fast $(or $(TESTS),tests/unit)

test-devcluster: $(READY)  ## Run the dev cluster's own tests
	cd devcluster && ../$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

test-integration: $(READY)  ## Run the integration tests of both suites on a real control plane: KUBEBUILDER_ASSETS=FOLDER (etcd, kube-apiserver, kube-controller-manager)
	@test -x '$(KUBEBUILDER_ASSETS)/kube-apiserver' || { echo "KUBEBUILDER_ASSETS: no kube-apiserver in '$(KUBEBUILDER_ASSETS)'"; exit 2; }
	export KUBEBUILDER_ASSETS='$(abspath $(KUBEBUILDER_ASSETS))'; failed=0; \
	$(BIN)/python -m pytest $(TWENTY_MINUTES) -m 'not bench' tests/integration $(TESTS) || failed=1; \
	cd devcluster && ../$(BIN)/python -m pytest $(TWENTY_MINUTES) -m '' tests/integration $(TESTS) || failed=1; \
	exit $$failed

test-slow: $(READY)  ## Run the tests that `make test` leaves out because each takes two seconds or more
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TWENTY_MINUTES) -m 'slow and not bench' $(TESTS)

chaos: $(READY)  ## Kill the operator after each of its writes, and break its API in every way; KUBEBUILDER_ASSETS=FOLDER for a real control plane
	$(BIN)/python -m pytest $(AN_HOUR) -m 'chaos or slow' tests/chaos tests/integration/test_two_operators.py \
	    tests/unit/finetune_operator/reports/test_hostile_traffic.py $(TESTS)

test-keras: $(KERAS_VENV)/.installed  ## Run the tests of the Keras engine, in an environment of their own
	$(KERAS_VENV)/bin/python -m pytest -m keras tests/keras

test-mlflow: $(READY) $(MLFLOW_VENV)/.installed  ## Run the tests of trackers against a server of MLflow's own, in an environment of its own
	MLFLOW=$(abspath $(MLFLOW_VENV))/bin/mlflow $(BIN)/python -m pytest -m '' tests/trainer/test_tracking.py

test-qlora: $(QLORA)/.installed  ## Run the tests of adapters on quantized weights, with bitsandbytes on the CPU
	PYTHONPATH=$(QLORA) $(BIN)/python -m pytest -m qlora tests/trainer

test-trackio: $(READY) $(TRACKIO_VENV)/.installed  ## Run the tests of runs at trackio against its own server and dashboard, in an environment of its own
	TRACKIO=$(abspath $(TRACKIO_VENV))/bin/trackio $(BIN)/python -m pytest -m '' tests/trainer/test_trackio.py

test-wandb: $(WANDB)/.installed  ## Run the tests of runs in W&B's offline mode, with its own client
	PYTHONPATH=$(abspath $(WANDB)) $(BIN)/python -m pytest -m wandb tests/trainer

test-extras:  ## Run the five that need something more installed, also where one fails: before a release nothing else does
	$(MAKE) --keep-going test-keras test-mlflow test-qlora test-trackio test-wandb

bench-page: $(READY)  ## Measure the page's first paint with 500 jobs, and what a change of 50 takes of its main thread; needs Chromium
	$(BIN)/python -m pytest -s -m bench tests/integration/test_page_looks.py

bench-kill: $(READY)  ## Kill the trainer more than 200 times while it saves, to a disk and to a bucket
	$(BIN)/python -m pytest $(AN_HOUR) -s -m bench tests/trainer/test_kills.py

generate: $(READY)  ## Write crds/, the chart's copies and version, and the reference in docs/ from the code
	$(BIN)/python -m finetune_operator.generate

verify: $(READY)  ## Check that generated files are what `make generate` writes, and that the CRD breaks nothing of the last release
	$(BIN)/python -m finetune_operator.generate --check

# PYTHON_IMAGE is their base, by digest.
IMAGES := $(BIN)/python -m supply_chain
WHICH = $(if $(IMAGE),--image $(IMAGE)) $(foreach extra,$(EXTRAS),--extra $(extra))
INDEX = $(if $(PIP_CONF),--pip-conf '$(PIP_CONF)') $(if $(CA),--ca '$(CA)')
TRUSTED = $(if $(BUILDER),--builder '$(BUILDER)')

images: $(READY)  ## Build both images, SBOM and provenance into dist/images: PYTHON_IMAGE=NAME:TAG@sha256:… ENGINE=podman EXTRAS='keras qlora wandb page traces' BUILDER=URI PIP_CONF=FILE CA=FILE
	$(IMAGES) build --base '$(PYTHON_IMAGE)' --engine $(or $(ENGINE),docker) $(WHICH) $(TRUSTED) $(INDEX)
	$(IMAGES) verify $(WHICH) $(TRUSTED)

sbom: $(READY)  ## Write the images' bills of materials (CycloneDX) into dist/images
	$(IMAGES) sbom $(WHICH)

verify-images: $(READY)  ## Check the images in dist/images, their SBOM and provenance, offline
	$(IMAGES) verify $(WHICH) $(TRUSTED)

version:  ## Print the version of this checkout
	@sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml

# Constraints without hashes hold the environment of the tests to the versions that the images have.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command 'make lock'
LOCK = $(COMPILE) --generate-hashes --constraint locks/dev.lock
but = $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' $(1))

lock: $(READY)  ## Resolve the versions and hashes in locks/ again; LOCK_ARGUMENTS='--upgrade-package NAME' for one, --upgrade for all
	$(COMPILE) $(LOCK_ARGUMENTS) pyproject.toml devcluster/pyproject.toml --extra dev --output-file locks/dev.lock
	$(LOCK) pyproject.toml --extra operator --output-file locks/operator.lock
	$(LOCK) pyproject.toml --extra operator --extra traces $(call but,locks/operator.lock) --output-file locks/traces.lock
	$(LOCK) pyproject.toml --extra operator --extra page $(call but,locks/operator.lock) --output-file locks/page.lock
	echo torch | $(LOCK) - --output-file locks/torch.lock
	$(LOCK) pyproject.toml --extra trainer $(call but,locks/torch.lock) --output-file locks/trainer.lock
	$(LOCK) pyproject.toml --extra trainer --extra keras $(call but,locks/torch.lock locks/trainer.lock) --output-file locks/keras.lock
	$(LOCK) pyproject.toml --extra trainer --extra qlora $(call but,locks/torch.lock locks/trainer.lock) --output-file locks/qlora.lock
	$(LOCK) pyproject.toml --extra trainer --extra wandb $(call but,locks/torch.lock locks/trainer.lock) --output-file locks/wandb.lock
	printf '%s\n' 'hatchling>=1.27' 'pip>=25.3' setuptools setuptools-scm | $(LOCK) - --output-file locks/build.lock

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd devcluster && ../$(BIN)/mypy && ../$(BIN)/lint-imports

format: $(READY)  ## Mend style where a machine can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) $(KERAS_VENV) $(MLFLOW_VENV) $(TRACKIO_VENV) $(QLORA) $(WANDB) .demo $(foreach folder,. devcluster,$(addprefix $(folder)/,.mypy_cache .ruff_cache .pytest_cache .hypothesis))
