# What an update transfers where little changed: systems made of Debian's kernel and of Go programs at two patch versions, by our own
# image/initramfs and image/release, as a box fetches them from nginx, whose log counts the bytes. Beside it what other ways would send:
# zchunk of the same archive, unpacked; the 4 KiB blocks that an adaptive update of RAUC (block-hash-index) would not find in the old file,
# counted here; and a patch by xdelta3, which has to be made for each pair of versions, and wants the old file whole.

# go_programs FOLDER MODULE VERSION PACKAGE...: those programs of a Go module.
go_programs() {
    local into=$PWD/$1 module=$2 version=$3 from=go-${2##*/}-$3
    shift 3
    mkdir -p "$into" "$from"
    (
        cd "$from" || exit
        [ -f go.mod ] || { go mod init bench && go get "$module@$version"; } || exit
        CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags='-s -w' -o "$into/" "${@/#/$module/}"
    ) >go.log 2>&1 || { tail -n 5 go.log >&2; return 1; }
}
containerd() { go_programs "$1" github.com/containerd/containerd/v2 "$2" cmd/containerd cmd/containerd-shim-runc-v2; }
plugins() { go_programs "$1" github.com/containernetworking/plugins "$2" plugins/main/{bridge,loopback} plugins/ipam/host-local plugins/meta/portmap; }

# system NAME KERNEL GO-PROGRAMS [COMMAND]: a release in www/NAME; the command changes the payload.
system() {
    local payload=payload-$1
    mkdir -p "$payload/usr/bin" "www/$1"
    cp -R "$top/initramfs/payload/." "$payload/"
    cp "$3"/* "$payload/usr/bin/"
    [ -z "${4:-}" ] || (cd "$payload" && eval "$4")
    "$top/image/initramfs" --binary "$binary" --cloud-init "$top/dist/kubesolo-cloud-init" --kernel-modules "$2/modules" \
        --chunks "$top/dist/kubesolo-chunks" --payload "$payload" --out "$1.gz" >/dev/null
    [ -f key ] || "$top/image/release" --new-key key >/dev/null
    "$top/image/release" --key key --version 1.1.0 --kernel "$2/vmlinuz" --initramfs "$1.gz" --out "www/$1" >/dev/null
}

# published NAME: how a slot's file is called in a release.
published() {
    case $1 in
        vmlinuz*) echo "${1/vmlinuz/vmlinuz-1.1.0}" ;;
        *) echo "${1/kubesolo-os/kubesolo-os-1.1.0}" ;;
    esac
}

# sent: bytes of bodies that nginx has sent.
sent() { awk '{ sum += $1 } END { print sum + 0 }' access.log; }

# blocks OLD NEW: bytes of the 4 KiB blocks of NEW that are nowhere in OLD.
blocks() {
    python3 - "$1" "$2" <<'END'
import hashlib, sys
def blocks(path):
    with open(path, "rb") as file:
        while block := file.read(4096):
            yield hashlib.sha256(block).digest(), len(block)
old = {digest for digest, _ in blocks(sys.argv[1])}
print(sum(length for digest, length in blocks(sys.argv[2]) if digest not in old))
END
}

# pair WHAT OLD NEW FILE [unpack]: a row. The two systems differ in FILE; zchunk and xdelta3 find something in common only where it is
# unpacked.
pair() {
    local name old=$2 new=$3 full ours zchunk blocks
    box '' boot_counter=3 boot_success=1 slot_B=good
    rm -rf running
    mkdir running
    for name in vmlinuz vmlinuz.idx kubesolo-os.gz kubesolo-os.gz.idx; do
        cp "www/$old/$(published $name)" running/$name
    done
    echo 1.0.0 >running/version
    : >access.log
    url=$url/$new ours --pubkey key.pub --running running --mark init >said 2>&1
    cmp -s "www/$new/$(published kubesolo-os.gz)" box/target/kubesolo-os.gz || { cat said >&2; return 1; }
    ours=$(sent)

    cp "www/$old/$(published "$4")" old
    cp "www/$new/$(published "$4")" new
    full=$(stat -c %s new) blocks=$(blocks old new)
    [ -z "${5:-}" ] || { gzip -dc old >old.raw && gzip -dc new >new.raw && mv old.raw old && mv new.raw new; }
    zck -o old.zck old && zck -o new.zck new
    zchunk=$(zck_delta_size old.zck new.zck 2>&1 | sed -n 's/.*[Ww]ould download \([0-9]*\) of.*/\1/p')
    xdelta3 -f -e -9 -S djw -B 536870912 -s old new patch
    row "$1" "$full" "**$ours**" "$(awk -v ours="$ours" -v full="$full" 'BEGIN { printf "%.2f %%", 100 * ours / full }')" "$blocks" \
        "${zchunk:-–}" "$(stat -c %s patch)"
    last=$ours
}

bench_transfer() {
    local tool last older=linux-image-6.1.0-55-amd64 newer=linux-image-6.1.0-56-amd64
    for tool in go zck xdelta3 python3; do
        command -v "$tool" >/dev/null && continue
        printf '\n## Transfer\n\nNot run: %s is not installed.\n' "$tool"
        return 0
    done
    KERNEL_PACKAGE=$older "$top/image/kernel" old-kernel >/dev/null && KERNEL_PACKAGE=$newer "$top/image/kernel" new-kernel >/dev/null || return
    containerd old-go v2.2.1 && containerd new-go v2.2.2 && plugins old-go v1.9.0 && plugins new-go v1.9.1 || return
    cp -R old-go bridge-go && cp new-go/bridge bridge-go/
    cp -R old-go containerd-go && cp new-go/containerd* containerd-go/

    system base old-kernel old-go
    system line old-kernel old-go 'echo "# a line more" >>etc/start'
    system bridge old-kernel bridge-go
    system containerd old-kernel containerd-go
    mkdir mixed-kernel && cp old-kernel/vmlinuz mixed-kernel/ && cp -R new-kernel/modules mixed-kernel/
    system all mixed-kernel new-go
    mkdir next-kernel && cp new-kernel/vmlinuz next-kernel/ && cp -R old-kernel/modules next-kernel/
    system kernel next-kernel old-go
    serve "$PWD/www" '$body_bytes_sent $request'

    cat <<END

## Transfer: an update of which a box has most

Bytes that nginx sent for one \`apply\`: latest.json, its signature, both indexes, all that changed. The system: Debian's kernel, its
modules, containerd and four CNI plugins; each row changes one thing. Beside it, for the same file: all of it; the 4 KiB blocks that
are not in the old file, as an adaptive update of RAUC would fetch them (counted here, RAUC not run); zchunk $(version zchunk) of the
archive before it is packed (\`zck_delta_size\`); a patch by xdelta3 $(version xdelta3) of that archive, made for this pair alone.

END
    table 'what changed' 'all of it' 'kubesolo-boot' 'share' '4 KiB blocks' 'zchunk' 'xdelta3'
    pair 'a line of a shell script' base line kubesolo-os.gz unpack
    limit 'bytes of a changed line' "$last" 200000
    pair 'one program of 4 MB, CNI bridge 1.9.0 to 1.9.1' base bridge kubesolo-os.gz unpack
    pair 'containerd 2.2.1 to 2.2.2' base containerd kubesolo-os.gz unpack
    pair 'all programs, all modules' base all kubesolo-os.gz unpack
    pair 'the kernel, 6.1.0-55 to -56' base kernel vmlinuz
    end_server
}
