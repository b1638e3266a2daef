# Everything that one does with a clone of this repository. `make help` lists it.

PYTHON ?= python3
# The bus of `make retail`: kafka or nats, beside PostgreSQL, or local, in one SQLite file with the database.
BUS ?= kafka
# Arguments of `make run`, `make watch` and `make retail`, for example: make run ARGS='--for 1m --rate 500'
ARGS ?=
# How many seeds `make simulate` runs; ARGS='--seed 4711' runs one of them and tells all that happens in it.
SEEDS ?= 20000
# What `make deny` checks. Only `advisories` needs the network: it reads the RustSec database. Without it:
# make deny DENY='bans licenses sources'
DENY ?= advisories bans licenses sources

# How long `make fuzz` fuzzes each target, in seconds.
FUZZ_SECONDS ?= 60
# How many mutants `make mutants` tests at once.
MUTANTS_JOBS ?= 2
# Every mutant meets the rules on the model store first, which takes seconds; those that none of these tests notices meet all
# tests of the core and the simulation. 2 is that some were missed, 3 that with some a test never ended, which is noticed too.
MUTATE = RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=0 cargo mutants --jobs $(MUTANTS_JOBS) --output target/reports

# A recipe whose pipe fails anywhere fails.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.DEFAULT_GOAL := help
# The targets share one build folder and two processor cores.
.NOTPARALLEL:
.PHONY: help setup toolchain servers build run watch test simulate lint retail mutants fuzz deny

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing on this machine (Debian as root), or name it
	@tools/setup.sh

toolchain: ## Install what building alone needs
	@tools/setup.sh build

servers: ## Fetch PostgreSQL, Kafka, NATS and the schema registry for tests and local runs
	@$(PYTHON) tools/servers.py fetch postgres kafka registry nats

build: ## Build the release binary
	cargo build --release

run: toolchain build ## Build, and watch a worker in a shop: no server, no setting (ARGS=...)
	@target/release/holdfast demo $(ARGS)

watch: setup servers build ## Watch a worker on real servers take a week of a shop's orders (ARGS=...)
	@$(PYTHON) examples/retail/watch.py $(ARGS)

test: setup servers lint ## Lint, run every test against real servers, print the matrix of the contract
	@mkdir -p target/reports
	cargo test --all-features 2>&1 | tee target/reports/tests.txt || failed=1; \
		$(PYTHON) tools/matrix.py target/reports/tests.txt && [ -z "$$failed" ]
	$(PYTHON) tools/count_tests.py
	$(PYTHON) tools/check_compose.py

simulate: toolchain ## Run the core under every fault that one thread can make (SEEDS=... ARGS=...)
	cargo run --release --no-default-features --features simulation --bin simulate -- --seeds $(SEEDS) --json target/reports/simulate.json $(ARGS)

lint: ## Check format and lints
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings

retail: setup servers build ## Run a year of real orders and compare every figure (BUS=... ARGS=...)
	$(PYTHON) examples/retail/run.py --bus $(BUS) $(ARGS)

mutants: toolchain ## Change the rules and the engine in every small way: a test must notice each (MUTANTS_JOBS=...)
	@cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants
	$(MUTATE) -- --test it -- on_model::rules reference::histories fuzz_inputs || [[ $$? == [23] ]]
	$(MUTATE) --iterate --features simulation -- --lib --test it || [[ $$? == 3 ]]

fuzz: toolchain ## Fuzz everything that reads what comes from outside (FUZZ_SECONDS=...)
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	@$(PYTHON) tools/fuzz.py --seconds $(FUZZ_SECONDS)

deny: ## Check the dependencies: advisories, licences, bans, sources
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check $(DENY)
