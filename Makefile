# meterd: everything a person types. Needs CPython 3.11 to 3.14, make and a C library; no compiler.

# PYTHON: which one to use; unset, the first on the PATH that fits. VENV: the environment's folder.
ARGS ?=
COMPILE ?= 0
SEEDS ?= 100000
WORKERS ?= 2
FUZZ_SECONDS ?= 60
VENV ?= .venv
BIN := $(VENV)/bin
# Tests start hundreds of Pythons: without __pycache__ each compiles the project again.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
INSTALL := @VENV="$(VENV)" PYTHON="$(PYTHON)" tools/install
# What `make test-fast` runs: tests without servers. The limit is a minute on two cores.
FAST := tests/rules tests/project tests/asyncapi tests/daemon tests/actors tests/client tests/commands \
	tests/gateway tests/legacy tests/monitoring
FAST_MARKS := not (redis or postgres or ray or acceptance or slow)

.DEFAULT_GOAL := help
.PHONY: help install install-dev up demo test test-slow test-fast smoke screenshots coverage interleavings chaos soak load bench fuzz \
	check format wheels docs lock clean

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; \
	done

install: ## make .venv with what runs (quick when nothing changed; PYTHON=... for another Python)
	$(INSTALL) run

install-dev: ## make .venv with what developing and testing need, too
	$(INSTALL) dev

up: install ## run meterd in the foreground, with servers of its own unless some are configured
	@exec $(BIN)/meterd up $(ARGS)

demo: install ## show a few chats being timed and billed
	@exec $(BIN)/meterd demo $(ARGS)

test: install-dev ## run the tests (ARGS="-k words -x" goes to pytest; WORKERS=0: one at a time)
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow and not smoke" $(ARGS)

test-slow: install-dev ## run the other tests: faults, wheels, busy machines, all pages; more examples of each property
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-nightly} $(PYTEST) -n $(WORKERS) \
		--dist loadfile -m "(slow or hypothesis) and not alone" $(ARGS)
	$(PYTEST) -n 0 -m alone $(ARGS)

test-fast: install-dev ## run the tests that need no server, in less than a minute
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-fast} $(PYTEST) -n $(WORKERS) \
		--dist loadfile -m "$(FAST_MARKS)" $(FAST) $(ARGS)

smoke: install-dev ## start the daemon once: status, demo, audit, stop
	$(PYTEST) -n 0 tests/acceptance/test_smoke.py $(ARGS)

screenshots: install-dev ## take pictures of the operations page, light and dark, with 5 and 5 000 chats (ARGS=folder)
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

coverage: install-dev ## measure how much of the code the tests of `make test-fast` run
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "$(FAST_MARKS)" $(FAST) \
		--cov --cov-report=term:skip-covered $(ARGS)

chaos: install-dev ## break everything at random for CHAOS_MINUTES (5), then check the books (ARGS=--help)
	$(BIN)/python -m tests.chaos $(ARGS)

soak: install-dev ## an hour of steady load: is memory flat in every process? (SOAK_MINUTES=5)
	$(BIN)/python -m tests.chaos.soak

load: install-dev ## two minutes of load on 10 000 chats, then the audit and a report (ARGS=--help)
	$(BIN)/python -m loadtests.load $(ARGS)

bench: install-dev ## measure what the design promises, in half an hour: docs/performance.md (ARGS=--help)
	$(BIN)/python -m loadtests.bench $(ARGS)

interleavings: install-dev ## play SEEDS=100000 random interleavings of everything that can go wrong
	$(BIN)/python -m tests.interleavings.many $(SEEDS)

fuzz: install-dev ## fuzz what reads foreign bytes, FUZZ_SECONDS (60) for each of four targets (where atheris has a wheel)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/atheris.lock
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

check: install-dev ## lint, format, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## put the code in form and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

wheels: $(if $(filter 1,$(COMPILE)),install-dev,install) ## build both wheels into dist/ (COMPILE=1: for this Python and processor, faster; needs a C compiler)
	rm -rf build/bdist.* build/lib* build/temp.* clients/python/build
	METERD_COMPILE=$(COMPILE) $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir dist ./clients/python .
	@ls dist/*.whl

docs: install-dev ## build the documentation site into site/; a warning is an error
	rm -rf site
	$(BIN)/python -m docs._generate $(ARGS)

lock: install-dev ## write the lock files again (ARGS=--upgrade for newer versions)
	@UV=$(BIN)/uv tools/lock $(ARGS)

clean: ## remove .venv and everything generated (data in .meterd stays)
	rm -rf $(VENV) build dist site *.egg-info clients/python/build clients/python/*.egg-info clients/typescript/node_modules examples/*/node_modules examples/*/dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name .meterd -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
