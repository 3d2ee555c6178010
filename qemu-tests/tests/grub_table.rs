//! Runs the real grub.cfg under the real GRUB, row by row, beside its model in `kubesolo_core::boot::state`: both must leave the
//! same block and start the same slot.
//!
//! The slots' kernels are stubs that print their command line and reset, so a row is one short run of QEMU. Only two
//! things differ from a shipped box: GRUB's waits are 0 seconds (but in the rows that say `shipped`), and it is BIOS
//! only; the stories boot both firmwares with everything as it is.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use kubesolo_core::boot::cmdline::Cmdline;
use kubesolo_core::boot::env_block::EnvBlock;
use kubesolo_core::boot::env_mismatch::{self, EnvMismatch};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::{self, BootState, Files as Found};
use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::bus::Bus;
use qemu_tests::envblock::{FIRST, SECOND, Variables};
use qemu_tests::failure::{Failure, Result, Step};
use qemu_tests::firmware::Firmware;
use qemu_tests::image::{Image, Part};
use qemu_tests::machine::{Machine, Parts};
use qemu_tests::serial::Transcript;
use qemu_tests::{ensure, ensure_eq, grub, paths, stub};

/// A block on the ESP.
#[derive(Clone)]
enum Block {
    /// Made by grub-editenv from these words.
    Words(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// No such file.
    Missing,
    /// A directory entry that promises more than the FAT chain holds. GRUB reads nothing, and says that all is well.
    ShortChain(String),
}

/// What stands in a slot.
#[derive(Clone, Copy, PartialEq)]
enum Files {
    Whole,
    /// The initramfs is another than the list of sums says.
    Rotten,
    /// There is no list of sums.
    NoList,
    NoKernel,
    BadKernel,
    NoInitramfs,
    NoFilesystem,
}

impl Files {
    fn found(self) -> Found {
        match self {
            Self::Whole => Found::Whole,
            Self::Rotten => Found::Damaged,
            Self::NoList => Found::Unlisted,
            Self::NoKernel | Self::BadKernel | Self::NoInitramfs | Self::NoFilesystem => Found::Absent,
        }
    }

    fn are_there(self) -> bool {
        matches!(self, Self::Whole | Self::Rotten | Self::NoList | Self::BadKernel)
    }
}

#[derive(Clone)]
struct Row {
    name: String,
    first: Block,
    second: Block,
    a: Files,
    b: Files,
    /// Whether the disk takes what GRUB saves.
    saves: bool,
    read_only: bool,
    /// Whether grub.cfg keeps its waits.
    shipped: bool,
}

impl Row {
    fn new(name: &str, words: &str) -> Self {
        let block = Block::Words(words.to_owned());
        Self {
            name: name.replace(',', "").replace(' ', "_"),
            first: block.clone(),
            second: block,
            a: Files::Whole,
            b: Files::Whole,
            saves: true,
            read_only: false,
            shipped: false,
        }
    }

