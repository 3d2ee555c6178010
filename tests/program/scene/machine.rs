//! A machine made of files: the env block's two copies, a kernel command line, a data folder, and no disks.

use std::fs;
use std::path::Path;

use kubesolo_boot::cli::flags::Flag;
use kubesolo_boot::cli::verbs::Row;
use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use kubesolo_core::boot::env_copies::Bytes;
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;

use super::{Folder, Ran, binary, run};

pub struct Machine {
    pub folder: Folder,
}

impl Machine {
    /// A machine whose two copies hold these bytes (`None`: no such file), booted from slot A.
    pub fn with_copies(first: Option<&[u8]>, second: Option<&[u8]>) -> Machine {
        let machine = Machine { folder: Folder::new() };
        for (name, bytes) in [("grubenv", first), ("grubenv.bak", second)] {
            if let Some(bytes) = bytes {
                machine.folder.write(&format!("esp/{name}"), bytes);
            }
        }
        for name in ["esp", "sys", "dev", "data"] {
            fs::create_dir_all(machine.folder.path(name)).unwrap();
        }
        machine
            .cmdline("BOOT_IMAGE=/vmlinuz console=ttyS0 ksolo.slot=A ksolo.state=good ksolo.counter=2 ksolo.via=auto");
        machine.folder.write("conf", "");
        machine.folder.write("image.conf", "");
        machine
    }

    pub fn with_block(block: &EnvBlock<Bytes>) -> Machine {
        Machine::with_copies(Some(block.bytes()), Some(block.bytes()))
    }

    pub fn with_state(state: BootState) -> Machine {
        Machine::with_block(&block_of(state))
    }

    /// Makes both copies hold this state.
    pub fn set(&self, state: BootState) {
        for name in ["esp/grubenv", "esp/grubenv.bak"] {
            self.folder.write(name, block_of(state).bytes());
        }
    }

    pub fn cmdline(&self, text: &str) {
        self.folder.write("cmdline", text);
    }

    pub fn booted(self, slot: Slot) -> Machine {
        self.cmdline(&format!("ksolo.slot={slot} ksolo.via=auto"));
        self
    }

    /// The flags that keep the program off the machine that the tests run on.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        for (flag, name) in [
            ("--grubenv", "esp/grubenv"),
            ("--cmdline", "cmdline"),
            ("--data", "data"),
            ("--conf", "conf"),
            ("--sys", "sys"),
            ("--dev", "dev"),
            ("--boot-id", "boot_id"),
            ("--run", "run"),
            ("--image-conf", "image.conf"),
        ] {
            flags.extend([flag.to_owned(), self.folder.text(name)]);
        }
        flags
    }

    /// Those of them that the verb takes.
    pub fn flags_of(&self, verb: &str) -> Vec<String> {
        let takes = |flag: &str| Row::of(verb).is_none_or(|row| Flag::of(flag).unwrap().is_of(row.name));
        self.flags().chunks(2).filter(|pair| takes(&pair[0])).flatten().cloned().collect()
    }

    /// Runs a verb; `words` are split at spaces.
    pub fn run(&self, words: &str) -> Ran {
        self.run_words(&words.split(' ').collect::<Vec<_>>())
    }

    pub fn run_words(&self, words: &[&str]) -> Ran {
        let flags = self.flags_of(words[0]);
        run(binary(), words.iter().copied().chain(flags.iter().map(String::as_str)), Path::new("/"))
    }

    /// Both copies as they are on the disk.
    pub fn copies(&self) -> [Option<Vec<u8>>; 2] {
        ["esp/grubenv", "esp/grubenv.bak"].map(|name| self.folder.read(name))
    }

    /// The state, if both copies hold the same block, of the right length and without a defect.
    pub fn state(&self) -> BootState {
        let [first, second] = self.copies().map(Option::unwrap_or_default);
        assert!(first == second, "the copies differ:\n{}\n{}", first.escape_ascii(), second.escape_ascii());
        assert_eq!(first.len(), SIZE);
        let block = EnvBlock::parse(first).unwrap();
        assert_eq!(block.defect(), None);
        let reading = BootState::read_safely(&block, &|slot| panic!("the state of slot {slot} is not recorded"));
        assert!(reading.assumptions.is_empty(), "{:?}", reading.assumptions);
        reading.state
    }
}

pub fn block_of(state: BootState) -> EnvBlock<Bytes> {
    let mut block = EnvBlock::blank();
    state.write_to(&mut block).unwrap();
    block
}

pub fn block_with(pairs: &[(&str, &str)]) -> EnvBlock<Bytes> {
    let mut block = EnvBlock::blank();
    for (name, value) in pairs {
        block.set(name.as_bytes(), value.as_bytes()).unwrap();
    }
    block
}

/// Active slot, counter, success, states of A and B.
pub fn state(active: Slot, counter: u8, success: bool, a: SlotState, b: SlotState) -> BootState {
    BootState { active, counter, success, a, b, rollback_from: None, retry: None, data_excused: false }
}

/// Ways in which a copy that once held `block` can be damaged, by name; `None`: the file is missing. Of those behind
/// `true` the variables can still be read.
pub fn damages(block: &EnvBlock<Bytes>) -> Vec<(&'static str, bool, Option<Vec<u8>>)> {
    let whole = block.bytes().to_vec();
    let text = block.text_len();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        Some(bytes)
    };
    vec![
        ("missing", false, None),
        ("empty", false, Some(Vec::new())),
        ("header only", false, with(&|bytes| bytes.truncate(25))),
        ("short", true, with(&|bytes| bytes.truncate(text + 40))),
        ("short by its padding", true, with(&|bytes| bytes.truncate(text))),
        ("one byte short", true, with(&|bytes| bytes.truncate(SIZE - 1))),
        ("one byte long", true, with(&|bytes| bytes.push(b'#'))),
        ("long", true, with(&|bytes| bytes.resize(4096, b'#'))),
        ("very long", true, with(&|bytes| bytes.resize(1 << 20, 0))),
        ("header corrupt", false, with(&|bytes| bytes[3] ^= 0x20)),
        ("zeros", false, Some(vec![0; SIZE])),
        ("all ones", false, Some(vec![0xff; SIZE])),
        ("blank", false, Some(EnvBlock::blank().bytes().to_vec())),
        ("NUL padding", true, with(&|bytes| bytes[text..].fill(0))),
        ("newline at the end", true, with(&|bytes| bytes[SIZE - 1] = b'\n')),
        (
            "a name twice",
            true,
            with(&|bytes| {
                let line = b"boot_counter=3\n";
                bytes[text..text + line.len()].copy_from_slice(line);
            }),
        ),
        ("first sector lost", false, with(&|bytes| bytes[..512].fill(0))),
    ]
}
