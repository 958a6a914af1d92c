# What a newcomer needs: `make demo`, then `make help`.

PYTHON ?= python3.13
USERS  ?= 50
PLAYS  ?= 2000
PORT   ?= 8080
ENV    ?= default
FUNCTION ?= HttpApiFunction
ENDPOINT ?=
EVENT  ?=
# Not ?=: make has a GET of its own.
GET    =
KEEP   ?=
EVENTS ?= 1000
SEEDS  ?= 100
FAULTS ?= 0.05
ARGS   ?=
JOBS   ?= auto

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The account domain's stack has a folder and a configuration of its own.
RECEIVER_BUILD := .aws-sam/receiver

BIN   := .venv/bin
TOOLS := .venv-tools/bin
# The files list every package with its hash, so nothing is left to resolve. What is imported is compiled then, at half
# the cost of compiling it all now.
PIP   := -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps --no-compile

# Bytecode is kept whatever the shell says: tests and demo start dozens of processes, and to compile anew what each imports
# takes longer than what most of them do.
export PYTHONDONTWRITEBYTECODE :=

# SAM CLI: no telemetry, and its own files inside the clone.
export SAM_CLI_TELEMETRY := 0
export __SAM_CLI_APP_DIR := $(CURDIR)/.cache/sam
export SAM_LAYER_CACHE_BASEDIR := $(CURDIR)/.cache/sam/layers
# The tools environment first, so that SAM's builder finds the interpreter that made it and not another one of the PATH.
SAM := PATH="$(CURDIR)/$(TOOLS):$$PATH" $(TOOLS)/sam

.PHONY: help
help: ## List the targets
	@echo "usage: make TARGET [VARIABLE=value]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { \
	  line = sprintf("  %-16s", $$1); \
	  words = split($$2, word, " "); \
	  for (i = 1; i <= words; i++) { \
	    if (length(line " " word[i]) > 80) { print line; line = sprintf("%18s", "") } \
	    line = line " " word[i] \
	  } \
	  print line }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.installed ## Make the development environment (.venv) from hash-locked requirements; needs python3.13 alone

.PHONY: demo
demo: setup ## Run every part of the system once on this machine (USERS=50 PLAYS=2000; POISON=5 lets events fail)
	@$(BIN)/python -m devstack demo --users $(USERS) --plays $(PLAYS) $(if $(POISON),--poison $(POISON)) $(ARGS)

.PHONY: run
run: setup ## Start the local stack and leave it up until Ctrl-C (PORT=8080; KEEP=1 goes on where the last one stopped)
	@$(BIN)/python -m devstack run --port $(PORT) $(if $(KEEP),--state .devstack/state) $(ARGS)

.PHONY: try
try: setup ## Run a function on one input, in memory, and say what became of each record (FUNCTION=fan_out EVENT=file.json GET=/path; ARGS=--json)
	@$(BIN)/python -m devstack try $(if $(EVENT),--event "$(EVENT)") $(if $(GET),--get "$(GET)") \
	  $(if $(filter-out file,$(origin FUNCTION)),--function "$(FUNCTION)") $(ARGS)

.PHONY: simulate
simulate: setup ## Prove the delivery rules under faults, over virtual time (EVENTS=1000 SEEDS=100 FAULTS=0.05; POISON=0.02 repairs and redrives; ODD=0.02 mixes in foreign records)
	@$(BIN)/python -m devstack simulate --events $(EVENTS) --seeds $(SEEDS) --faults $(FAULTS) \
	  $(if $(POISON),--poison $(POISON)) $(if $(ODD),--odd $(ODD)) $(ARGS)

# A worker for each processor. JOBS=0 runs all in one process, as a debugger wants it.
PYTEST := $(BIN)/python -m pytest -n $(JOBS)

.PHONY: test
test: setup ## Run the tests but the slow ones (ARGS="tests/unit -k streak"; JOBS=auto workers)
	@$(PYTEST) -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: setup ## Run the slow ones: long simulations, demos, tutorials (ARGS="-k seeds"; JOBS=auto workers)
	@$(PYTEST) -m slow $(ARGS)

.PHONY: browser-tools
browser-tools: tests/browser/node_modules/.installed ## Install what the browser tests load into pages; needs npm and, for the tests, a chromium

.PHONY: screenshots
screenshots: setup browser-tools ## Make the pictures of docs/images anew, by the browser tests
	@mkdir -p docs/images
	@HEADWATER_SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser/test_console.py

