PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test generate verify lint format clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(READY)  ## Fine-tune a real model on a cluster in this machine, from a manifest to its status
	$(BIN)/python examples/demo.py

test: $(READY)  ## Run the whole test suite
	$(BIN)/python -m pytest

generate: $(READY)  ## Write crds/ and the chart's copy from the pydantic models
	$(BIN)/python -m finetune_operator.generate

verify: $(READY)  ## Check that the generated files are what `make generate` writes
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && $(BIN)/python -m finetune_operator.generate "$$out" && \
	for file in crds/finetunejobs.yaml charts/finetune-operator/files/finetunejobs.yaml; do \
	    diff -u "$$file" "$$out/$$file" || { echo "$$file is out of date: run make generate"; exit 1; }; \
	done

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## Mend style where a machine can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and what the demo made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
