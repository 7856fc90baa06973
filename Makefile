# Two commands: `make demo` trains and samples a small model, `make test` runs every test. Both need Python 3.11 or newer and nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
RUNS ?= runs
DEMO_FLAGS ?=
STEPS ?= 50
ROUNDS ?= 10

.PHONY: demo test explore lint types format docs wheel

demo: $(INSTALLED)
	$(BIN)/pixjax train --config=demo --workdir="$(RUNS)/demo" $(DEMO_FLAGS)
	@echo "--- what the model just trained in $(RUNS)/demo makes:"
	$(BIN)/pixjax sample --workdir="$(RUNS)/demo" --modality=any --num=16 --out="$(RUNS)/demo/samples" --contact-sheet
	@echo "--- what pretrained:small makes, which comes with pixjax and was trained for longer:"
	$(BIN)/pixjax sample --workdir=pretrained:small --modality=any --num=6 --steps=$(STEPS) --out="$(RUNS)/demo/pretrained"
	@echo "--- to open: all of it, and data, noise and what the model makes of it:"
	@echo "$(RUNS)/demo/samples/grid.png"
	@echo "$(RUNS)/demo/samples/contact_sheet.png"

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal

# The property tests with other examples in each round. What fails is kept in .hypothesis and tried first the next time.
explore: $(INSTALLED)
	for round in $$(seq $(ROUNDS)); do $(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=explore || exit 1; done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck -x launch/*.sh launch/*.sbatch launch/*/*.sh

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)-docs
	$(BIN)/mkdocs build --strict

wheel: $(INSTALLED)
	rm -rf dist
	$(BIN)/hatchling build

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pixjax needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(INSTALLED)-docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@
