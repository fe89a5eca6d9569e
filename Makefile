# `make up` runs RollbackHub, `make test` tests it, `make help` lists the rest.
# A machine needs Python 3.11, Node 20 (or newer) and make; everything else is brought in.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
TEST_PROCESSES ?= 2
# These hold processes to a number of seconds, so they run before all others, which make the machine busy.
KILL_TESTS := tests/integration/test_kills.py tests/integration/test_rollback_kills.py tests/integration/test_rollback_faults.py
N ?= 300

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

up: $(VENV)/.installed node_modules/.installed ## Run RollbackHub with everything that it needs; Ctrl-C stops it
	@exec $(BIN)/python -m rollbackhub.local.up

install: $(VENV)/.installed node_modules/.installed ## Bring in what RollbackHub runs on

install-dev: $(VENV)/.installed-dev node_modules/.installed .venv-mlflow/.installed debian-packages ## Bring in what the tests need, too

test: install-dev lint ## Lint, types, layers, and all tests
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(KILL_TESTS)
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(addprefix --ignore=,$(KILL_TESTS)) tests

lint: $(VENV)/.installed-dev ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: $(VENV)/.installed-dev ## Format the code, and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.installed-dev ## Compile requirements*.in to pinned requirements*.txt
	$(BIN)/uv pip compile -q requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile -q requirements-mlflow.in -o requirements-mlflow.txt

campaign-kills: install-dev ## Kill processes N times at random points, and report what was lost, doubled, and how soon all went on
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m tests.campaigns.kills --kills $(N)

bench-readiness: install-dev ## What preflight, readiness and the board cost with 200 and with 2,000 aliases
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m tests.campaigns.readiness_scale

bench-analytics: install-dev ## What each page of analytics costs with 10,000 and with 1,000,000 runs, beside its bare SQL (some minutes)
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m tests.campaigns.analytics_scale

bench-alerts: install-dev ## 10,000 alert posts in a storm, and again while the broker is away for a minute: answer times, incidents, posts lost
	@$(BIN)/python -m tests.campaigns.alert_storm

bench-search: install-dev ## Search across 50,000 postmortems beside the same words by ILIKE (some minutes)
	@$(BIN)/python -m rollbackhub.local.with_servers $(BIN)/python -m tests.campaigns.search_scale

bench-judge: $(VENV)/.installed-dev ## How often the judge of a verification errs, beside two simpler judges (simulation, some minutes)
	@$(BIN)/python -m tests.campaigns.judge_characteristics

# Each stamp is younger than what it was made from, so that the second time costs nothing.

$(VENV)/.installed: requirements.txt | $(BIN)/python
	@echo "Installing Python packages…"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt $(VENV)/.installed
	@echo "Installing Python packages for the tests…"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@

# python3.11 first: that is what the pinned packages were chosen for. A shim that leads nowhere does not count.
$(BIN)/python:
	@for python in $${PYTHON:-} python3.11 python3 python; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$($$python --version)…"; exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo "RollbackHub needs Python 3.11 with its venv module: install it (Debian: apt-get install python3.11 python3.11-venv) and run make again, or name it: PYTHON=/path/to/python3.11 make up" >&2; \
	exit 1

node_modules/.installed: package.json package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { \
		echo "RollbackHub needs Node 20 or newer, with npm, for its browser assets: install it (https://nodejs.org) and run make again." >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { \
		echo "RollbackHub needs Node 20 or newer for its browser assets, and this is $$(node --version): install a newer one (https://nodejs.org) and run make again." >&2; exit 1; }
	@echo "Installing browser assets…"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# An MLflow server brings 68 packages of its own choice of versions: they stay away from ours.
mlflow: .venv-mlflow/.installed ## Bring in the MLflow server of the lab

.venv-mlflow/.installed: requirements-mlflow.txt | $(BIN)/python
	@echo "Installing an MLflow server…"
	@$(BIN)/python -m venv .venv-mlflow
	@.venv-mlflow/bin/python -m pip install -q --disable-pip-version-check -r requirements-mlflow.txt
	@touch $@

# What the tests drive that comes from Debian: programs, each package with one of its programs; and libraries and fonts that PDF is made with,
# each package with the name of one of its files.
DEBIAN_PROGRAMS := chromium:chromium haproxy:haproxy git:git prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager poppler-utils:pdftotext
DEBIAN_LIBRARIES := libpango-1.0-0:libpango-1.0.so.0 libpangoft2-1.0-0:libpangoft2-1.0.so.0 libharfbuzz-subset0:libharfbuzz-subset.so.0
DEBIAN_FONTS := fonts-dejavu-core:/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

debian-packages:
	@missing=""; for pair in $(DEBIAN_PROGRAMS); do command -v "$${pair#*:}" >/dev/null || missing="$$missing $${pair%%:*}"; done; \
	if command -v apt-get >/dev/null; then \
		libraries="$$(PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p)"; \
		for pair in $(DEBIAN_LIBRARIES); do case "$$libraries" in *"$${pair#*:}"*) ;; *) missing="$$missing $${pair%%:*}" ;; esac; done; \
		for pair in $(DEBIAN_FONTS); do [ -e "$${pair#*:}" ] || missing="$$missing $${pair%%:*}"; done; \
	fi; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing$$missing for the tests…"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else \
			echo "The tests need$$missing, and only root may install them: have somebody run 'apt-get install$$missing' (or your system's own way) and run make again." >&2; \
			exit 1; \
		fi; fi

.PHONY: help up install install-dev test lint fmt lock campaign-kills bench-readiness bench-analytics bench-alerts bench-search bench-judge mlflow debian-packages
