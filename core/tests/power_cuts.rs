//! The power may go at any moment of writing the two copies of the env block: after it, `choose` gives the old boot
//! state or the new one, and the same write again completes.
//!
//! The medium here is a strict one: a sector of 512 bytes is written whole or not at all, and of what was not synced any
//! part, in any order, may have reached it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed"
)]

mod scene;

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use kubesolo_core::boot::env_block::{EnvBlock, ONE_SECTOR, SIZE};
use kubesolo_core::boot::env_copies::{self, Bytes, CopyFault, Found, Source, choose, replace};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::disk::storage::Storage;
use scene::faults::{Failing, Fault};
use scene::medium::{Fuse, Medium};

/// How one copy is written: as the program does, or wrongly.
type Way = fn(&mut Medium, &mut Found, &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>>;

/// The two copies, first and second.
type Copies = [Medium; 2];

/// The order of `EnvFiles::store`: the first copy, then the second, each only if it differs; the length at the end.
fn store(
    copies: &mut Copies,
    order: [usize; 2],
    way: Way,
    new: &EnvBlock<Bytes>,
) -> Result<(), env_copies::Error<Fault>> {
    for which in order {
        let copy = &mut copies[which];
        let mut found = Found::with(&copy.cached);
        if found.holds(new) {
            continue;
        }
        let whole = found.whole().is_some();
        way(copy, &mut found, new)?;
        if !whole {
            copy.truncate(SIZE)?;
            copy.sync()?;
        }
    }
    Ok(())
}

/// The state that the box goes by, and whether it found a copy that names a slot.
fn state_of(first: &[u8], second: &[u8]) -> Option<BootState> {
    let (first, second) = (Found::with(first), Found::with(second));
    let (block, source) = choose(&first, &second)?;
    if source == Source::NoActiveSlot {
        return None;
    }
    let reading = BootState::read_safely(&block, &|_| false);
    reading.assumptions.is_empty().then_some(reading.state)
}

fn block(state: BootState, extra: &[(&str, &str)]) -> EnvBlock<Bytes> {
    let mut block = EnvBlock::blank();
    state.write_to(&mut block).unwrap();
    for (name, value) in extra {
        block.set(name.as_bytes(), value.as_bytes()).unwrap();
    }
    block
}

fn bytes(block: &EnvBlock<Bytes>) -> &Bytes {
    block.bytes().first_chunk().unwrap()
}

/// What a run of all cuts of one write found.
#[derive(Debug, Default)]
struct Replayed {
    stops: usize,
    outcomes: usize,
    wrong: Vec<String>,
}

/// Cuts the write of `new` over `old` (what the copies hold) at every step, and looks at everything that the medium may
/// then hold.
fn replay(old: [&[u8]; 2], new: &EnvBlock<Bytes>, order: [usize; 2], way: Way) -> Replayed {
    let start = || old.map(Medium::holding);
    let (before, after) = (state_of(old[0], old[1]), state_of(new.bytes(), new.bytes()));
    assert!(before.is_some() && after.is_some());

    let fuse = Fuse::endless();
    store(&mut start().map(|copy| copy.on(&fuse)), order, way, new).unwrap();
    let steps = fuse.steps();
    let mut replayed = Replayed::default();
    for stop in 0..=steps {
        let fuse = Fuse::blows_after(stop);
        let mut copies = start().map(|copy| copy.on(&fuse));
        let ended = store(&mut copies, order, way, new);
        assert_eq!(ended.is_ok(), stop == steps, "stop {stop} of {steps}");
        replayed.stops += 1;
        for first in copies[0].after_cut() {
            for second in copies[1].after_cut() {
                replayed.outcomes += 1;
                let now = state_of(&first, &second);
                if now != before && now != after {
                    replayed.wrong.push(format!("stop {stop} of {steps}: {now:?}, neither {before:?} nor {after:?}"));
                    continue;
                }
                // The box comes back and does it again.
                let mut again = [Medium::holding(&first), Medium::holding(&second)];
                store(&mut again, [0, 1], replace, new).unwrap();
                assert!(again.iter().all(|copy| copy.durable == new.bytes() && copy.pending.is_empty()));
            }
        }
    }
    replayed
}

/// A sample in which every value of every variable turns up.
fn states() -> Vec<BootState> {
    let mut states = Vec::new();
    for active in Slot::BOTH {
        for (a, b) in SlotState::ALL.into_iter().flat_map(|a| SlotState::ALL.map(|b| (a, b))) {
            let counter = (states.len() % 4) as u8;
            let rollback_from = [None, None, Some(!active)][states.len() % 3];
            states.push(BootState {
                active,
                counter,
                success: counter == 3,
                a,
                b,
                rollback_from,
                retry: None,
                data_excused: false,
            });
        }
    }
    states
}

const IN_ORDER: [usize; 2] = [0, 1];

#[test]
fn an_uncut_write_changes_one_sector_of_each_copy() {
    for (old, new) in states().into_iter().zip(states().into_iter().skip(1)) {
        let (old, new) = (block(old, &[]), block(new, &[]));
        let mut copies = [Medium::holding(old.bytes()), Medium::holding(old.bytes())];
        store(&mut copies, IN_ORDER, replace, &new).unwrap();
        for copy in &copies {
            assert_eq!((copy.sectors_written, copy.syncs), (1, 1));
            assert_eq!(copy.durable, new.bytes());
            assert_ne!(copy.durable, old.bytes());
            assert_eq!(copy.durable[ONE_SECTOR..], old.bytes()[ONE_SECTOR..]);
        }
        let written = copies.clone().map(|copy| copy.sectors_written);
        store(&mut copies, IN_ORDER, replace, &new).unwrap();
        assert_eq!(copies.map(|copy| copy.sectors_written), written, "a second run has nothing to write");
    }
}

#[test]
fn a_cut_leaves_the_old_state_or_the_new_one() {
    let states = states();
    let (mut pairs, mut stops, mut outcomes) = (0, 0, 0);
    // A step of 7 through 50 states meets them all.
    for (number, old) in states.iter().enumerate() {
        for new in states.iter().skip(number % 7).step_by(7).filter(|new| *new != old) {
            // GRUB counts in the first copy only, so the second is often an older one.
            let older = states[(number + 3) % states.len()];
            let (old, new, older) = (block(*old, &[]), block(*new, &[]), block(older, &[]));
            for second in [&old, &older] {
                let replayed = replay([old.bytes(), second.bytes()], &new, IN_ORDER, replace);
                assert!(replayed.wrong.is_empty(), "{:?}", replayed.wrong);
                assert!(replayed.stops >= 3, "{replayed:?}");
                pairs += 1;
                stops += replayed.stops;
                outcomes += replayed.outcomes;
            }
        }
    }
    println!("{pairs} pairs of states, {stops} stops, {outcomes} outcomes");
    assert!(pairs > 600);
}

#[test]
fn a_cut_of_a_repair_leaves_the_old_state_or_the_new_one() {
    let old_state = BootState::fresh(SlotState::Staged);
    let new_state = old_state.activate(Slot::B).unwrap();
    let (old, new) = (block(old_state, &[]), block(new_state, &[]));
    let old_block = old;
    let old = bytes(&old_block);
    let mut nul = *old;
    nul.iter_mut().rev().take_while(|byte| **byte == b'#').for_each(|byte| *byte = 0);
    let mut long = old.to_vec();
    long.resize(2048, b'#');
    let mut corrupt = *old;
    corrupt[0] = b'?';
    let mut other_tail = *old;
    other_tail[ONE_SECTOR..].fill(b'\n');
    let mut twice = *bytes(&block(old_state, &[("slot_?", "bad")]));
    let at = twice.windows(6).position(|window| window == b"slot_?").unwrap();
    twice[at + 5] = b'A';
    let damaged: &[(&str, &[u8])] = &[
        ("a name twice", &twice),
        ("missing or empty", &[]),
        ("header only", &old[..25]),
        ("short, behind the variables", &old[..600]),
        ("short, within the padding of the first sector", &old[..300]),
        ("long", &long),
        ("padded with NUL", &nul),
        ("corrupt", &corrupt),
        ("no block at all", &[0; SIZE]),
        ("another tail", &other_tail),
    ];
    let whole = ("whole", &old[..]);
    for (first_name, first) in damaged.iter().chain([&whole]) {
        for (second_name, second) in damaged.iter().chain([&whole]) {
            if state_of(first, second).is_none() {
                continue;
            }
            // The repair alone, and together with a change.
            for new in [&old_block, &new] {
                let replayed = replay([first, second], new, IN_ORDER, replace);
                assert!(replayed.wrong.is_empty(), "{first_name}, {second_name}: {:#?}", replayed.wrong);
            }
        }
    }
}

#[test]
fn variables_of_others_behind_the_first_sector_are_torn_at_worst_themselves() {
    let states = states();
    let filler = "x".repeat(300);
    for (count, extra) in
        [vec![("a", &filler[..]), ("b", &filler[..100])], vec![("a", &filler[..]), ("b", &filler[..])]]
            .iter()
            .enumerate()
    {
        for pair in states.windows(2) {
            let (old, new) = (block(pair[0], &[]), block(pair[1], extra));
            let replayed = replay([old.bytes(), old.bytes()], &new, IN_ORDER, replace);
            assert!(replayed.wrong.is_empty(), "{count}: {:#?}", replayed.wrong);
        }
    }
}

/// Whether what was written is durable at the end, and whether a cut shows a wrong state.
struct Caught {
    durable: bool,
    wrong: bool,
}

/// Each of these is wrong, and each is caught in one way at least.
const WRONG_WAYS: &[(&str, [usize; 2], Way, Caught)] = &[
    ("truncate both, sync neither", IN_ORDER, truncate_unsynced, Caught { durable: false, wrong: true }),
    ("one sector, never synced", IN_ORDER, write_unsynced, Caught { durable: false, wrong: false }),
    ("a part of the sector at a time", IN_ORDER, in_parts, Caught { durable: true, wrong: true }),
    ("the active slot first, the rest after it", IN_ORDER, in_two_transactions, Caught { durable: true, wrong: true }),
];

fn write_unsynced(copy: &mut Medium, _: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>> {
    copy.seek(SeekFrom::Start(0))?;
    copy.write(&new.bytes()[..ONE_SECTOR])?;
    Ok(())
}

fn truncate_unsynced(copy: &mut Medium, _: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>> {
    copy.truncate(0)?;
    copy.seek(SeekFrom::Start(0))?;
    copy.write(new.bytes())?;
    Ok(())
}

fn in_parts(copy: &mut Medium, _: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>> {
    for (at, end) in [(0, 110), (110, ONE_SECTOR)] {
        copy.seek(SeekFrom::Start(at as u64))?;
        copy.write(&new.bytes()[at..end])?;
        copy.sync()?;
    }
    Ok(())
}

fn in_two_transactions(
    copy: &mut Medium,
    old: &mut Found,
    new: &EnvBlock<Bytes>,
) -> Result<(), env_copies::Error<Fault>> {
    let mut between = old.block().unwrap().canonical();
    let active: Vec<u8> = new.get("active_slot").unwrap().bytes().collect();
    between.set(b"active_slot", &active).unwrap();
    replace(copy, old, &between)?;
    replace(copy, old, new)
}

#[test]
fn the_replay_catches_a_wrong_order() {
    let old_state = BootState::fresh(SlotState::Staged);
    let new_state = old_state.activate(Slot::B).unwrap();
    let (old, new) = (block(old_state, &[]), block(new_state, &[]));
    for (name, order, way, caught) in WRONG_WAYS {
        let mut copies = [Medium::holding(old.bytes()), Medium::holding(old.bytes())];
        store(&mut copies, *order, *way, &new).unwrap();
        assert_eq!(copies.iter().all(|copy| copy.pending.is_empty()), caught.durable, "{name}");
        let replayed = replay([old.bytes(), old.bytes()], &new, *order, *way);
        assert_eq!(!replayed.wrong.is_empty(), caught.wrong, "{name}");
        assert!(!caught.durable || caught.wrong);
    }
}

/// Truncating first, as grub-editenv does, but with a sync after each copy: the other copy carries the box through, and
/// nothing else does.
#[test]
fn a_copy_that_is_truncated_first_needs_the_other_one() {
    fn truncate_first(copy: &mut Medium, _: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>> {
        copy.truncate(0)?;
        copy.seek(SeekFrom::Start(0))?;
        copy.write(new.bytes())?;
        copy.sync()?;
        Ok(())
    }
    let old_state = BootState::fresh(SlotState::Staged);
    let new_state = old_state.activate(Slot::B).unwrap();
    let (old, new) = (block(old_state, &[]), block(new_state, &[]));
    let replayed = replay([old.bytes(), old.bytes()], &new, IN_ORDER, truncate_first);
    assert!(replayed.wrong.is_empty(), "{:#?}", replayed.wrong);
    for (copies, order) in [([old.bytes(), b""], IN_ORDER), ([b"", old.bytes()], [1, 0])] {
        assert!(!replay(copies, &new, order, truncate_first).wrong.is_empty());
        assert!(replay(copies, &new, order, replace).wrong.is_empty());
    }
}

#[test]
fn what_replace_wrote_is_durable() {
    for pair in states().windows(2) {
        let (old, new) = (block(pair[0], &[]), block(pair[1], &[]));
        for old in [old.bytes(), &[]] {
            let mut copy = Medium::holding(old);
            let mut found = Found::with(old);
            replace(&mut copy, &mut found, &new).unwrap();
            assert!(found.holds(&new), "what is read back is what it holds now");
            assert_eq!(copy.after_cut(), [new.bytes()]);
        }
    }
}

/// A medium on which something else happens whenever it is synced.
struct Meddled<'a> {
    medium: Medium,
    syncs: usize,
    at_sync: &'a dyn Fn(usize, &mut Medium),
}

impl ErrorType for Meddled<'_> {
    type Error = Fault;
}

impl Read for Meddled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.medium.read(buffer)
    }
}

impl Write for Meddled<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        self.medium.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Seek for Meddled<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Fault> {
        self.medium.seek(to)
    }
}

