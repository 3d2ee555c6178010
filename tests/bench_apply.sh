#!/bin/bash
# `apply` from a real nginx on the loopback, beside `curl | tee | sha256sum` with the same syncs, in the same run.
set -u
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tests/bench_apply.sh'
        echo 'Measures dist/kubesolo-boot on files below build/bench; needs 9 GB there for a moment.'
        echo 'BINARY=FILE: measure this one. SIZE=MiB: the image to time (default 512). RUNS=N: how often (default 5).'
        exit ;;
    *) echo "tests/bench_apply.sh: unknown argument '$1', see tests/bench_apply.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
. tests/measure.sh
binary=$(realpath "${BINARY:-dist/kubesolo-boot}")
for tool in nginx curl strace sha256sum; do
    command -v "$tool" >/dev/null || { echo "tests/bench_apply.sh: $tool is not installed" >&2; exit 1; }
done
# On the disk, as a slot is.
mkdir -p build/bench
rm -rf "$work"
work=$(mktemp -d "$PWD/build/bench/XXXXXX")
trap 'kill "${nginx:-}" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1

mkdir www
port=$((20000 + $$ % 20000))
cat >conf <<END
daemon off; master_process off; pid $work/pid; error_log $work/error.log;
events {}
http {
    access_log off; sendfile on;
    $(for temp in client_body proxy fastcgi uwsgi scgi; do echo "${temp}_temp_path $work/$temp;"; done)
    server { listen 127.0.0.1:$port; root $work/www; }
}
END
nginx -p "$work" -c "$work/conf" -e "$work/error.log" &
nginx=$!
for _ in $(seq 100); do
    curl -s -o /dev/null "http://127.0.0.1:$port/" && break
    sleep 0.05
done

# publish MiB KIND: a release whose initramfs has that size; `random` bytes, or `sparse` zeros.
publish() {
    rm -f www/*
    echo 'a kernel' >www/vmlinuz
    case $2 in
        random) head -c "$(($1 << 20))" /dev/urandom >www/initramfs ;;
        sparse) truncate -s "$1M" www/initramfs ;;
    esac
    printf '{"version":"1.1.0","vmlinuz_url":"vmlinuz","initramfs_url":"initramfs","vmlinuz_sha256":"%s","initramfs_sha256":"%s","vmlinuz_size":%d,"initramfs_size":%d}' \
        "$(sha256sum <www/vmlinuz | cut -c-64)" "$(sha256sum <www/initramfs | cut -c-64)" \
        "$(stat -c %s www/vmlinuz)" "$(stat -c %s www/initramfs)" >www/latest.json
}
# fresh: a box of files that runs slot A, with nothing in its slot B. What earlier runs wrote is on the disk by now.
fresh() {
    rm -rf box
    mkdir -p box/data box/target
    echo 'ksolo.slot=A ksolo.state=good' >box/cmdline
    "$binary" env create --grubenv box/grubenv
    "$binary" env set active_slot=A boot_counter=3 boot_success=1 slot_A=good slot_B=good --grubenv box/grubenv
    sync -f box
}
apply() {
    "$@" "$binary" apply "http://127.0.0.1:$port/" --allow-downgrade --grubenv box/grubenv --cmdline box/cmdline \
        --data box/data --target box/target
}
applied() { apply "$@" >log 2>&1 || { cat log >&2; exit 1; }; }
# What a careful script does: the same file and folder synced, and read back from the disk.
peer() {
    curl -s "http://127.0.0.1:$port/initramfs" | tee box/target/part | sha256sum >sum
    sync box/target/part
    mv box/target/part box/target/kubesolo-os.gz
    sync box/target
    dd if=box/target/kubesolo-os.gz iflag=nocache count=0 status=none
    sha256sum <box/target/kubesolo-os.gz | cmp -s - sum || exit 1
}
seconds() {
    local began=$EPOCHREALTIME
    "$@" >/dev/null
    awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", to - from }'
}
median() { sort -n | awk '{ value[NR] = $1 } END { printf "%s (%s to %s)", value[int((NR + 1) / 2)], value[1], value[NR] }'; }

size=${SIZE:-512} runs=${RUNS:-5}
publish "$size" random
for _ in $(seq "$runs"); do
    fresh; seconds applied >>ours
    fresh; seconds peer >>theirs
    fresh; seconds curl -s -o /dev/null "http://127.0.0.1:$port/initramfs" >>network
done
echo "apply of $size MiB from nginx on the loopback, seconds: median (least to most) of $runs"
printf '        %-44s %s\n' 'kubesolo-boot apply' "$(median <ours)" 'curl | tee | sha256sum, synced, read back' "$(median <theirs)" \
    'curl alone, into nothing' "$(median <network)"
ratio=$(awk -v ours="$(median <ours)" -v theirs="$(median <theirs)" 'BEGIN { printf "%d", 100 * theirs / ours }')
judge_least 'speed, in % of that of curl | tee | sha256sum' "$ratio" 90

echo
echo 'peak RSS of apply in KiB'
for size in 16 2048; do
    publish "$size" sparse
    fresh
    kib=$(apply peak)
    judge "$size MiB" "$kib" 1024
    [ "$size" = 16 ] && small=$kib
done
judge 'difference' "$((kib > small ? kib - small : small - kib))" 64
echo
verdict
