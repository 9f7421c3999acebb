# The commands of this checkout. `make` alone lists them. Needs GNU make and Python >= 3.11, nothing else; works as root and as
# an ordinary user, and touches nothing outside the checkout (as root the embedded PostgreSQL also uses
# /var/cache/issuer-switch and /var/lib/issuer-switch: see switch/daemon/embedded.py).

SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed
PEERS := $(VENV)/peers
PIP := $(RUN) pip --quiet --disable-pip-version-check --no-input
PYTHONS := python3.13 python3.12 python3.11 python3 python
# One worker per core of a small machine; a file's tests share its daemon and database, so they stay on one worker.
TEST_ARGS ?= -n 2 --dist loadfile
ARGS ?=

# A checkout that was moved has the wrong path in its .venv: the stamp says where it was installed.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help install demo test peers bench lint format clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(STAMP) ## make .venv with everything pinned, and the `switch` command in it

demo: $(STAMP) ## PostgreSQL, the daemon and the simulators: real traffic, a crash, and books that agree
	@$(RUN) simulators.demo $(ARGS)

test: $(STAMP) ## all tests that need neither root nor a network
	@$(RUN) pytest $(TEST_ARGS) $(ARGS)

peers: $(STAMP) ## other vendors' clients that pip can't install beside the rest, for tests/interop
	@rm -rf $(PEERS)
	@mkdir -p $(PEERS)/node
	@$(PIP) install --no-deps --require-hashes --target $(PEERS)/build -r tests/interop/python/build-requirements.txt
	@PYTHONPATH=$(CURDIR)/$(PEERS)/build $(PIP) install --no-deps --require-hashes --no-build-isolation \
	  --target $(PEERS)/python -r tests/interop/python/requirements.txt
	@cp tests/interop/node/package.json tests/interop/node/package-lock.json $(PEERS)/node
	@if command -v npm >/dev/null; then npm ci --prefix $(PEERS)/node --ignore-scripts --no-audit --no-fund; \
	  else echo "npm is not here: its client is left out"; fi

bench: $(STAMP) ## the whole switch beside pgbench doing the same work, about six minutes (ARGS=--quick: one)
	@$(VENV)/bin/switch bench $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, import rules
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy --strict
	@$(VENV)/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: $(STAMP) ## let ruff lay out the code
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix-only .

clean: ## remove .venv and what the tools leave
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find switch simulators tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements-dev.txt pyproject.toml
	@if ! [ "`cat $(STAMP) 2>/dev/null`" = "$(CURDIR)" ] || ! $(VENV)/bin/python -c '' 2>/dev/null; then \
	  found=; \
	  for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo "Python 3.11 or newer is needed (looked for: $(PYTHONS))" >&2; exit 1; fi; \
	  if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found has no venv module: on Debian, install python3-venv" >&2; exit 1; \
	  fi; \
	  echo "making $(VENV) with `$$found -V`"; \
	  $$found -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "installing the pinned requirements"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@printf '%s' "$(CURDIR)" > $(STAMP)
