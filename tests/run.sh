#!/bin/bash
# Runs the parts of `make test` or `make proof`: how each ended, what was skipped and why.
#
# A part's output goes to build/test/PART.log or build/proof/PART.log, and is shown where it failed.
set -u
TIMEFORMAT='%0U + %0S s of a core'
export LC_ALL=C.UTF-8 PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc

usage() {
    cat <<'END'
usage: tests/run.sh test|proof [PART...]
Runs these parts (default: all), two that need one core each side by side.
  test   what a person waits for; stops at the first part that fails
  proof  what test leaves out, and the full form of what it does in short; runs every part
END
}

# PART:CORES, in this order; behind a comma come those that need what is built before it. One that only waits needs none.
test='check:1 system:1, size:1 no-std:1 programs:0 lives:1 smoke:1'
proof='system:1 system-arm64:1, waits:0 mutations:1 fuzz:1 dist:1 minreq:1 tls:1 arm64:1 image:1 release:1 payload:1 manifests:1 kubernetes:1 manual:1 services:1 kernel:1
    audit:1 random:1 grub:1 stories:1'

quietly() { make --no-print-directory "$@"; }
core_test() { cargo test --locked --target-dir build/host --package kubesolo-core "$@"; }
# They wait for most of their time: for a timer, or a server that does not answer.
program_test() { RUST_TEST_THREADS=8 cargo test --locked --target-dir build/host --package kubesolo-boot "$@"; }
# rows FILTER [FLAG...]: the program's tests of that name; there has to be one.
rows() {
    local filter=$1
    shift
    program_test "$@" --test program -- --list "$filter" | grep ': test$' >/dev/null || { echo "no test is named $filter" >&2; return 1; }
    program_test "$@" --test program -- "$filter"
}
qemu_test() { cargo test --locked --target-dir build/host --package qemu-tests --test "$@"; }

test_check() { quietly check; }
test_system() { quietly dist/kubesolo-boot dist/kubesolo-cloud-init dist/kubesolo-test.img; }
test_size() { tests/size.sh kubesolo-boot kubesolo-cloud-init && tests/budget.sh; }
test_no-std() { quietly no-std; }
test_programs() { KSOLO_CASES=${KSOLO_CASES:-1/10} program_test --package kubesolo-cloud-init --package kubesolo-chunks; }
test_lives() { KSOLO_CASES=${KSOLO_CASES:-1/10} core_test; }
test_smoke() { qemu_test stories -- '[smoke]'; }

proof_system() { quietly dist && quietly dist/kubesolo-boot-tls image-test; }
proof_system-arm64() { quietly ARCH=arm64 dist/kubesolo-boot-arm64 image-test; }
proof_audit() { tools/audit --may-be-old; }
proof_release() { image/tests/release.sh; }
proof_payload() { image/tests/payload.sh; }
proof_manifests() { deploy/tests/manifests.sh; }
# Go's compiler wants more than a core for its ten minutes; they come once.
# Each test has an API server.
proof_kubernetes() { tests/kubernetes/build && program_test --test kubernetes -- --test-threads=2; }
proof_manual() { tools/tests/manual.sh; }
proof_services() { deploy/tests/services.sh; }
proof_kernel() { image/tests/kernel.sh; }
proof_image() { image/tests/image.sh; }
proof_tls() { tests/size.sh kubesolo-boot-tls && rows nginx:: --features tls; }
# The same rows once more in the same build, but for what stands in the table of what minreq cannot do yet.
proof_minreq() {
    rows fetch:: --features minreq && rows nginx:: --features minreq && KSOLO_TRANSPORT=own rows fetch:: --features minreq
}
proof_dist() { tools/tests/dist.sh; }
proof_mutations() { tests/mutations.sh; }
proof_arm64() { tests/size.sh kubesolo-boot-arm64 && tests/arm64.sh; }
proof_random() {
    local code=0
    core_test --no-fail-fast --test gpt --test crash_sim --test simulator || code=$?
    rows grub_editenv:: || code=$?
    return $code
}
proof_fuzz() { FUZZ_SEED=1 FUZZ_SECONDS=${FUZZ_SECONDS:-15} fuzz/run; }
proof_grub() { qemu_test grub_envblk --test grub_table --lib --no-fail-fast; }
proof_stories() { qemu_test stories -- --skip '[smoke]' --skip '[waits]'; }
proof_waits() { qemu_test stories -- '[waits]'; }

