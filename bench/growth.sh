# How costs grow: with the image, with the partition table, with the number of disks; and what a boot takes longer for it.

bench_growth() {
    printf '\n## Growth\n\n### Apply, from 16 MiB to 4 GiB\n\nOne run each, of zeros that are written in full. Memory must not grow.\n\n'
    table 'MiB' 'seconds' 'MiB a second' 'CPU' 'peak RSS, KiB'
    mkdir www
    serve "$PWD/www"
    export -f ours
    export binary url
    local mebibytes kib least=999999 most=0
    for mebibytes in 16 64 256 1024 4096; do
        publish "$mebibytes" sparse
        fresh
        rm -f grown.*
        costs grown ours
        installed ours || { echo "bench/run: $(cat said)" >&2; failures=$((failures + 1)); }
        fresh
        kib=$(peak bash -c ours)
        row "$mebibytes" "$(cat grown.wall)" "$(awk -v size="$mebibytes" '{ printf "%.0f", size / $1 }' grown.wall)" "$(cat grown.cpu)" "$kib"
        [ "${kib:-0}" -gt "$most" ] && most=$kib
        [ "${kib:-0}" -lt "$least" ] && least=$kib
    done
    end_server
    rm -rf box www
    limit 'peak RSS of apply, in KiB' "$most" 512
    limit 'most less least of it, from 16 MiB to 4 GiB' "$((most - least))" 64

    printf '\n### Partition table: `find KSOLODATA`, the last entry, on an image\n\n'
    table 'entries in use' 'user instructions' 'system calls'
    local entries entry
    for entries in 4 16 64 128; do
        rm -f disk
        truncate -s 64M disk
        sgdisk -a 8 $(for entry in $(seq 2 "$entries"); do echo "-n $entry:0:+64K -c $entry:part$entry"; done) \
            -n 1:0:0 -c 1:KSOLODATA -t 1:8300 disk >/dev/null || return 1
        # The last entry is the one that is looked for.
        sgdisk -r "1:$entries" disk >/dev/null
        row "$entries" "$(instructions "$binary" find KSOLODATA --disk disk)" "$(calls "$binary" find KSOLODATA --disk disk)"
    done

    printf '\n### Disks: `find KSOLODATA` in a QEMU guest, cold caches\n\nAll others are SCSI disks with a GPT. Every one has to be asked: the name must be there only once.\n\n'
    table 'disks' 'milliseconds' 'milliseconds a disk'
    KSOLO_ROUNDS=$runs "$guest" disks >disks || return 1
    for disks in 1 4 16 64; do
        awk -v disks="$disks" '$1 == disks { print $2 / 1000 }' disks >milliseconds
        row "$disks" "$(stats milliseconds)" "$(awk -v all="$(median milliseconds)" -v disks="$disks" 'BEGIN { printf "%.1f", all / disks }')"
    done

    whole_boots && steps_of_init
}

whole_boots() {
    printf '\n### A whole boot, in a QEMU guest, seconds\n\n'
    cat <<'END'
From power-on to the real init. "Checked" is a boot after one that nobody marked: GRUB looks at the SHA-256 of kernel and initramfs
first, and loads them from its cache then. "Bare" is the same kernel and initramfs, started by the shortest GRUB script there can be,
with an `/init` that mounts, loads the same modules and hands over: no slots, no counter, no check of the data partition.
Two seconds of GRUB's part are the wait for ESC. The kernel's part is the same work in all; what differs there is noise.

END
    table 'firmware' 'part' 'steady' 'checked' 'bare' 'steady adds' 'checked adds'
    KSOLO_ROUNDS=$runs "$guest" boots >boots || return 1
    local firmware part title who
    for firmware in bios uefi; do
        for part in grub kernel init; do
            case $part in
                grub) title='power-on to the choice of a slot: firmware, GRUB' ;;
                kernel) title='to the first line of `/init`: load, kernel' ;;
                init) title='to the real init: modules, e2fsck, seeds, `kubesolo-boot init`' ;;
            esac
            for who in ours checked bare; do
                awk -v key="$firmware $who $part" '$1 " " $2 " " $3 == key { print $4 / 1000 }' boots >"$who.seconds"
            done
            row "$firmware" "$title" "$(stats ours.seconds)" "$(stats checked.seconds)" "$(stats bare.seconds)" \
                "$(added ours)" "$(added checked)"
        done
    done
}
# added WHO: by how much its median is longer than that of the bare boot.
added() { awk -v longer="$(median "$1.seconds")" -v bare="$(median bare.seconds)" 'BEGIN { printf "%.2f", longer - bare }'; }

steps_of_init() {
    printf '\n### The steps of `/init`, in a QEMU guest with BIOS, milliseconds\n\n'
    table 'step' 'milliseconds'
    KSOLO_ROUNDS=$runs "$guest" steps >steps || return 1
    local step
    awk -F': ' '!seen[$1]++ { print $1 }' steps | while read -r step; do
        awk -F': ' -v step="$step" '$1 == step { print $2 }' steps >milliseconds
        row "\`$step\`" "$(stats milliseconds)"
    done
}
