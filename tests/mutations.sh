#!/bin/bash
# Have the crash proofs teeth? Each order that matters is broken in the real flow, in a copy of the core, and a test must see it.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh

copy=build/mutations/tree
rm -rf $copy
mkdir -p $copy
cp -R core Cargo.lock $copy/
# Of the workspace only the core is needed.
{
    printf '[workspace]\nmembers = ["core"]\nresolver = "3"\n\n'
    awk '/^\[/ { on = /^\[(workspace\.lints|profile\.test)/ } on' Cargo.toml
} >$copy/Cargo.toml
# core_test CASES TEST [NAME]: this test of the copy, with so many random cases.
core_test() {
    (cd $copy && PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc KSOLO_CASES=$1 \
        cargo test --offline --target-dir ../target --package kubesolo-core --test "${@:2}")
}
# The quick ones first: most orders are seen by them.
proofs() {
    core_test 1/24 crash_sim uncut && core_test 4000 simulator && core_test 1/24 crash_sim && core_test 1/24 power_cuts
}

# caught FILE PERL: that file of the core is changed by the expression; it compiles, and a test fails.
caught() {
    local file=core/src/$1 ended
    perl -0pi -e "$2" "$copy/$file"
    if cmp -s "$file" "$copy/$file"; then
        echo "nothing of $file is changed by $2: it is another than this script knows"
        return 1
    fi
    (cd $copy && PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc cargo check --offline --target-dir ../target --package kubesolo-core) \
        >"$work/proofs" 2>&1 && ! proofs >>"$work/proofs" 2>&1
    ended=$?
    [ $ended = 0 ] || tail -n 12 "$work/proofs"
    cp "$file" "$copy/$file"
    return $ended
}

check 'as it is, all pass' proofs
check 'install: staged before it is verified' caught flow/install.rs \
    's/( +machine\.verify\(target\)\?;\n)( +machine\.change\(Change::Stage\)\?;\n)/$2$1/'
check 'install: written before it is invalidated' caught flow/install.rs \
    's/( +machine\.change\(Change::Invalidate\)\?;\n)( +machine\.remove_leftovers\(\)\?;\n +machine\.write_images\(\)\?;\n)/$2$1/'
check 'install: names are not synced' caught flow/install.rs 's/ +machine\.sync_names\(\)\?;\n//'
check 'activate: flipped before it is verified' caught flow/activate.rs \
    's/(    if let Err\(error\) = machine\.verify.*?\n    \}\n)(.*?let changed = .*?\n)/$2$1/s'
check 'activate: what rots stays staged' caught flow/activate.rs 's/ +machine\.change\(Change::MarkBad\)\?;\n//'
check 'apply: an image that was given up is forgotten' caught flow/apply.rs 's/ +outcome::remember_bad\(machine, state, target\);\n//'
check 'apply: state.json names another image while one is staged' caught flow/apply.rs \
    's/ +machine\.change\(Change::Invalidate\)\?;\n//'
check 'commit: recorded before it is one' caught flow/outcome.rs \
    's/ +committed\(machine, changed\.ran_a_trial\(\)\);\n//; s/( +let changed = machine\.change\(Change::Commit\)\?;\n)/    committed(machine, true);\n$1/'
check 'a way back: the image is not remembered' caught flow/outcome.rs \
    's/(if is_image \|\| !matches!\(state\.phase\(\), Phase::Success \| Phase::RolledBack\) \{\n) +remember_bad\(machine, state, left\);\n/$1/'
check 'rollback: the block forgets before it is recorded' caught flow/outcome.rs \
    's/if went_back\(machine, left, true, why\) \{/if { ignore(machine.change(Change::Recorded(left)), ""); went_back(machine, left, true, why) } {/'
check 'init: rollback_from is cleared before it is recorded' caught flow/init.rs \
    's/\n +&& given_up\(machine, slot, &before\)//; s/( +machine\.store\(&record\.block\)\?;\n)( +if before\.slot)/$1    if let Some(slot) = before.rollback_from { given_up(machine, slot, &before); }\n$2/'
check 'init: commits a trial that the health check decides about' caught flow/init.rs 's/may_commit && init_decides/may_commit/'
check 'init: a good slot is marked only with its data' caught flow/init.rs \
    's/\.and_then\(\|record\| mark_good\(machine, record\)\)//; s/(let decision = )/if data.is_err() \{ return Ended \{ decision: Decision::GoOn \{ may_commit: false \}, record, data \} \}\n    $1/'
check 'init: a copy that is damaged stays so' caught flow/init.rs 's/if !machine\.are_whole\(\) \{/if false {/; s/machine\.store\(&record\.block\)/if false { machine.store(&record.block) } else { Ok(()) }/g'
check 'healthcheck: an unhealthy trial is committed' caught flow/healthcheck.rs 's/if reasons\.is_empty\(\)/if true/'
check 'healthcheck: one failure more than allowed' caught flow/healthcheck.rs 's/failures < most/failures <= most/'
check 'a new file: named before it is synced' caught flow/partial_file.rs \
    's/( +file\.sync\(\)\?;\n)( +file\.name\(\))\n(\}\n)/$2?;\n    file.sync()\n$3/'
check 'a download: the resume point before the bytes' caught flow/partial_file.rs \
    's/( +file\.sync\(\)\?;\n)( +file\.set_resume_point\(len\))\n/$2?;\n    file.sync()\n/'
check 'a download begun anew: the resume point outlives its bytes' caught flow/partial_file.rs \
    's/( +file\.set_resume_point\(0\)\?;\n)( +file\.sync\(\)\?;\n)/$2$1/'
check 'the block: the second copy before the first' caught boot/env_copies.rs \
    's/match store\(first, found_first, new\) \{\n( +)Ok\(\(\)\) if make_second => Ok\(store\(second, found_second, new\)\.err\(\)\)/let spare = store(second, found_second, new).err();\n    match store(first, found_first, new) {\n$1Ok(()) if make_second => Ok(spare)/; s/Err\(error\) if uses_second.*?\n        \}\n//s'
check 'commit: an update that was given up is a success of the old slot' caught flow/outcome.rs \
    's/if changed\.ran_a_trial\(\) \|\| [^{]*\{/if true {/'
check 'rollback: nothing stands for a state.json that cannot be written' caught boot/state.rs \
    's/(SlotState::Trial => \(SlotState::Bad, )Some\(left\)\)/$1self.rollback_from)/'
check 'GRUB gave it up: rollback_from is cleared though state.json cannot be written' caught flow/outcome.rs \
    's/machine\.if_recorded\(recorded\)\.is_some\(\)/machine.if_recorded(recorded);\n    true/'
check 'apply: goes on though state.json cannot be written' caught flow/apply.rs \
    's/machine\.store_state\(state, Phase::Downloading\)\?;/drop(machine.store_state(state, Phase::Downloading));/'
check 'the block: what a failed sync lost counts as written' caught boot/env_copies.rs \
    's/ +copy\.drop_cache\(\)\?;\n(        self\.len)/$1/; s/(    copy\.sync\(\)\?;\n)(    found\.read_up_to)/$1    copy.drop_cache()?;\n$2/'
verdict
