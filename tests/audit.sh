#!/bin/bash
# Are the crates that this program is built from ones that may be used: no known defect, a fitting licence, from
# crates.io, none in two versions? And does each check fail where it should? The advisories are a snapshot: it says how old.
set -u
export LC_ALL=C.UTF-8

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tests/audit.sh'
        echo 'Checks Cargo.lock and fuzz/Cargo.lock with deny/audit.py, and by deny.toml with cargo-deny.'
        exit ;;
    *) echo "tests/audit.sh: unknown argument '$1', see tests/audit.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh
export PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc

venv=build/audit
pinned $venv deny/requirements.txt

audit() { /usr/bin/python3 deny/audit.py "$@"; }
check 'no crate has a defect that RustSec knew of' audit Cargo.lock fuzz/Cargo.lock
audit Cargo.lock fuzz/Cargo.lock | tail -n 1

# locked NAME VERSION [SOURCE]: a lock file of this one crate.
locked() {
    printf '[[package]]\nname = "%s"\nversion = "%s"\nsource = "%s"\n' "$1" "$2" \
        "${3:-registry+https://github.com/rust-lang/crates.io-index}" >"$work/Cargo.lock"
}
# fails WHY TEXT NAME VERSION [SOURCE]
fails() {
    locked "${@:3}"
    check "refused: $1" refuses "$2" audit "$work/Cargo.lock"
}
fails 'a version before the patch' 'rustls-webpki 0.103.12 has RUSTSEC-2026-0104' rustls-webpki 0.103.12
fails 'a version before a release that has it' 'has RUSTSEC-2026-0104' rustls-webpki 0.104.0-alpha.6
fails 'a version that nobody looks after' 'ring 0.16.20 has RUSTSEC-2025-0010' ring 0.16.20
fails 'a crate that is not in the list' 'run deny/refresh.py' left-pad 1.0.0
fails 'a crate from elsewhere' 'comes from git+' ring 0.17.14 git+https://example.com/ring
locked rustls 0.22.4
check 'taken: a patch of an older line' audit "$work/Cargo.lock"
locked rustls-webpki 0.104.0-alpha.7
check 'taken: what comes before a release, with the patch' audit "$work/Cargo.lock"

# deny MANIFEST [CONFIG]: no network, but for crates of this system that no build has needed yet.
deny() { $venv/bin/cargo-deny --offline --locked --manifest-path "$1" --config "${2:-deny.toml}" check bans licenses sources; }
for manifest in Cargo.toml fuzz/Cargo.toml; do
    check "$manifest: its crates are here" cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu --manifest-path $manifest
    check "$manifest: licences, sources, no crate twice" deny $manifest
done
stricter() {
    sed "$2" deny.toml >"$work/deny.toml"
    check "refused: $1" refuses "$3" deny Cargo.toml "$work/deny.toml"
}
stricter 'a licence that is not in the list' 's/, "ISC"//' 'license is not explicitly allowed'
stricter 'a registry that is not in the list' '$a allow-registry = []' 'source-not-allowed'
stricter 'a crate that is banned' 's/^\[bans\]/&\ndeny = ["ring"]/' "crate 'ring = "

verdict
