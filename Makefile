# make run and make test need Python 3.11 or newer and nothing else.
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MUTATE := build/mutants/venv
OTHER := $(VENV)/other-polars
ATHERIS := $(VENV)/atheris
SECONDS ?= 60

# Every command of a test starts a Python of its own, which would compile the package again each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-offline check fuzz other-polars bench mutants pictures precedents rehearsal docs lock clean

run: $(READY)
	$(BIN)/perpcomp run --force

test: check
	$(BIN)/pytest -n $(WORKERS)

# Without the live chain and the browser, whose packages come from npm's registry.
test-offline: check
	$(BIN)/pytest -n $(WORKERS) -m "not chain and not browser"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Property tests with 10,000 examples each; every fault of a node with 20 seeds; 1,000 kills; every parser of foreign input for SECONDS.
fuzz: $(READY) $(ATHERIS)/.ready
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -m "property or chain"
	PYTHONPATH=$(ATHERIS) $(BIN)/python -m tests.fuzz $(SECONDS)

# Every row hash of three runs with the Polars of the minor version before: the same.
other-polars: $(READY) $(OTHER)/.ready
	PYTHONPATH=$(OTHER) $(BIN)/python -m tests.other_polars 2.0 > $(OTHER)/hashes
	$(BIN)/python -m tests.other_polars 2.1 | diff $(OTHER)/hashes -
	@echo "Polars 2.0 and 2.1 give the same rows: $$(wc -l < $(OTHER)/hashes) row hashes."

bench: $(READY)
	$(BIN)/python -m tests.bench

# Do the tests notice a wrong money path? tests/mutants/README.md says how; SAMPLE=8 tries eight mutants of each module instead of all.
mutants: $(READY)
	$(PYTHON) -m venv $(MUTATE)
	$(MUTATE)/bin/python -m pip install --quiet --require-hashes -r tests/mutants/requirements.lock
	$(BIN)/python -m tests.mutants.by_hand
	$(MUTATE)/bin/python tests/mutants/campaign.py $(if $(SAMPLE),--sample $(SAMPLE))

# Pictures of the published rehearsal; needs Chromium, LibreOffice and poppler (pdftoppm, pdftotext).
pictures: $(READY)
	$(BIN)/python -m tests.pictures

# What is made of descriptions: the JSON Schema and the key reference of the incident file, the tables and the glossary of the results.
docs: $(READY)
	$(BIN)/python -m tests.descriptions

# Every row of real compensations against the rule that was stated; PUBLISHED is the folder of their tables, which are not ours.
precedents: $(READY)
	@test -n "$(PUBLISHED)" || { echo "Name the folder of the published tables: make precedents PUBLISHED=FOLDER"; exit 1; }
	$(BIN)/python -m tests.precedents "$(PUBLISHED)"
	PERPCOMP_PUBLISHED="$(PUBLISHED)" $(BIN)/python -m pytest tests/precedents/check_tables.py

# .venv/formulas is a second program that calculates workbooks, for a test. It stands apart: Polars imports its NumPy, and every command would
# start slower.
$(READY): requirements.lock tests/formulas.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("perpcomp needs Python 3.11 or newer; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --target $(VENV)/formulas -r tests/formulas.lock
	touch $(READY)

$(OTHER)/.ready: tests/other_polars/requirements.lock
	rm -rf $(OTHER)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --target $(OTHER) -r tests/other_polars/requirements.lock
	touch $(OTHER)/.ready

# There are wheels for some interpreters only; without one, inputs are damaged by chance.
$(ATHERIS)/.ready: tests/fuzz/requirements.lock
	mkdir -p $(ATHERIS)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: --target $(ATHERIS) -r tests/fuzz/requirements.lock || echo "There is no atheris for this Python."
	touch $(ATHERIS)/.ready

# Pins newer versions; needs the network and uv. Neither make nor CI does it.
lock:
	uv pip compile pyproject.toml --extra dev --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -p 3.11 -o requirements.lock
	echo formulas | uv pip compile - --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -p 3.11 -o tests/formulas.lock

clean:
	rm -rf $(VENV)
