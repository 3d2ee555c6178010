#!/bin/bash
# Does each static program weigh what tests/size.txt says, to within 1 %? So the commit that makes one grow has to say why.
set -u
export LC_ALL=C.UTF-8

case ${1:-} in
    -h | --help)
        echo 'usage: tests/size.sh [PROGRAM...]'
        echo 'Weighs these programs in dist/ (default: all that tests/size.txt names). RECORD=1: writes down what they weigh.'
        exit ;;
    -*) echo "tests/size.sh: unknown argument '$1', see tests/size.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh
list=tests/size.txt
names=("$@")
[ $# != 0 ] || mapfile -t names < <(sed '/^#/d; s/ .*//' $list)
recorded() { sed -n "s/^$1 \([0-9]*\)$/\1/p" $list; }
for name in "${names[@]}"; do
    [ -n "$(recorded "$name")" ] || { echo "tests/size.sh: $list has no $name" >&2; exit 2; }
    needs "dist/$name"
done

if [ -n "${RECORD:-}" ]; then
    for name in "${names[@]}"; do
        sed -i "s/^$name .*/$name $(stat -c %s "dist/$name")/" $list
    done
    sed '/^#/d' $list
    exit
fi

# as_recorded BYTES RECORDED: 1 % is what another version of the compiler may cost.
as_recorded() {
    local percent
    percent=$(awk -v now="$1" -v then="$2" 'BEGIN { printf "%+.2f %%", (now - then) * 100 / then }')
    if (($1 * 100 > $2 * 101)); then
        echo "$1 bytes, $2 are recorded, $percent: say why in the commit and record the new size: make size RECORD=1"
        return 1
    elif (($1 * 100 < $2 * 99)); then
        echo "$1 bytes, $2 are recorded, $percent: record the new size, so that nothing grows into the room: make size RECORD=1"
        return 1
    fi
}
check 'taken: 1 % more' as_recorded 10100 10000
check 'taken: 1 % less' as_recorded 9900 10000
check 'refused: a byte more' refuses 'say why in the commit' as_recorded 10101 10000
check 'refused: a byte less' refuses 'record the new size' as_recorded 9899 10000
for name in "${names[@]}"; do
    bytes=$(stat -c %s "dist/$name")
    check "$name: $bytes bytes" as_recorded "$bytes" "$(recorded "$name")"
done

verdict
