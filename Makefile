# Two commands: `make demo` shows the promise kept, `make test` runs every check. Both work on a fresh machine.

PYTHON ?= $(shell command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
PYTHONS ?= $(PYTHON)
VENVS := .venvs
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint bench model clean

SOURCES := pyproject.toml $(shell find kalos_connect_sdk -name '*.py')

$(VENVS)/demo/ready: $(SOURCES)
	@echo "Preparing ..."
	@test -x $(VENVS)/demo/bin/python || $(PYTHON) -m venv $(VENVS)/demo
	@$(VENVS)/demo/bin/python $(PIP) install --force-reinstall --no-deps .
	@$(VENVS)/demo/bin/python $(PIP) install '.[demo]'
	@touch $@

demo: $(VENVS)/demo/ready ## the whole story on an embedded service: ask, drive, withdraw, silence
	@if [ -t 0 ] && [ -t 1 ]; then \
		$(VENVS)/demo/bin/kalos-connect demo $(DEMO); \
	else \
		$(VENVS)/demo/bin/kalos-connect demo --answer allow-this-drive $(DEMO); \
	fi

test: ## lint, types, layers, and the whole suite against the built wheel, on every interpreter in PYTHONS
	@tests/run.sh $(PYTHONS)

lint: ## ruff, mypy and the import layers alone
	@LINT_ONLY=1 tests/run.sh $(PYTHON)

bench: $(VENVS)/demo/ready ## measure, and write the tables in docs/benchmarks.md
	@$(VENVS)/demo/bin/python benchmarks/run.py

model: ## every order of the protocol's steps, by Spin (needs spin and gcc); docs/protocol explains
	@$(PYTHON) tests/model/protocol_runs.py

clean: ## remove what the other targets made
	rm -rf $(VENVS) build dist .coverage .coverage.* .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
