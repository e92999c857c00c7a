# Each target sets up what it needs, may be run again at any time, and says plainly what is missing.
#
#   make demo         JupyterLab with Cellar and a small real model on this machine
#                     VLLM_BASE_URL=... uses a real server; PORT=..., HEADLESS=1, PYTHON=python3.12
#   make hub          Cellar for many users on this machine, through Docker; make hub-down ends it
#                     PORT=..., DETACH=1, OVERLAYS="postgres redis vllm vllm-2 router tls intranet building";
#                     settings in hub_config/compose/.env
#   make bundle       an air-gap bundle in dist/bundle, of what offline/offline.toml says
#                     KEY=bundle-key signs it; SINCE=DIR makes a delta; OUT=DIR, BUILD=0
#   make test         everything: lint, types, imports, pytest, jest, Chromium
#   make test-quick   the same without the browser and without what takes over ten seconds
#   make test-long    the tests that take minutes
#   make check        lint, types, imports
#   make bench        the measurements, each section written to bench/RESULTS.md as it ends (ONLY="gateway login": some)
#   make wheel        dist/*.whl with the built lab extension in it
#   make build        the lab extension alone
#   make clean        remove everything that was made, .venv and node_modules included

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; tools.setup says what is wrong with the one it gets.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$p; exit; fi; done; echo python3)
RUN := .venv/bin/python

.PHONY: help demo hub hub-down bundle test test-quick test-long check bench wheel build clean setup-build setup-test have-python

help:
	@sed -n 's/^#   //p' Makefile

have-python:
	@command -v $(PYTHON) >/dev/null || { echo "Cellar needs Python 3.11 or newer; there is no '$(PYTHON)'."; exit 1; }

demo: have-python
	@echo "Cellar demo"
	@$(PYTHON) -m tools.setup demo
	@exec $(RUN) -m tools.demo

hub: setup-build
	@echo "Cellar Hub"
	@exec $(RUN) -m tools.hub

hub-down:
	@exec $(RUN) -m tools.hub down

bundle: setup-build
	@echo "Cellar bundle"
	@exec $(RUN) -m tools.bundle

setup-build: have-python
	@$(PYTHON) -m tools.setup build

setup-test: have-python
	@$(PYTHON) -m tools.setup test

build: setup-build
	@$(RUN) -m tools.frontend

wheel: build
	@rm -f dist/*.whl
	@$(RUN) -m build --wheel --outdir dist . >.venv/wheel.log 2>&1 || { tail -30 .venv/wheel.log; exit 1; }
	@ls -l dist/*.whl

check: setup-test
	@$(RUN) -m tools.suite check

test: setup-test
	@$(RUN) -m tools.suite all

test-quick: setup-test
	@$(RUN) -m tools.suite quick

test-long: setup-test
	@$(RUN) -m tools.suite long

bench: setup-test
	@$(RUN) -m tools.frontend
	@$(RUN) -m bench $(ONLY)

clean:
	rm -rf .venv .demo .shots dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache bench/out
	rm -rf labextension/node_modules labextension/lib labextension/tsconfig.tsbuildinfo jupyter_ext/cellar_jupyter/labextension
