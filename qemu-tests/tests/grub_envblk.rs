//! The env block against GRUB itself: blocks that our code wrote are loaded, told and edited by GRUB in QEMU, ours edits
//! what GRUB saved, and GRUB loads and edits that again. Every byte as our code says.
//!
//! What GRUB has read it tells by `save_env` into another block, for a terminal would wrap and mangle it.
//!
//! Left out, each for a reason:
//! - blocks with a defect ([`EnvBlock::defect`]), into which GRUB saves nothing, or in vain: grub_table.rs has those;
//! - in what GRUB's script sets, carriage returns, which GRUB drops from a script, lines that begin with `#`, which it
//!   drops even inside quotes, NUL, which ends a text there, and `'`, which ends a quoted one. Values of our own edits
//!   hold them, but for NUL;
//! - names that mean something to GRUB or its script: `root`, `prefix`, those that begin with `-`.

use std::time::Duration;

use kubesolo_core::boot::env_block::{EnvBlock, SIZE};
use qemu_tests::bus::Bus;
use qemu_tests::failure::{Result, Step};
use qemu_tests::firmware::Firmware;
use qemu_tests::image::Image;
use qemu_tests::machine::{Machine, Parts};
use qemu_tests::serial::Transcript;
use qemu_tests::{ensure, ensure_eq, grub, paths};

/// How many blocks are made.
const BLOCKS: usize = 200;
/// How often each goes to GRUB and back.
const ROUNDS: usize = 2;
/// Where the blocks stand on the ESP.
const FOLDER: &str = "boot/grub";
const DONE: &str = "every block was loaded and saved";

const NAMES: [&str; 20] = [
    "active_slot",
    "boot_counter",
    "boot_success",
    "slot_A",
    "slot_B",
    "rollback_from",
    "saved_entry",
    "next_entry",
    "a",
    "b",
    "ab",
    "a b",
    "a.b",
    "A-B",
    "_",
    "1",
    "name_that_is_rather_long_for_a_variable",
    "\u{e4}",
    "$a",
    "\\",
];

type Block = EnvBlock<[u8; SIZE]>;

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn name(&mut self) -> &'static [u8] {
        NAMES[self.below(NAMES.len())].as_bytes()
    }

    /// Text that is likely to hit a corner; without the bytes that `not` has.
    fn value(&mut self, not: &[u8]) -> Vec<u8> {
        const COMMON: &[u8] = b"aB0=\\\n#_ '\"$;{}\t\r";
        let most = [3, 12, 12, 60, 500][self.below(5)];
        let any = |random: &mut Self| match random.below(12) {
            0 => random.below(255) as u8 + 1,
            _ => COMMON[random.below(COMMON.len())],
        };
        let mut value: Vec<u8> = (0..self.below(most + 1)).map(|_| any(self)).collect();
        value.retain(|byte| !not.contains(byte));
        value
    }

    /// A block as our code writes it: with the tools' comment or others, from empty to full.
    fn block(&mut self) -> Block {
        let mut block = EnvBlock::blank();
        if self.below(2) == 0 {
            let mut bytes = [b'#'; SIZE];
            let text =
                ["# GRUB Environment Block\n", "# GRUB Environment Block\n# kept = as it is\n#\n"][self.below(2)];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            block = EnvBlock::parse(bytes).expect("a header and padding are a block");
        }
        self.edit(&mut block);
        if self.below(3) == 0 {
            // Nearly full: up to some bytes, or to the last but one.
            let left = SIZE.saturating_sub(block.text_len() + "last=\n".len());
            let room = left.saturating_sub(1 + [0, 1, 5, 30][self.below(4)]);
            block.set(b"last", &vec![b'x'; room]).unwrap_or_default();
        }
        block
    }

    /// What `set` and `unset` of our own make of it.
    fn edit(&mut self, block: &mut Block) {
        for _ in 0..self.below(12) {
            let name = self.name();
            if self.below(4) == 0 {
                block.unset(name);
            } else {
                let before = block.clone();
                // GRUB takes a block without padding for one without room, and saves nothing: a defect.
                if block.set(name, &self.value(b"\0")).is_err() || block.defect().is_some() {
                    *block = before;
                }
            }
        }
    }
}

/// What GRUB is told to do to a block, and the same by our code.
struct Task {
    script: Vec<u8>,
    told: Block,
    edited: Block,
    edits: usize,
    fits: bool,
}

/// What was done.
#[derive(Default)]
struct Tally {
    variables: usize,
    edits: usize,
    full: usize,
}

