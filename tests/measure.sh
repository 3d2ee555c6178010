# Sourced by the scripts that measure: what is judged, by what limit, and how it came out.
. tests/checks.sh

# judge NAME VALUE LIMIT [REMARK]: at most LIMIT.
judge() {
    local word='ok     '
    if [ -z "$2" ] || [ "$2" -gt "$3" ]; then word='FAILED '; failures=$((failures + 1)); fi
    printf '%s %-44s %9s  (at most %s)%s\n' "$word" "$1" "${2:-none}" "$3" "${4:+  $4}"
}
# judge_least NAME VALUE LIMIT: at least LIMIT.
judge_least() {
    local word='ok     '
    if [ -z "$2" ] || [ "$2" -lt "$3" ]; then word='FAILED '; failures=$((failures + 1)); fi
    printf '%s %-44s %9s  (at least %s)\n' "$word" "$1" "${2:-none}" "$3"
}

# judge_file FILE: the program is no larger than it may ever be (tests/size.sh says by how much one commit makes it grow),
# needs no other file to run, and carries nothing else.
judge_file() {
    judge 'size in bytes' "$(stat -c %s "$1")" 393216
    check 'no interpreter, no dynamic section: static' \
        awk '/INTERP|DYNAMIC/ { found = 1 } END { exit found }' <(readelf -lW "$1")
    check 'stripped' awk '/ \.(symtab|debug)/ { found = 1 } END { exit found }' <(readelf -SW "$1")
}

# One run each: calls it makes, and user instructions of its own; children count.
calls() { strace -f -c -o "$work/calls" "$@" >/dev/null 2>&1; awk '/ total$/ { print $4 }' "$work/calls"; }
instructions() {
    rm -f "$work"/callgrind.*
    valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file="$work/callgrind.%p" "$@" >/dev/null 2>&1
    cat "$work"/callgrind.* | awk '/^totals:/ { sum += $2 } END { print sum }'
}

# memory COMMAND...: two numbers: KiB that its largest process held at most, and all of them together, each at its own
# moment. A shell that only starts others does not count. wait4 would say what a process held before exec, too; so each is
# held for a moment where it exits, and asked.
memory() {
    strace -f -qq --seccomp-bpf -o /dev/zero -e trace=exit_group -e inject=exit_group:delay_enter=500000 "$@" >/dev/null 2>&1 &
    local tracer=$!
    while kill -0 "$tracer" 2>/dev/null; do
        cat /proc/[0-9]*/status 2>/dev/null
        sleep 0.02
    done | awk -v tracer="$tracer" '
        /^Name:/ { name = $2 }
        /^Pid:/ { pid = $2 }
        /^TracerPid:/ { ours = $2 == tracer && name != "bash" && name != "strace" }
        /^VmHWM:/ { if (ours) held[pid] = $2 }
        END {
            for (pid in held) { sum += held[pid]; if (held[pid] > most) most = held[pid] }
            if (sum) print most, sum # Not caught in time is not measured, and that must not pass.
        }'
    wait "$tracer"
}
peak() { memory "$@" | cut -d' ' -f1; }
