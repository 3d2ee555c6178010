#!/bin/bash
# Does the image have the partitions that docs/formats.md has, is it sound, and made of the same bytes each time? Boots nothing.
set -u
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: image/tests/image.sh'
        echo 'Builds small images in temporary folders and looks at them. KERNEL_DIR=DIR: what image/kernel made'
        echo '(default build/, made if missing). BINARY=FILE: kubesolo-boot (default dist/kubesolo-boot, else a stand-in).'
        exit ;;
    *) echo "image/tests/image.sh: unknown argument '$1', see image/tests/image.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
kernel_dir=${KERNEL_DIR:-build}
. tests/checks.sh
tools sgdisk fsck.fat dumpe2fs mcopy grub-editenv cpio

equal() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

quiet_or_die() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED  $*"; exit 1; }; }

binary=${BINARY:-dist/kubesolo-boot}
if [ ! -f "$binary" ]; then
    binary=$work/kubesolo-boot
    printf '#!/bin/sh\n' >"$binary"
fi
chunks=dist/kubesolo-chunks
needs $chunks
quiet_or_die image/kernel "$kernel_dir"

initramfs() { image/initramfs --binary "$binary" --kernel-modules "$kernel_dir/modules" "$@"; }
small() {
    image/build --kernel "$kernel_dir/vmlinuz" --initramfs "$work/one/os.gz" --size-esp 34 --size-slot 40 --size-data 32 "$@"
}

mkdir -p "$work/data/update"
echo kept >"$work/data/update/a file"
chmod 600 "$work/data/update/a file"
build_into() {
    initramfs --out "$1/os.gz"
    image/build --kernel "$kernel_dir/vmlinuz" --initramfs "$1/os.gz" --out "$1/kubesolo.img" \
        --size-esp 34 --size-slot 40 --size-data 32 --data "$work/data" --chunks $chunks
}
quiet_or_die build_into "$work/one"
# A second time: other folder, other second, other umask, other TMPDIR, other time of the data files.
mkdir -p "$work/other tmp"
sleep 1
touch "$work/data/update/a file"
(umask 077; TMPDIR="$work/other tmp" TZ=Asia/Tokyo quiet_or_die build_into "$work/two")
image=$work/one/kubesolo.img

check 'two builds of the initramfs are the same bytes' cmp "$work/one/os.gz" "$work/two/os.gz"
check 'two builds of the image are the same bytes' cmp "$image" "$work/two/kubesolo.img"
check 'the image is sparse' test "$(du -m "$image" | cut -f 1)" -lt $((34 + 40 + 40))

verify_table() { sgdisk --verify "$image" | grep '^No problems found'; }
check 'sgdisk -v is content' verify_table
check 'partition names' equal 'KSOLOEFI KSOLOA KSOLOB KSOLODATA' \
    "$(sgdisk -p "$image" | awk '$1 ~ /^[0-9]+$/ { printf "%s%s", sep, $7; sep = " " }')"
check 'partition types' equal 'EF00 8300 8300 8300' \
    "$(sgdisk -p "$image" | awk '$1 ~ /^[0-9]+$/ { printf "%s%s", sep, $6; sep = " " }')"

