#!/bin/bash
# Is the program as small and as quick as it has to be? Next to grub-editenv, measured in the same run.
set -u
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tests/budget.sh'
        echo 'Measures dist/kubesolo-boot on files in a temporary folder. BINARY=FILE: measure this one.'
        echo 'Needs readelf, strace and valgrind; for the ratios grub-editenv.'
        exit ;;
    *) echo "tests/budget.sh: unknown argument '$1', see tests/budget.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
. tests/measure.sh
needs "${BINARY:=dist/kubesolo-boot}"
tools readelf strace valgrind
binary=$(realpath "$BINARY")
cd "$work" || exit 1

# ratio OTHERS OURS
ratio() { awk -v others="$1" -v ours="$2" 'BEGIN { printf "grub-editenv: %d, %.1f times as many", others, others / ours }'; }

# prepare: a machine made of files, slot A booted and counted by GRUB.
prepare() {
    rm -rf grubenv grubenv.bak data cmdline conf
    mkdir -p data
    echo 'BOOT_IMAGE=/vmlinuz console=ttyS0 ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto' >cmdline
    echo '# mark=init' >conf
    "$binary" env create --grubenv grubenv
    "$binary" env set active_slot=A boot_counter=2 boot_success=0 slot_A=good slot_B=staged --grubenv grubenv
    case ${1:-two} in one) rm grubenv.bak ;; esac
}
env_set() { "$@" "$binary" env set slot_B=good --grubenv grubenv; }
init() { "$@" "$binary" init --grubenv grubenv --cmdline cmdline --data data --conf conf; }

echo "The file: $binary"
judge_file "$binary"

echo
echo 'env set of one variable'
others_calls= others_instructions=
if command -v grub-editenv >/dev/null; then
    prepare one
    cp grubenv others
    others_calls=$(calls grub-editenv others set slot_B=good)
    others_instructions=$(instructions grub-editenv others set slot_B=staged)
else
    skipped 'the ratios' 'grub-editenv is not installed'
fi
for copies in one two; do
    case $copies in one) title='one copy' most=17 ;; two) title='two copies' most=25 ;; esac
    prepare "$copies"
    count=$(env_set calls)
    judge "system calls, $title" "$count" "$most" \
        "${others_calls:+$(ratio "$others_calls" "$count")}"
    prepare "$copies"
    count=$(env_set instructions)
    # A second copy is what grub-editenv does not have; the limit is for what both do.
    if [ "$copies" = one ]; then
        judge 'user instructions, one copy' "$count" 100000 "${others_instructions:+$(ratio "$others_instructions" "$count")}"
    else
        printf '        %-44s %9s\n' 'user instructions, two copies' "$count"
    fi
done

prepare
env_set strace -f -qq -o trace -e trace=openat,open,pwrite64,write,ftruncate,truncate,rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat
order() { awk '
    /O_TRUNC|truncate|rename|unlink/ { print "not in place: " $0; bad = 1 }
    /pwrite64/ { if ($0 !~ /, 512, 0\) = 512$/ || dirty) { print "not one sector: " $0; bad = 1 } dirty = 1; writes++ }
    /fdatasync|fsync/ { dirty = 0 }
    END { exit bad || dirty || writes != 2 }' trace; }
check 'one sector of each copy, in place, synced before the next' order
cp grubenv before
"$binary" env set boot_counter=1 --grubenv grubenv
check 'not a byte behind the first 512 changes' cmp -s -i 512 grubenv before

echo
echo 'init on prepared files'
prepare
judge 'user instructions, with a boot to mark' "$(init instructions)" 350000
judge 'user instructions, with nothing to write' "$(init instructions)" 350000
prepare
printf '        %-44s %9s\n' 'system calls' "$(init calls)"
prepare
judge 'peak RSS in KiB' "$(init peak)" 768
echo
verdict
