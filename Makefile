# Everything a clone can do. Python >= 3.11, Node >= 20 and make are all it needs; `make help` lists the rest.
#
# The set-up is stamped, so a target that needs it costs nothing when it is up to date.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# A file keeps to one worker, for the chain its tests share; what measures, and ape, have the machine to themselves.
WORKERS := -n auto --maxprocesses 4 --dist loadfile
ALONE := tests/bench tests/ape

# An environment that was moved, or whose Python is gone, is no environment: drop its stamps.
$(shell $(BIN)/python -c '' 2>/dev/null && grep -qF "$$(pwd -P)/.venv/bin/" $(BIN)/pip || rm -f .venv/.runtime .venv/.dev)

.venv/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml
	@sh scripts/setup.sh runtime
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@sh scripts/setup.sh dev
	@touch $@

# After the runtime, which says whether an Anvil on PATH will do.
node_modules/.keeper: package.json package-lock.json | .venv/.runtime
	@sh scripts/setup.sh node
	@touch $@

build/numpy2/.done: requirements/numpy2.txt
	@sh scripts/setup.sh numpy2
	@touch $@

.PHONY: help setup dev demo test test-nightly test-numpy2 check format bench gas campaign soak scorecard site contracts lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: .venv/.runtime node_modules/.keeper ## make .venv (keeper's runtime) and fetch the devnet's packages
	@:

dev: setup .venv/.dev ## the same, and the compilers and test tools (Python 3.11 or 3.12)
	@:

demo: setup ## a loan, a range and a basket live through Black Thursday, each beside a twin without a rule
	@$(BIN)/keeper demo

test: dev ## every test but the nightly ones
	@$(PYTEST) $(WORKERS) -m "not nightly" --ignore=tests/bench; first=$$?; \
		$(PYTEST) $(ALONE) -m "not nightly" && exit $$first

test-nightly: dev ## the tests too slow for every run
	@$(PYTEST) -m nightly
	@$(PYTEST) tests/ape -m nightly; code=$$?; [ $$code -eq 5 ] || exit $$code

test-numpy2: setup build/numpy2/.done ## the runtime's tests without the development group's cap on numpy
	@build/numpy2/bin/python -m pytest -m "not nightly and not aave36" \
		--ignore=tests/house --ignore=tests/contracts --ignore=tests/attacks

check: dev ## style, types, and the shipped artifacts against their source
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python scripts/compile_contracts.py --check & artifacts=$$!; \
		$(BIN)/mypy --no-error-summary; types=$$?; wait $$artifacts && exit $$types

format: dev ## rewrite what `make check` would complain of, where that can be done
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: dev ## the figures, as a table and in build/bench.json
	@$(BIN)/python -m bench

gas: dev ## what the contracts' guards cost, into build/gas.json
	@$(PYTEST) tests/contracts/test_gas.py && cat build/gas.json

campaign: dev ## SEED=1 EPISODES=200: a keeper's life under drawn faults, into build/campaign.json
	@$(BIN)/python -m tests.faults.campaign --seed $(or $(SEED),1) --episodes $(or $(EPISODES),200)

soak: dev ## SEED=1 BLOCKS=216000: one keeper under faults for thirty days of blocks, into build/soak.json
	@$(BIN)/python -m tests.faults.campaign.soak --seed $(or $(SEED),1) --blocks $(or $(BLOCKS),216000)

scorecard: dev ## the same of models of how others send, beside the keeper, into build/scorecard.json
	@$(BIN)/python -m tests.faults.campaign --scorecard --seed $(or $(SEED),1) --episodes $(or $(EPISODES),100)

site: dev ## the documents as a site, in build/site
	@$(BIN)/python -m mkdocs --quiet build

contracts: dev ## compile contracts/ into the JSON the package ships
	@$(BIN)/python scripts/compile_contracts.py

lock: dev ## resolve pyproject.toml into requirements/ (UPGRADE=1 takes newer versions)
	@sh scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## remove everything that is made, environments included
	rm -rf .venv node_modules build .build .keeper *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
