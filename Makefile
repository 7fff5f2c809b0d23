# Each target sets up what it needs. `make help` lists them.
# PYTHON=... names another interpreter for the environment, VENV=... keeps one beside `.venv`.
VENV   := .venv
BIN    := $(VENV)/bin
FOLDER ?= docs
PYTEST ?= $(BIN)/pytest
# The whole suite waits for processes half of the time, the fast tests hardly ever.
JOBS   ?= 6
FAST_JOBS ?= 3
SEEDS  ?= 20000

# An environment stays as it is until PYTHON names another version, or its own Python is gone.
version_of = $(shell $(1) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
MADE_WITH := $(call version_of,$(BIN)/python)
ifdef PYTHON
  VERSION := $(call version_of,$(PYTHON))
else
  PYTHON  := python3
  VERSION := $(or $(MADE_WITH),$(call version_of,python3))
endif
ifneq ($(MADE_WITH),$(VERSION))
.PHONY: $(BIN)/python
endif

# What `make demo` runs; on nats with a server of its own, which ends with it.
DEMO_NEEDS := $(VENV)/runtime.stamp
DEMO       := $(BIN)/civitas up examples/word_count.yaml
ifeq ($(TRANSPORT),nats)
NATS_PORT  ?= 42220
DEMO_NEEDS := $(VENV)/dev.stamp
DEMO       := sh examples/on_nats.sh $(BIN) $(NATS_PORT) examples/word_count.yaml
else ifneq ($(TRANSPORT),)
DEMO       += --transport $(TRANSPORT)
endif

LOCAL  := $(wildcard civitas-*/pyproject.toml)

# What tests need besides Python: brokers, certificates, network namespaces, a terminal, what judges units.
PROGRAMS := nats-server redis-server openssl ip tmux systemd-analyze

# Folders of tests/ that have a transport's run of the conformance kit.
REPORTED := $(patsubst tests/%/test_conformance.py,%,$(wildcard tests/*/test_conformance.py))

FAST := not slow and not soak and not packaging and not earlier_release and not mutants

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check lint types docs docs-text docs-look packaging releases mutants seeds test-core test-pythons bench bench-page bench-peers soak clean programs conformance release-check

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

demo: $(DEMO_NEEDS) ## count the words of a folder in three processes, one of which is killed (FOLDER=... TRANSPORT=nats)
	WORD_COUNT_FOLDER="$(FOLDER)" $(DEMO)

test: programs $(VENV)/dev.stamp ## the whole test suite, without what `make check` and `make soak` run
	$(PYTEST) -n $(JOBS)

test-fast: programs $(VENV)/dev.stamp ## the suite without its slow tests, properties with fewer examples
	HYPOTHESIS_PROFILE=fast $(PYTEST) -n $(FAST_JOBS) -m "$(FAST)"

test-core: $(VENV)/dev.stamp
	HYPOTHESIS_PROFILE=fast $(PYTEST) -n $(JOBS) -m "$(FAST)" tests/core

test-pythons: ## the fast tests of core on each Python of 3.11 to 3.14 that is installed, beside that of .venv
	@tests/setup/pythons.sh "$(MADE_WITH)" 3.11 3.12 3.13 3.14

check: lint types docs packaging releases mutants seeds ## style, types, documentation, packaging, earlier releases of brokers, mutants, seeds

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/dev.stamp
	$(BIN)/mypy

docs: $(VENV)/dev.stamp ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-text: $(VENV)/dev.stamp ## write the tables that come from the code into the pages of docs/
	$(BIN)/python -m docs_build.write

docs-look: docs ## open every page of the site in a browser (chromium), leave pictures in build/docs-look/
	$(BIN)/python -m docs_build.look site --pictures build/docs-look

packaging: programs $(VENV)/dev.stamp ## build the distributions and the site, and install what is built in clean environments
	$(PYTEST) -m packaging tests

releases: programs $(VENV)/dev.stamp ## run what concerns brokers with an earlier release of theirs
	$(PYTEST) -n $(JOBS) -m earlier_release tests

mutants: programs $(VENV)/dev.stamp ## see that what is wrong is noticed: mutants for the kits, permissions without a line
	$(PYTEST) -n $(JOBS) --dist loadgroup -m "mutants and not soak" tests

seeds: $(VENV)/dev.stamp ## simulate many systems under faults, 100 seeds of each scenario
	CIVITAS_SEEDS=100 $(PYTEST) -n $(JOBS) tests/core/simulation/test_seeds.py

conformance: programs $(VENV)/dev.stamp ## run the conformance kit, and write the reports that the packages ship
	$(PYTEST) -q tests/conformance/test_in_process.py tests/conformance/test_serializers.py \
	    tests/conformance/test_message_log.py \
	    --conformance-report=civitas-core/src/civitas/conformance.json
	for name in $(REPORTED); do \
	    $(PYTEST) -q tests/$$name/test_conformance.py \
	        --conformance-report=$$(echo civitas-$$name*/src/civitas_$$name*)/conformance.json || exit 1; \
	done

bench: programs $(VENV)/dev.stamp ## measure against the floors, some 15 minutes (SUITES="messages ..." QUICK=1)
	$(BIN)/python -m benchmarks $(SUITES) $(if $(QUICK),--quick) --output build/benchmarks.json

bench-page: $(VENV)/dev.stamp ## have the page on performance show what `make bench` has measured
	$(BIN)/python -m benchmarks.page build/benchmarks.json
	$(BIN)/python -m docs_build.write

bench-peers: programs $(VENV)/dev.stamp ## measure beside other projects, each in an environment of its own, some 3 minutes
	$(BIN)/python -m benchmarks.peers

soak: programs $(VENV)/dev.stamp ## property tests and simulations with many more examples, and what takes minutes
	HYPOTHESIS_PROFILE=soak $(PYTEST) -n $(JOBS) --timeout 3600 -m "$(FAST)" tests/core
	CIVITAS_SEEDS=$(SEEDS) $(PYTEST) -n $(JOBS) --timeout 3600 tests/core/simulation/test_seeds.py
	$(PYTEST) --timeout 3600 -m soak
	$(PYTEST) --timeout 3600 --conformance-stress -k test_stress tests/conformance/test_in_process.py \
	    $(foreach name,$(REPORTED),tests/$(name)/test_conformance.py)

release-check: programs $(VENV)/dev.stamp ## may this be released? (RELEASE="civitas-zmq ..."; all by default)
	$(BIN)/python -m release $(RELEASE) --jobs $(JOBS)

clean: ## remove all that was made here
	rm -rf .venv .venv-* $(VENV) site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or later is needed, and $(PYTHON) is $(or $(VERSION),none):" \
	        "say make PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) with Python $(VERSION), once"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	    echo "no environment could be made: $(PYTHON) needs its venv module (on Debian: python3-venv)"; \
	    exit 1; }

programs:
	@tests/setup/programs.sh $(PROGRAMS)

# The pinned third-party set goes first, by hash; the packages of this workspace after it.
$(VENV)/runtime.stamp: requirements/runtime.txt pyproject.toml $(LOCAL) $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(LOCAL:%/pyproject.toml=-e %) -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/runtime.stamp
	@echo "installing what tests and checks need, once"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@touch $@