case ${1:-} in
    test | proof) run=$1 ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
esac
shift
cd "$(dirname "$0")/.." || exit 1
parts=${!run}
for name in "$@"; do
    [[ " $parts " =~ [[:space:]]"$name": ]] || { echo "tests/run.sh: $run has no part $name; there are:" $(sed 's/:[012],*//g' <<<"$parts") >&2; exit 2; }
done

logs=build/$run cores=2
mkdir -p $logs
export KSOLO_SKIPS=$PWD/$logs/skips
: >"$KSOLO_SKIPS"
declare -A part_of cores_of since
passed=() failed=() left=()

clock() { printf '%d:%02d' $((${1:-$SECONDS} / 60)) $((${1:-$SECONDS} % 60)); }
# Each part is a process group of its own, so that all it started ends with it.
set -m
stop_all() { for pid in "${!part_of[@]}"; do kill -- "-$pid" 2>/dev/null; done; }
trap 'stop_all; exit 130' INT TERM HUP

# failures LOG: the tests and checks that failed in it, else how it ends; CI may show the summary alone.
failures() {
    local names
    names=$(sed -nE 's/^test (.*[^ ]) +\.\.\. FAILED.*/\1/p; s/^FAILED +//p' "$1" | awk '!seen[$0]++' | head -n 20)
    sed 's/^/  /' <<<"${names:-$(tail -n 4 "$1")}"
}

# ended: waits for a part, and says how it ended.
ended() {
    local pid code name took
    wait -n -p pid
    code=$?
    name=${part_of[$pid]}
    took="$(clock $((SECONDS - since[$pid]))), $(tail -n 1 "$logs/$name.log")"
    cores=$((cores + cores_of[$pid]))
    unset "part_of[$pid]"
    if [ $code = 0 ]; then
        passed+=("passed   $name, $took")
        echo "$(clock)  $name passed after $took"
    else
        failed+=("FAILED   $name, $took: $logs/$name.log"$'\n'"$(failures "$logs/$name.log")")
        echo "$(clock)  $name FAILED after $took with exit code $code; all of $logs/$name.log:"
        sed 's/^/    /' "$logs/$name.log"
    fi
}

# goes_on: may another part start?
goes_on() { [ $run = proof ] || [ ${#failed[@]} = 0 ]; }

for part in $parts; do
    name=${part%%:*} need=${part##*:}
    need=${need%,}
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    while goes_on && [ $cores -lt "$need" ]; do ended; done
    if ! goes_on; then
        left+=("not run  $name")
        continue
    fi
    echo "$(clock)  $name"
    # A log ends with how long the part kept a core busy.
    { time "${run}_$name"; } >"$logs/$name.log" 2>&1 </dev/null &
    part_of[$!]=$name cores_of[$!]=$need since[$!]=$SECONDS
    cores=$((cores - need))
    if [[ $part == *, ]]; then
        while [ ${#part_of[@]} != 0 ] && goes_on; do ended; done
    fi
done
while [ ${#part_of[@]} != 0 ] && goes_on; do ended; done
for pid in "${!part_of[@]}"; do left+=("stopped  ${part_of[$pid]}"); done
stop_all

mapfile -t skips < <(sort -u "$KSOLO_SKIPS")
{
    printf '%s\n' "${passed[@]}" "${failed[@]}" "${left[@]}"
    [ ${#skips[@]} = 0 ] || printf 'skipped  %s\n' "${skips[@]}"
    echo "make $run: ${#passed[@]} passed, ${#failed[@]} failed, ${#skips[@]} skipped, $(clock)"
} | sed '/^$/d' >$logs/summary
echo
cat $logs/summary
[ ${#failed[@]} = 0 ]