impl Storage for Meddled<'_> {
    fn sync(&mut self) -> Result<(), Fault> {
        self.medium.pending.clear();
        self.medium.durable = self.medium.cached.clone();
        (self.at_sync)(self.syncs, &mut self.medium);
        self.medium.cached = self.medium.durable.clone();
        self.syncs += 1;
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<(), Fault> {
        self.medium.drop_cache()
    }
}

#[test]
fn a_disk_that_fails_is_told_from_another_program() {
    use env_copies::Error::{Changed, NotTaken};

    let (old, new) = (block(BootState::fresh(SlotState::Empty), &[]), block(BootState::fresh(SlotState::Good), &[]));
    let others = block(BootState::fresh(SlotState::Empty), &[("other", "1")]);
    let meddled = |at_sync: &dyn Fn(usize, &mut Medium)| {
        let mut copy = Meddled { medium: Medium::holding(old.bytes()), syncs: 0, at_sync };
        replace(&mut copy, &mut Found::with(old.bytes()), &new)
    };
    let set = |to: &[u8], medium: &mut Medium| medium.durable = to.to_vec();
    assert_eq!(meddled(&|_, _| ()), Ok(()));
    // It keeps the old bytes, or makes garbage of the new ones: at once, and at the second try.
    assert_eq!(meddled(&|_, medium| set(old.bytes(), medium)), Err(NotTaken));
    assert_eq!(meddled(&|_, medium| medium.durable[3] ^= 1), Err(NotTaken));
    // The second try goes through.
    assert_eq!(
        meddled(&|sync, medium| if sync == 0 {
            set(old.bytes(), medium)
        }),
        Ok(())
    );
    assert_eq!(
        meddled(&|sync, medium| if sync == 0 {
            medium.durable[3] ^= 1
        }),
        Ok(())
    );
    // Another program's block, and the file as grub-editenv leaves it for a moment. Neither is written over.
    assert_eq!(meddled(&|_, medium| set(others.bytes(), medium)), Err(Changed));
    assert_eq!(meddled(&|_, medium| set(b"", medium)), Err(Changed));
    assert_eq!(meddled(&|_, medium| set(&new.bytes()[..ONE_SECTOR], medium)), Err(Changed));
    // It is not known then what GRUB goes by.
    let mut copy = Meddled { medium: Medium::holding(b""), syncs: 0, at_sync: &|_, medium| set(b"", medium) };
    let mut found = Found::with(b"");
    assert_eq!(replace(&mut copy, &mut found, &new), Err(Changed));
    assert_eq!(found.fault(), Some(CopyFault::Changing));
}

