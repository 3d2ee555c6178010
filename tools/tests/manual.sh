#!/bin/bash
# Do the man page and the completions say what --help says, and do the shells take them?
set -u
export LC_ALL=C.UTF-8

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: tools/tests/manual.sh'
        echo 'Looks at build/manual, which make dist makes, and asks bash, zsh and fish for completions with it.'
        echo 'BINARY=FILE: kubesolo-boot (default dist/kubesolo-boot).'
        exit ;;
    *) echo "tools/tests/manual.sh: unknown argument '$1', see tools/tests/manual.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
binary=$(realpath "${BINARY:-dist/kubesolo-boot}")
manual=$PWD/build/manual
. tests/checks.sh
needs build/manual/kubesolo-boot.8 "$binary"
tools man col mandoc

# What there is, in the words of the program itself.
"$binary" --help >"$work/help"
verbs=$(sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$work/help")
flags=$(for verb in '' $verbs; do "$binary" help $verb; done | grep -oE -e '--[a-z0-9-]+' | sort -u)
# flags_of VERB: those that its help lists.
flags_of() { "$binary" help "$1" | sed -n '/^Flags:/,$s/^  \(-., \)\?\(--[a-z0-9-]*\).*/\2/p'; }
check 'the program has verbs' test "$(wc -w <<<"$verbs")" -ge 15
check 'and flags' test "$(wc -w <<<"$flags")" -ge 25

# Wide enough that no word is divided.
MANWIDTH=400 man --warnings -E UTF-8 -l "$manual/kubesolo-boot.8" 2>"$work/warnings" | col -bx >"$work/page"
check 'man has no complaint' diff "$work/warnings" /dev/null
lint() {
    # Which other pages are installed here is not the page's fault.
    ! mandoc -T lint -W style "$1" 2>&1 | grep -v -e 'referenced manual not found' -e 'mandoc.db'
}
check 'mandoc has none either' lint "$manual/kubesolo-boot.8"
sed '0,/^\.El/{/^\.El/d}' "$manual/kubesolo-boot.8" >"$work/broken.8"
check 'it has of a list without an end' refuted lint "$work/broken.8"
# told WORDS: the page has them, however its lines are broken.
told() { grep -qiF -e "$1" <(tr -s ' \n' ' ' <"$work/page"); }
for section in NAME SYNOPSIS DESCRIPTION VERBS FLAGS SETTINGS FILES 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
    check "section $section" grep -qx "$section" "$work/page"
done
while read -r verb line; do
    check "the page has $verb" told "$line"
done < <(sed -n '/^Verbs:/,/^$/s/^  \([a-z].*\)/\1/p' "$work/help")
for flag in $flags; do
    check "the page has $flag" grep -qE -e "(^|[^-a-z])$flag([^-a-z]|\$)|^ +$(tr - _ <<<"${flag#--}")=" "$work/page"
done
while read -r code meaning; do
    check "the page has exit code $code" told " $code $meaning"
done < <(sed -n '/^Exit codes:/,/^$/s/^ *\([0-9].*\)/\1/p' "$work/help")

# in_SHELL LINE: what it offers behind these words, one a line, sorted. There are a file and a folder to offer.
mkdir "$work/files"
touch "$work/files/key.pub"
mkdir "$work/files/folder"
cd "$work/files" || exit 1

in_bash() {
    bash --norc -c '
        source "$1"
        # As readline does it: --flag=VALUE is three words.
        line=${2//=/ = }
        COMP_WORDS=($line)
        [[ $line != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        $(complete -p kubesolo-boot | sed "s/.*-F \([^ ]*\) .*/\1/")
        ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"' bash "$manual/kubesolo-boot.bash" "$1" | sort
}
# Of --flag=VALUE the value counts, and of a folder its name.
in_fish() {
    HOME=$work fish --no-config -c 'source $argv[1]; complete -C$argv[2]' "$manual/kubesolo-boot.fish" "$1" |
        cut -f 1 | sed 's|/$||; s/.*=//' | sort
}
# zsh completes only where lines are edited: in a terminal of its own, with a key that writes down what would be offered.
in_zsh() {
    rm -f "$work/offered"
    OFFERED=$work/offered MANUAL=$manual LINE=$1 zsh -f <<'END' >/dev/null 2>&1
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PROMPT= RPROMPT=; setopt no_beep; fpath=($MANUAL $fpath); autoload -U compinit; compinit -u -D'
zpty -w shell 'zstyle ":completion:*" completer _complete'
zpty -w shell 'compadd() {'
zpty -w shell '    local found=()'
zpty -w shell '    if [[ ${@[1,(i)(-|--)]} != *-[OAD]\ * ]]; then builtin compadd -O found "$@"; print -rl -- $found >>$OFFERED; fi'
zpty -w shell '    builtin compadd "$@"'
zpty -w shell '}'
zpty -w shell 'ended() { echo end >>$OFFERED; exit }; zle -N ended; bindkey "^I" expand-or-complete; bindkey "^X" ended'
zpty -w shell 'echo rea""dy'
zpty -r -m shell found '*ready*'
zpty -n -w shell "$LINE"$'\t\x18'
zpty -r -m shell found '*@never@*'
END
    grep -qx end "$work/offered" || return 1
    sed '/^end$/d; /^$/d' "$work/offered" | sort -u
}

# offers SHELL LINE WORD...: just these.
offers() { diff <("in_$1" "$2") <(printf '%s\n' "${@:3}" | sed '/^$/d' | sort); }
for shell in bash zsh fish; do
    if ! command -v $shell >/dev/null; then
        skipped "completion in $shell" 'it is not installed; tools/deps installs it'
        continue
    fi
    check "$shell offers every verb" offers $shell 'kubesolo-boot ' $verbs
    check "$shell: behind help too" offers $shell 'kubesolo-boot help ' $verbs
    check "$shell ends a verb" offers $shell 'kubesolo-boot sl' slot
    check "$shell: slot" offers $shell 'kubesolo-boot slot ' show set
    check "$shell: slot set" offers $shell 'kubesolo-boot slot set ' A B
    check "$shell: slot set B" offers $shell 'kubesolo-boot slot set B ' empty staged trial good bad
    check "$shell: no sixth word" offers $shell 'kubesolo-boot slot set B good ' ''
    check "$shell: env" offers $shell 'kubesolo-boot env ' list get set unset create
    check "$shell: find" offers $shell 'kubesolo-boot find KSOLO' KSOLOEFI KSOLOA KSOLOB KSOLODATA
    check "$shell: a flag and its value are passed over" offers $shell 'kubesolo-boot --disk /dev/sda slot --json ' show set
    check "$shell: apply takes a path" offers $shell 'kubesolo-boot apply ' key.pub folder
    check "$shell: commit takes nothing" offers $shell 'kubesolo-boot commit ' ''
    check "$shell: --pubkey takes a file" offers $shell 'kubesolo-boot check --pubkey k' key.pub
    check "$shell: --pubkey=, too" offers $shell 'kubesolo-boot check --pubkey=k' key.pub
    check "$shell: --data takes a folder" offers $shell 'kubesolo-boot status --data ' folder
    check "$shell: --mark" offers $shell 'kubesolo-boot init --mark ' healthcheck init
    check "$shell: --channel is not guessed" offers $shell 'kubesolo-boot check --channel ' ''
    check "$shell: every flag" offers $shell 'kubesolo-boot --' $flags
    for verb in status apply healthcheck find stopping; do
        check "$shell: the flags of $verb" offers $shell "kubesolo-boot $verb --" $(flags_of $verb)
    done
    check "$shell: --reboot for rollback" offers $shell 'kubesolo-boot rollback --reb' --reboot --reboot-in
    check "$shell: --ext4 for find" offers $shell 'kubesolo-boot find --ex' --ext4
    check "$shell: not for commit" offers $shell 'kubesolo-boot commit --reb' ''
done

verdict
