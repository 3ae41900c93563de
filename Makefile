# The one door. `make check` while you work, `make test` before you push; the rest when you need it.

PYTHON := .venv/bin/python
MILLPOND_BIN ?= $(CURDIR)/target/release/millpond
# How long each fuzz target and the soak run, in seconds.
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 60

export MILLPOND_BIN

.PHONY: help check test policy tools release bench fuzz soak demo screenshots

help:
	@echo 'make check   format, lints, unit tests, documentation, layering: a minute or two'
	@echo 'make test    installs what the tests need, then runs everything that CI runs, with the minutes of each stage;'
	@echo '             STAGES="rust python" runs only these: policy rust release fuzz python node clients'
	@echo 'make policy  dependencies, citations, links and commands of documents: seconds'
	@echo 'make demo    a server with a moving picture, and the lines to paste for ffmpeg and OBS'
	@echo 'make bench   cost and latency beside a floor program, as a table'
	@echo 'make fuzz    every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds'
	@echo 'make screenshots   the pages of the console as pictures, into docs/img'
	@echo 'make soak    kill -9 and restart under a push for SOAK_SECONDS=$(SOAK_SECONDS) seconds'

check:
	python3 scripts/check_references.py
	python3 scripts/check_documents.py
	cargo fmt --all --check
	cargo fmt --manifest-path conformance/rust/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --locked -p millpond-media -p millpond-oss -p millpond-store
	cargo test --locked -p millpond --test layering
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --document-private-items

# Idempotent and quiet: it installs only what is missing.
tools:
	@scripts/setup-tests.sh

release:
	cargo build --release --locked

# make test STAGES="rust python" runs only these.
test: tools
	@scripts/stages.sh $(STAGES)

# Dependencies, citations, documents: what needs no compiler.
policy: tools
	@scripts/stages.sh policy

bench: tools release
	@scripts/setup-bench.sh
	$(PYTHON) bench/run.py

fuzz:
	scripts/fuzz.sh $(FUZZ_SECONDS)

soak: tools release
	cd conformance/python && ../../$(PYTHON) soak.py --seconds $(SOAK_SECONDS)

demo:
	cargo run --release --locked -- demo

screenshots: tools release
	scripts/screenshots.sh