/// A copy for [`env_copies::store_both`].
struct InMemory<'a>(&'a mut Medium);

impl env_copies::CopyFile for InMemory<'_> {
    type Error = env_copies::Error<Fault>;

    fn replace(&mut self, found: &mut Found, new: &EnvBlock<Bytes>) -> Result<(), Self::Error> {
        replace(self.0, found, new)
    }

    fn sync_length(&mut self) -> Result<(), Self::Error> {
        self.0.truncate(SIZE)?;
        Ok(self.0.sync()?)
    }

    fn hide(&mut self) -> Result<(), Self::Error> {
        env_copies::hide(self.0)
    }
}

fn store_both(copies: &mut Copies, new: &EnvBlock<Bytes>) -> Result<(), env_copies::Error<Fault>> {
    let mut found = copies.each_ref().map(|copy| Found::with(&copy.cached));
    let [first, second] = copies;
    env_copies::store_both([InMemory(first), InMemory(second)], found.each_mut(), new, true)?.map_or(Ok(()), Err)
}

/// A sync that fails leaves the new bytes in the cache, and Linux counts them as written.
#[test]
fn what_a_failed_sync_did_not_write_is_written_by_the_next_run() {
    let [old, new] = [SlotState::Staged, SlotState::Empty].map(|b| block(BootState::fresh(b), &[]));
    for failing in 0..2 {
        let mut copies = [Medium::holding(old.bytes()), Medium::holding(old.bytes())];
        copies[failing].faults.sync = Some(Failing { after: 0, stays: false });
        let mut store = || {
            let mut found = [0, 1].map(|_| Found::nothing(CopyFault::Missing));
            let [first, second] = &mut copies;
            found[0].read(first).unwrap();
            found[1].read(second).unwrap();
            env_copies::store_both([InMemory(first), InMemory(second)], found.each_mut(), &new, true)
        };
        assert!(!matches!(store(), Ok(None)), "copy {failing}: the sync fails");
        assert_eq!(store(), Ok(None), "copy {failing}");
        assert!(copies.iter().all(|copy| copy.durable == new.bytes()), "copy {failing}");
    }
}