fn task(random: &mut Random, number: usize, block: &Block) -> Task {
    let mut script = Vec::new();
    let mut line = |parts: &[&[u8]]| {
        script.extend(parts.concat());
        script.push(b'\n');
    };
    let (file, told_file) = (name_of('b', number), name_of('t', number));
    line(&[b"load_env --file ($root)/", file.as_bytes()]);

    let mut names: Vec<&[u8]> = Vec::new();
    block.variables().for_each(|var| names.push(var.name));
    let mut told = EnvBlock::blank();
    // A block of its own bytes can be too long for one with the tools' comment: then nothing is saved.
    let fits = block.variables().all(|var| told.set(var.name, &var.value.bytes().collect::<Vec<_>>()).is_ok());
    let told = if fits { told } else { EnvBlock::blank() };
    let quoted = |name: &[u8]| [b" '", name, b"'"].concat();
    let all: Vec<u8> = names.iter().flat_map(|name| quoted(name)).collect();
    line(&[b"save_env --file ($root)/", told_file.as_bytes(), &all]);

    let mut edited = block.clone();
    let (mut all, mut fits, mut edits) = (Vec::new(), true, 0);
    for _ in 0..1 + random.below(5) {
        let name = random.name();
        if all.windows(name.len() + 3).any(|part| part == quoted(name)) {
            continue; // What is set twice before it is saved is saved once.
        }
        if random.below(4) == 0 {
            line(&[b"unset", &quoted(name)]);
            edited.unset(name);
        } else {
            let mut value = random.value(b"\0\r'");
            while let Some(at) = value.windows(2).position(|pair| pair == b"\n#") {
                value.remove(at + 1);
            }
            line(&[b"set", &quoted(&[name, b"=", &value].concat())]);
            fits = fits && edited.set(name, &value).is_ok();
        }
        all.extend(quoted(name));
        edits += 1;
    }
    line(&[b"save_env --file ($root)/", file.as_bytes(), &all]);
    // The next block has none of these.
    for name in NAMES.iter().chain(&["last"]) {
        line(&[b"unset", &quoted(name.as_bytes())]);
    }
    Task { script, told, edited: if fits { edited } else { block.clone() }, edits, fits }
}

fn name_of(kind: char, number: usize) -> String {
    format!("{FOLDER}/{kind}{number:03}")
}

/// Lets GRUB do all tasks, in one boot; gives the blocks that it leaves behind.
fn round(image: &Image, blocks: &[Block], random: &mut Random, tally: &mut Tally) -> Result<Vec<Block>> {
    let tasks: Vec<Task> = blocks.iter().enumerate().map(|(number, block)| task(random, number, block)).collect();
    for (number, block) in blocks.iter().enumerate() {
        image.esp_write(&name_of('b', number), block.bytes())?;
        image.esp_write(&name_of('t', number), EnvBlock::blank().bytes())?;
    }
    let mut cfg = b"set pager=0\nserial --unit=0 --speed=115200\nterminal_output serial\n".to_vec();
    tasks.iter().for_each(|task| cfg.extend(&task.script));
    cfg.extend(format!("echo '{DONE}'\nreboot\n").as_bytes());
    image.esp_write(grub::CFG, &cfg)?;

    let work = image.beside("");
    let parts = Parts {
        firmware: Firmware::Bios,
        drive: &format!("format=raw,cache=unsafe,file={}", image.path().display()),
        bus: Bus::default(),
        memory: 64,
        work: &work,
        reset_ends_it: true,
        more: &[],
    };
    let transcript = Transcript::default();
    let said = Machine::power_on(&parts, &transcript)?.wait_exit(Duration::from_secs(300))?;
    ensure!(said.contains(DONE), "GRUB did not come to the end of its script: {}", transcript.tail(10));

    let mut after = Vec::new();
    for (number, (task, before)) in tasks.iter().zip(blocks).enumerate() {
        let read = |kind| image.esp_read(&name_of(kind, number));
        let at = format!("block {number}: {}\nscript: {}", before.bytes().escape_ascii(), task.script.escape_ascii());
        ensure_eq!(shown(&read('t')?), shown(task.told.bytes()), "what GRUB has read of {at}");
        let saved = read('b')?;
        ensure_eq!(shown(&saved), shown(task.edited.bytes()), "what GRUB has saved into {at}");
        tally.variables += before.variables().count();
        tally.edits += task.edits;
        tally.full += usize::from(!task.fits);
        after.push(EnvBlock::parse(task.edited.bytes().try_into().step(|| "length".into())?).step(|| at)?);
    }
    Ok(after)
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn grub_reads_what_is_written_here_and_writes_what_is_read_here() {
    let work = paths::work().join("grub_envblk");
    let run = || -> Result {
        std::fs::create_dir_all(&work).step(|| format!("create {}", work.display()))?;
        let image = Image::copy(&paths::image(Firmware::Bios)?, work.join("disk.img"))?;
        let mut random = Random(20_261_123);
        let mut blocks: Vec<Block> = (0..BLOCKS).map(|_| random.block()).collect();
        let mut tally = Tally::default();
        for _ in 0..ROUNDS {
            blocks = round(&image, &blocks, &mut random, &mut tally)?;
            blocks.iter_mut().for_each(|block| {
                if block.defect().is_some() {
                    *block = random.block();
                }
                random.edit(block);
            });
        }
        let Tally { variables, edits, full } = tally;
        println!(
            "{BLOCKS} blocks, {ROUNDS} times to GRUB and back: {variables} variables read, {edits} edits, {full} times \
             too many for the block: 0 differences"
        );
        ensure!(full > 0 && full < BLOCKS * ROUNDS / 2, "dull blocks: {full}");
        Ok(())
    };
    if let Err(failure) = run() {
        panic!("{failure}");
    }
    std::fs::remove_dir_all(&work).expect("remove what was made");
}
