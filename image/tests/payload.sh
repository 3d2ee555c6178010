#!/bin/bash
# Does image/payload lay a KubeSolo, here a stand-in for it, into the system such that init starts it? Boots nothing.
set -u
export LC_ALL=C

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: image/tests/payload.sh'
        echo 'Makes payloads and an initramfs in temporary folders and looks at them. KERNEL_DIR=DIR: what image/kernel made.'
        exit ;;
    *) echo "image/tests/payload.sh: unknown argument '$1', see image/tests/payload.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
kernel_dir=${KERNEL_DIR:-build}
. tests/checks.sh
tools busybox cpio

# The stand-in: a program that is static, and does nothing that KubeSolo does.
stand_in=$work/kubesolo-stand-in
printf '#!/bin/sh\necho stand-in for KubeSolo\nexec sleep 100000\n' >"$stand_in"
image/kernel "$kernel_dir" || exit 1

payload=$work/payload
make_payload() { KUBESOLO=$stand_in image/payload "$@"; }
check 'a payload is made' make_payload "$payload"
check 'and made anew' make_payload "$payload"
check 'it holds the binary' cmp "$stand_in" "$payload/usr/local/bin/kubesolo"
check 'the lines of the base inittab are there' grep -Fxf initramfs/payload/etc/inittab "$payload/etc/inittab"
lost() { grep -vxFf "$payload/etc/inittab" "$1"; }
check 'all of them' refuted lost initramfs/payload/etc/inittab
check 'and those of the service' refuted lost initramfs/kubesolo/etc/kubesolo/inittab
runs() { sed -n 's/^[^#][^:]*:*[a-z]*:\(\/[^ ]*\).*/\1/p; s/^::[a-z]*:\(\/[^ ]*\).*/\1/p' "$payload/etc/inittab" | sort -u; }
there() { local program; for program in $(runs); do
    [ -x "$payload$program" ] || grep -qx "${program#/}" <(busybox --list-full) || { echo "$program"; return 1; }
done; }
check 'each program that inittab names is there' there
for script in sbin/init sbin/modprobe etc/kubesolo/prepare etc/kubesolo/kubesolo etc/kubesolo/health; do
    check "$script parses" busybox sh -n "$payload/$script"
    check "$script can be run" test -x "$payload/$script"
done

initramfs() {
    image/initramfs --binary "$stand_in" --kernel-modules "$kernel_dir/modules" --payload "$payload" --out "$1"
}
check 'an initramfs is made of it' initramfs "$work/one.gz"
listed() { gzip -dc "$1" | cpio -tv --quiet 2>/dev/null | awk '{ print $1, $9 }'; }
listed "$work/one.gz" >"$work/list"
for line in '-rwxr-xr-x usr/local/bin/kubesolo' '-rwxr-xr-x sbin/init' '-rwxr-xr-x sbin/modprobe' \
    '-rwxr-xr-x etc/kubesolo/health' '-rw-r--r-- etc/crictl.yaml' '-rwxr-xr-x etc/start'; do
    check "it holds $line" grep -qxe "$line" "$work/list"
done
check 'a second time' initramfs "$work/two.gz"
check 'of the same bytes' cmp "$work/one.gz" "$work/two.gz"

mkdir -p "$work/extra/usr/local/bin"
echo '#!/bin/sh' >"$work/extra/usr/local/bin/kubectl"
check 'EXTRA is laid over it' env EXTRA="$work/extra" KUBESOLO="$stand_in" image/payload "$payload"
check 'and is there' test -f "$payload/usr/local/bin/kubectl"

