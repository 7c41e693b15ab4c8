# meterd: everything a person types. Needs Python 3.11, make and a C library; no compiler.

PYTHON ?= python3.11
ARGS ?=
SEEDS ?= 100000
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install up demo test interleavings chaos soak load bench check format lock clean

help: ## list these targets
	@sed -n 's/^\([a-z][a-z]*\):.*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; \
	done

install: $(STAMP) ## make .venv from requirements.lock (quick when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "meterd needs Python 3.11; '$(PYTHON)' was not found. Name yours: make install PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3.11-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "$(VENV) is not of Python 3.11, for which requirements.lock was made: make clean, then again" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary=:all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
	@touch $(STAMP)

up: install ## run meterd in the foreground, with servers of its own unless some are configured
	@exec $(BIN)/meterd up $(ARGS)

demo: install ## show a few chats being timed and billed
	@exec $(BIN)/meterd demo $(ARGS)

test: install ## run the tests (ARGS="-k words -x" goes to pytest; WORKERS=0: one at a time)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

chaos: install ## break everything at random for CHAOS_MINUTES (5), then check the books (ARGS=--help)
	$(BIN)/python -m tests.chaos $(ARGS)

soak: install ## an hour of steady load: is memory flat in every process? (SOAK_MINUTES=5)
	$(BIN)/python -m tests.chaos.soak

load: install ## two minutes of load on 10 000 chats, then the audit and a report (ARGS=--help)
	$(BIN)/python -m loadtests.load $(ARGS)

bench: install ## measure what the design promises, in 20 minutes: docs/performance.md (ARGS=--help)
	$(BIN)/python -m loadtests.bench $(ARGS)

interleavings: install ## play SEEDS=100000 random interleavings of everything that can go wrong
	$(BIN)/python -m tests.interleavings.many $(SEEDS)

check: install ## lint, format, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## put the code in form and mend what can be mended
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: install ## write requirements.lock anew (ARGS=--upgrade for newer versions)
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet $(ARGS) \
		--extra dev --extra load --generate-hashes --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
		--build-deps-for editable --output-file requirements.lock pyproject.toml

clean: ## remove .venv and everything generated (data in .meterd stays)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
