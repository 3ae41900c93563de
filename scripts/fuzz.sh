#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds (60): scripts/fuzz.sh [SECONDS] [TARGET...]
#
# It needs nothing but the stable toolchain: the coverage instrumentation that cargo-fuzz asks a nightly compiler for is passed to
# LLVM directly. What is found lands in fuzz/artifacts; new inputs gather in fuzz/corpus-run, beside the named seeds of fuzz/corpus.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do
        name=${file##*/}
        targets+=("${name%.rs}")
    done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
flags=(
    --cfg fuzzing
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Ccodegen-units=1
)
# With --target the flags reach the targets, not the build scripts.
RUSTFLAGS="${flags[*]}" cargo build --release --target "$host" || exit 1
folder=${CARGO_TARGET_DIR:-target}/$host/release

fuzz_one() {
    local name=$1 status
    mkdir -p "corpus-run/$name" "artifacts/$name"
    # Memory that grows with a declared length instead of with the bytes received shows as one large allocation.
    "$folder/$name" "corpus-run/$name" "corpus/$name" -max_total_time="$seconds" -max_len=16384 -timeout=30 -rss_limit_mb=1024 \
        -malloc_limit_mb=64 -artifact_prefix="artifacts/$name/" -print_final_stats=1 >"artifacts/$name.log" 2>&1
    status=$?
    if [ $status -ne 0 ]; then
        echo "$name: FOUND SOMETHING, see fuzz/artifacts/$name.log"
        tail -25 "artifacts/$name.log"
        return 1
    fi
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "artifacts/$name.log") runs, no finding"
}

jobs_at_once=$(nproc)
failed=0
running=0
for name in "${targets[@]}"; do
    fuzz_one "$name" &
    running=$((running + 1))
    if [ "$running" -ge "$jobs_at_once" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed
