# `make` alone prints this list. Every command sets up .venv first, which is instant once it is there.
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: help install demo test check lint format clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## Set up .venv from the pinned lists (PYTHON=..., DEVICE=cpu|gpu)
	@bash requirements/install.sh $(VENV)

demo: install  ## Score arithmetic problems on this machine, with models that come with the repository
	$(BIN)/python -m examples.arithmetic.demo

test: install  ## Every test, with real vLLM engines and a local Ray cluster (PYTEST_ARGS=...)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint  ## Formatting, lint, types and the fast tests: what to run before a commit
	$(BIN)/python -m pytest -m "not vllm and not ray and not gpu and not s3" $(PYTEST_ARGS)

lint: install  ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install  ## Rewrite the files as ruff would have them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove .venv, caches and build products (never runs/)
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
