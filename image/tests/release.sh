#!/bin/bash
# Is what image/release makes a folder that kubesolo-boot takes updates from, and that openssl vouches for?
set -u
export LC_ALL=C SOURCE_DATE_EPOCH=1767225600 # 2026-01-01

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: image/tests/release.sh'
        echo 'Makes releases in a temporary folder. BINARY=FILE: kubesolo-boot (default dist/kubesolo-boot).'
        exit ;;
    *) echo "image/tests/release.sh: unknown argument '$1', see image/tests/release.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
binary=${BINARY:-dist/kubesolo-boot}
. tests/checks.sh
needs "$binary"
needs dist/kubesolo-chunks
tools grub-editenv openssl

says() {
    local text=$1 message
    shift
    message=$("$@" 2>&1) || { printf '%s\n' "$message"; return 1; }
    printf '%s\n' "$message"
    [[ $message == *"$text"* ]]
}

# A box that runs slot A with version 1.0.0, in files.
env_block() {
    grub-editenv "$work/grubenv" create
    grub-editenv "$work/grubenv" set active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good
    cp "$work/grubenv" "$work/grubenv.bak"
    echo 'ksolo.slot=A ksolo.state=good' >"$work/cmdline"
}
box() {
    "$binary" "$@" --grubenv "$work/grubenv" --data "$work" --state "$work/state/state.json" --cmdline "$work/cmdline" \
        --target "$work/slot" --allow-downgrade
}
asks() { box check --server "$work/www" --pubkey "$@"; }

release() { image/release --kernel "$work/kernel" --initramfs "$work/initrd" --out "$work/www" "$@"; }
signed() { release --key "$work/key" "$@"; }
verifies() {
    openssl pkeyutl -verify -rawin -pubin -inkey "$work/public.pem" -in "$work/www/latest.json" \
        -sigfile "$work/www/latest.json.sig"
}
listed() { diff <(ls -A "$work/www") <(printf '%s\n' "$@"); }

mkdir "$work/slot" "$work/state"
env_block
head -c 300000 /dev/urandom >"$work/kernel"
head -c 100000 /dev/urandom >"$work/initrd"

check 'a key is made, and its public half printed' image/release --new-key "$work/key"
public=$(cat "$work/key.pub")
check 'the public half is 64 hex digits' grep -qxE '[0-9a-f]{64}' "$work/key.pub"
check 'it says what it made' says "$work/key.pub goes onto every box" image/release --new-key "$work/key"
check 'a key that is there is kept' says "$public" image/release --new-key "$work/key"
check 'nobody else can read it' test "$(stat -c %a "$work/key")" = 600
openssl pkey -in "$work/key" -pubout -out "$work/public.pem"
image/release --new-key "$work/other" >/dev/null

check 'a signed release is made' signed --version 1.1.0 --release-notes $'He said "tab\there",\nand \\ too. \xc3\xa4' \
    --channel stable --architecture amd64 --min-compatible-version v1.0.0
release_1=(kubesolo-os-1.1.0.gz kubesolo-os-1.1.0.gz.idx latest-1.1.0.json.sig latest.json latest.json.sig vmlinuz-1.1.0 vmlinuz-1.1.0.idx)
check 'it holds these files' listed "${release_1[@]}"
check 'all can be read by a web server' test "$(find "$work/www" -type f -perm 644 | wc -l)" = 7
check 'openssl verifies it' verifies
check 'the box verifies it' says 'Version 1.1.0 is available' asks "$work/key.pub"
check 'the box shows the notes' says $'He said "tab\there",\nand \\ too. \xc3\xa4' asks "$work/key.pub"
check 'the box shows the date' says 'Released 2026-01-01' asks "$work/key.pub"
check 'the box installs it' says 'Version 1.1.0 is installed in slot B' box apply "$work/www" --pubkey "$work/key.pub"
check 'the kernel is whole' cmp "$work/kernel" "$work/slot/vmlinuz"
check 'the initramfs is whole' cmp "$work/initrd" "$work/slot/kubesolo-os.gz"
check 'a box with another key refuses it' refuses 'check signature' asks "$work/other.pub"
before=$(sha256sum "$work/www/latest.json")
check 'the same again' signed --version 1.1.0 --release-notes $'He said "tab\there",\nand \\ too. \xc3\xa4' \
    --channel stable --architecture amd64 --min-compatible-version v1.0.0
check 'gives the same bytes' test "$before" = "$(sha256sum "$work/www/latest.json")"
check 'a box on another channel is refused' refuses channel box check "$work/www" --pubkey "$work/key.pub" --channel edge