.PHONY: mutate
mutate: setup ## Take each guard away in turn and demand that the tests turn red (ARGS="version-gate")
	@$(BIN)/python -m tests.mutations $(ARGS)

.PHONY: bench-badges
bench-badges: setup ## Measure what a badge decision costs, beside a version that reads all plays (ARGS="--rounds 9")
	@$(BIN)/python -m benchmarks.badges $(ARGS)

.PHONY: bench-archive
bench-archive: setup ## Measure what archiving a record costs, beside the least that it can (ARGS="--rounds 31")
	@$(BIN)/python -m benchmarks.archive $(ARGS)

.PHONY: bench-decoding
bench-decoding: setup ## Measure what reading an event costs, and each cold start (ARGS="--against ../other/src")
	@$(BIN)/python -m benchmarks.decoding $(ARGS)

.PHONY: bench-compaction
bench-compaction: setup ## Measure compaction, and what a user's month reads from raw and compacted (EVENTS=1000000)
	@$(BIN)/python -m benchmarks.compaction $(if $(filter command line,$(origin EVENTS)),--events $(EVENTS)) $(ARGS)

# Each tool is a target of its own, so that one can be run alone: `make check-types`.
CHECKS := format lint types imports wiring templates expanded rules

.PHONY: check $(CHECKS:%=check-%)
check: setup .venv-tools/.installed ## Format, lint, types, imports, and the templates raw and expanded; tells all that failed
	@failed=; \
	for check in $(CHECKS); do \
	  $(MAKE) --no-print-directory check-$$check || failed+=" $$check"; \
	done; \
	[ -z "$$failed" ] || { echo "make check failed:$$failed (each alone: make check-NAME)" >&2; exit 1; }

check-format: setup
	$(BIN)/ruff format --check .

check-lint: setup
	$(BIN)/ruff check .

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter

check-wiring: setup
	$(BIN)/python -m cli.wiring --check

check-templates: .venv-tools/.installed
	$(TOOLS)/cfn-lint template.yaml receiver.yaml

# What the raw form hides: the expanded one is what CloudFormation gets.
check-expanded: setup .venv-tools/.installed
	@mkdir -p .cache
	$(BIN)/python -m tests.infrastructure.expansion template.yaml > .cache/template.expanded.json
	$(BIN)/python -m tests.infrastructure.expansion receiver.yaml > .cache/receiver.expanded.json
	$(TOOLS)/cfn-lint .cache/template.expanded.json .cache/receiver.expanded.json

check-rules: setup
	$(BIN)/python -m pytest tests/infrastructure tests/simulation/test_permissions.py

.PHONY: wiring
wiring: setup ## Write what follows from the declarations: into template.yaml, schemas/ and the docs
	@$(BIN)/python -m cli.wiring

.PHONY: format
format: setup ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: validate
validate: .venv-tools/.installed ## Let SAM validate the templates
	@$(SAM) validate --lint --config-env $(ENV)
	@$(SAM) validate --lint --template receiver.yaml --config-file samconfig.receiver.toml --config-env $(ENV)

.PHONY: build
build: build-main build-receiver ## Build what is deployed, both stacks, and print its size (ENV=default|dev|prod)

.PHONY: build-main
build-main: .venv-tools/.installed
	@$(SAM) build --config-env $(ENV)
	@$(TOOLS)/python tests/infrastructure/artefact.py .aws-sam/build

.PHONY: build-receiver
build-receiver: .venv-tools/.installed
	@$(SAM) build --template receiver.yaml --config-file samconfig.receiver.toml --config-env $(ENV) \
	  --build-dir $(RECEIVER_BUILD)
	@$(TOOLS)/python tests/infrastructure/artefact.py $(RECEIVER_BUILD)

.PHONY: invoke
invoke: setup build ## Run a function in Lambda's image (FUNCTION=FanOutFunction ENDPOINT=http://127.0.0.1:4566)
	@$(BIN)/python -m devstack invoke $(if $(ENDPOINT),--endpoint "$(ENDPOINT)") \
	  --function "$(FUNCTION)" env $(SAM) local invoke $(ARGS)

.PHONY: invoke-all
invoke-all: setup build ## Run every function in Lambda's image, each with its fixture, a line for each (ENDPOINT=…)
	@$(BIN)/python -m devstack invoke $(if $(ENDPOINT),--endpoint "$(ENDPOINT)") env $(SAM) local invoke $(ARGS)

