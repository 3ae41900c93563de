#!/usr/bin/env bash
# Runs the stages of `make test`, stops at the first that fails, and prints the minutes of each at the end:
#
#   scripts/stages.sh                  all of them
#   scripts/stages.sh rust python      only these
#
# The release build comes first: every suite drives its binary, and the unit tests use its dependencies (scripts/tests.toml), so
# nothing is compiled twice. The Python suites run beside those of Node, which wait for browsers and encoders most of the time, and
# the client in Rust is compiled beside two servers over PostgreSQL and SeaweedFS, which wait for pictures and for leases. The nemesis
# of three servers comes last, alone.
# A test that fails beside others is run once more, alone, and what passes only then is printed as flaky: a machine of two
# cores may be late, and a fault is not. Unit tests get no second run.
# The budgets (minutes on 2 cores) come to 45. A stage beyond its own is marked, and does not fail: machines differ.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$PWD/.venv/bin/python
declare -A budget=([policy]=1 [release]=10 [rust]=6 [fuzz]=3 [python]=10 [node]=9 [python+node]=17 [clients]=2 [cluster]=3 [clients+cluster]=3 [nemesis]=5)
all=(policy release rust fuzz python+node clients+cluster nemesis)
# More failures than these are no accident, and are not run again.
most_again=5
notes=$(mktemp -d)
flaky=()

policy() { scripts/deny.sh && scripts/check_dependencies.py && scripts/check_references.py && scripts/check_documents.py; }
release() { cargo build --release --locked; }
# The tests of crates/acceptance drive the release binary, so that none is built for them.
rust() { release && MILLPOND_BIN=${MILLPOND_BIN:-$PWD/target/release/millpond} cargo --config scripts/tests.toml test --release --workspace --locked; }
fuzz() { scripts/fuzz.sh "${FUZZ_STAGE_SECONDS:-5}"; }
python() { pytest_files 3 && return; pytest_again conformance/python; }
node() { node_files && return; node_again; }
clients() { cargo test --locked --manifest-path conformance/rust/Cargo.toml; }
# The quick part of `make cluster`.
cluster() {
    conformance/cluster/setup.sh engines || return 1
    (cd conformance/cluster && "$python" -m pytest -m quick --durations=5) || pytest_again conformance/cluster -m quick
}

# The first runs go side by side, the second ones one after the other.
python+node() {
    local status=0 node_status
    # One file at a time here; two when Node has the machine for itself.
    NODE_FILES=1 node_files >"$notes/node.log" 2>&1 &
    local job=$!
    pytest_files 2 || status=1
    wait $job
    node_status=$?
    cat "$notes/node.log"
    if [ $status -ne 0 ]; then pytest_again conformance/python && status=0; fi
    if [ $node_status -ne 0 ]; then node_again || status=1; fi
    return $status
}

# Three servers, their engines and 20 pushes take the machine for themselves.
nemesis() {
    conformance/cluster/setup.sh engines || return 1
    (cd conformance/cluster && "$python" -m pytest -m nemesis) || pytest_again conformance/cluster -m nemesis
}

# What waits for processors waits longer here than what waits for leases.
clients+cluster() {
    local status=0
    (renice -n 10 $BASHPID >/dev/null && clients) >"$notes/clients.log" 2>&1 &
    local job=$!
    cluster || status=1
    wait $job || status=1
    cat "$notes/clients.log"
    return $status
}

pytest_files() { (cd conformance/python && "$python" -m pytest -n "$1" --dist loadfile); }
# The folder of the tests, and what chooses among them.
pytest_again() {
    local folder=$1 failed
    shift
    failed=$(cd "$folder" && "$python" -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")' 2>/dev/null) || return 1
    may_run_again "$failed" || return 1
    (cd "$folder" && "$python" -m pytest "$@" --last-failed --last-failed-no-failures none) && flaky+=("$failed")
}

node_files() { rm -f "$notes/failed" && FAILED_FILES=$notes/failed npm --prefix conformance/node test -- "$@"; }
node_again() {
    local failed
    failed=$(sort -u "$notes/failed" 2>/dev/null)
    may_run_again "$failed" || return 1
    # The program, not the stage of its name.
    # shellcheck disable=SC2086 # names of test files have no spaces
    (cd conformance/node && command node --test $failed) && flaky+=("$failed")
}

may_run_again() { [ -n "$1" ] && [ "$(wc -l <<<"$1")" -le $most_again ] && printf '\n== again, alone:\n%s\n' "$1"; }

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
for stage in "${stages[@]}"; do
    [ -n "${budget[$stage]:-}" ] || {
        echo "stages: there is no stage $stage; there are ${!budget[*]}" >&2
        exit 2
    }
done

report=()
summary() {
    rm -rf "$notes"
    [ ${#report[@]} -gt 0 ] || return
    [ ${#flaky[@]} -eq 0 ] || printf '\nflaky, passed only when run again alone:\n%s\n' "$(printf '%s\n' "${flaky[@]}")"
    printf '\n%-12s %8s %8s  %s\n' stage minutes budget ''
    printf '%s\n' "${report[@]}"
    printf '%-12s %8s   and %s of disk\n' all "$(minutes $SECONDS)" "$(du -sh . 2>/dev/null | cut -f1)"
}
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
trap summary EXIT

SECONDS=0
for stage in "${stages[@]}"; do
    echo "== $stage"
    begin=$SECONDS
    "$stage"
    status=$?
    took=$((SECONDS - begin))
    remark=''
    [ $took -le $((budget[$stage] * 60)) ] || remark='over its budget'
    [ $status -eq 0 ] || remark=FAILED
    report+=("$(printf '%-12s %8s %8s  %s' "$stage" "$(minutes $took)" "${budget[$stage]}:00" "$remark")")
    [ $status -eq 0 ] || exit $status
done
