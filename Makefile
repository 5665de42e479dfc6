# Everyday targets; `make help` lists them. Nothing here needs more than Python 3.11+, make and pip.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
EXTRAS := dev,docs,planet,serve,stac,export,tensorboard,cluster
TORCH_INDEX ?=
OUT ?= demo
PORT ?= 8000
SERVE ?= 1
WORKERS ?= 2
# What else lies under bench/ takes arguments, or measures how real the simulated Earth is (docs/world.md).
RACES := predict predict_memory windows tiles first_map metrics corruptions atmosphere world_render \
	chips prithvi_step inference instageo_scene

.PHONY: help setup demo test parity lint docs site docs-check bench wheel resolve evidence clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with all that other targets need (2 minutes; TORCH_INDEX=URL: index that has torch for the CPU)
	@$(BIN)/python tools/fetch_maplibre.py
	@$(BIN)/python -c 'import sys; from swath.sources.planet import missing; sys.exit(bool(missing()))' || \
	  $(BIN)/swath data get planet
	@$(BIN)/python -c 'import sys; from swath.sources.world.packages import missing; sys.exit(bool(missing()))' || \
	  $(BIN)/swath data get world

# torch comes first and the constraints file always: either slip can bring gigabytes of CUDA packages. On Linux the
# default package index may hold CUDA builds; TORCH_INDEX then names one with CPU builds, for torch alone.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url '$(TORCH_INDEX)') torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: setup ## Map the real Earth and serve it at http://127.0.0.1:8000 (SERVE=0 stops after the files)
	$(BIN)/swath demo --out $(OUT) --port $(PORT) $(if $(filter 0,$(SERVE)),--no-serve,)

test: setup ## Lint, then run the whole test suite (WORKERS=2 at once)
	@sh tools/install_chromium.sh
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

parity: setup ## Published sizes of Prithvi against the live TerraTorch (minutes, gigabytes; bench/peers makes its environment)
	$(BIN)/python tests/parity/parity_live.py

lint: setup ## ruff, mypy (strict on floors 0 to 4), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup ## Check that every command and code block in README and docs runs
	$(BIN)/python -m pytest tests/test_docs.py

site: setup ## Build the site of the documents into site/ (any warning is an error)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-check: setup ## Run the code blocks that are marked slow; notes date and minutes in docs/slow_blocks.json
	$(BIN)/python tools/docs_check.py

bench: setup ## Race the peers and measure memory (an hour, gigabytes; prints ratios, asserts nothing)
	@for name in $(RACES); do echo "== bench/$$name.py"; $(BIN)/python bench/$$name.py || exit 1; done

evidence: setup ## Decide the registered claim of the demo over all its seeds (up to an hour, resumable)
	$(BIN)/swath run planet_land_cover --evidence --out runs/planet_land_cover

wheel: setup ## Build the wheel, MapLibre included
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

resolve: setup ## Dry resolution of all extras for Python 3.13
	$(BIN)/uv pip compile --quiet --python-version 3.13 --all-extras pyproject.toml --output-file /dev/null && echo "resolves for Python 3.13"

clean: ## Remove everything that the targets above made
	rm -rf $(VENV) dist build site $(OUT) runs
