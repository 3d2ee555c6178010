# An update comes from a web server into the other slot. Every tool gets the same random bytes from the same nginx, writes
# them to the same disk, and ends when they are synced. Ours, and the script, also read them back from the disk, past the
# cache, and check them again; the others are measured as they are, and once more with that added.

# publish MiB KIND: a release of our format whose initramfs has that size; `random` bytes, or `sparse` zeros.
publish() {
    mkdir -p www
    rm -f www/*
    echo 'a kernel' >www/vmlinuz
    case $2 in
        random) head -c "$(($1 << 20))" /dev/urandom >www/initramfs ;;
        sparse) truncate -s "$1M" www/initramfs ;;
    esac
    local kernel_sum initramfs_sum
    kernel_sum=$(sha256sum <www/vmlinuz) initramfs_sum=$(sha256sum <www/initramfs)
    cat >www/latest.json <<END
{"version":"1.1.0","vmlinuz_url":"vmlinuz","initramfs_url":"initramfs",
"vmlinuz_sha256":"${kernel_sum%% *}","initramfs_sha256":"${initramfs_sum%% *}",
"vmlinuz_size":$(stat -c %s www/vmlinuz),"initramfs_size":$(stat -c %s www/initramfs)}
END
}
# fresh: a box with nothing in its slot B, which is a folder for some and a file for others. What earlier runs wrote is on the disk by now.
fresh() {
    box '' boot_counter=3 boot_success=1 slot_B=good
    truncate -s "$(stat -c %s www/initramfs)" box/slot
    sync -f box
}
# ours [FLAG...]: what is published at $url.
ours() {
    "$binary" apply "$url/" --allow-downgrade --grubenv box/grubenv --cmdline box/cmdline --data box/data --target box/target "$@"
}
by_script() {
    curl -s "$url/initramfs" | tee box/target/part | sha256sum >sum
    sync box/target/part
    mv box/target/part box/target/kubesolo-os.gz
    sync box/target
    read_back box/target/kubesolo-os.gz
}
read_back() {
    dd if="$1" iflag=nocache count=0 status=none
    head -c "$(stat -c %s www/initramfs)" "$1" | sha256sum | cmp -s - sum
}
rauc_install() { env DBUS_STARTER_BUS_TYPE=session rauc install "$url/bundle.raucb"; }
rauc_checked() { rauc_install && read_back box/slot; }
# It does not sync by itself.
swupdate_install() {
    TMPDIR=$PWD/box/tmp swupdate -l 1 -H bench:1.0 -k cert.pem -d "-u $url/update.swu" && sync box/slot
}
swupdate_checked() { swupdate_install && read_back box/slot; }

# What RAUC and SWUpdate install: a signed bundle of one image for a slot that is a file.
make_bundles() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 3650 -subj /CN=bench \
        -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature 2>/dev/null
    mkdir bundle swu
    ln www/initramfs bundle/rootfs.img
    cat >bundle/manifest.raucm <<END
[update]
compatible=bench
version=1.1.0
[bundle]
format=plain
[image.rootfs]
filename=rootfs.img
END
    # A squashfs that compresses what is compressed already would only be slower.
    rauc --cert cert.pem --key key.pem bundle --mksquashfs-args='-noI -noD -noF -noX' bundle www/bundle.raucb >rauc.log 2>&1
    cat >rauc.conf <<END
[system]
compatible=bench
bootloader=custom
bundle-formats=plain
statusfile=$PWD/rauc.status
mountprefix=$PWD/mnt
max-bundle-download-size=10000000000
[handlers]
bootloader-custom-backend=$PWD/rauc-backend
[keyring]
path=$PWD/cert.pem
[slot.rootfs.0]
device=$PWD/rauc-slot-a
type=raw
bootname=A
[slot.rootfs.1]
device=$PWD/box/slot
type=raw
bootname=B
END
    # Says what a boot loader would say, and changes nothing: the cheapest there is.
    printf '#!/bin/sh\ncase $1 in get-primary | get-current) echo A ;; get-state) echo good ;; esac\n' >rauc-backend
    chmod +x rauc-backend
    mkdir mnt
    : >rauc-slot-a

    ln www/initramfs swu/rootfs.img
    cat >swu/sw-description <<END
software = {
    version = "1.1.0";
    hardware-compatibility: [ "1.0" ];
    images: ({
        filename = "rootfs.img"; device = "$PWD/box/slot"; type = "raw";
        installed-directly = true; sha256 = "$(sha256sum <www/initramfs | cut -c-64)";
    });
}
END
    openssl cms -sign -in swu/sw-description -out swu/sw-description.sig -signer cert.pem -inkey key.pem -outform DER \
        -nosmimecap -binary
    (cd swu && printf '%s\n' sw-description sw-description.sig rootfs.img | cpio -o -H crc --quiet) >www/update.swu
}
# start_rauc: a D-Bus of our own, and RAUC's service on it; its process is $service.
start_rauc() {
    { read -r DBUS_SESSION_BUS_ADDRESS; read -r bus; } < <(dbus-daemon --session --fork --print-address=1 --print-pid=1 2>/dev/null)
    export DBUS_SESSION_BUS_ADDRESS
    DBUS_STARTER_BUS_TYPE=session TMPDIR=$PWD/box/tmp rauc -c rauc.conf --override-boot-slot=A service >rauc.log 2>&1 &
    service=$!
    # Until the service has its name, the client dies, and the shell says so.
    {
        until DBUS_STARTER_BUS_TYPE=session rauc status >/dev/null; do
            kill -0 "$service" || { cat rauc.log >&3; return 1; }
            sleep 0.05
        done
    } 3>&2 2>/dev/null
}
end_rauc() {
    kill "$service" "$bus"
    wait "$service"
    service=
}

# installed NAME: what is in the slot is what was published.
installed() {
    case $1 in ours | by_script) cmp -s www/initramfs box/target/kubesolo-os.gz ;; *) cmp -s www/initramfs box/slot ;; esac
}
# once NAME: one run on a fresh box.
once() {
    fresh
    case $1 in rauc*) start_rauc 2>said || return ;; esac
    costs "$1" "$1"
    [ -z "$service" ] || end_rauc
}

bench_apply() {
    local name tools='ours by_script rauc_install rauc_checked swupdate_install swupdate_checked'
    publish "$size" random
    sha256sum <www/initramfs >sum
    make_bundles
    serve "$PWD/www"
    # The first run of each is not counted: it shows whether the tool runs on this machine.
    for name in $tools; do
        once "$name"
        installed "$name" || { tools=${tools/$name/}; tail -n 1 said | cut -c -200 >"$name.why"; }
        rm -f "$name".{wall,cpu,written}
    done
    case $tools in *ours*) ;; *) echo "bench/run: apply: $(cat ours.why)" >&2; return 1 ;; esac
    for _ in $(seq "$runs"); do
        for name in $tools; do
            once "$name"
            installed "$name" || { echo "bench/run: $name: $(cat said)" >&2; failures=$((failures + 1)); }
        done
        costs network curl -s -o /dev/null "$url/initramfs"
    done
    export -f ours by_script read_back swupdate_install
    export binary url
    for name in ours by_script swupdate_install; do
        fresh
        memory bash -c "$name" | cut -d' ' -f2 >"$name.memory"
    done
    cp swupdate_install.memory swupdate_checked.memory
    fresh
    if [ ! -f rauc_install.why ] && start_rauc; then
        rauc_install >/dev/null
        # Its service is what works; the client only waits.
        sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$service/status" | tee rauc_install.memory >rauc_checked.memory
        end_rauc
    fi

    printf '\n## Apply: %s MiB from nginx on the loopback\n\n' "$size"
    echo 'Seconds, CPU seconds with children, MiB handed to the disk, and KiB of all its processes at their peak. RAUC: plain'
    echo 'format, signed, a file as slot; it downloads the whole bundle first. SWUpdate: signed, streamed into a file, synced'
    echo 'by `sync FILE`, as it does not. "+ read back": the slot is read again from the disk and hashed, as we do. Most of the peak'
    echo 'of RAUC is the bundle, which it maps to verify it; the kernel can take those pages back.'
    echo
    table 'tool' 'seconds' 'ratio' 'CPU' 'ratio' 'written' 'peak RSS' 'ratio'
    line() {
        [ ! -f "$1.why" ] || { row "$2" "does not run here: $(cat "$1.why")"; return; }
        row "$2" "$(stats "$1.wall")" "$(ratio "$(median "$1.wall")" "$(median ours.wall)")" \
            "$(stats "$1.cpu")" "$(ratio "$(median "$1.cpu")" "$(median ours.cpu)")" "$(mib "$(median "$1.written")")" \
            "$(cat "$1.memory")" "$(ratio "$(cat "$1.memory")" "$(cat ours.memory)")"
    }
    line ours '**kubesolo-boot apply**'
    line by_script 'curl \| tee \| sha256sum, sync, read back'
    line rauc_install 'rauc install'
    line rauc_checked 'rauc install + read back'
    line swupdate_install 'swupdate -d, sync'
    line swupdate_checked 'swupdate -d, sync + read back'
    row 'curl alone, into nothing' "$(stats network.wall)" "$(ratio "$(median network.wall)" "$(median ours.wall)")" \
        "$(stats network.cpu)" '' '0' '' ''
    least 'speed of apply, in % of that of the script' \
        "$(awk -v ours="$(median ours.wall)" -v theirs="$(median by_script.wall)" 'BEGIN { printf "%d", 100 * theirs / ours }')" 150
    end_server
}