    fn files(&self, slot: Slot) -> Files {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }
}

/// The words of a whole block, with own and other state in place of A's and B's.
fn words(active: Slot, counter: u8, success: u8, own: SlotState, other: SlotState) -> String {
    let (a, b) = if active == Slot::A { (own, other) } else { (other, own) };
    format!("active_slot={active} boot_counter={counter} boot_success={success} slot_A={a} slot_B={b}")
}

fn rows() -> Vec<Row> {
    use Files::*;
    use Slot::{A, B};
    use SlotState::*;

    let mut rows = Vec::new();
    let mut row = |active: Slot, counter, success, own, other| {
        let name = format!("{active} {counter} {success} own {own} other {other}");
        rows.push(Row::new(&name, &words(active, counter, success, own, other)));
    };
    // Every counter and every standing of the other slot, for the two states that an active slot should have.
    for own in [Good, Trial] {
        for other in SlotState::ALL {
            for counter in 0..=3 {
                row(B, counter, 0, own, other);
            }
            row(B, 3, 1, own, other);
        }
    }
    // The other way round, a sample.
    for (counter, success, own, other) in
        [(3, 1, Good, Good), (1, 0, Good, Trial), (0, 0, Good, Good), (0, 1, Good, Good), (2, 0, Trial, Good)]
    {
        row(A, counter, success, own, other);
    }
    for other in [Trial, Good, Bad, Empty, Staged] {
        row(A, 0, 0, Trial, other);
    }
    // An active slot that should not be one.
    for own in [Empty, Staged, Bad] {
        row(B, 2, 0, own, Good);
        row(A, 3, 1, own, Staged);
        row(A, 0, 0, own, Bad);
    }

    let mut special = |name: &str, words: &str, change: &dyn Fn(&mut Row)| {
        let mut row = Row::new(name, words);
        change(&mut row);
        rows.push(row);
    };
    let steady = words(A, 3, 1, Good, Good);
    let trial = words(B, 3, 0, Trial, Good);
    let alone = words(A, 3, 1, Good, Staged);

    special("shipped grub cfg, steady", &steady, &|r| r.shipped = true);
    special("shipped grub cfg, trial is given up", &words(B, 0, 0, Trial, Good), &|r| r.shipped = true);

    special("shipped grub cfg, nothing loads", &steady, &|r| (r.shipped, r.a, r.b) = (true, NoKernel, NoKernel));

    for (what, files) in [
        ("no kernel", NoKernel),
        ("bad kernel", BadKernel),
        ("no initramfs", NoInitramfs),
        ("no filesystem", NoFilesystem),
    ] {
        special(&format!("good A has {what}"), &steady, &|r| r.a = files);
        special(&format!("trial B has {what}"), &trial, &|r| r.b = files);
    }
    special("good A has no kernel and B is staged", &alone, &|r| r.a = NoKernel);
    special("good A has no kernel and B is on trial", &words(A, 2, 0, Good, Trial), &|r| r.a = NoKernel);
    special("trial B has no kernel and is out of boots", &words(B, 0, 0, Trial, Good), &|r| r.b = NoKernel);
    special("fallback A has no kernel", &words(B, 0, 0, Trial, Good), &|r| r.a = NoKernel);
    special("nothing loads", &steady, &|r| (r.a, r.b) = (NoKernel, BadKernel));

    // Sums: not of a steady boot, of every other.
    for (what, files) in [("rotten", Rotten), ("no list", NoList)] {
        special(&format!("steady good A, {what}"), &steady, &|r| r.a = files);
        special(&format!("unmarked good A, {what}"), &words(A, 2, 0, Good, Good), &|r| r.a = files);
        special(&format!("unmarked good A, B is staged, {what}"), &words(A, 2, 0, Good, Staged), &|r| r.a = files);
        special(&format!("trial B, {what}"), &trial, &|r| r.b = files);
        special(&format!("trial B and no good slot, {what}"), &words(B, 3, 0, Trial, Staged), &|r| r.b = files);
        special(&format!("fallback A, {what}"), &words(B, 0, 0, Trial, Good), &|r| r.a = files);
        special(&format!("no block, A {what}"), "", &|r| {
            (r.first, r.second, r.a) = (Block::Missing, Block::Missing, files)
        });
    }
    special("both rotten", &trial, &|r| (r.a, r.b) = (Rotten, Rotten));
    special("no block, both rotten", "", &|r| {
        (r.first, r.second, r.a, r.b) = (Block::Missing, Block::Missing, Rotten, Rotten);
    });

    // A good slot that was given up gets its tries once more.
    let visit = |counter, success, own, other| format!("{} retry_slot=A", words(B, counter, success, own, other));
    let again = |counter, other| format!("{} retry_slot=A", words(A, counter, 0, Good, other));
    special("back after a visit that was marked", &visit(3, 1, Good, Good), &|_| ());
    special("back after a visit that was not", &visit(2, 0, Good, Good), &|_| ());
    special("back, and A is rotten", &visit(3, 1, Good, Good), &|r| r.a = Rotten);
    special("back, and A has no kernel", &visit(2, 0, Good, Good), &|r| r.a = NoKernel);
    special("back, read-only", &visit(3, 1, Good, Good), &|r| (r.saves, r.read_only) = (false, true));
    special("back, read-only, and B does not load", &visit(3, 1, Good, Good), &|r| {
        (r.saves, r.read_only, r.b) = (false, true, NoKernel);
    });
    special("no way back to a bad slot", &visit(3, 1, Good, Bad), &|_| ());
    special("no way back from a trial", &visit(2, 0, Trial, Good), &|_| ());
    for counter in 0..=2 {
        special(&format!("once more, {counter} left"), &again(counter, Good), &|_| ());
    }
    special("once more, none left and B is bad", &again(0, Bad), &|_| ());
    special("retry of no slot", &format!("{} retry_slot=C", words(B, 0, 0, Good, Good)), &|_| ());

    let tired = |words: &str| format!("{words} rollback_from=A");
    special("an older rollback is still unrecorded", &tired(&words(B, 2, 0, Good, Bad)), &|_| ());
    special("a second rollback before the first was recorded", &tired(&words(B, 0, 0, Trial, Good)), &|_| ());
    special("other variables are kept", &format!("saved_entry=x {steady} next=y"), &|_| ());

    // Values that are none.
    for (what, old, new) in [
        ("counter 10", "boot_counter=3", "boot_counter=10"),
        ("counter minus", "boot_counter=3", "boot_counter=-1"),
        ("counter word", "boot_counter=3", "boot_counter=many"),
        ("no counter", "boot_counter=3 ", ""),
        ("success word", "boot_success=0", "boot_success=yes"),
        ("no success", "boot_success=0 ", ""),
        ("own state word", "slot_B=trial", "slot_B=fine"),
        ("other state word", "slot_A=good", "slot_A=Good"),
        ("active slot word", "active_slot=B", "active_slot=C"),
        ("active slot lower", "active_slot=B", "active_slot=b"),
        ("no active slot", "active_slot=B ", ""),
    ] {
        special(what, &trial.replace(old, new), &|_| ());
    }
    special(
        "other state word, out of boots",
        "active_slot=B boot_counter=0 boot_success=0 slot_A=Good slot_B=trial",
        &|_| (),
    );
    special("no active slot, A bad, B good", "boot_counter=3 boot_success=1 slot_A=bad slot_B=good", &|_| ());
    special("no active slot, A empty, B staged", "slot_A=empty slot_B=staged", &|_| ());
    special("no active slot, A does not load, B bad", "slot_A=good slot_B=bad", &|r| r.a = NoKernel);
    special("no active slot, B does not load, A unset", "slot_B=good", &|r| r.b = NoKernel);

    // The block of a KubeSolo OS that knew no slot states.
    let legacy = "active_slot=A boot_counter=3 boot_success=1";
    special("legacy", legacy, &|_| ());
    special("legacy, out of boots", "active_slot=A boot_counter=0 boot_success=0", &|_| ());
    special("legacy, out of boots, B has no kernel", "active_slot=A boot_counter=0 boot_success=0", &|r| {
        r.b = NoKernel
    });
    special("legacy, out of boots, B has no initramfs", "active_slot=A boot_counter=0 boot_success=0", &|r| {
        r.b = NoInitramfs
    });
    special("legacy, A has no kernel", legacy, &|r| r.a = NoKernel);
    special("legacy, A has no kernel, B a bad one", legacy, &|r| (r.a, r.b) = (NoKernel, BadKernel));

    // Copies that cannot be read.
    let garbage = || Block::Bytes(b"not a block\n".repeat(86)[..1024].to_vec());
    let empty = || Block::Bytes(Vec::new());
    special("first missing", &trial, &|r| r.first = Block::Missing);
    special("first empty", &trial, &|r| r.first = empty());
    special("first garbage", &trial, &|r| r.first = garbage());
    special("first without a slot", &trial, &|r| r.first = Block::Words("other=1".into()));
    special("first has a short chain", &trial, &|r| r.first = Block::ShortChain(steady.clone()));
    special("first missing, out of boots", &words(B, 0, 0, Trial, Good), &|r| r.first = Block::Missing);
    special("second missing", &trial, &|r| r.second = Block::Missing);
    special("second garbage", &trial, &|r| r.second = garbage());
    special("second differs", &trial, &|r| r.second = Block::Words(steady.clone()));
    let neither = |r: &mut Row| (r.first, r.second) = (Block::Missing, Block::Missing);
    special("both missing", "", &neither);
    special("both missing, A does not load", "", &|r| (neither(r), r.a = BadKernel).0);
    special("both missing, A has no filesystem", "", &|r| (neither(r), r.a = NoFilesystem).0);
    special("both empty", "", &|r| (r.first, r.second) = (empty(), empty()));
    special("both garbage", "", &|r| (r.first, r.second) = (garbage(), garbage()));

    // A disk that takes nothing, in ways that save_env does not notice.
    let read_only = |r: &mut Row| (r.saves, r.read_only) = (false, true);
    special("read-only, steady", &words(A, 3, 0, Good, Good), &read_only);
    special("read-only, trial and a good slot", &trial, &read_only);
    special("read-only, trial and no good slot", &words(B, 3, 0, Trial, Staged), &read_only);
    special("read-only, trial, and the good slot does not load", &trial, &|r| (read_only(r), r.a = NoKernel).0);
    special("read-only, out of boots", &words(B, 0, 0, Trial, Good), &read_only);
    special("read-only, good A has no kernel", &words(A, 3, 0, Good, Good), &|r| (read_only(r), r.a = NoKernel).0);
    let unpadded = |words: &str| Block::Bytes(by_hand(words, 0));
    special("no padding", &trial, &|r| (r.saves, r.first) = (false, unpadded(&trial)));
    let twice = format!("{trial} boot_counter=3");
    special("counter stands twice", &trial, &|r| (r.saves, r.first) = (false, Block::Bytes(by_hand(&twice, b'#'))));
    rows
}

/// A block as no tool would write it.
fn by_hand(words: &str, padding: u8) -> Vec<u8> {
    let lines = words.split_whitespace().map(|word| format!("{word}\n"));
    let text: String = std::iter::once("# GRUB Environment Block\n".to_owned()).chain(lines).collect();
    let mut bytes = text.into_bytes();
    bytes.resize(1024, padding);
    bytes
}

/// What must come of a row.
#[derive(Debug, PartialEq)]
struct Outcome {
    booted: Option<Slot>,
    /// `ksolo.state` and `ksolo.counter` on the command line.
    told: Option<(String, String)>,
    /// The state in the copy that GRUB went by.
    on_disk: Option<BootState>,
}

fn model(row: &Row, first: Option<&[u8]>, second: Option<&[u8]>) -> (Outcome, Option<&'static str>) {
    let block = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec).and_then(|bytes| EnvBlock::parse(bytes).ok());
    let copies = [(FIRST, block(first)), (SECOND, block(second))];
    let files = |slot: Slot| row.files(slot).found();
    let used = copies.iter().find_map(|(name, block)| {
        let block = block.as_ref().filter(|block| state::names_a_slot(block))?;
        Some((*name, block))
    });
    if let Some((name, block)) = used {
        let state = BootState::read_as_grub(block, &|slot| row.files(slot).are_there()).state;
        let result = state.grub_boot(files, row.saves);
        let told =
            result.booted.map(|slot| (result.on_disk.slot(slot).to_string(), result.on_disk.counter.to_string()));
        return (Outcome { booted: result.booted, told, on_disk: Some(result.on_disk) }, Some(name));
    }
    let recorded = |slot: Slot| {
        let value = copies[0].1.as_ref()?.get(slot.variable())?;
        SlotState::ALL.into_iter().find(|state| value.is(state.name()))
    };
    let booted = state::grub_boot_without_block(recorded(Slot::A), recorded(Slot::B), files);
    let told = booted.map(|_| ("none".to_owned(), "none".to_owned()));
    (Outcome { booted, told, on_disk: None }, None)
}

