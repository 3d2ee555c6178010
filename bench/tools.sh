# Sourced by bench/run: stop-watches, medians, tables, a box, a web server.

# stats FILE: median and spread of the numbers in it.
stats() { sort -g "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)], "(" value[1] " to " value[NR] ")" }'; }
median() { sort -g "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
# ratio THEIRS OURS: how many times as much.
ratio() { awk -v theirs="$1" -v ours="$2" 'BEGIN { if (ours > 0) printf "%.1f×\n", theirs / ours; else print "–" }'; }
# row CELL...: one line of a table. table CELL...: its head.
row() { local IFS='|'; echo "|$*|"; }
table() { row "$@"; local cell; for cell; do printf '|---'; done; echo '|'; }
mib() { awk -v bytes="$1" 'BEGIN { printf "%.0f", bytes / 1048576 }'; }

# limit NAME VALUE LIMIT: at most; said at the end, and the run fails if one is passed. least: at least.
limit() { judge "$@" >>"$work/limits"; }
least() { judge_least "$@" >>"$work/limits"; }
limits() {
    [ -f "$work/limits" ] || return
    printf '\n## Limits\n```\n%s\n```\n' "$(cat "$work/limits")"
}

# costs NAME COMMAND...: one run; its seconds, CPU seconds and written bytes, with those of the process $service in that time,
# are added to NAME.wall, NAME.cpu and NAME.written. What it says goes to the file `said`.
costs() {
    local name=$1 TIMEFORMAT='%R %U %S' before
    shift
    before=$(service_costs)
    { time watched "$@"; } 2>time
    awk '{ print $1 }' time >>"$name.wall"
    echo "$before $(service_costs) $(cat time) $(cat written)" | awk -v name="$name" '{
        printf "%.2f\n", $6 + $7 + $3 - $1 >>(name ".cpu")
        print $8 + $4 - $2 >>(name ".written")
    }'
}
watched() {
    (
        "$@" >said 2>&1
        # The shell's own account holds what its children did, once they have ended.
        sed -n 's/^write_bytes: //p' "/proc/$BASHPID/io" >written
    )
}
# CPU seconds and written bytes of the process $service so far, if there is one.
service_costs() {
    [ -n "${service:-}" ] || { echo 0 0; return; }
    awk -v hertz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f ", ($12 + $13 + $14 + $15) / hertz }' "/proc/$service/stat"
    sed -n 's/^write_bytes: //p' "/proc/$service/io"
}

# box WORDS VARIABLE...: a machine of files, in box/, that has booted slot A: more words of the kernel's command line, and variables.
box() {
    rm -rf box
    mkdir -p box/data box/target box/tmp
    echo "ksolo.slot=A ksolo.state=good $1" >box/cmdline
    : >box/conf
    "$binary" env create --grubenv box/grubenv >/dev/null
    "$binary" env set active_slot=A slot_A=good "${@:2}" --grubenv box/grubenv
}

# serve FOLDER [FORMAT]: nginx on the loopback, at $url; its log in that format is access.log.
serve() {
    local port=$((20000 + $$ % 20000)) temp log=off
    [ -z "${2:-}" ] || log="$PWD/access.log told"
    url=http://127.0.0.1:$port
    cat >nginx.conf <<END
daemon off; master_process off; pid $PWD/nginx.pid; error_log $PWD/nginx.log;
events {}
http {
    ${2:+log_format told '$2';} access_log $log; sendfile on;
    $(for temp in client_body proxy fastcgi uwsgi scgi; do echo "${temp}_temp_path $PWD/$temp;"; done)
    server { listen 127.0.0.1:$port; root $1; }
}
END
    nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx.log" &
    nginx=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "$url/" && return
        sleep 0.05
    done
    echo "bench/run: nginx does not answer: $(cat nginx.log)" >&2
    exit 1
}

end_server() {
    kill "$nginx"
    nginx=
}

# version PACKAGE: of Debian.
version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo 'not installed'; }

heading() {
    cat <<END
# Results

What \`make bench\` measured: our tool and the tools that others use for the same work, in one run on one machine. Numbers are
medians of $runs runs with the least and the most behind them, unless a line says otherwise; a ratio is theirs over ours. The
commands are in [bench/](.), one file a section, under the same names.

- Ours: \`$(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ' and changes')\`, $(stat -c %s "$binary") bytes.
- Theirs, of Debian $(cat /etc/debian_version): grub-common $(version grub-common), rauc $(version rauc), swupdate
  $(version swupdate), curl $(version curl), coreutils $(version coreutils), busybox $(version busybox-static).
- Machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg)
  at the start. Guests: QEMU $(version qemu-system-x86), without hardware acceleration.
END
}

floor() {
    cat <<'END'

## The floor

Where an earlier budget was met, the new one is about what is measured now: 16 system calls in place of 30 for `env set`, 384 KiB in
place of 512 for `init`, 512 KiB in place of 1 MiB for `apply`, at least 150 % of the script's speed in place of 90 %. What is left:

- `env set`: each of the 16 system calls is a step that a power cut or a second writer makes necessary: lock, read, write, sync, read
  back past the cache. A quarter of the instructions clear and copy three blocks of a kilobyte, which valgrind counts by the byte.
- `init`: its instructions are some 40 µs on a machine of today. The milliseconds are the disk: a mount, and each write synced before the
  next. Skipping a sync is the only way down, and not taken. Its memory is that of the program's own pages.
- `apply`: the CPU hashes each byte twice, and copies it in and out of the kernel. Hashing once would be believing the disk. Its code for
  that alone is compiled for speed: half the CPU time for half a kilobyte.
- The program is not half as large, and will not be: its largest parts are Rust's core with 18 KB, a table for CRCs with 16, Ed25519
  with 12 and the verb `apply` with 8; the rest is in a hundred small ones. Its limit is 230 KiB.
- A boot: GRUB waits two seconds for ESC, for a person who has nothing else. One second would be too short for a hand. The rest of
  what is added is e2fsck of the data partition and the processes of a shell script under emulation.
END
}
