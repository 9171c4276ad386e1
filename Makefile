# `make` alone prints this list. Every command sets up .venv first, which is instant once it is there.
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Side by side: what starts an engine, Ray or an object store is one group, and has one of the workers to itself.
PYTEST := $(BIN)/python -m pytest -n 2

# Python's byte code is kept, whatever the shell says: without it each process compiles torch and its like once more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo check test test-all lint format clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## Set up .venv from the pinned lists (PYTHON=..., DEVICE=cpu|gpu)
	@bash requirements/install.sh $(VENV)

demo: install  ## Score arithmetic problems on this machine, with models that come with the repository
	$(BIN)/python -m examples.arithmetic.demo

check: lint  ## Formatting, lint, types and the fast tests: what to run before a commit (two minutes)
	$(PYTEST) --dist loadfile -m "not long and not vllm and not ray and not gpu and not s3 and not browser" $(PYTEST_ARGS)

test: install  ## What every change must pass: all tests but the long ones, with real engines and Ray (PYTEST_ARGS=...)
	$(PYTEST) --dist loadgroup -m "not long" $(PYTEST_ARGS)

test-all: install  ## Every test: also all pairs, all seeds and long chaos (PYTEST_ARGS=...)
	$(PYTEST) --dist loadgroup $(PYTEST_ARGS)

lint: install  ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install  ## Rewrite the files as ruff would have them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove .venv, caches and build products (never runs/)
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
