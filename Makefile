# `make demo` shows it, `make up` keeps it running, `make test` proves it. Needs Python 3.11 or newer, and Java 17 or
# newer unless Kafka is elsewhere (see README); everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
ENTITLE := $(VENV)/bin/entitle

.PHONY: demo up test check gateways storm histories containers-test bench clean

demo: $(VENV)/installed ## Play a customer's story through the whole program.
	@$(ENTITLE) demo

up: $(VENV)/installed ## Start everything and keep it running until Ctrl-C.
	@$(ENTITLE) up

test: check ## Everything CI runs.
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile tests/integration tests/acceptance
	$(VENV)/bin/python -m tests.acceptance.shared

check: $(VENV)/installed ## What needs no server: format, lint, types, house rules, unit tests.
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest tests/unit

gateways: $(VENV)/installed $(VENV)/gateways ## The recipes for Envoy and Traefik, which are not Debian's; `make test` tries those that are.
	PATH="$(CURDIR)/$(VENV)/gateways/bin:$$PATH" TEST_GATEWAYS=envoy,traefik $(VENV)/bin/pytest \
	    tests/acceptance/gateways/test_promise_at_gateways.py tests/acceptance/gateways/test_failures_at_gateways.py

storm: $(VENV)/installed ## Kill every process in turn for two minutes, servers included; the scenarios in ../shared are told meanwhile.
	@$(VENV)/bin/python -m tests.acceptance.storm

histories: $(VENV)/installed ## Twenty thousand generated histories against the oracle, then the five planted mistakes.
	@$(VENV)/bin/python -m tests.histories
	@$(VENV)/bin/python -m tests.histories --planted

containers-test: ## docker-compose.yml for real: needs a Docker engine and the images (tests/containers/README.md).
	@tests/containers/play.sh

bench: $(VENV)/installed ## How fast and how dear it is, beside lean ones written by hand; best with nothing else running.
	@$(VENV)/bin/python -m benchmarks
	@$(VENV)/bin/python -m benchmarks.check

clean: ## Remove what was installed and all data of `make up`.
	rm -rf $(VENV) .entitle .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/gateways: requirements-gateways.txt $(VENV)/installed
	$(VENV)/bin/python -m venv $@
	$@/bin/pip --disable-pip-version-check install --quiet --require-hashes -r requirements-gateways.txt
	@touch $@

$(VENV)/installed: requirements-dev.txt requirements-java.txt pyproject.toml
	@$(PYTHON) ops/install.py $(VENV)
	@touch $@
