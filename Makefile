# `make run` serves the examples, `make test` checks everything, `make test-api`
# asks a host what nobody thought of, `make test-faults` kills hosts for a while,
# `make bench` measures. Each installs what this machine lacks first.

LISTEN ?= 127.0.0.1:8080

# What is off by default, and tested all the same. Without them, the library is
# compiled and linted for an example: that shares all that tests depend on, of which
# `cargo build --lib` would compile fifty crates once more.
FEATURES := otel,nats

# A target directory that clones share saves a fresh one the dependencies' build.
SHARED := $(HOME)/.cache/airlock/target
ifeq ($(CARGO_TARGET_DIR),)
CARGO_TARGET_DIR := $(if $(wildcard $(SHARED)),$(SHARED),$(CURDIR)/target)
endif
export CARGO_TARGET_DIR
# Where rustup puts cargo before the next login.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Clippy as the compiler of what is built and tested. `cargo clippy` would compile
# all dependencies once more, for nothing but their types: two fifths of a cold run.
LINTED := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=--deny__CLIPPY_HACKERY__warnings

.PHONY: run test test-api test-faults bench install

run: install
	cargo build --release --locked
	@echo
	@echo "Try it from another terminal:"
	@echo "  curl -H 'Authorization: Bearer acme-demo-token' http://$(LISTEN)/api/custom/hello"
	@echo "  curl -H 'Authorization: Bearer acme-demo-token' 'http://$(LISTEN)/api/custom/sales-report?start=2024-01-01&end=2024-01-31'"
	@echo
	@exec $(CARGO_TARGET_DIR)/release/airlock serve --config scripts-examples/airlock.toml --listen $(LISTEN)

test: install
	cargo fmt --check
	cargo fmt --check --manifest-path guest/Cargo.toml
	$(LINTED) cargo build --example embed --locked
	if cargo nextest --version >/dev/null 2>&1; then $(LINTED) tests/with-postgres cargo nextest run --all-targets --locked --features $(FEATURES); else $(LINTED) tests/with-postgres cargo test --all-targets --locked --features $(FEATURES); fi

test-api: install
	tests/with-postgres tests/schemathesis

test-faults: install
	AIRLOCK_FAULTS=full tests/with-postgres cargo test --release --locked --test faults -- --nocapture --test-threads=1

bench: install
	@command -v npm >/dev/null || { echo "The peers need Node.js 20 or later and npm: https://nodejs.org" >&2; exit 1; }
	@# Of the lock's versions. `npm ci` wants those of other platforms to be known too.
	cd benches/peers && npm install --no-save --no-audit --no-fund
	AIRLOCK_TEST_DURABLE=1 tests/with-postgres cargo bench --locked

install:
	@.ci/install
	@# Cargo tells by its time whether a file has changed, and takes equal paths of
	@# two clones for one file. What another clone built last must not count here.
	@mkdir -p $(CARGO_TARGET_DIR)
	@echo "$(CURDIR)" | cmp -s - $(CARGO_TARGET_DIR)/.built-from || { \
		find Cargo.toml src wit tests benches guest -type f -not -path '*/node_modules/*' -exec touch {} +; \
		echo "$(CURDIR)" > $(CARGO_TARGET_DIR)/.built-from; }
