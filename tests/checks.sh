# Sourced by the scripts that test: a folder to work in, one line a check, and a verdict.
# From the top folder, which the script has just gone to.
me=$(top=$PWD && cd "$OLDPWD" && realpath --relative-to="$top" "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0 skips=0

# check NAME COMMAND...: one line; the command's output only if it failed.
check() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        sed 's/^/        /' "$work/log"
        failures=$((failures + 1))
    fi
}

# skipped NAME WHY: what cannot be checked here is said, and told again at the end of `make test` and `make proof`.
skipped() {
    echo "skipped $1: $2"
    skips=$((skips + 1))
    [ -z "${KSOLO_SKIPS:-}" ] || echo "$me: $1: $2" >>"$KSOLO_SKIPS"
}

# refuses TEXT COMMAND...: the command fails, and its message holds the text.
refuses() {
    local text=$1 message
    shift
    if message=$("$@" 2>&1); then echo 'it went through'; return 1; fi
    printf '%s\n' "$message"
    [[ $message == *"$text"* ]]
}
refuted() { ! "$@"; }

# needs FILE...: what is looked at has been built; else the command that builds it.
needs() {
    local file make
    for file in "$@"; do
        [ ! -e "$file" ] || continue
        case $file in
            dist/*-arm64* | build/arm64/*) make="; run make ARCH=arm64 $file" ;;
            dist/*.tar.gz | build/manual/*) make='; run make dist' ;;
            dist/* | build/*) make="; run make $file" ;;
            *) make= ;;
        esac
        echo "$me: $file: no such file$make" >&2
        exit 1
    done
}
# tools NAME...: these are installed.
tools() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "$me: $tool is not installed; run tools/deps" >&2; exit 1; }
    done
}

# pinned VENV LIST: a Python environment with what the list asks for, each by its hash; made anew when the list changes.
pinned() {
    cmp -s "$2" "$1/installed" && return
    rm -rf "$1"
    if ! { /usr/bin/python3 -m venv "$1" && "$1/bin/pip" -q install --no-deps --require-hashes -r "$2"; } >"$work/log" 2>&1; then
        cat "$work/log"
        echo "$me: cannot install what $2 lists" >&2
        exit 1
    fi
    cp "$2" "$1/installed"
}

# verdict: the last line, and the exit code.
verdict() {
    if [ "$failures" != 0 ]; then
        echo "$me: $failures FAILED"
        exit 1
    fi
    echo "$me: all ok$([ $skips = 0 ] || echo ", $skips skipped")"
}
