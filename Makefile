# The one door. `make check` while you work, `make test` before you push; the rest when you need it.

PYTHON := .venv/bin/python
MILLPOND_BIN ?= $(CURDIR)/target/release/millpond
# How long each fuzz target and the soak run, in seconds.
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 90
# At how many points of each odd stream and each captured encoder the soak kills the server.
SOAK_KILLS ?= 20

export MILLPOND_BIN

.PHONY: help check test policy tools release dist dist-test bench fuzz soak monitoring demo screenshots cluster java

help:
	@echo 'make check   format, lints, unit tests, documentation, layering: a minute or two'
	@echo 'make test    installs what the tests need, then runs everything that CI runs, with the minutes of each stage;'
	@echo '             STAGES="rust python" runs only these: policy release rust fuzz python node clients cluster nemesis'
	@echo 'make policy  dependencies, citations, links and commands of documents: seconds'
	@echo 'make demo    a server with a moving picture, and the lines to paste for ffmpeg and OBS'
	@echo 'make cluster two servers over PostgreSQL and an S3-compatible store, also by the compose files and behind the balancers'
	@echo '             of deploy/: what one loses when the other dies; then the whole Python and Node suites against three servers'
	@echo 'make dist    a stripped binary that runs on old systems, and the image of it, into target/dist'
	@echo 'make dist-test   both as processes: on an old system, and by the compose files of deploy/'
	@echo 'make java    snapshots by the official Java SDKs, which Maven fetches'
	@echo 'make bench   cost and latency beside a floor program, as a table'
	@echo 'make fuzz    every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds'
	@echo 'make screenshots   the pages of the console as pictures, into docs/img'
	@echo 'make soak    eight pushes, writers, readers and a nemesis for SOAK_SECONDS=$(SOAK_SECONDS) seconds, as long again system'
	@echo '             calls that fail and power cuts, and the server killed at SOAK_KILLS=$(SOAK_KILLS) points of each odd stream'
	@echo 'make monitoring   the metrics, the dashboard and the alerts of deploy/ beside a real Prometheus, which it installs'

check:
	python3 scripts/check_references.py
	python3 scripts/check_documents.py
	cargo fmt --all --check
	cargo fmt --manifest-path conformance/rust/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --locked -p millpond-media -p millpond-oss -p millpond-store
	cargo test --locked -p millpond-acceptance --test layering
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
	cd conformance/python && ../../$(PYTHON) soak.py --seconds $(SOAK_SECONDS) --syscalls
	cd conformance/python && ../../$(PYTHON) soak.py --kills $(SOAK_KILLS)
	cd conformance/python && ../../$(PYTHON) soak.py --seconds $(SOAK_SECONDS) --power-cuts

monitoring: tools release
	scripts/setup-monitoring.sh
	cd conformance/python && MILLPOND_NEEDS_PROMETHEUS=1 ../../$(PYTHON) -m pytest tests/test_monitoring.py

# Servers over PostgreSQL and SeaweedFS, which it starts itself: what two lose when one dies, and all that one can of three.
cluster: tools release
	conformance/cluster/setup.sh
	cd conformance/cluster && ../../$(PYTHON) -m pytest
	$(PYTHON) conformance/cluster/suites.py python -n 2 --dist loadfile
	$(PYTHON) conformance/cluster/suites.py node

# The binary that is given away, and the image of it.
dist:
	deploy/build.sh
	deploy/image.sh

dist-test: tools dist
	conformance/dist/setup.sh
	cd conformance/dist && MILLPOND_BIN=$(CURDIR)/target/dist/millpond ../../$(PYTHON) -m pytest
	cd conformance/cluster && MILLPOND_BIN=$(CURDIR)/target/dist/millpond ../../$(PYTHON) -m pytest test_compose.py

demo:
	cargo run --release --locked -- demo

screenshots: tools release
	scripts/screenshots.sh

# The three official Java SDKs put channels with snapshots and fetch the pictures.
java: tools release
	conformance/java/setup.sh
	cd conformance/python && MILLPOND_NEEDS_JAVA=1 ../../$(PYTHON) -m pytest tests/test_snapshots_by_sdks.py
