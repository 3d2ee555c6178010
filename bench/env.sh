# One variable is set in GRUB's env block: `env set` beside `grub-editenv set`, each on a file of its own.

bench_env() {
    "$binary" env create --grubenv ours >/dev/null
    rm ours.bak # The second copy is what grub-editenv does not have.
    "$binary" env set active_slot=A boot_counter=2 boot_success=0 slot_A=good slot_B=staged --grubenv ours
    cp ours theirs
    local ours theirs
    printf '\n## Env block: one variable set\n\n'
    echo 'Ours reads back past the cache what it wrote; grub-editenv does not sync. One copy of the block each.'
    echo
    echo '```'
    echo 'strace -f -c CMD; valgrind --tool=callgrind CMD; hyperfine -N CMD'
    echo "CMD: kubesolo-boot env set slot_B=VALUE --grubenv FILE, grub-editenv FILE set slot_B=VALUE"
    echo '```'
    echo
    table 'cost' 'kubesolo-boot' 'grub-editenv' 'ratio'
    ours=$(calls "$binary" env set slot_B=x1 --grubenv ours)
    theirs=$(calls "$grub_editenv" theirs set slot_B=x1)
    row 'system calls' "$ours" "$theirs" "$(ratio "$theirs" "$ours")"
    ours=$(instructions "$binary" env set slot_B=x2 --grubenv ours)
    theirs=$(instructions "$grub_editenv" theirs set slot_B=x2)
    row 'user instructions' "$ours" "$theirs" "$(ratio "$theirs" "$ours")"
    ours=$(peak "$binary" env set slot_B=x3 --grubenv ours)
    theirs=$(peak "$grub_editenv" theirs set slot_B=x3)
    row 'peak RSS, KiB' "$ours" "$theirs" "$(ratio "$theirs" "$ours")"

    # Two values in turn, as a write that changes nothing would be none.
    wall 'wall clock on the disk, µs' "$PWD"
    # What the disk takes to sync is the same for everybody, and hides the rest.
    mkdir -p "/dev/shm/$$"
    wall 'wall clock in memory, µs' "/dev/shm/$$"
    rm -rf "/dev/shm/$$"
}

# wall NAME FOLDER: by hyperfine, with the files in that folder.
wall() {
    cp ours theirs "$2" 2>/dev/null
    local commands=(
        -n ours --prepare "$binary env set slot_B=y --grubenv $2/ours" "$binary env set slot_B=x --grubenv $2/ours"
        -n theirs --prepare "$grub_editenv $2/theirs set slot_B=y" "$grub_editenv $2/theirs set slot_B=x"
    )
    hyperfine -N --warmup 20 --runs 300 --export-csv wall.csv "${commands[@]}" >hyperfine.log 2>&1 || cat hyperfine.log >&2
    micro() { awk -F, -v name="$1" '$1 == name { printf "%.0f (%.0f to %.0f)\n", $4 * 1e6, $7 * 1e6, $8 * 1e6 }' wall.csv; }
    row "$1" "$(micro ours)" "$(micro theirs)" "$(ratio "$(micro theirs | cut -d' ' -f1)" "$(micro ours | cut -d' ' -f1)")"
}