/// Runs a row.
fn check(row: &Row, base: &Path, transcript: &Transcript) -> Result {
    let work = paths::work().join(format!("grub_table-{}", row.name));
    fs::create_dir_all(&work).step(|| format!("create {}", work.display()))?;
    let result = check_in(row, base, &work, transcript);
    fs::remove_dir_all(&work).step(|| format!("remove {}", work.display()))?;
    result
}

fn check_in(row: &Row, base: &Path, work: &Path, transcript: &Transcript) -> Result {
    let image = Image::copy(base, work.join("disk.img"))?;
    if row.shipped {
        image.esp_write(grub::CFG, &fs::read(shipped_cfg(base)).step(|| "read the shipped grub.cfg".into())?)?;
    }
    put_block(&image, FIRST, &row.first)?;
    put_block(&image, SECOND, &row.second)?;
    put_files(&image, Slot::A, row.a)?;
    put_files(&image, Slot::B, row.b)?;
    let read = |copy| image.esp_read(copy).ok();
    let before = (read(FIRST), read(SECOND));
    let believed = |block: &Block, bytes: &Option<Vec<u8>>| match block {
        Block::ShortChain(_) => None,
        _ => bytes.clone(),
    };
    let (want, used) =
        model(row, believed(&row.first, &before.0).as_deref(), believed(&row.second, &before.1).as_deref());

    let access = if row.read_only { "on" } else { "off" };
    let parts = Parts {
        firmware: Firmware::Bios,
        drive: &format!("format=raw,cache=unsafe,readonly={access},file={}", image.path().display()),
        bus: Bus::default(),
        memory: 64,
        work,
        reset_ends_it: true,
        more: &[],
    };
    let said = Machine::power_on(&parts, transcript)?.wait_exit(Duration::from_secs(120))?;
    let after = (read(FIRST), read(SECOND));

    let on_disk = match used {
        None => None,
        Some(copy) => {
            let bytes = if copy == FIRST { &after.0 } else { &after.1 };
            let bytes = bytes.clone().ok_or_else(|| Failure::new(format!("{copy} is gone")))?;
            // Where the block can be parsed by grub-editenv as well, both parsers must agree.
            let parsed = if row.saves { image.env_of(copy)? } else { Variables::parse(&bytes)? };
            let block = EnvBlock::parse(bytes).step(|| format!("{copy} after the boot"))?;
            let reading = BootState::read_as_grub(&block, &|slot| row.files(slot).are_there());
            ensure_eq!(parsed.get("other_state"), "", "GRUB's own variables are not saved");
            Some(reading.state)
        }
    };
    let line = said.lines().find(|line| line.starts_with("BOOT_IMAGE=")).unwrap_or_default();
    let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
    let booted = word("ksolo.slot=").as_deref().and_then(Slot::parse);
    let told = word("ksolo.state=").zip(word("ksolo.counter="));
    ensure_eq!(Outcome { booted, told, on_disk }, want, "GRUB and its model (row {})", row.name);

    if let Some(slot) = booted {
        let unsaved = used.is_some() && !row.saves;
        ensure_eq!(word("ksolo.via=").as_deref(), Some(if unsaved { "unsaved" } else { "auto" }), "ksolo.via");
        let split = env_mismatch::compare(&Cmdline::parse(line), on_disk.as_ref());
        ensure_eq!(split, unsaved.then_some(EnvMismatch::NotSaved), "what `init` makes of it");
        let guid = &image.extent(Part::from(slot)).guid;
        ensure_eq!(word("ksolo.partuuid=").as_ref(), Some(guid), "ksolo.partuuid");
        ensure_eq!(word("panic=").as_deref(), Some("10"), "panic");
    }
    unchanged_but_one_sector(FIRST, used, &before.0, &after.0)?;
    unchanged_but_one_sector(SECOND, used, &before.1, &after.1)
}

