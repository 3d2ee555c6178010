#!/bin/bash
# Is all that is delivered in the archive, is it what was built and tested here, and the same when built elsewhere?
set -u
export LC_ALL=C.UTF-8 PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tools/tests/dist.sh'
        echo 'Looks at what make dist made, and makes it once more in a folder, home and locale of another kind.'
        exit ;;
    *) echo "tools/tests/dist.sh: unknown argument '$1', see tools/tests/dist.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
. tests/checks.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
name=kubesolo-boot-$version-x86_64
needs dist/$name.tar.gz
archive=$PWD/dist/$name.tar.gz

tar -x -z -C "$work" -f "$archive" || exit 1
there=$work/$name
files() { (cd "$there" && find . -type f -printf '%m %P\n' | sort -k 2); }
check 'these files are in it, and no others' diff <(files) - <<'END'
644 CHANGELOG.md
644 LICENSE
644 README.md
644 SHA256SUMS
644 completions/_kubesolo-boot
644 completions/kubesolo-boot.bash
644 completions/kubesolo-boot.fish
644 deploy/README.md
644 deploy/activate.yaml
644 deploy/config.yaml
644 deploy/healthcheck.yaml
644 deploy/kustomization.yaml
644 deploy/namespace.yaml
644 deploy/services/README.md
755 deploy/services/busybox/S99kubesolo-boot
644 deploy/services/busybox/crontab
755 deploy/services/busybox/health
644 deploy/services/busybox/inittab
644 deploy/services/systemd/kubesolo-boot-activate.service
644 deploy/services/systemd/kubesolo-boot-activate.timer
644 deploy/services/systemd/kubesolo-boot-healthcheck.service
644 deploy/services/systemd/kubesolo-boot-healthcheck.timer
644 deploy/services/systemd/kubesolo-boot-stopping.service
644 deploy/services/systemd/kubesolo-boot-update.service
644 deploy/services/systemd/kubesolo-boot-update.timer
644 deploy/services/systemd/kubesolo-boot-watchdog.service
644 deploy/update.yaml
644 docs/architecture.md
644 docs/box.md
644 docs/costs.md
644 docs/decisions/0001-one-sector.md
644 docs/decisions/0002-two-copies.md
644 docs/decisions/0003-grub-checks-sums.md
644 docs/decisions/0004-own-http.md
644 docs/decisions/0005-own-main.md
644 docs/decisions/0006-own-heap.md
644 docs/decisions/0007-toolchain.md
644 docs/decisions/0008-size-limit.md
644 docs/decisions/0009-child-processes.md
644 docs/decisions/0010-ioctls.md
644 docs/decisions/0011-small-crc.md
644 docs/decisions/README.md
644 docs/demo.svg
644 docs/formats.md
644 docs/image.md
644 docs/kubernetes.md
644 docs/migration.md
644 docs/proofs.md
644 docs/reliability.md
644 docs/threat-model.md
644 grub/grub.cfg
644 initramfs/emergency.txt
755 initramfs/init
755 initramfs/modules
644 initramfs/update.conf
755 kubesolo-boot
644 man/kubesolo-boot.8
644 sbom.cdx.json
END
check 'the program is the one that was tested' cmp dist/kubesolo-boot "$there/kubesolo-boot"
check 'the man page and the completions too' diff <(cat build/manual/*) <(cat "$there"/completions/_* "$there"/man/* "$there"/completions/k*)
check 'its sums fit' sh -c "cd '$there' && sha256sum --quiet -c SHA256SUMS"
check 'and are of every file' diff <(files | cut -d ' ' -f 2 | grep -vx SHA256SUMS) <(cut -c 67- "$there/SHA256SUMS")
# links: what its documents lead to and is not there.
links() {
    (cd "$there" && find . -name '*.md' | while read -r file; do
        grep -oE '\]\([^)]+\)' "$file" | sed 's/^](//; s/[#)].*$//' | while read -r link; do
            case $link in '' | *:*) continue ;; esac
            [ -e "$(dirname "$file")/$link" ] || echo "$file: $link"
        done
    done)
}
check 'no link in it is dead' diff <(links) /dev/null
check 'its README says how to install it' grep -q '^install -m 755 kubesolo-boot' "$there/README.md"
check 'its own sum fits' sh -c "cd dist && sha256sum --quiet -c $name.tar.gz.sha256"
check 'it is of nobody, and as old as one commit' test "$(tar -tvz --full-time --numeric-owner -f "$archive" | awk '{ print $2, $4, $5 }' | sort -u | wc -l)" = 1
check 'no folder of this machine is named in it' refuted grep -raF -e "$PWD" -e "$HOME/" "$there"

# The bill of materials: a document of its kind, and cargo's other command knows the same crates.
pinned build/sbom tools/tests/dist.txt
is_sbom() {
    build/sbom/bin/python - "$1" <<'END'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
END
}
# query PYTHON: about the document `sbom`.
query() { /usr/bin/python3 -c "import json, sys; sbom = json.load(open(sys.argv[1])); $1" "$there/sbom.cdx.json"; }
check 'the SBOM fits its schema' is_sbom "$there/sbom.cdx.json"
sed 's/"purl"/"url"/' "$there/sbom.cdx.json" >"$work/bad.json"
check 'refused: one that does not' refuted is_sbom "$work/bad.json"
check 'it is of this program' test "$(query 'print(sbom["metadata"]["component"]["hashes"][0]["content"])')" = \
    "$(sha256sum <dist/kubesolo-boot | cut -c 1-64)"
tree() {
    cargo tree --locked --offline --package kubesolo-boot --target x86_64-unknown-linux-musl --edges normal,no-proc-macro \
        --prefix none --format '{p}' | sed 's/ v/@/; s/ .*//' | sort -u | grep -v '^kubesolo-boot@'
}
# std brings crates of its own: they are what it depends on, and it on them alone.
crates() { query '
std = next(part["bom-ref"] for part in sbom["components"] if part["name"] == "rust-web-src")
needs = {each["ref"]: each["dependsOn"] for each in sbom["dependencies"]}
of_std = {crate for crate in needs[std]}
for part in sbom["components"]:
    if part["purl"].startswith("pkg:cargo/") and part["bom-ref"] not in of_std: print(part["purl"].removeprefix("pkg:cargo/"))' | sort; }
check 'cargo tree knows the same crates' diff <(tree) <(crates)
for part in rust-web-src musl-dev libgcc-12-dev hashbrown libc; do
    check "$part is in it" query "sys.exit(not any(part['name'] == '$part' for part in sbom['components']))"
done
check 'each has its licence, and each crate its checksum' query '
sys.exit(not all(part["licenses"][0]["expression"] for part in sbom["components"])
    or not all(len(part["hashes"][0]["content"]) == 64 for part in sbom["components"]
        if part["purl"].startswith("pkg:cargo/") and part["name"] != "kubesolo-core"))'

# What the documents name is there: each path in `backquotes` or a picture that looks like one of ours.
named() { grep -ohP '(?<![\w./-])(core/src|src|tests|qemu-tests|grub|initramfs|image|docs|deploy|services|fuzz|deny|tools)/[A-Za-z0-9_./-]*[A-Za-z0-9]' README.md CONTRIBUTING.md docs/*.md docs/decisions/*.md | sort -u; }
missing() { named | while read -r path; do [ -e "$path" ] || [ -L "$path" ] || echo "$path"; done; }
check 'the documents name files' test "$(named | wc -l)" -ge 30
check 'and each is there' diff <(missing) /dev/null

check 'docs/demo.svg is drawn from docs/demo.txt' diff <(docs/demo.py) docs/demo.svg

# Once more: another folder, cargo's home, locale, time zone and file modes; the same commit.
elsewhere=$work/another/place/whose/name/is/much/longer/than/that/of/the/first
mkdir -p "$elsewhere"
git ls-files -z --cached --others --exclude-standard | (umask 077 && tar -c --null -T - | tar -x -C "$elsewhere")
mkdir "$work/cargo"
cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$work/cargo"
again() {
    cd "$elsewhere" && umask 077 && env -u MAKEFLAGS -u MAKELEVEL LC_ALL=C TZ=Asia/Tokyo CARGO_HOME="$work/cargo" \
        SOURCE_DATE_EPOCH="$(stat -c %Y "$there")" make dist
}
check 'it is made elsewhere' again
check 'of the same bytes' cmp "$archive" "$elsewhere/dist/$name.tar.gz"

verdict
