# What one types. Each target sets up what it needs by itself on Debian 12 (as root, or with sudo); see tools/setup.sh.
#
#   make demo        a whole case on evidence made by code, in a minute
#   make test        all tests
#   make help        the rest

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check sanitize bench bundle docs lock clean distclean

PY := .venv/bin/python
export PYTHON

help: ## Say what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name what; do printf '  make %-11s %s\n' "$$name" "$$what"; done

setup: ## Set up .venv to use Safelight: .venv/bin/safelight.
	@tools/setup.sh run

demo: ## Show a whole case on evidence made by code (below demo/).
	@tools/setup.sh run
	@$(PY) tools/demo.py

test: ## Run all tests.
	@tools/setup.sh test
	@$(PY) -m pytest

test-fast: ## Run the tests that are not marked slow.
	@tools/setup.sh test
	@$(PY) -m pytest -m "not slow"

check: ## Lint, format, types, layers, licences; the page's types, lint and unit tests.
	@tools/setup.sh test
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy --config-file= --strict --ignore-missing-imports --explicit-package-bases tools
	$(PY) -m mypy --config-file= --strict --ignore-missing-imports --explicit-package-bases bench
	$(PY) -m pytest tests/unit/test_layers.py tests/unit/test_docs.py tests/unit/test_cli_start.py
	$(PY) tools/check_licences.py
	tools/web.sh check
	tools/web.sh vitest run

sanitize: ## Run the tests of the C kernels under the address and undefined-behaviour sanitizers of clang.
	@tools/setup.sh test
	@tools/sanitize.sh

bench: ## Run each script of bench/ and print its table.
	@tools/setup.sh test
	@for script in bench/*.py; do printf '\n== %s\n' "$$script"; $(PY) "$$script" || exit 1; done

bundle: ## Make a folder in dist/ that installs Safelight on a machine without network.
	@tools/setup.sh run
	@tools/make_bundle.sh

docs: ## Write the generated pages of docs/ anew.
	@tools/setup.sh run
	@$(PY) tools/make_docs.py

lock: ## Write the lock files anew (UPGRADE=1 also renews the pins).
	@tools/lock.sh

clean: ## Remove what was built and what the demo left; .venv stays.
	rm -rf build dist demo src/safelight/review/page .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info src/safelight/native/*.so .make/kernels .make/page .make/sanitize
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and all logs and stamps too.
	rm -rf .venv .make web/node_modules