/// The copy that GRUB did not use keeps its bytes; of the other only the first sector may change.
fn unchanged_but_one_sector(
    copy: &str,
    used: Option<&str>,
    before: &Option<Vec<u8>>,
    after: &Option<Vec<u8>>,
) -> Result {
    let from = if used == Some(copy) { 512 } else { 0 };
    let part = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| bytes.get(from..).map(<[u8]>::to_vec));
    ensure!(part(before) == part(after), "{copy} has changed from byte {from} on");
    Ok(())
}

fn put_block(image: &Image, copy: &str, block: &Block) -> Result {
    match block {
        Block::Words(words) => image.esp_write(copy, &image.new_block(words)?),
        Block::Bytes(bytes) => image.esp_write(copy, bytes),
        Block::Missing => image.esp_delete(copy),
        Block::ShortChain(words) => {
            image.esp_write(copy, &image.new_block(words)?[..512])?;
            image.esp_claim_length(copy, 1024)
        }
    }
}

fn put_files(image: &Image, slot: Slot, files: Files) -> Result {
    let part = Part::from(slot);
    match files {
        Files::Whole => Ok(()),
        Files::Rotten => image.ext4_write(part, "kubesolo-os.gz", b"any bytez"),
        Files::NoList => image.ext4_delete(part, "SHA256SUMS"),
        Files::NoKernel => image.ext4_delete(part, "vmlinuz"),
        Files::BadKernel => image.ext4_write(part, "vmlinuz", &[0; 4096]),
        Files::NoInitramfs => image.ext4_delete(part, "kubesolo-os.gz"),
        Files::NoFilesystem => image.wipe(part, 64 * 1024),
    }
}

