#!/bin/sh
# The boot stage as a careful shell script: the peer of `kubesolo-boot init` in the benchmark, and no part of the product.
# busybox's shell and applets, and grub-editenv. ESP and DATA: folders that stand in for the mounted partitions.
set -eu
say() { echo "by_hand: $*"; }

slot=
for word in $(cat "${CMDLINE:-/proc/cmdline}"); do
    case $word in ksolo.slot=*) slot=${word#*=} ;; esac
done

if [ -z "${ESP:-}" ]; then
    ESP=/run/by_hand/esp DATA=/run/by_hand/data mounted=yes
    mkdir -p $ESP $DATA
    mount -t vfat "$(findfs LABEL=KSOLOEFI)" $ESP
    mount -t ext4 -o noatime "$(findfs LABEL=KSOLODATA)" $DATA
    grub=$ESP/boot/grub
else
    mounted= grub=$ESP
fi

# The first copy that can be read, and the other one made anew if it cannot.
if grub-editenv "$grub/grubenv" list >/tmp/block 2>/dev/null; then
    if ! grub-editenv "$grub/grubenv.bak" list >/dev/null 2>&1; then
        say 'grubenv.bak: writing it anew'
        cp "$grub/grubenv" "$grub/grubenv.bak"
    fi
elif grub-editenv "$grub/grubenv.bak" list >/tmp/block 2>/dev/null; then
    say 'grubenv: writing it anew'
    cp "$grub/grubenv.bak" "$grub/grubenv"
else
    say 'both copies of the env block are lost'
    exit 10
fi
active_slot= boot_success= slot_A=good slot_B=good
while IFS='=' read -r name value; do
    case $name in active_slot | boot_success | slot_A | slot_B) eval "$name=\$value" ;; esac
done </tmp/block

# Does the data partition take writes? 1 KiB, synced, and read back past the cache.
dd if=/dev/urandom of=/tmp/wanted bs=1024 count=1 2>/dev/null
dd if=/tmp/wanted of="$DATA/.probe" bs=1024 count=1 conv=fsync 2>/dev/null
dd if="$DATA/.probe" of=/tmp/found bs=1024 count=1 iflag=direct 2>/dev/null || cp "$DATA/.probe" /tmp/found
cmp -s /tmp/wanted /tmp/found || { say 'the data partition does not hold what was written'; exit 10; }
rm "$DATA/.probe"

# Mark a good boot, in both copies, one after the other.
eval "standing=\$slot_$slot"
if [ "$standing" = good ] && [ "$slot" = "$active_slot" ] && [ "$boot_success" != 1 ]; then
    for copy in "$grub/grubenv" "$grub/grubenv.bak"; do
        grub-editenv "$copy" set boot_success=1 boot_counter=3
        sync "$copy"
        grub-editenv "$copy" list >/tmp/block
        grep -qx boot_success=1 /tmp/block && grep -qx boot_counter=3 /tmp/block || { say "$copy does not hold it"; exit 10; }
    done
fi
[ -z "$mounted" ] || umount $ESP
say "go on (slot $slot, $standing)"
