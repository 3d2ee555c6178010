# The boot stage: `kubesolo-boot init` beside what a careful shell script does for the same end (by_hand.sh, below it here).

bench_stage() {
    local ours theirs init by_hand
    init=("$binary" init --grubenv box/grubenv --cmdline box/cmdline --data box/data --conf box/conf)
    by_hand=(busybox sh "$here/by_hand.sh")
    export ESP=box DATA=box/data CMDLINE=box/cmdline
    printf '\n## Boot stage\n\n'
    echo '`kubesolo-boot init` and [by_hand.sh](by_hand.sh), a shell script that does the same with busybox (shell, findfs, mount,'
    echo 'dd) and grub-editenv: find the partitions, read both copies of the env block and repair one, mount and probe the data'
    echo 'partition, mark the boot, read back. Ours also checks the GPT, keeps the list of boots, records rollbacks, and has a'
    echo 'deadline. In the guest both work on the real disk, with cold caches, in turn.'
    echo
    table 'cost' 'kubesolo-boot init' 'by_hand.sh' 'ratio'
    counted
    ours=$(instructions "${init[@]}")
    counted
    theirs=$(instructions "${by_hand[@]}")
    row 'user instructions, on files of the host (nothing to find or mount)' "$ours" "$theirs" "$(ratio "$theirs" "$ours")"
    counted
    ours=$(calls "${init[@]}")
    counted
    theirs=$(calls "${by_hand[@]}")
    row 'system calls, the same' "$ours" "$theirs" "$(ratio "$theirs" "$ours")"

    KSOLO_ROUNDS=$((runs * 3)) KSOLO_BY_HAND="$here/by_hand.sh" "$guest" stage >guest || { cat guest >&2; return 1; }
    local what
    for what in wall processes; do
        awk -v what="$what" '$1 == "ours" && $2 == what { print $3 }' guest >"ours.$what"
        awk -v what="$what" '$1 == "theirs" && $2 == what { print $3 }' guest >"theirs.$what"
    done
    row 'milliseconds in a QEMU guest' "$(stats ours.wall)" "$(stats theirs.wall)" "$(ratio "$(median theirs.wall)" "$(median ours.wall)")"
    row 'processes started there' "$(stats ours.processes)" "$(stats theirs.processes)" \
        "$(ratio "$(median theirs.processes)" "$(median ours.processes)")"
}

# counted: a box that GRUB has counted.
counted() { box 'ksolo.counter=2 ksolo.via=auto' boot_counter=2 boot_success=0 slot_B=staged; }
