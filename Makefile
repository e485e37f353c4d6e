# All of the house's commands. Every one does its own set-up; paths are relative, so that a
# checkout may stand in a folder with a space in its name.
.DEFAULT_GOAL := help
.PHONY: help demo venv test test-quick lint lock screenshot clean
.DELETE_ON_ERROR:

PYTHON ?= python3
PYTEST_ARGS ?=
UP_ARGS ?=
RUN := .venv/bin/python -m

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: venv ## run it all on this machine with simulated devices, until Ctrl-C (UP_ARGS='--port 8001')
	.venv/bin/smart-iot up $(UP_ARGS)

venv: .venv/installed ## make .venv: what requirements.lock pins, and the project itself

.venv/installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo 'installing what requirements.lock pins, once: this takes a minute…'
	$(RUN) pip install --quiet --require-hashes -r requirements.lock
	$(RUN) pip install --quiet --no-deps -e .
	touch $@

test: venv ## run every test (Java 17+ and Maven are needed: a real Kafka is started)
	$(RUN) pytest $(PYTEST_ARGS)

test-quick: venv ## run the tests that need no Kafka, in less than a minute
	$(RUN) pytest -m "not kafka and not slow" $(PYTEST_ARGS)

lint: venv ## look at style, types and the directions of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports

lock: ## pin anew what setup.cfg asks for, with hashes
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(RUN) pip install --quiet uv
	$(RUN) uv pip compile setup.cfg --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --upgrade --quiet \
		--output-file requirements.lock

screenshot: venv ## take docs/page.png anew (Chromium, Java and Maven are needed; about two minutes)
	$(RUN) tests.screenshot docs/page.png

clean: ## remove what these commands made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache \
		.hypothesis build dist *.egg-info
