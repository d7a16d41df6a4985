# `make demo` shows it, `make up` keeps it running, `make test` proves it. Needs Python 3.11 or newer, and Java 17 or
# newer unless Kafka is elsewhere (see README); everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
ENTITLE := $(VENV)/bin/entitle

.PHONY: demo up test check clean

demo: $(VENV)/installed ## Play a customer's story through the whole program.
	@$(ENTITLE) demo

up: $(VENV)/installed ## Start everything and keep it running until Ctrl-C.
	@$(ENTITLE) up

test: check ## Everything CI runs.
	$(VENV)/bin/pytest tests/integration tests/acceptance
	$(VENV)/bin/python -m tests.acceptance.shared

check: $(VENV)/installed ## What needs no server: format, lint, types, house rules, unit tests.
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest tests/unit

clean: ## Remove what was installed and all data of `make up`.
	rm -rf $(VENV) .entitle .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: requirements-dev.txt requirements-java.txt pyproject.toml
	@$(PYTHON) ops/install.py $(VENV)
	@touch $@
