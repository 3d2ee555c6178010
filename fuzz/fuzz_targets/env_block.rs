//! GRUB's environment block, and edits of it: `BLOCK`, then after each byte `ff` an edit, `NAME=VALUE` or `NAME` to unset.
//!
//! A block stays as long as it is, and parses; an edit that does not fit changes nothing, one that does changes one
//! variable, and those that it does not name keep value and place. Whatever stands in it, a boot state comes of it.
#![no_main]

use kubesolo_core::boot::env_block::{BlockDefect, EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::{CopyFault, Found, choose};
use kubesolo_core::boot::state::{self, BootState};
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

/// More are slow, and nothing new.
const EDITS_MAX: usize = 16;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(block: &EnvBlock<impl AsRef<[u8]>>) -> Pairs {
    block.variables().map(|var| (var.name.to_vec(), var.value.bytes().collect())).collect()
}

/// Whether a line can begin with the name and be found again by it.
fn is_plain(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| b"#=\n\\".contains(byte))
}

fuzz_target!(|input: &[u8]| {
    bounded(|| {
        let mut words = input.split(|byte| *byte == 0xff);
        let file = words.next().unwrap_or_default();
        let edits: Vec<&[u8]> = words.take(EDITS_MAX).collect();
        // The whole of it too: a block may hold any byte.
        for file in [file, input] {
            boot_state_of(file);
            let Ok(block) = EnvBlock::parse(file) else { continue };
            assert_eq!(block.bytes(), file, "parse and encode are the identity");
            let rebuilt = block.rebuilt();
            assert!(matches!(rebuilt.defect(), None | Some(BlockDefect::Padding)), "{:?}", rebuilt.defect());
            assert!(rebuilt.defect().is_none() || rebuilt.text_len() == SIZE);
        }
        if let Ok(block) = EnvBlock::parse(file.to_vec()) {
            edited(block, &edits);
        }
        edited(EnvBlock::blank(), &edits);
    });
});

fn boot_state_of(file: &[u8]) {
    let found = Found::with(file);
    let (none, flaw) = (Found::nothing(CopyFault::Missing), found.fault());
    let Some((block, _)) = choose(&none, &found) else { return };
    let sound = block.canonical();
    for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
        let reading = BootState::read_safely(&block, &|slot| if slot.name() == "A" { a } else { b });
        assert_eq!(flaw == Some(CopyFault::NoSlot), !state::names_a_slot(&block));
        let mut sound = sound.clone();
        if reading.state.write_to(&mut sound).is_ok() {
            let again = BootState::read_safely(&sound, &|_| panic!("no state is unrecorded now"));
            assert_eq!((again.state, again.assumptions.len()), (reading.state, 0), "written and read back");
        }
    }
}

fn edited<B: AsRef<[u8]> + AsMut<[u8]> + Clone>(mut block: EnvBlock<B>, edits: &[&[u8]]) {
    let len = block.bytes().len();
    for edit in edits {
        let before = block.clone();
        let (name, value) = match edit.iter().position(|byte| *byte == b'=') {
            Some(at) => (&edit[..at], Some(&edit[at + 1..])),
            None => (*edit, None),
        };
        let fits = match value {
            Some(value) => block.set(name, value).is_ok(),
            None => {
                block.unset(name);
                true
            }
        };
        assert!(fits || block.bytes() == before.bytes(), "what does not fit changes nothing");
        assert_eq!(block.bytes().len(), len, "a block never grows");
        let again = EnvBlock::parse(block.bytes()).expect("an edited block parses");
        assert!(again.text_len() == block.text_len() && again.variables().eq(block.variables()));
        // Where a line is no variable, names and lines can run into each other: grub-editenv's own ways, which
        // tests/program/grub_editenv.rs has.
        let plain = before.defect().is_none() && before.variables().all(|var| is_plain(var.name));
        if fits && plain && is_plain(name) {
            assert_eq!(pairs(&block), model(&before, name, value), "after {}", edit.escape_ascii());
        }
    }
}

/// What the variables are after the edit.
fn model(before: &EnvBlock<impl AsRef<[u8]>>, name: &[u8], value: Option<&[u8]>) -> Pairs {
    let mut pairs = pairs(before);
    let place = pairs.iter().position(|(other, _)| other == name);
    match (place, value) {
        (Some(place), Some(value)) => pairs[place].1 = value.to_vec(),
        (Some(place), None) => drop(pairs.remove(place)),
        (None, Some(value)) => pairs.push((name.to_vec(), value.to_vec())),
        (None, None) => {}
    }
    pairs
}
