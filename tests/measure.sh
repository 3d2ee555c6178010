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

# judge_file FILE LIMIT: a program of at most so many bytes, that needs no other file to run and carries nothing else.
judge_file() {
    judge 'size in bytes' "$(stat -c %s "$1")" "$2"
    check 'no interpreter, no dynamic section: static' \
        awk '/INTERP|DYNAMIC/ { found = 1 } END { exit found }' <(readelf -lW "$1")
    check 'stripped' awk '/ \.(symtab|debug)/ { found = 1 } END { exit found }' <(readelf -SW "$1")
}

# Most memory that any one process of the command held, in KiB. wait4 would say what the process held before exec, too;
# so each process is held for a moment where it exits, and asked.
peak() {
    strace -f -qq -o /dev/zero -e trace=exit_group -e inject=exit_group:delay_enter=2000000 "$@" >/dev/null 2>&1 &
    local tracer=$! most=0 process now
    while kill -0 "$tracer" 2>/dev/null; do
        for process in /proc/[0-9]*; do
            [ "$(readlink "$process/exe")" = "$binary" ] || continue
            now=$(awk '/^VmHWM:/ { print $2 }' "$process/status" 2>/dev/null)
            if [ "${now:-0}" -gt "$most" ]; then most=$now; fi
        done
    done
    wait "$tracer"
    # Not caught in time is not measured, and that must not pass.
    [ "$most" = 0 ] || echo "$most"
}
