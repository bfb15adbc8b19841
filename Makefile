# Everything a developer types; CI runs the same targets. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help run cluster test test-unit test-contract test-alerts test-dashboards alert-drill chaos chaos-all sim lint doc bench bench-peers bench-recommend load stop clean
ARGS ?=

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: ## installs, starts and serves the demo on http://127.0.0.1:8080; Ctrl-C stops it
	@exec bash config/dev/run.sh $(ARGS)

cluster: ## serves the demo from three nodes behind HAProxy, on the same address; again after a kill -9 to revive a node
	@exec bash config/dev/cluster.sh start

test: ## runs every test against a private Postgres and Redis; ARGS go to the runner
	@exec bash config/dev/test.sh $(ARGS)

test-unit: ## runs the tests that need no store
	@cargo test --quiet --locked --lib -p lyceum-kernel -p lyceum-domain

test-contract: ## tries every operation against its description, with right and wrong data
	@exec bash config/dev/contract.sh

chaos: ## breaks what a node stands on, row by row, and lets the oracle judge; ROW=13 for one
	@exec bash config/dev/chaos.sh run

chaos-all: ## breaks everything at once for ten minutes, by a seed that it prints; SEED=7 repeats one
	@exec bash config/dev/chaos.sh all

sim: ## runs 10,000 seeded worlds of cluster, journal and domain; SEEDS, FROM; SEED=27 for the trace of one
	@exec bash config/dev/sim.sh $(ARGS)

test-alerts: ## checks the alert rules and runs their tests
	@exec bash config/dev/alerts.sh

test-dashboards: ## asks a private Prometheus for every panel of every dashboard and draws them
	@exec bash config/dev/observe.sh dashboards

alert-drill: ## lets a twentieth of the purchases fail until the page fires in a private Prometheus
	@exec bash config/dev/observe.sh drill

lint: ## checks format, lints, licences and dependencies
	@exec bash config/dev/lint.sh

doc: ## builds the documentation of the code, warnings denied
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --workspace --no-deps

bench: ## measures reads, purchases, entities and start-up over private stores; ARGS go to lyceum-bench
	@exec bash config/dev/bench.sh $(ARGS)

bench-peers: ## measures purchases beside the systems people use instead, if ../shared/peers has them
	@exec bash config/dev/bench.sh --peers $(ARGS)

bench-recommend: ## measures lists, training and memory of the recommender; DATA is a folder with items.tsv and train.tsv
	@DATA=$(DATA) exec bash config/dev/bench.sh --recommend $(ARGS)

load: ## loads what `make run` serves for two minutes; SCENARIO and ARGS choose, see loadtest/README.md
	@SCENARIO=$(SCENARIO) exec bash config/dev/load.sh $(ARGS)

stop: ## stops the nodes of `make cluster`, and the private Postgres and Redis; their data stays
	@bash config/dev/cluster.sh stop
	@for instance in dev test bench faults full; do bash config/dev/stores.sh stop $$instance; done

clean: stop ## removes their data as well, and everything that was built
	rm -rf $$(readlink -f .data/dev .data/test .data/bench .data/faults .data/full || true) .data target
