# Everything a developer or CI runs. Needs make and Python 3.11 or later with pip; what else the
# targets use goes into $(VENV), in the versions that constraints.txt pins.

VENV ?= .venv

# Tests that tell what the server was asked run in one process; the others wait more than they
# compute, so several processes share them.
together := tests/server tests/docs tests/embedded

ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

bin := $(VENV)/bin
pip_install := $(bin)/python -m pip install --quiet --no-input --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo serve test test-faults lint compatibility bench soak clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1@\2/p' $(MAKEFILE_LIST) \
	| while IFS=@ read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done
	@echo '  ARGS="…" passes arguments on, PYTHON=… and VENV=… choose the interpreter and the venv.'

venv: $(VENV)/.dev ## Make .venv with everything for development

demo: $(VENV)/.demo ## One support case through both faces, with a crash in the middle
	@$(bin)/clew demo $(ARGS)

serve: $(VENV)/.demo ## Serve on http://127.0.0.1:8787
	@exec $(bin)/clew serve $(ARGS)

test: $(VENV)/.dev ## Run the tests on SQLite and on a real PostgreSQL
ifdef ARGS
	@$(bin)/python -m pytest $(ARGS)
else
	@$(bin)/python -m pytest -n 3 $(together:%=--ignore=%)
	@$(bin)/python -m pytest $(together)
endif

test-faults: $(VENV)/.dev ## Run the long fault matrices
	@$(bin)/python -m pytest -m faults $(ARGS)

lint: $(VENV)/.dev ## Check style, format and types
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy --strict src

compatibility: $(VENV)/.dev ## Write docs/compatibility.md from what the tests drive
	@CLEW_WRITE_COMPATIBILITY=1 $(bin)/python -m pytest tests/server tests/docs/test_compatibility.py $(ARGS)

bench: $(VENV)/.dev ## Measure against the limits of the machine and write JSON
	@$(bin)/python -m bench $(ARGS)

soak: $(VENV)/.dev ## Ten minutes of mixed traffic: does anything leak?
	@$(bin)/python -m bench.soak $(ARGS)

clean: ## Remove the venv and every cache
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.demo: $(VENV)/.pip pyproject.toml constraints.txt
	@echo 'Installing Clew and the openai client into $(VENV) …'
	@$(pip_install) --editable '.[openai]'
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml constraints.txt
	@echo 'Installing Clew and its development tools into $(VENV) …'
	@$(pip_install) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# Debian keeps ensurepip in a package of its own (python3.11-venv); without it the pip that is
# there fills the venv, which also leaves an externally managed Python alone.
$(VENV)/.pip:
	@test -n '$(PYTHON)' || { echo 'Clew needs Python 3.11 or later: apt install python3' >&2; exit 1; }
	@'$(PYTHON)' -m venv --without-pip '$(VENV)'
	@$(bin)/python -m ensurepip >/dev/null 2>&1 \
	|| '$(PYTHON)' -m pip --python $(bin)/python install --quiet pip \
	|| { echo 'No pip for $(PYTHON): apt install python3-pip (or python3.11-venv)' >&2; exit 1; }
	@touch $@
