# Every target makes .venv and installs into it what it needs; a second run finds the stamp and starts at once.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := -m pip install --disable-pip-version-check --quiet
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

# Debian packages that some tests use, installed where that is allowed.
DEBIAN ?= postgresql chromium fonts-noto-cjk

DEMO_PROJECT ?= demo
DEMO_ARGS ?=
STUDIO_PROJECT ?= demo
STUDIO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=

# `make floors`: torch's own floor is 2.11; the oldest version tried here is the oldest with a CPU build at hand.
FLOOR_VENV := .venv-floors
FLOOR_TORCH ?= $(TORCH)
FLOOR_STAMP := $(FLOOR_VENV)/.installed

# What `make bench` compares with, in an environment of its own.
PEER_VENV := .venv-peer
PEER_STAMP := $(PEER_VENV)/.installed
PEERS := trl==1.16.0 transformers==5.23.0 peft==0.21.2 datasets==5.2.0

.PHONY: install demo test check docs bench faults floors studio
.DEFAULT_GOAL := install

install: $(STAMP)

# torch first and alone: its version decides between builds (CPU, CUDA), which no later requirement may overrule.
$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) $(PIP) torch==$(TORCH) -c constraints.txt
	$(PY) $(PIP) hatchling editables -c constraints.txt
	$(PY) $(PIP) --no-build-isolation -e '.[dev]' -c constraints.txt
	touch $@

demo: $(STAMP)
	$(VENV)/bin/tutelage demo --project $(DEMO_PROJECT) $(DEMO_ARGS)

# Two workers of one thread each: tiny models gain nothing from a second thread.
test: $(STAMP)
	.ci/debian $(DEBIAN)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile -m "not faults" $(TEST_ARGS)

check: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_architecture.py tests/test_docs.py

# Pages that are written from the code.
docs: $(STAMP)
	$(PY) docs/generate.py
	PYTHONPATH=. $(PY) docs/privacy_table.py

bench: $(STAMP) $(PEER_STAMP)
	$(PY) -m bench $(BENCH_ARGS)

$(PEER_STAMP): Makefile
	test -x $(PEER_VENV)/bin/python || $(PYTHON) -m venv $(PEER_VENV)
	$(PEER_VENV)/bin/python $(PIP) torch==$(TORCH)
	$(PEER_VENV)/bin/python $(PIP) $(PEERS)
	touch $@

faults: $(STAMP)
	.ci/debian $(DEBIAN)
	@test -d tests/faults || { echo "make faults: there is no tests/faults in this checkout, so nothing was tried."; exit 1; }
	$(PY) -m pytest tests/faults tests/learning -m faults $(TEST_ARGS)

$(FLOOR_STAMP): pyproject.toml .ci/floors.py Makefile
	test -x $(FLOOR_VENV)/bin/python || $(PYTHON) -m venv $(FLOOR_VENV)
	$(FLOOR_VENV)/bin/python $(PIP) torch==$(FLOOR_TORCH)
	$(FLOOR_VENV)/bin/python .ci/floors.py $(FLOOR_TORCH) > $(FLOOR_VENV)/floors.txt
	$(FLOOR_VENV)/bin/python $(PIP) -r $(FLOOR_VENV)/floors.txt
	$(FLOOR_VENV)/bin/python $(PIP) --no-build-isolation --no-deps -e .
	touch $@

floors: $(FLOOR_STAMP)
	$(FLOOR_VENV)/bin/python -m pytest -q -m "not slow" --ignore tests/parity $(TEST_ARGS)

studio: $(STAMP)
	$(VENV)/bin/tutelage studio --project $(STUDIO_PROJECT) $(STUDIO_ARGS)
