# make train   sets up everything and trains a small GPT on Shakespeare
# make test    sets up everything and runs the tests
# make lab     sets up everything and opens the course in JupyterLab
#
# Options: PYTHON=python3.12  the Python to use (3.11 or newer)
#          TORCH=cpu          on Linux without an NVIDIA GPU: PyTorch without gigabytes of CUDA
#          ARGS="--minutes 8" more arguments for `nanogpt train`, see `.venv/bin/nanogpt train -h`
#          ARGS="--fresh 03"  the same for `nanogpt lab`: one notebook as if new

PYTHON ?= python3
TORCH ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
COLAB := $(VENV)/colab

.PHONY: train test quick nightly test-colab lab setup doctor notebooks bench speedrun badges links publish-as \
  blank slides site accessibility lint format lock dist clean

train: setup
	@$(BIN)/nanogpt train $(ARGS)

test: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov=nanogpt_lib --cov-report=term

# While you work: without the tests that take long.
quick: setup
	@$(BIN)/python -m pytest -n 2 -m "not slow and not soak"

# All tests, those that run for long to find what is rare among them.
nightly: setup
	@$(BIN)/python -m pytest -n 2 -m "soak or not soak"

# Every notebook with Google Colab's own versions, in a second environment: about 5 minutes.
test-colab: $(COLAB)/ready
	@COLAB_PYTHON=$(COLAB)/bin/python $(BIN)/python -m pytest tests/colab_course.py

lab: setup
	@$(BIN)/nanogpt lab $(ARGS)

doctor: setup
	@$(BIN)/nanogpt doctor

# The course anew, in place, with real presets: more than an hour, 45 minutes of it the workshop.
notebooks: setup
	@$(BIN)/python tools/run_notebooks.py $(ARGS)

# Speed, memory and growth, as tables and JSON: half an hour. ARGS="step --nanogpt ../nanoGPT" chooses.
bench: setup
	@$(BIN)/python -m benchmarks $(ARGS)

# The fastest recipe of docs/LEADERBOARD.md, timed. ARGS="nanogpt" takes another.
speedrun: setup
	@$(BIN)/python -m nanogpt_lib.beyond.speed $(ARGS)

# Badges, set-up cells and links anew, after the course has moved: Repository in pyproject.toml.
badges: setup
	@$(BIN)/python tools/colab.py $(ARGS)

# Links of notebooks' names and arXiv numbers, in the notebooks and guides.
links: setup
	@$(BIN)/python tools/links.py $(ARGS)

# The course as that of a repository on GitHub: make publish-as OWNER/NAME
publish-as: setup
	@$(BIN)/python tools/publish_as.py $(NEW_HOME)

ifeq ($(firstword $(MAKECMDGOALS)),publish-as)
NEW_HOME := $(word 2,$(MAKECMDGOALS))
.PHONY: $(NEW_HOME)
$(NEW_HOME): ; @:
endif

# The branch that the badges open: the notebooks without outputs. ARGS="--push origin" publishes it.
blank: setup
	@$(BIN)/python tools/blank_branch.py $(ARGS)

# Slides of 01 to 06 and the workshop, in build/slides. ARGS=--check only says whether the notebooks are marked.
slides: setup
	@$(BIN)/python tools/slides.py $(ARGS)

# The course as a site, in build/site/html. ARGS=--serve shows it. The first time fetches Sphinx.
site: $(VENV)/site-ready
	@$(BIN)/python tools/site.py $(ARGS)

# axe-core over that site and the pages of a model, in the system's Chromium.
accessibility: site
	@npm install --silent --no-save --prefix build/axe axe-core@4.14.1
	@$(BIN)/python tools/accessibility.py $(ARGS)

$(VENV)/site-ready: $(READY)
	@$(BIN)/python -m pip install --quiet --editable '.[site]' -c requirements.txt
	@touch $@

setup: $(READY)

# Done again only where the requirements have changed.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else \
	  "Python %d.%d is too old: choose 3.11 or newer, as in make PYTHON=python3.14" % v)'
	@$(PYTHON) -c 'import sys; from nanogpt_lib.machine import builds as b; none = \
	  b.without_torch(*b.here()); sys.exit(none and f"PyTorch has no builds for {none}: {b.WAY_OUT}")'
	@echo "Setting up $(VENV) (once; PyTorch is large) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(call small_torch,$(VENV))
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(COLAB)/ready: $(READY) tests/colab-requirements.txt
	@echo "Setting up $(COLAB) with Colab's versions (once) ..."
	@$(PYTHON) -m venv --clear $(COLAB)
	$(call small_torch,$(COLAB))
	@grep '^torch==' requirements.txt > $(COLAB)/torch.txt
	@$(COLAB)/bin/python -m pip install --quiet -r tests/colab-requirements.txt \
	  -c $(COLAB)/torch.txt
	@touch $@

# PyTorch's CPU build, installed first so that nothing brings the large one. $(1): an environment.
ifeq ($(TORCH),cpu)
define small_torch
@$(BIN)/python -m pip install --quiet uv
@$(BIN)/uv pip install --quiet --python $(1)/bin/python --torch-backend cpu \
  torch -c requirements.txt
endef
endif

# Style, floors (which file may import which) and types.
lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy nanogpt_lib

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# requirements.txt anew from the ranges in pyproject.toml, for all systems and Pythons at once.
# PyTorch stays as it is: its lines are changed by hand. CUDA's packages are left to PyTorch's own
# metadata: its CPU build must not pull them in.
lock: setup
	@$(BIN)/python -m pip install --quiet uv
	@{ grep '^torch==' requirements.txt; echo 'docutils<0.23'; } > $(VENV)/torch.txt  # Sphinx's theme needs it
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
	  --no-header --no-annotate \
	  --extra course --extra modalities --extra test --extra dev -c $(VENV)/torch.txt -o $(VENV)/lock.txt pyproject.toml
	@{ grep '^#' requirements.txt; grep -vE '^(nvidia-|cuda-|triton)' $(VENV)/lock.txt; } > requirements.new
	@mv requirements.new requirements.txt

# The package for an index, in dist: as source and as a wheel.
dist: setup
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage dist \
	  *.egg-info
