#!/bin/bash
# Is the program for arm64 as small as the other, and does it do the same? The tests of the program, run with it under
# qemu-user, and both programs side by side.
set -u
export LC_ALL=C.UTF-8 PATH=/usr/bin:$PATH:/usr/sbin RUSTC=/usr/bin/rustc

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tests/arm64.sh'
        echo 'Tests dist/kubesolo-boot-arm64. KSOLO_CASES=N: how many random env blocks (default 100).'
        echo 'Needs qemu-aarch64, readelf, gcc and grub-editenv, and dist/kubesolo-boot and dist/kubesolo-test.img besides.'
        exit ;;
    *) echo "tests/arm64.sh: unknown argument '$1', see tests/arm64.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
. tests/measure.sh
amd64=dist/kubesolo-boot image=dist/kubesolo-test.img
needs $amd64 $amd64-arm64 $image
tools qemu-aarch64 readelf gcc grub-editenv

echo "The file: $amd64-arm64"
judge_file $amd64-arm64
check 'for arm64' grep -q 'Machine: *AArch64' <(readelf -h $amd64-arm64)

# What the tests run for the program. No script: that would not be told the name it is called by.
chmod 711 "$work" # one test becomes nobody
cp $amd64-arm64 "$work/program"
gcc -x c -DPROGRAM="\"$work/program\"" -o "$work/arm64" - <<'END'
#include <unistd.h>
int main(int count, char **words)
{
	char *all[count + 4];
	all[0] = "qemu-aarch64";
	all[1] = "-0";
	all[2] = words[0];
	all[3] = PROGRAM;
	for (int i = 1; i <= count; i++)
		all[i + 3] = words[i];
	execvp(all[0], all);
	return 127;
}
END
arm64=$work/arm64

echo
echo 'Its tests, under qemu-user'
export KSOLO_BINARY=$arm64 KSOLO_CASES=${KSOLO_CASES:-100}
program_test() { cargo test --quiet --locked --target-dir build/host --package kubesolo-boot --test program "$@"; }
KSOLO_BINARY=$work/none check 'it is this program that they run' refuted program_test cli::status_shows
for name in cli init update health grub_editenv; do
    check "tests/program/$name.rs" program_test $name::
done

echo
echo 'Beside the one for amd64'
# alike WORDS...: both say the same, of what is not changed by it.
alike() { diff <("$amd64" "$@" 2>&1; echo "exit code $?") <("$arm64" "$@" 2>&1; echo "exit code $?"); }
check 'the version' alike --version
for name in KSOLOEFI KSOLOA KSOLOB KSOLODATA KSOLOX; do
    check "find $name in an image" alike find $name --disk $image
done
# block PROGRAM FILE: a block that the program made and changed.
block() {
    "$1" env create --grubenv "$2" &&
        "$1" env set active_slot=B boot_counter=2 boot_success=0 slot_A=good slot_B=trial 'odd=a\b' --grubenv "$2" &&
        "$1" env unset boot_success --grubenv "$2"
}
blocks() { block "$amd64" "$work/theirs" && block "$arm64" "$work/ours"; }
check 'an env block' blocks
check 'is the same bytes' cmp "$work/theirs" "$work/ours"
check 'and so is its second copy' cmp "$work/theirs.bak" "$work/ours.bak"
check 'which grub-editenv reads as they do' diff <(grub-editenv "$work/ours" list) <("$arm64" env list --grubenv "$work/ours")
echo
verdict
