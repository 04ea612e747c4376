# `make repro` and `make test` each make the environment if it is missing and do their whole job.
PYTHON ?= python3
EXTRA ?= cpu
# Processes that run tests: one a core, each with one thread.
WORKERS ?= logical
# More arguments of pytest, for example: make test ARGS="tests/ucls -k vote"
ARGS ?=
VENV := .venv
ENV := $(VENV)/.complete
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
PYTEST := $(RUN) OMP_NUM_THREADS=1 python -m pytest --numprocesses=$(WORKERS) --maxprocesses=8 \
	--dist=loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help repro test test-fast lint format deps docs check clean-env

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '%-10s %s\n' "$$name" "$$text"; done

repro: $(ENV) ## run both chains on the embedded defaults
	@$(RUN) python -m commands.lock_file
	$(RUN) dvc repro

test: $(ENV) ## run all tests
	$(PYTEST) $(ARGS)

test-fast: $(ENV) ## run the tests that take no more than about a second
	$(PYTEST) -m "not slow" $(ARGS)

lint: $(ENV) ## check style and types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

format: $(ENV) ## format the code and mend what can be mended
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

deps: $(ENV) ## write the code deps of dvc.yaml and docs/parameters.md
	$(RUN) python -m commands.deps
	$(RUN) python -m commands.reference

docs: $(ENV) ## write docs/parameters.md and check what README and docs refer to
	$(RUN) python -m commands.reference
	$(RUN) python -m pytest -q tests/test_docs.py

check: lint ## check style, types, and that deps and docs/parameters.md are up to date
	$(RUN) python -m commands.deps --check
	$(RUN) python -m commands.reference --check

$(ENV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with 'make PYTHON=python3.12 $(MAKECMDGOALS)'"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA),dev]'
	touch $@

clean-env: ## remove the environment
	rm -rf $(VENV)
