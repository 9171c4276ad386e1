# `make` alone prints this list. Every command sets up .venv first, which is instant once it is there.
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Two runs: what is pure, on two workers, and what starts an engine, Ray, a store or a browser, on three: a fifth of their
# time is waiting. A selection in PYTEST_ARGS may leave one of the two without a test (5).
APART := vllm or ray or gpu or s3 or browser
PURE_TESTS = $(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(APART))$(1)" $(PYTEST_ARGS) || test $$? -eq 5
APART_TESTS = $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "($(APART))$(1)" $(PYTEST_ARGS) || test $$? -eq 5

# Python's byte code is kept, whatever the shell says: without it each process compiles torch and its like once more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo check test test-ci test-all docs lint format clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## Set up .venv from the pinned lists (PYTHON=..., DEVICE=cpu|gpu)
	@bash requirements/install.sh $(VENV)

demo: install  ## Score arithmetic problems on this machine, with models that come with the repository
	$(BIN)/python -m examples.arithmetic.demo

check: lint  ## Formatting, lint, types and the fast tests: before a commit
	$(call PURE_TESTS, and not long and not ci and not slow)

test: install  ## What every change must pass, with real engines and Ray (PYTEST_ARGS=...)
	$(call PURE_TESTS, and not long and not ci)
	$(call APART_TESTS, and not long and not ci)

test-ci: install  ## What continuous integration runs beside it: more faults, more inputs, more engines (PYTEST_ARGS=...)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "ci and not long" $(PYTEST_ARGS) || test $$? -eq 5

test-all: install  ## Every test: also all pairs, all seeds and long chaos (PYTEST_ARGS=...)
	$(call PURE_TESTS,)
	$(call APART_TESTS,)

docs: install  ## Build the pages and the API reference into site/
	$(BIN)/mkdocs build --strict

lint: install  ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -n 2 || $(BIN)/mypy  # its workers do not always find each other on a busy machine

format: install  ## Rewrite the files as ruff would have them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove .venv, caches and build products (never runs/)
	rm -rf $(VENV) build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
