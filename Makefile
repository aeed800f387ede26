# The verbs of this repository. Each sets up what it needs in .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test lint bench lock clean

demo: $(READY)  ## the whole loop, once, on real flights
	$(BIN)/python examples/flights/demo.py

test: lint  ## style, types, floors, tests, examples in docstrings
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(READY)  ## every figure as a ratio to its floor or rival in the same run; one table at the end
	$(BIN)/python benchmarks/table.py

# Every package is pinned with its hashes; pip refuses anything else. One file serves Python 3.11 and newer.
$(READY): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oito needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

lock:  ## pins the newest versions that pyproject.toml allows
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache examples/*/.oito
	find src tests benchmarks examples -name __pycache__ -type d -exec rm -rf {} +
