# `make` lists what can be done. Everything is installed into .venv; nothing else on the machine is changed, but for
# Debian packages that are missing, and those only when run as root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-fast lint format bench reproduce lock clean system-packages test-packages

PYTHON ?= python3
BIN := .venv/bin
# PyTorch's build: cpu, which is 4 GB smaller on Linux and lies in an index of its own that pip must be told of, or cuda.
# Empty takes cpu where pip finds it, else what the machine's usual index has.
PYTORCH ?=
STAMP := .venv/installed-$(shell { cat constraints.txt deploy/constraints-*.txt pyproject.toml; printf %s '$(PYTORCH)'; } | sha256sum | cut -c1-16)
# Nothing is installed but wheels whose digests are locked; what is needed was resolved when they were.
INSTALL := $(BIN)/pip install --quiet --no-deps
LOCKED := $(INSTALL) --only-binary :all: --require-hashes --requirement
# $(call torch,A,B) prints what is locked of torch, with B in place of A.
torch = sed -n '/^torch==/,/[^\\]$$/{s/$(1)/$(2)/;p}' constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests with brokers or systemd run one after another: they fill the machine or wait. The others run on two cores.
ALONE := tests/kafka tests/systemd
TESTS_ALONE := $(BIN)/pytest $(ALONE)
TESTS_SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile $(addprefix --ignore=,$(ALONE))

# OpenCV's wheel links to these; a desktop has them.
OPENCV_PACKAGES := libgl1 libglib2.0-0
# Real devices for the tests, without hardware: a sound server, a camera server, systemd, networks that can be cut, TLS.
TEST_PACKAGES := libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins ffmpeg rtsp-server-perl systemd iproute2 openssl
# A Kafka broker for the tests (KAFKA_HOME) runs on Java 17 or newer.
TEST_PACKAGES += $(if $(shell command -v java),,openjdk-17-jre-headless)

# $(call install,PACKAGES) installs the Debian packages that are missing; fails, saying which, where that cannot be done.
define install
	missing=(); for package in $(1); do \
	  dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); done; \
	[[ $${#missing[@]} -eq 0 ]] || { \
	  echo "missing system packages: $${missing[*]}" >&2; \
	  [[ $$(id -u) -eq 0 ]] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; }
endef

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

run: $(STAMP) ## Plays the sample session through the daemon's pipeline: out/demo
	@$(BIN)/affectd demo --out out/demo

test: $(STAMP) test-packages lint ## Everything that is checked: style, types and all tests
	@failed=0; $(TESTS_SIDE_BY_SIDE) || failed=1; $(TESTS_ALONE) || failed=1; exit $$failed

test-fast: $(STAMP) lint ## Style, types and the tests of streams and daemon, a few minutes; the models' and those with a broker are left out
	$(BIN)/pytest tests/streams tests/daemon tests/property

lint: $(STAMP) ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Formats the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measures speed: JSON on stdout, a table on stderr
	@$(BIN)/affectd bench

reproduce: $(STAMP) ## Prints the fusion tables, measured on the data in AFFECTD_DATA; SPEECH=state_logits.npz adds its own
	@[[ -n "$${AFFECTD_DATA:-}" ]] || { echo "AFFECTD_DATA must name the folder of the data" >&2; exit 1; }
	@OMP_NUM_THREADS=1 $(BIN)/python -m models.studies.reproduce --data "$$AFFECTD_DATA" --out out/reproduce \
	  $(if $(SPEECH),--speech "$(SPEECH)")

lock: ## Locks the packages of pyproject.toml anew; NEWER=--upgrade takes newer versions
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/pip install --quiet uv==0.13.9
	PATH=".venv/lock/bin:$$PATH" $(PYTHON) deploy/lock.py $(NEWER)

clean: ## Removes everything that was made here, .venv too
	rm -rf .venv out build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find daemon streams models tests -name __pycache__ -prune -exec rm -rf {} +

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@[[ -x $(BIN)/python ]] || $(PYTHON) -m venv .venv || { \
	  echo "the venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@case '$(PYTORCH)' in \
	  cpu) $(LOCKED) <($(call torch,^torch==[0-9.]*,&+cpu)) || { \
	    echo "PyTorch's index of CPU builds must be in PIP_EXTRA_INDEX_URL, and the digest of the build for this machine" \
	      "in deploy/torch-cpu.sha256 (then: make lock)" >&2; exit 1; };; \
	  cuda) $(LOCKED) <($(call torch,^torch==,torch===));; \
	  '') $(LOCKED) <($(call torch,^torch==[0-9.]*,&+cpu)) 2>/dev/null || true;; \
	  *) echo "PYTORCH is cpu, cuda or empty, not $(PYTORCH)" >&2; exit 1;; \
	esac
	$(LOCKED) constraints.txt
	$(LOCKED) deploy/constraints-dev.txt
	@$(BIN)/python -c 'from importlib.metadata import version as v; exit("+cpu" not in v("torch"))' || { \
	  echo "$(LOCKED) deploy/constraints-cuda.txt"; $(LOCKED) deploy/constraints-cuda.txt; }
	$(INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(MAKE) --no-print-directory system-packages
	$(BIN)/pip check --quiet
	@rm -f .venv/installed-* && touch $@

system-packages:
	@$(call install,$(OPENCV_PACKAGES)) || { \
	  echo "OpenCV needs them; as root: apt-get install $(OPENCV_PACKAGES)" >&2; exit 1; }
	@$(BIN)/python -c 'import cv2'

test-packages:
	@$(call install,$(TEST_PACKAGES)) || \
	  echo "tests that need them are skipped; as root: apt-get install $(TEST_PACKAGES)" >&2
