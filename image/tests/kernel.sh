#!/bin/bash
# Does image/kernel take each module with what it needs, and does initramfs/modules load them without noise? Boots nothing.
set -u
export LC_ALL=C

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: image/tests/kernel.sh'
        echo 'Plans and loads made-up modules, and looks at what image/kernel takes of the real kernel in build/, if it is there.'
        exit ;;
    *) echo "image/tests/kernel.sh: unknown argument '$1', see image/tests/kernel.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
. tests/checks.sh
equal() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

# A kernel's folder with these modules: r8169 is of no use without realtek, which only modules.softdep says; ext4 asks for
# an algorithm by a name that two drivers go by; both ask for something that is built in.
tree=$work/tree
mkdir -p "$tree/kernel"
cat >"$tree/modules.dep" <<'END'
kernel/r8169.ko.gz: kernel/mdio.ko kernel/libphy.ko
kernel/mdio.ko: kernel/libphy.ko
kernel/libphy.ko:
kernel/realtek.ko: kernel/libphy.ko
kernel/ext4.ko: kernel/jbd2.ko
kernel/jbd2.ko:
kernel/crc32c-intel.ko:
kernel/crc32c_generic.ko:
kernel/softdog.ko: kernel/watchdog.ko
kernel/watchdog.ko:
kernel/igb.ko:
kernel/igb_devintf.ko:
kernel/unwanted.ko:
END
cat >"$tree/modules.softdep" <<'END'
# Soft dependencies extracted from modules themselves.
softdep r8169 pre: realtek built_in
softdep ext4 pre: crypto-crc32c
softdep igb post: igb_devintf pre: built_in
softdep realtek pre: r8169
END
cat >"$tree/modules.alias" <<'END'
alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c_intel
END
for ko in r8169 mdio libphy realtek ext4 jbd2 crc32c-intel crc32c_generic softdog watchdog igb igb_devintf unwanted; do
    echo "$ko" >"$tree/kernel/$ko.ko"
done
gzip "$tree/kernel/r8169.ko"

take() { KERNEL=$me MODULES=$tree image/kernel "$work/out"; }
check 'image/kernel takes a made-up kernel' take
check 'each module stands behind what it needs, softdeps too, once' equal \
    'crc32c_generic.ko
crc32c-intel.ko
jbd2.ko
ext4.ko jbd2.ko
igb.ko
igb_devintf.ko
libphy.ko
realtek.ko libphy.ko
mdio.ko libphy.ko
r8169.ko mdio.ko libphy.ko' "$(cat "$work/out/modules/order")"
check 'softdog is for the last' equal "$(printf '%s\n' watchdog.ko 'softdog.ko watchdog.ko')" "$(cat "$work/out/modules/last-resort")"
check 'a packed module is unpacked' equal r8169 "$(cat "$work/out/modules/r8169.ko")"
check 'what nobody wants is not there' test ! -e "$work/out/modules/unwanted.ko"
rm "$tree/modules.softdep" "$tree/modules.alias"
check 'a kernel without softdeps is taken too' take
check 'and realtek is not in it' refuted grep -q realtek "$work/out/modules/order"
rm "$tree/modules.dep"
check 'a folder without modules.dep is refused' refuses 'run depmod' take

# Loading, with a stand-in for insmod that says what busybox's says (whose own shell would not look for another).
lib=$work/lib
mkdir "$lib" "$work/bin"
sed "s,/lib/modules/,$lib/,g; s,/dev/watchdog,$work/watchdog,g; s,/run/,$work/,g" initramfs/modules >"$work/load"
cat >"$work/bin/insmod" <<'END'
#!/bin/sh
ko=${1##*/}
echo "$ko" >>"${0%/bin/*}/asked"
no() { echo "insmod: can't insert '$1': $2" >&2; exit 1; }
case $ko in
    hv_vmbus.ko) no "$1" 'No such device' ;;
    there.ko) no "$1" 'File exists' ;;
    broken.ko) no "$1" 'invalid module format' ;;
esac
END
chmod +x "$work/bin/insmod"
printf '%s\n' virtio.ko hv_vmbus.ko 'hv_storvsc.ko scsi.ko hv_vmbus.ko' 'third.ko hv_storvsc.ko' there.ko 'last.ko there.ko' >"$lib/order"
echo softdog.ko >"$lib/last-resort"
# Not the shell of the initramfs, which would run its own insmod; and the usual one here knows no read -t.
load() { rm -f "$work/asked" "$work/modules.said"; PATH=$work/bin:$PATH bash "$work/load"; }
check 'a driver without its hardware is not worth a word' equal '' "$(load 2>&1)"
check 'what needs it is not tried, the rest is, and softdog at last' equal \
    "$(printf '%s\n' virtio.ko hv_vmbus.ko there.ko last.ko softdog.ko)" "$(cat "$work/asked")"
: >"$work/watchdog"
check 'with a watchdog there' load
check 'softdog is not loaded' equal "$(printf '%s\n' virtio.ko hv_vmbus.ko there.ko last.ko)" "$(cat "$work/asked")"
printf '%s\n' broken.ko 'needs.ko broken.ko' last.ko >"$lib/order"
check 'a module that is broken is told' equal 'ksolo-init: warning: module broken.ko did not load: invalid module format' "$(load 2>&1)"
check 'and the rest is loaded' equal "$(printf '%s\n' broken.ko last.ko)" "$(cat "$work/asked")"

# Of the real one: what the issue asks for is there, or built in.
if [ -f build/modules/stamp ] && grep -q 'from linux-image-amd64 ' build/modules/stamp; then
    for ko in iTCO_wdt sp5100_tco wdat_wdt i6300esb efi-pstore nvme ahci ata_piix xhci-pci ehci-pci ohci-pci uhci-hcd usb-storage \
        uas usbhid mmc_block sdhci-pci sdhci-acpi virtio_blk virtio_scsi virtio_net virtio_pci vmw_pvscsi vmxnet3 hv_vmbus \
        hv_storvsc hv_netvsc xen-blkfront xen-netfront vmd mpt3sas megaraid_sas igc igb e1000 e1000e r8169 realtek; do
        check "Debian's kernel comes with $ko" grep -q "^$ko.ko" build/modules/order
    done
    check "and r8169 behind realtek" equal "$(printf '%s\n' realtek.ko r8169.ko)" "$(grep -oE '^(realtek|r8169).ko' build/modules/order)"
fi

verdict
