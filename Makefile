# `make repro` and `make test` each make the environment if it is missing and do their whole job.
PYTHON ?= python3
EXTRA ?= cpu
VENV := .venv
ENV := $(VENV)/.complete
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: repro test check lint clean-env

repro: $(ENV)
	$(RUN) dvc repro

test: $(ENV)
	$(RUN) python -m pytest

lint: $(ENV)
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

$(ENV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with 'make PYTHON=python3.12 $(MAKECMDGOALS)'"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRA),dev]'
	touch $@

clean-env:
	rm -rf $(VENV)
