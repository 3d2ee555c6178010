# What has to be on the box. Bytes of the program and of the shared libraries that the loader maps for it.

# with_libraries PROGRAM...: bytes of the programs, and of each library that one of them needs, once.
with_libraries() {
    {
        for program; do
            realpath "$program"
            ldd "$program" 2>/dev/null | awk '/\// { print $(NF - 1) }' | xargs -r realpath
        done
    } | sort -u | xargs stat -Lc %s | awk '{ sum += $1 } END { print sum }'
}
beside() {
    local name=$1 own all
    shift
    own=$(stat -Lc %s "$@" | awk '{ sum += $1 } END { print sum }')
    all=$(with_libraries "$@")
    row "$name" "$own" "$all" "$(ratio "$all" "$ours")"
}

bench_size() {
    local ours
    ours=$(stat -c %s "$binary")
    printf '\n## Size\n\nBytes of the program, and with every library that it loads. Ours loads none and replaces all of them.\n\n'
    table 'on the box' 'program' 'with libraries' 'ratio'
    row '**kubesolo-boot**' "$ours" "$ours" 1
    row 'kubesolo-boot with https' "$(stat -c %s "$binary-tls")" "$(stat -c %s "$binary-tls")" "$(ratio "$(stat -c %s "$binary-tls")" "$ours")"
    beside grub-editenv "$grub_editenv"
    beside 'RAUC, and the D-Bus daemon it needs' "$(command -v rauc)" "$(command -v dbus-daemon)"
    beside SWUpdate "$(command -v swupdate)"
    beside 'the script of section Apply: curl, tee, sha256sum, dd, sync' "$(command -v curl)" "$(command -v tee)" \
        "$(command -v sha256sum)" "$(command -v dd)" "$(command -v sync)"
    beside 'the script of section Boot stage: busybox, grub-editenv' "$(command -v busybox)" "$grub_editenv"
    # Its publisher's figure: the agent that this program replaces.
    row "KubeSolo OS' Go agent, as published" '5.9 MB' '5.9 MB' "$(ratio 5900000 "$ours")"
}