.PHONY: deploy
deploy: deploy-receiver deploy-main ## Build and deploy both stacks (ENV=default|dev|prod); see docs/deploying.md

.PHONY: deploy-main
deploy-main: setup build-main ## Build and deploy template.yaml alone, where the account domain has an account of its own
	@$(BIN)/python -m devstack deploy-checked --checked-template template.yaml --checked-config samconfig.toml \
	  --checked-env $(ENV) env $(SAM) deploy --config-env $(ENV)

.PHONY: deploy-receiver
deploy-receiver: setup build-receiver ## Build and deploy receiver.yaml alone, with the account domain's credentials
	@$(BIN)/python -m devstack deploy-checked --checked-template receiver.yaml \
	  --checked-config samconfig.receiver.toml --checked-env $(ENV) \
	  env $(SAM) deploy --template $(RECEIVER_BUILD)/template.yaml \
	  --config-file $(CURDIR)/samconfig.receiver.toml --config-env $(ENV)

.PHONY: deploy-local
deploy-local: setup build-main ## Let sam deploy to the emulator: a rehearsal without an AWS account (FROM=0.1.0: as an update)
	@$(BIN)/python -m devstack deploy $(if $(FROM),--before tests/infrastructure/released/$(FROM)/template.yaml) \
	  env $(SAM) deploy --parameter-overrides SenderAddress=no-reply@example.com $(ARGS)

.PHONY: lock
lock: .cache/lock/.installed ## Resolve requirements/*.in anew into hash-locked files (UPGRADE=--upgrade for newer versions)
	@lock() { .cache/lock/bin/uv pip compile --quiet --python-version 3.13 --universal --generate-hashes --no-header \
	    --no-emit-index-url $(UPGRADE) "$$@"; }; \
	lock requirements/runtime.in -o src/requirements.txt; \
	lock requirements/duckdb.in -o layers/duckdb/requirements.txt; \
	lock -c src/requirements.txt -c layers/duckdb/requirements.txt requirements/dev.in -o requirements/dev.txt; \
	lock requirements/tools.in -o requirements/tools.txt; \
	lock requirements/lock.in -o requirements/lock.txt

.PHONY: clean
clean: ## Remove everything that make has made
	rm -rf .venv .venv-tools .aws-sam .cache .devstack build tests/browser/node_modules *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make an environment anew only when its requirements changed.

.venv/.requirements: requirements/dev.txt
	@$(call require-python)
	@echo "making .venv (once; about a minute): 1 of 4, the environment"
	@$(PYTHON) -m venv .venv
	@echo "  2 of 4, its $$(grep -c '==' requirements/dev.txt) packages, by their hashes"
	@$(BIN)/python $(PIP) -r requirements/dev.txt
	@echo "  3 of 4, the emulator's bytecode"
	@# The emulator's process writes no bytecode: without this, each start would compile it again.
	@$(BIN)/python -m compileall -q -j 0 .venv/lib/python3.13/site-packages/ministack
	@touch $@

.venv/.installed: .venv/.requirements pyproject.toml
	@echo "  4 of 4, this project itself"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

tests/browser/node_modules/.installed: tests/browser/package-lock.json
	@echo "making tests/browser/node_modules (once)"
	@cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.cache/lock/.installed: requirements/lock.txt
	@$(call require-python)
	@$(PYTHON) -m venv .cache/lock
	@.cache/lock/bin/python $(PIP) -r requirements/lock.txt
	@touch $@

.venv-tools/.installed: requirements/tools.txt
	@$(call require-python)
	@echo "making .venv-tools (once; about a minute)"
	@$(PYTHON) -m venv .venv-tools
	@$(TOOLS)/python $(PIP) -r requirements/tools.txt
	@mkdir -p $(__SAM_CLI_APP_DIR)
	@touch $@

define require-python
$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { \
  echo "$(PYTHON) is not Python 3.13, which this project needs. Get it with one of" >&2; \
  echo "  uv python install 3.13 --default      (https://docs.astral.sh/uv)" >&2; \
  echo "  pyenv install 3.13 && pyenv shell 3.13" >&2; \
  echo "  brew install python@3.13              (macOS)" >&2; \
  echo "  apt install python3.13 python3.13-venv (Debian 13, Ubuntu 25.04)" >&2; \
  echo "or name it, as in: make PYTHON=/usr/local/bin/python3.13" >&2; exit 1; }
endef