# The partitions' first MiB, from the table itself.
start() { sgdisk -i "$1" "$image" | awk '/^First sector/ { print $3 / 2048 }'; }
dd if="$image" of="$work/esp" bs=1M skip="$(start 1)" count=34 conv=sparse status=none
check 'fsck.fat -n is content' fsck.fat -n "$work/esp"
for part in 2:KSOLOA 3:KSOLOB 4:KSOLODATA; do
    name=${part#*:}
    fs="$image?offset=$(($(start "${part%:*}") * 1048576))"
    check "e2fsck -fn is content with $name" e2fsck -fn "$fs"
    check "label of $name" equal "$name" "$(dumpe2fs -h "$fs" 2>/dev/null | sed -n 's/^Filesystem volume name: *//p')"
    dumpe2fs -h "$fs" 2>/dev/null | sed -n 's/^Filesystem features: *//p' >"$work/features"
    check "$name has a journal" grep -qw has_journal "$work/features"
    check "GRUB 2.06 reads the features of $name" refuses '' grep -wE 'metadata_csum_seed|orphan_file' "$work/features"
done
check 'label of KSOLOEFI' equal KSOLOEFI "$(mlabel -s -i "$work/esp" :: | sed 's/.* is \([A-Z]*\).*/\1/')"
check 'the ESP holds GRUB, grub.cfg and both env blocks' equal \
    "$(printf '%s\n' '::/EFI/BOOT/BOOTIA32.EFI' '::/EFI/BOOT/BOOTX64.EFI' '::/boot/grub/grub.cfg' '::/boot/grub/grubenv' '::/boot/grub/grubenv.bak')" \
    "$(mdir -/ -b -i "$work/esp" :: | grep -v '/$' | sort)"

mcopy -i "$work/esp" ::/boot/grub/grubenv ::/boot/grub/grubenv.bak ::/boot/grub/grub.cfg "$work"
check 'the env block is fresh' equal \
    "$(printf '%s\n' active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good)" "$(grub-editenv "$work/grubenv" list)"
check 'the env block has 1024 bytes' test "$(wc -c <"$work/grubenv")" = 1024
check 'both env blocks are the same' cmp "$work/grubenv" "$work/grubenv.bak"
check 'grub.cfg is the one in grub/' cmp "$work/grub.cfg" grub/grub.cfg

slot_a="$image?offset=$(($(start 2) * 1048576))"
data="$image?offset=$(($(start 4) * 1048576))"
cat_of() { debugfs -R "cat $2" "$1" 2>/dev/null; }
check 'the slot holds the kernel' cmp <(cat_of "$slot_a" /vmlinuz) "$kernel_dir/vmlinuz"
check 'the slot holds the initramfs' cmp <(cat_of "$slot_a" /kubesolo-os.gz) "$work/one/os.gz"
check 'and the chunk index of each' cmp <($chunks index "$work/one/os.gz"; $chunks index "$kernel_dir/vmlinuz") \
    <(cat_of "$slot_a" /kubesolo-os.gz.idx; cat_of "$slot_a" /vmlinuz.idx)
check 'the slot names its version' equal 1.0.0 "$(cat_of "$slot_a" /version)"
check 'slot.json has the hash of the initramfs' \
    grep -q "\"initramfs_sha256\": \"$(sha256sum <"$work/one/os.gz" | cut -c 1-64)\"" <(cat_of "$slot_a" /slot.json)
check 'the data partition holds the files of --data' equal kept "$(cat_of "$data" '"/update/a file"')"
check 'its files are root'\''s and keep their mode' equal '100600 0 0' \
    "$(debugfs -R 'ls -l /update' "$data" 2>/dev/null | awk '/a file/ { print $2, $4, $5 }')"

# Another user, who owns other files, must get the same image. Only root can try that out.
if [ "$(id -u)" = 0 ]; then
    cp -R "$work/data" "$work/nobodys"
    chown -R nobody: "$work/nobodys"
    chmod 711 "$work" "$work/one" # for nobody to get in
    mkdir -m 777 "$work/nobody"
    # Nobody may not be able to reach the folder that this tree is in.
    mkdir "$work/tree"
    cp -R image grub $chunks "$kernel_dir/vmlinuz" "$work/tree"
    chmod -R a+rX "$work/tree"
    as_nobody() (
        cd / && setpriv --reuid nobody --regid nogroup --clear-groups env TMPDIR="$work/nobody" "$work/tree/image/build" \
            --kernel "$work/tree/vmlinuz" --initramfs "$work/one/os.gz" --out "$work/nobody/kubesolo.img" \
            --size-esp 34 --size-slot 40 --size-data 32 --data "$work/nobodys" --chunks "$work/tree/kubesolo-chunks"
    )
    check 'a build without root goes through' as_nobody
    check 'a build without root is the same bytes' cmp "$image" "$work/nobody/kubesolo.img"
else
    skipped 'a build without root is the same bytes' 'it is tried out as another user, which only root can be'
fi

check 'an empty slot B' small --slot-b empty --out "$work/empty.img"
dd if="$work/empty.img" of="$work/esp" bs=1M skip=1 count=34 conv=sparse status=none
mcopy -n -o -i "$work/esp" ::/boot/grub/grubenv "$work/grubenv"
check 'its env block says so' grep -q '^slot_B=empty$' "$work/grubenv"

check 'a slot too small is refused' refuses 'raise --size-slot' small --size-slot 16 --out "$work/bad.img"
head -c 20000000 /dev/urandom >"$work/data/big"
check 'data too big are refused' refuses 'raise --size-data' small --size-data 16 --data "$work/data" --out "$work/bad.img"
check 'an ESP too small for FAT32 is refused' refuses 'at least 34 MiB' small --size-esp 20 --out "$work/bad.img"
check 'a missing kernel is refused' refuses 'no such file' small --kernel "$work/nothing" --out "$work/bad.img"
check 'no image is left behind' test ! -e "$work/bad.img" -a ! -e "$work/bad.img.new"
check 'a dynamic binary is refused' refuses 'is not static' initramfs --binary "$(command -v sgdisk)" --out "$work/bad.gz"
check 'and so is a dynamic cloud-init' refuses 'is not static' initramfs --cloud-init "$(command -v sgdisk)" --out "$work/bad.gz"

# listed FILE: what is in that initramfs, with modes.
listed() { gzip -dc "$1" | cpio -tv --quiet 2>/dev/null | awk '{ print $1, $NF }'; }
quiet_or_die initramfs --cloud-init "$binary" --out "$work/seeds.gz"
check 'cloud-init is in the image that asks for it' grep -qx -- '-rwxr-xr-x bin/kubesolo-cloud-init' <(listed "$work/seeds.gz")
check 'and in no other' refuses '' grep cloud-init <(listed "$work/one/os.gz")
quiet_or_die initramfs --cloud-init none --out "$work/none.gz"
check '--cloud-init none is the same as without' cmp "$work/none.gz" "$work/one/os.gz"

quiet_or_die initramfs --chunks $chunks --out "$work/chunks.gz"
check 'packed in chunks, the initramfs holds the same' diff <(listed "$work/chunks.gz") <(listed "$work/one/os.gz")
check 'and is 3 % larger at most' \
    test "$(wc -c <"$work/chunks.gz")" -le $(($(wc -c <"$work/one/os.gz") * 103 / 100))
mkdir "$work/payload"
cp -R initramfs/payload/. "$work/payload"
echo 'one line more' >"$work/payload/etc/one-line-more"
quiet_or_die initramfs --chunks $chunks --payload "$work/payload" --out "$work/more.gz"
# entries FILE: its chunks, each as hex.
entries() { $chunks index "$1" | tail -c +17 | od -An -v -tx1 -w36 | sort -u; }
check 'a file more changes a few of its chunks' \
    test "$(comm -13 <(entries "$work/chunks.gz") <(entries "$work/more.gz") | wc -l)" -le 4

for platform in 'i386-pc:UEFI, 32-bit UEFI' 'i386-efi:UEFI, BIOS' 'x86_64-efi:32-bit UEFI, BIOS'; do
    lib=$work/without-${platform%%:*}
    mkdir "$lib"
    for folder in /usr/lib/grub/*/; do ln -s "$folder" "$lib/$(basename "$folder")"; done
    rm "$lib/${platform%:*}"
    warned() {
        small --grub-lib "$lib" --out "$work/half.img" >"$work/half.log" 2>&1 &&
            grep -q "warning: no .*${platform%:*}" "$work/half.log" && grep -q "boots by ${platform#*:}\$" "$work/half.log"
    }
    check "without GRUB's ${platform%:*}: a warning, and ${platform#*:} only" warned
done

# bytes OFFSET COUNT: of the image, in hex.
bytes() { od -An -v -tx1 -j "$1" -N "$2" "$image" | tr -d ' \n'; }
check 'the GPT'\''s entry of the protective MBR has no boot flag' equal 00 "$(bytes 446 1)"
check 'an empty one beside it has, and is nothing else' equal "80$(printf '%030d' 0)" "$(bytes 462 16)"

large() { small --sector-size 4096 --size-esp 260 "$@"; }
check 'an image for disks with sectors of 4096 bytes' large --out "$work/large.img"
check 'is the same bytes the second time' eval 'large --out "$work/again.img" && cmp "$work/large.img" "$work/again.img"'
check 'fdisk finds no error in its table' grep -q 'No errors detected' <(printf '%s\n' x v q | fdisk -b 4096 "$work/large.img" 2>&1)
check 'its partitions are those of the other, but for the larger ESP' equal \
    "$(sgdisk -p "$image" | awk '$1 ~ /^[2-4]$/ { print ($2 / 2048) + 226, ($3 + 1) / 2048 + 226 }')" \
    "$(fdisk -b 4096 -l -o Start,End "$work/large.img" | awk '/^ *[0-9]+ +[0-9]+$/ { print $1 / 256, ($2 + 1) / 256 }' | tail -n 3)"
guids() { sort <(sgdisk -i 1 -i 2 -i 3 -i 4 "$image" | sed -n 's/^Partition unique GUID: //p'); }
check 'with the same GUIDs' equal "$(guids)" "$(fdisk -b 4096 -l -o UUID "$work/large.img" | grep -xE '[0-9A-F-]{36}' | sort)"
check 'types' equal 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B 0FC63DAF-8483-4772-8E79-3D69D8477DE4' \
    "$(fdisk -b 4096 -x -l -o Type-UUID "$work/large.img" | grep -xE '[0-9A-F-]{36}' | uniq | tr '\n' ' ' | sed 's/ $//')"
check 'and names' equal 'KSOLOEFI KSOLOA KSOLOB KSOLODATA' \
    "$(fdisk -b 4096 -l -o Name "$work/large.img" | grep -x 'KSOLO[A-Z]*' | tr '\n' ' ' | sed 's/ $//')"
dd if="$work/large.img" of="$work/large.esp" bs=1M skip=1 count=260 conv=sparse status=none
check 'its ESP has such sectors, and fsck.fat is content' eval \
    'fsck.fat -nv "$work/large.esp" | grep -q "4096 bytes per logical sector"'
check 'it boots by no BIOS' cmp -n 440 "$work/large.img" /dev/zero
check 'a smaller ESP would be no FAT32 there' refuses 'at least 260 MiB' large --size-esp 256 --out "$work/bad.img"
check 'sectors of another size are refused' refuses '512 or 4096' small --sector-size 520 --out "$work/bad.img"
# What `make ARCH=arm64 image` unpacks.
foreign=build/arm64/foreign/root
quiet_or_die make ARCH=arm64 $foreign
arm64() { small --arch arm64 --grub-lib $foreign/usr/lib/grub "$@"; }
check 'an image for arm64' arm64 --out "$work/arm64.img"
check 'is the same bytes the second time' eval 'arm64 --out "$work/again.img" && cmp "$work/arm64.img" "$work/again.img"'
dd if="$work/arm64.img" of="$work/esp" bs=1M skip=1 count=34 conv=sparse status=none
check 'its ESP holds GRUB for arm64' equal ::/EFI/BOOT/BOOTAA64.EFI "$(mdir -/ -b -i "$work/esp" ::/EFI | grep -v '/$')"
mcopy -n -o -i "$work/esp" ::/boot/grub/grub.cfg "$work"
check 'its grub.cfg differs by the console alone' equal "$(sed 's/ttyS0/ttyAMA0/' grub/grub.cfg)" "$(cat "$work/grub.cfg")"
check 'its slots say what machine they are for' grep -q '"architecture": "arm64"' \
    <(cat_of "$work/arm64.img?offset=$((35 * 1048576))" /slot.json)
check 'nothing in it is for a BIOS' cmp -n 440 "$work/arm64.img" /dev/zero
check 'another machine is refused' refuses 'amd64 or arm64' small --arch riscv64 --out "$work/bad.img"

mkdir "$work/no-grub"
check 'without any GRUB: refused' refuses 'no GRUB in' small --grub-lib "$work/no-grub" --out "$work/bad.img"

verdict
