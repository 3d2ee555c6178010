#!/bin/bash
# Does anything that somebody else writes make this program panic, hang or use up its memory? Runs the targets in fuzz/,
# two at a time, and prints a line for each.
#
# As cargo-fuzz does without a sanitizer, but with Debian's toolchain and without that program. The corpus in fuzz/ is
# only read; what is found goes on growing in build/fuzz.
set -u
export LC_ALL=C.UTF-8

usage() {
    cat <<'END'
usage: tests/fuzz.sh [TARGET...]
Runs these targets of fuzz/ (default: all), each for FUZZ_SECONDS=N seconds (60), with FUZZ_SEED=N (0: another one each
time). An input that makes one fail is kept in build/fuzz/artifacts;
build/fuzz/x86_64-unknown-linux-gnu/release/TARGET FILE runs it again.
END
}
case ${1:-} in
    -h | --help) usage; exit ;;
    -*) echo "tests/fuzz.sh: unknown argument '$1', see tests/fuzz.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
export PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc
export seconds=${FUZZ_SECONDS:-60} seed=${FUZZ_SEED:-0} programs=build/fuzz/x86_64-unknown-linux-gnu/release
all=$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
for name in "$@"; do
    grep -qx "$name" <<<"$all" || { echo "tests/fuzz.sh: no target $name; there are:" $all >&2; exit 2; }
done

# What cargo-fuzz 0.13 gives rustc: counters in every branch, and the values that are compared.
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="${flags:-} -Cllvm-args=-sanitizer-coverage-$flag"
done
export RUSTFLAGS="-Cpasses=sancov-module$flags -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Ccodegen-units=1"
cargo=(--manifest-path fuzz/Cargo.toml --locked --release --target x86_64-unknown-linux-gnu --target-dir build/fuzz)
cargo clippy "${cargo[@]}" -- -D warnings && cargo build "${cargo[@]}" || exit 1

# fuzz TARGET: one line; the log's end only if it failed.
fuzz() {
    local name=$1 log=build/fuzz/$1.log longest=4096
    case $name in
        http_peer) longest=20000 ;; # A head may have 16 KiB.
        kubectl_output | update_conf) longest=5000 ;;
        env_block) longest=2000 ;;
    esac
    mkdir -p "build/fuzz/corpus/$name" build/fuzz/artifacts
    # The bound on the heap is the targets' own (fuzz/src/lib.rs).
    "$programs/$name" "build/fuzz/corpus/$name" "fuzz/corpus/$name" -seed="$seed" -max_total_time="$seconds" \
        -max_len=$longest -timeout=5 -rss_limit_mb=256 -artifact_prefix="build/fuzz/artifacts/$name-" -print_final_stats=1 >"$log" 2>&1 || {
        echo "FAILED  $name"
        grep -av $'^#[0-9]*\t' "$log" | tail -n 40
        return 1
    }
    local last stat
    last=$(grep -a $'^#[0-9]*\tDONE' "$log" | tail -n 1)
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf 'ok      %-15s %10d inputs, %6d a second, %5s branches, at most %d MB\n' "$name" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(sed 's/.* cov: \([0-9]*\) .*/\1/' <<<"$last")" "$(stat peak_rss_mb)"
}
export -f fuzz
printf '%s\n' "${@:-$all}" | xargs -n 1 -P 2 bash -c 'fuzz "$1"' fuzz || { echo 'tests/fuzz.sh: FAILED'; exit 1; }
echo 'tests/fuzz.sh: all ok'