/// The image that rows copy: stubs for kernels, a few bytes for initramfs, no count-down.
fn base() -> Result<PathBuf> {
    let work = paths::work().join("grub_table");
    fs::create_dir_all(&work).step(|| format!("create {}", work.display()))?;
    let image = Image::copy(&paths::image(Firmware::Bios)?, work.join("base.img"))?;
    for slot in Slot::BOTH {
        image.ext4_write(Part::from(slot), "vmlinuz", &stub::kernel())?;
        image.ext4_write(Part::from(slot), "kubesolo-os.gz", b"any bytes")?;
        image.seal(slot)?;
    }
    fs::write(shipped_cfg(image.path()), image.esp_read(grub::CFG)?).step(|| "keep the shipped grub.cfg".into())?;
    image.skip_grub_waits()?;
    Ok(image.path().to_owned())
}

fn shipped_cfg(base: &Path) -> PathBuf {
    base.with_file_name("grub.cfg")
}

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let rows = rows();
    let names: HashSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), rows.len(), "each row has its own name");
    let base = match base() {
        Ok(base) => base,
        Err(failure) => {
            eprintln!("grub_table: {failure}");
            return ExitCode::FAILURE;
        }
    };
    let trial = |row: Row| {
        let base = base.clone();
        Trial::test(row.name.clone(), move || {
            let transcript = Transcript::default();
            check(&row, &base, &transcript).map_err(|failure| {
                let log = paths::logs().join(format!("grub_table-{}.log", row.name));
                let kept = transcript.keep(&log).map_or_else(|e| e.to_string(), |()| log.display().to_string());
                Failed::from(format!("{failure}\nserial line (all of it: {kept}):\n{}", transcript.tail(30)))
            })
        })
    };
    libtest_mimic::run(&args, rows.into_iter().map(trial).collect()).exit_code()
}
