# Every target sets up what it needs first; `make` alone lists them.
# Paths in targets are relative, so that a checkout in a folder with spaces works.

PYTHON ?= python3.11
PYTEST_WORKERS ?= 2
PROFILE ?= miniature

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Nothing here reports home, asks a question or takes threads it was not given.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false
# A run starts hundreds of processes, the tests thousands: each finds what it imports compiled, also where the environment
# (a container's, often) asks Python to keep none of it. Importing torch and diffusers takes half the time then.
export PYTHONDONTWRITEBYTECODE :=
# Wheels of a gigabyte are fetched: be patient with a slow line.
export UV_HTTP_TIMEOUT ?= 300

INSTALL := .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --requirement
COMPILE := .venv/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock" --python-version 3.11 --python-platform x86_64-unknown-linux-gnu

# Stages that need torch share one process that has imported it (stages/launch/warm); OFT_WARM= turns that off.
repro flow retrain trials evidence serve s3-demo: export OFT_WARM ?= 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help repro profile flow retrain trials evidence showcase serve push pull s3-demo demo test faults check docs deps bench lock clean setup setup-dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

repro: ## run the whole pipeline, or the part that changed (ARGS="train report" for some stages)
	@printf '%s\n' \
	  'Reproducing the pipeline of dvc.yaml with the settings of params.yaml:' \
	  'data, conditions, shards, adapters, samples, metrics, report.' \
	  'With the default settings the first run takes about twenty minutes on two cores, stages side by side;' \
	  'later ones redo what a change touches.' ''
	@$(MAKE) --no-print-directory setup
	@python -m flows.reproduce --plain $(ARGS)
	@[ ! -e report/index.html ] || printf '\nReport: %s\n' "$(CURDIR)/report/index.html"

profile: setup ## choose what a run does: make profile PROFILE=compare (or full, smoke, miniature; see conf/profile/)
	@oft profile $(PROFILE)

flow: setup ## the same through Prefect: a record of stages, times, metrics, pictures (ARGS="--help" for options)
	@python -m flows.reproduce $(ARGS)

retrain: setup ## train on new data, judge, promote or reject (ARGS="--help": inboxes, watch, history, rollback)
	@python -m flows.retrain $(ARGS)

trials: setup ## what adapters add over several seeds; sweeps of settings (ARGS="--help"; docs/experiments.md)
	@python -m flows.trials $(ARGS)

evidence: setup .venv/evidence.stamp ## answer the paper's claims: every adapter, three seeds, a page (hours; resumes after an interruption; ARGS="--help")
	@python -m flows.evidence $(ARGS)

push: setup ## send results and run cache to the team's DVC remote (docs/team.md; ARGS="--help" for its options)
	@python -m flows.share push $(ARGS)

pull: setup ## fetch what others have pushed; `make repro` then runs nothing of it
	@python -m flows.share pull $(ARGS)

s3-demo: setup-dev ## show two clones sharing results through an S3 server on this machine
	@python -m flows.s3_demo

showcase: setup ## write the README's picture and table anew from the results here
	@python -m oft.report.showcase

demo: setup .venv/demo.stamp ## a page to try the run's adapters side by side, here alone (ARGS="--port 0"); Ctrl-C ends it
	@python -m oft.demo $(ARGS)

serve: setup ## a Prefect server with its pages, schedules and a worker, here alone (ARGS="--port 0"); Ctrl-C ends it
	@python -m flows.serve $(ARGS)

test: setup-dev ## run the tests (ARGS="-k rotation" for some of them)
	@OMP_NUM_THREADS=1 python -m pytest --numprocesses $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: export OFT_FAULT_ROUNDS ?= 20
faults: setup-dev ## kill, cut and fill on purpose, 20 times each (OFT_FAULT_ROUNDS=30 for more; an hour)
	@OMP_NUM_THREADS=1 python -m pytest --timeout 7200 -s tests/faults $(ARGS)

check: setup-dev ## lint, formatting, types and import rules
	@python -m ruff check .
	@python -m ruff format --check .
	@python -m mypy
	@lint-imports --no-logo

docs: setup .venv/docs.stamp ## build the documentation, API pages of oft included, into site/
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict

deps: setup-dev ## write the source files that each stage uses into dvc.yaml, from the import graph
	@python -m stages.launch.deps

bench: setup-dev ## speed, memory and accuracy against peers, adapters and data (ARGS="--help" for its options)
	@python -m benchmarks $(ARGS)

lock: .venv/uv.stamp ## resolve pyproject.toml into requirements/ anew (ARGS="--upgrade" to move to the newest)
	@echo uv | $(COMPILE) $(ARGS) - --output-file requirements/uv.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra flows --output-file requirements/runtime.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra flows --extra dev --constraint requirements/runtime.txt \
	  --output-file requirements/dev.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra flows --extra demo --constraint requirements/dev.txt \
	  --override requirements/demo-overrides.in --output-file requirements/demo.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra flows --extra ray --constraint requirements/dev.txt \
	  --output-file requirements/ray.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra flows --extra evidence --constraint requirements/dev.txt \
	  --output-file requirements/evidence.txt
	@$(COMPILE) $(ARGS) pyproject.toml --extra docs --constraint requirements/dev.txt \
	  --output-file requirements/docs.txt

clean: ## remove the caches of the tools and site/; results, DVC's cache and .venv stay
	@rm -rf site .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find benchmarks experiments flows miniature oft stages tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. A stamp is younger than the lock file it was installed from, so a second run does nothing.
# The development set is a superset of the run-time set with the same versions and shares its environment.
setup: .venv/runtime.stamp .venv/bin/oft .dvc/tmp/private.stamp ## install what a run needs into .venv, with the commands oft and dvc
	@:

setup-dev: .venv/dev.stamp .venv/bin/oft .dvc/tmp/private.stamp
	@:

.venv/uv.stamp: requirements/uv.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo '$(PYTHON) is not a Python 3.11: install one, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@echo 'Setting up .venv, once (about 3 GB of packages).'
	@"$(PYTHON)" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venv/runtime.stamp: requirements/runtime.txt .venv/uv.stamp
	@$(INSTALL) $<
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/runtime.stamp
	@$(INSTALL) $<
	@touch $@

.venv/docs.stamp: requirements/docs.txt .venv/runtime.stamp
	@$(INSTALL) $<
	@touch $@

.venv/evidence.stamp: requirements/evidence.txt .venv/runtime.stamp
	@$(INSTALL) $<
	@touch $@

# All of it is pinned; without --no-deps uv would read Gradio's bounds again (requirements/demo-overrides.in).
.venv/demo.stamp: requirements/demo.txt .venv/runtime.stamp
	@$(INSTALL) $< --no-deps
	@touch $@

# `dvc`, typed by a person, keeps its site cache where nobody else can write.
.dvc/tmp/private.stamp: .venv/runtime.stamp
	@.venv/bin/python -m flows.private
	@mkdir -p .dvc/tmp
	@touch $@

# This package itself, for its command `oft`: nothing is fetched or copied.
.venv/bin/oft: pyproject.toml .venv/runtime.stamp
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation --editable .
	@touch $@
