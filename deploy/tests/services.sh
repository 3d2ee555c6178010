#!/bin/bash
# Are the examples in deploy/services/ what systemd and busybox take, and do they call what they should? Starts none of them here.
set -u
export LC_ALL=C

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: deploy/tests/services.sh'
        echo 'Verifies the units in a root of their own, and runs busybox init in namespaces, with a stand-in for kubesolo-boot.'
        echo 'BINARY=FILE: kubesolo-boot (default dist/kubesolo-boot).'
        exit ;;
    *) echo "deploy/tests/services.sh: unknown argument '$1', see deploy/tests/services.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
binary=${BINARY:-dist/kubesolo-boot}
. tests/checks.sh
needs "$binary"
tools busybox unshare pgrep

# Each command line is one that the program understands: --help behind it is answered with the verb's help.
commands() {
    sed -n 's/^Exec[A-Za-z]*=//p' deploy/services/systemd/*.service
    grep -hv '^# ' deploy/services/busybox/* initramfs/kubesolo/etc/kubesolo/health | grep -o 'kubesolo-boot [a-z][a-z -]*'
}
understood() {
    local path words
    while read -r path words; do
        "$binary" $words --help | grep -q "^kubesolo-boot ${words%% *}" || { echo "$path $words"; return 1; }
    done < <(commands)
}
check 'there are commands in them' test "$(commands | wc -l)" -ge 12
check 'the program understands each' understood

# systemd, with a root of its own: its units, ours, the program.
units=(deploy/services/systemd/*)
root=$work/root
mkdir -p "$root/etc/systemd/system" "$root/usr/sbin" "$root/usr/lib/systemd"
cp "${units[@]}" "$root/etc/systemd/system"
cp "$binary" "$root/usr/sbin/kubesolo-boot"
verify() {
    local complaints
    complaints=$(systemd-analyze verify --man=no --root="$root" multi-user.target timers.target "${units[@]##*/}" 2>&1) &&
        [ -z "$complaints" ] || { printf '%s\n' "$complaints"; return 1; }
}
if command -v systemd-analyze >/dev/null; then
    cp -a /usr/lib/systemd/system "$root/usr/lib/systemd/"
    mapfile -t installed < <(grep -l '^\[Install\]' "${units[@]}")
    check 'systemd enables them' systemctl --root="$root" enable "${installed[@]##*/}"
    check 'systemd takes them, all enabled' verify
    sed -i 's/^OnBootSec=/OnBootSek=/' "$root/etc/systemd/system/kubesolo-boot-healthcheck.timer"
    check 'refused: a misspelt key' refuted verify
    cp "${units[@]}" "$root/etc/systemd/system"
    rm "$root/usr/sbin/kubesolo-boot"
    check 'refused: no such program' refuted verify
else
    skipped 'systemd takes them' 'no systemd-analyze here'
fi

# busybox: a box of its own, on which the stand-in writes down how it was called.
for script in deploy/services/busybox/S99kubesolo-boot initramfs/kubesolo/etc/kubesolo/health; do
    check "$script parses" busybox sh -n "$script"
done
box=$work/box
mkdir -p "$box/bin" "$box/dev" "$box/etc/kubesolo" "$box/etc/init.d"
: >"$box/dev/null"
: >"$box/etc/kubesolo/update.conf"
cp "$(command -v busybox)" "$box/bin/busybox"
for applet in sh sed tail tr logger sleep crond; do ln -s busybox "$box/bin/$applet"; done
printf '#!/bin/sh\necho "$*" >>/calls\n' >"$box/bin/kubesolo-boot"
printf '#!/bin/sh\necho "umount $*" >>/calls\n' >"$box/bin/umount"
chmod +x "$box/bin"/*
cp deploy/services/busybox/inittab "$box/etc/inittab"
cp deploy/services/busybox/S99kubesolo-boot "$box/etc/init.d"
cp initramfs/kubesolo/etc/kubesolo/health "$box/etc/kubesolo"

# Before a command: in the box. The namespaces keep init's signals, its reboot, and mounts from this machine.
within=(timeout 120 unshare --map-root-user --mount --pid --fork --kill-child chroot "$box")
# called CALL...: just these, in any order, within a minute.
called() {
    local i
    for i in {1..600}; do
        if diff <(sort "$box/calls" 2>/dev/null) <(printf '%s\n' "$@" | sort) >"$work/difference"; then return; fi
        sleep 0.1
    done
    cat "$work/difference"
    return 1
}
if "${within[@]}" /bin/sh -c : 2>/dev/null; then
    "${within[@]}" /bin/busybox init >"$work/said" 2>&1 &
    waiter=$!
    check 'busybox init: the watchdog is fed, the health checked' called 'watchdog --reboot' 'healthcheck --reboot'
    # timeout > unshare > init
    init=$(pgrep -P "$(pgrep -P $waiter)")
    kill -USR2 "$init"
    wait $waiter
    check 'at shutdown the stop is noted, then all unmounted' \
        diff <(tail -n +3 "$box/calls") <(printf '%s\n' stopping 'umount -a -r')
    rm "$box/calls"
    # The box lives until both have called, or for a minute.
    check 'S99kubesolo-boot start' "${within[@]}" /bin/sh -c '/etc/init.d/S99kubesolo-boot start; i=0
        while [ "$(sed -n "\$=" /calls)" != 2 ] && [ $((i += 1)) -le 60 ]; do sleep 1; done'
    check 'does the same' called 'watchdog --reboot' 'healthcheck --reboot'
    rm "$box/calls"
    check 'S99kubesolo-boot stop' "${within[@]}" /bin/sh /etc/init.d/S99kubesolo-boot stop
    check 'notes the stop' called stopping
else
    skipped 'busybox init' 'no namespaces here'
fi

verdict