# in_path NAME: a program of that name is in the PATH that busybox's init gives what it starts, and leads to a file in the payload.
in_path() {
    local folder
    for folder in $(grep -aom 1 'PATH=/[a-z:/]*' "$(command -v busybox)" | head -n 1 | cut -d = -f 2 | tr : ' '); do
        if [ -x "$payload$folder/$1" ]; then return; fi
    done
    return 1
}
check 'a file that cannot be run is not linked' refuted in_path kubectl
printf '#!/bin/sh\n' | tee "$work/extra/usr/local/bin/crictl" >"$work/extra/usr/local/bin/kubectl"
mkdir -p "$work/extra/usr/local/sbin" "$work/extra/sbin"
printf '#!/bin/sh\n' | tee "$work/extra/usr/local/sbin/iptables" "$work/extra/usr/local/sbin/ipset" >"$work/extra/sbin/ipset"
chmod +x "$work/extra/usr/local"/*bin/* "$work/extra/sbin/ipset"
check 'an EXTRA with programs' env EXTRA="$work/extra" KUBESOLO="$stand_in" image/payload "$payload"
for program in kubesolo kubectl crictl iptables ipset; do
    check "what init starts finds $program" in_path $program
done
check 'one that is in PATH anyway is not hidden' test ! -e "$payload/usr/sbin/ipset" -a -f "$payload/sbin/ipset"
check 'no other' refuted in_path nothing

# kubelet ends where there is no /etc/passwd.
for file in passwd group; do
    check "root is in $file" grep -q '^root:x:0:' "$payload/etc/$file"
    check "and nobody" grep -q '^nobody:x:65534:' "$payload/etc/$file"
    check "/etc/$file can be read by all" test "$(stat -c %a "$payload/etc/$file")" = 644
done
cp -R initramfs/payload "$work/base"
echo 'admin:x:0:0:admin:/root:/bin/sh' >"$work/base/etc/passwd"
check 'a BASE with users' env BASE="$work/base" KUBESOLO="$stand_in" image/payload "$payload"
check 'keeps them' cmp "$work/base/etc/passwd" "$payload/etc/passwd"
check 'and gets the file that it lacks' grep -q '^root:x:0:' "$payload/etc/group"
echo 'mine:x:0:0::/:/bin/sh' >"$work/extra/etc-passwd"
mkdir -p "$work/extra/etc"
mv "$work/extra/etc-passwd" "$work/extra/etc/passwd"
check 'an EXTRA with users' env BASE="$work/base" EXTRA="$work/extra" KUBESOLO="$stand_in" image/payload "$payload"
check 'has the last word' cmp "$work/extra/etc/passwd" "$payload/etc/passwd"
rm -r "$work/extra/etc"

# As kubelet finds it: there, and what /etc/network has written is kept.
sed -n '/resolv.conf$/p' initramfs/kubesolo/etc/kubesolo/prepare | sed "s|/etc/|$work/|" >"$work/resolves"
check 'resolv.conf is made' sh -e "$work/resolves"
check 'empty' test -f "$work/resolv.conf" -a ! -s "$work/resolv.conf"
echo nameserver 192.0.2.1 >"$work/resolv.conf"
check 'made again' sh -e "$work/resolves"
check 'and kept' grep -q 192.0.2.1 "$work/resolv.conf"

check 'without KUBESOLO: refused' refuses 'KUBESOLO is not set' image/payload "$work/bad"
check 'a binary that is not there: refused' refuses 'no such file' env KUBESOLO="$work/nothing" image/payload "$work/bad"
dynamic=$(command -v sgdisk || echo /bin/ls)
check 'a dynamic binary: refused, its loader named' refuses '/ld-linux' env KUBESOLO="$dynamic" image/payload "$work/bad"
check 'an EXTRA that is not there: refused' refuses 'no such folder' \
    env KUBESOLO="$stand_in" EXTRA="$work/nothing" image/payload "$work/bad"
check 'a BASE without inittab: refused' refuses 'no etc/inittab' \
    env KUBESOLO="$stand_in" BASE="$work/extra" image/payload "$work/bad"
check 'nothing was made then' test ! -e "$work/bad"
mkdir "$work/precious"
touch "$work/precious/file"
check 'a folder of somebody else: refused' refuses 'remove it' make_payload "$work/precious"
check 'and left alone' test -f "$work/precious/file"
check 'modules are told' grep -qw overlay <(image/payload --modules)

# The health service, with stand-ins for what it calls; it reads a file of ours in place of /etc/kubesolo/update.conf.
mkdir "$work/bin"
cat >"$work/bin/kubesolo-boot" <<'STUB'
#!/bin/sh
echo "$*" >>"$WORK/calls"
# Ends with the next of the codes.
read -r code rest <"$WORK/codes"
echo "$rest" >"$WORK/codes"
exit "$code"
STUB
printf '#!/bin/sh\n' >"$work/bin/logger"
printf '#!/bin/sh\n[ "$1" = 60 ]\n' >"$work/bin/sleep"
chmod +x "$work/bin"/*
sed "s|/etc/kubesolo/update.conf|$work/update.conf|" initramfs/kubesolo/etc/kubesolo/health >"$work/health"
# health CONF CODES TIMES: called so often, with these exit codes, given this update.conf.
health() {
    printf '%b' "$1" >"$work/update.conf"
    echo "$2" >"$work/codes"
    rm -f "$work/calls"
    touch "$work/calls"
    WORK=$work PATH=$work/bin:$PATH timeout 20 sh "$work/health" || return 1
    cat "$work/calls"
    [ "$(wc -l <"$work/calls")" = "$3" ] && refuted grep -vx 'healthcheck --reboot' "$work/calls"
}
check 'health: once if all is well' health '' '0' 1
check 'health: until it passes' health 'server=/a\n' '1 1 6 0' 4
check 'health: mark=healthcheck is the default' health '#mark=init\nmark=healthcheck\n' '0' 1
check 'health: not under mark=init' health 'server=/a\n mark = init \n' '' 0
check 'health: the last mark= counts' health 'mark=init\nmark=healthcheck\n' '0' 1
check 'health: not where the program does not know it' health '' '2' 1

verdict
