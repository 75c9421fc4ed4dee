# Set up, demonstrate, test and serve Earshot. `make` alone lists what there is.
PORT ?= 8000
HOST ?= 127.0.0.1
DOCS_PORT ?= 8001
PYTEST_ARGS ?=
PYTHON_IN_VENV := .venv/bin/python
MAKEFLAGS += --no-print-directory
export PYTHON

.PHONY: help install demo serve test lint docs bench bench-small screenshot lock secret
.DELETE_ON_ERROR:

help:
	@echo "make demo        a real evaluation on this machine, then the site: nothing to configure (PORT=8000)"
	@echo "make test        the tests"
	@echo "make serve       web server, worker and watchdog (PORT=8000 HOST=127.0.0.1)"
	@echo "make install     .venv with everything that serving needs, with the embedded engines (PYTHON=...)"
	@echo "make lint        style, types, direction of imports, migrations, deployment settings, documentation"
	@echo "make docs        the documentation as a site (DOCS_PORT=8001)"
	@echo "make bench       the figures of the documentation; make bench-small: whether each can be measured"
	@echo "make screenshot  the pictures of the documentation"
	@echo "make lock        choose new versions of all dependencies"

install: .venv/local.stamp

demo: install secret
	@exec $(PYTHON_IN_VENV) manage.py demo --host $(HOST) --port $(PORT)

serve: install secret
	@$(PYTHON_IN_VENV) manage.py setup
	@exec $(PYTHON_IN_VENV) manage.py serve --host $(HOST) --port $(PORT)

test: .venv/dev.stamp
	@exec $(PYTHON_IN_VENV) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: .venv/dev.stamp
	@scripts/lint

docs: .venv/dev.stamp
	@exec .venv/bin/mkdocs serve --dev-addr $(HOST):$(DOCS_PORT)

# Each one is tried, also where another fails. By itself: make bench-gateway BENCH_ARGS="--rounds 5"
BENCHES := $(filter-out __init__ measure slow_storage,$(basename $(notdir $(wildcard bench/*.py))))
bench: .venv/dev.stamp
	@$(MAKE) --jobs=1 --keep-going $(BENCHES:%=bench-%)

bench-small: .venv/dev.stamp
	@$(MAKE) --jobs=2 --keep-going --output-sync $(BENCHES:%=bench-%) BENCH_ARGS=--small

.PHONY: $(BENCHES:%=bench-%)
$(BENCHES:%=bench-%): bench-%:
	@echo "== $*"
	@$(PYTHON_IN_VENV) -m bench.$* $(BENCH_ARGS)

screenshot: .venv/dev.stamp
	@exec $(PYTHON_IN_VENV) scripts/screenshot.py

secret: install
	@$(PYTHON_IN_VENV) -m config.dotenv

# What was installed is noted by the time of a stamp: a lock file that has changed since is installed again.
# Where the development tools are installed, they are renewed too, for they have to fit.
.venv/local.stamp: requirements-local.lock
	@if [ -e .venv/dev.stamp ]; then $(MAKE) .venv/dev.stamp; else scripts/install $<; fi
	@touch $@

.venv/dev.stamp: requirements-dev.lock
	@scripts/install $<
	@touch $@ .venv/local.stamp

lock: .venv/dev.stamp
	@$(PYTHON_IN_VENV) scripts/lock.py