/// Other programs' variables push ours about: every byte of the block that counts is the old one's or the new one's.
#[test]
fn a_cut_of_a_block_that_takes_two_sectors_leaves_the_old_block_or_the_new_one() {
    let staged = BootState::fresh(SlotState::Staged);
    let trial = BootState { data_excused: true, ..staged.activate(Slot::B).unwrap() };
    let mut outcomes = 0;
    for len in [300, 330, 345, 346, 347, 360, 400, 600] {
        let note = "x".repeat(len);
        let foreign_first = {
            let mut block = EnvBlock::blank();
            block.set(b"note", note.as_bytes()).unwrap();
            staged.write_to(&mut block).unwrap();
            block.set(b"next", b"entry").unwrap();
            block
        };
        let ours_first = block(staged, &[("note", &note), ("next", "entry")]);
        for old in [foreign_first, ours_first] {
            let new = trial.into_block(&old).unwrap();
            let start = || [Medium::holding(old.bytes()), Medium::holding(old.bytes())];
            let fuse = Fuse::endless();
            store_both(&mut start().map(|copy| copy.on(&fuse)), &new).unwrap();
            for stop in 0..=fuse.steps() {
                let fuse = Fuse::blows_after(stop);
                let mut copies = start().map(|copy| copy.on(&fuse));
                store_both(&mut copies, &new).unwrap_or_default();
                for (first, second) in copies[0]
                    .after_cut()
                    .iter()
                    .flat_map(|first| copies[1].after_cut().into_iter().map(move |second| (first.clone(), second)))
                {
                    outcomes += 1;
                    let found = [Found::with(&first), Found::with(&second)];
                    let (now, _) = choose(&found[0], &found[1]).unwrap();
                    assert!(
                        now.bytes() == old.bytes() || now.bytes() == new.bytes(),
                        "{len}, stop {stop}: {}",
                        now.bytes().escape_ascii()
                    );
                    let mut again = [Medium::holding(&first), Medium::holding(&second)];
                    store_both(&mut again, &new).unwrap();
                    assert!(again.iter().all(|copy| copy.durable == new.bytes()));
                }
            }
        }
    }
    println!("{outcomes} outcomes");
    assert!(outcomes > 200, "{outcomes}");
}