check 'unsigned beside signed is refused' refuses 'give --key' release --version 1.2.0
check 'a missing kernel is refused' refuses 'no such file' signed --version 1.2.0 --kernel "$work/none"
: >"$work/empty"
check 'an empty initramfs is refused' refuses 'empty' signed --version 1.2.0 --initramfs "$work/empty"
for version in 1.2 1.2.3.4 1.2.3-rc1 1..3 .1.2 1.2. '../1.2.3' ''; do
    check "version '$version' is refused" refuses image/release signed --version "$version"
done
check 'a missing key is refused' refuses 'no such file' release --version 1.2.0 --key "$work/none"
check 'a public key is no key to sign with' refuses 'no private Ed25519' release --version 1.2.0 --key "$work/public.pem"
openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:1024 -out "$work/rsa" 2>/dev/null
check 'an RSA key is refused' refuses 'no private Ed25519' release --version 1.2.0 --key "$work/rsa"
check 'an unknown architecture is refused' refuses 'amd64 or arm64' signed --version 1.2.0 --architecture x86_64
check 'notes that are no text are refused' refuses 'not UTF-8' signed --version 1.2.0 --release-notes $'\xff'
check 'an escape in the notes is refused' refuses 'control' signed --version 1.2.0 --release-notes $'\x1b[2J'
head -c 1000 /dev/urandom >"$work/kernel"
check 'a published file is never changed' refuses 'another file' signed --version 1.1.0
check 'no refusal changed anything' test "$before" = "$(sha256sum "$work/www/latest.json")"
check 'nothing is left behind' listed "${release_1[@]}"

check 'the next release' signed --version 1.2.0
check 'leaves the old files' \
    listed kubesolo-os-1.1.0.gz kubesolo-os-1.1.0.gz.idx kubesolo-os-1.2.0.gz kubesolo-os-1.2.0.gz.idx \
    latest-1.1.0.json.sig latest-1.2.0.json.sig latest.json latest.json.sig \
    vmlinuz-1.1.0 vmlinuz-1.1.0.idx vmlinuz-1.2.0 vmlinuz-1.2.0.idx
check 'and is what the box sees' says 'Version 1.2.0 is available' asks "$work/key.pub"
field() { sed -n "s/^  \"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$work/www/latest.json"; }
for image in vmlinuz initramfs; do
    index=$work/www/$(field ${image}_index_url)
    check "$image: its index is the one in latest.json" \
        test "$(sha256sum <"$index" | cut -c 1-64) $(wc -c <"$index")" = "$(field ${image}_index_sha256) $(field ${image}_index_size)"
done
check 'a release in waves' signed --version 1.3.0 --rollout '1h:1 1d:100' --rollout-start 2999-01-01T00:00:00Z
echo 0123456789abcdef0123456789abcdef >"$work/machine-id"
asks_as() { asks "$work/key.pub" --machine-id "$work/machine-id" "$@"; }
check 'is refused before its time' refuses 'offered to this box from 2999-01-01T' asks_as
check 'and is for canaries at once' says 'Version 1.3.0 is available' asks_as --rollout-group canary
for waves in 1h '1h:5 1h:6' 1h:101 1h:0 '2h:1 1h:2' '1w:1' soon; do
    check "waves '$waves' are refused" refuses "--rollout '$waves'" signed --version 1.4.0 --rollout "$waves"
done
check 'a time that is none is refused' refuses 'a time such as' signed --version 1.4.0 --expires tomorrow
check 'waves begin when the release is made' signed --version 1.3.0 --rollout '1h:1 1d:100'
check 'and are over after a day' says 'Version 1.3.0 is available' asks_as --rollout-group late
check 'a version is withdrawn' image/release --withdraw 1.3.0 --out "$work/www" --key "$work/key"
check 'openssl vouches for that' verifies
check 'and no box takes it' refuses 'withdrawn' asks_as
check 'withdrawing takes a key where releases are signed' refuses 'give --key' image/release --withdraw 1.3.0 --out "$work/www"
check 'a version that is none cannot be withdrawn' refuses '--withdraw' image/release --withdraw 1.3 --out "$work/www" --key "$work/key"
rm -r "$work/www"
check 'a release without a key and without indexes' release --version 1.2.0 --chunks none
check 'is as small as it was' listed kubesolo-os-1.2.0.gz latest.json vmlinuz-1.2.0
check 'is offered with a warning' says 'WARNING: no public key' box check "$work/www"
check 'and not to a box with a key' refuses 'check signature' asks "$work/key.pub"

verdict
