#!/usr/bin/env bash
# Runs the stages of `make test` one after the other, stops at the first that fails, and prints the minutes of each at the end:
#
#   scripts/stages.sh                  all of them
#   scripts/stages.sh rust python      only these
#
# They are not run side by side: the Python suites use three processes already, and tests of time and of browsers need a core to
# themselves on small machines. The budgets (minutes on 2 cores) come to less
# than 45. A stage beyond its own is marked, and does not fail: machines differ.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$PWD/.venv/bin/python
declare -A budget=([policy]=1 [rust]=9 [release]=7 [fuzz]=4 [python]=13 [node]=7 [clients]=3)
all=(policy rust release fuzz python node clients)

policy() { scripts/deny.sh && scripts/check_dependencies.py && scripts/check_references.py && scripts/check_documents.py; }
rust() { cargo test --workspace --locked; }
release() { cargo build --release --locked; }
fuzz() { scripts/fuzz.sh "${FUZZ_STAGE_SECONDS:-5}"; }
python() { (cd conformance/python && "$python" -m pytest -n 3 --dist loadfile); }
node() { npm --prefix conformance/node test; }
clients() { cargo test --locked --manifest-path conformance/rust/Cargo.toml; }

stages=("$@")
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")
for stage in "${stages[@]}"; do
    [ -n "${budget[$stage]:-}" ] || {
        echo "stages: there is no stage $stage; there are ${all[*]}" >&2
        exit 2
    }
done

report=()
summary() {
    [ ${#report[@]} -gt 0 ] || return
    printf '\n%-10s %8s %8s  %s\n' stage minutes budget ''
    printf '%s\n' "${report[@]}"
    printf '%-10s %8s\n' all "$(minutes $SECONDS)"
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
    report+=("$(printf '%-10s %8s %8s  %s' "$stage" "$(minutes $took)" "${budget[$stage]}:00" "$remark")")
    [ $status -eq 0 ] || exit $status
done
