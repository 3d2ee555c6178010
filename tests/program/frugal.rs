//! The boot stage keeps off the heap: a box that is short of memory still boots.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use crate::scene::machine::{Machine, block_of, block_with, damages, state};
use crate::scene::{must, tool};
use kubesolo_boot::cli::console::Notes;
use kubesolo_boot::failure::Exit;
use kubesolo_boot::flags::Flags;
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::process::Process;
use kubesolo_boot::verb;
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Good, Trial};
use kubesolo_core::boot::state::BootState;

/// The system's allocator, which counts what each thread asks for; other tests, on threads of their own, change nothing.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ASKED.with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: every call goes on to the system's allocator as it came; counting touches a constant-initialised thread-local
// only, which needs no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, len) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, and how often it asked for memory.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ASKED.with(Cell::get);
    let result = work();
    (result, ASKED.with(Cell::get) - before)
}

#[test]
fn the_counter_counts() {
    let (text, asked) = counted(|| std::hint::black_box(String::from("x")));
    assert_eq!((text.as_str(), asked), ("x", 1));
}

/// Runs `init` on the machine and counts; `disk`: on this disk image.
fn init(machine: &Machine, disk: Option<&str>) -> (Exit, usize) {
    let words = machine.flags();
    let flags = Flags {
        disk,
        grubenv: Some(&words[1]),
        cmdline: Some(&words[3]),
        data: Some(&words[5]),
        conf: Some(&words[7]),
        sys: Some(&words[9]),
        dev: Some(&words[11]),
        boot_id: Some(&words[13]),
        run: Some(&words[15]),
        image_conf: Some(&words[17]),
        ..Flags::default()
    };
    assert!(words.iter().all(|word| word.len() < 256), "rustix puts longer paths on the heap");
    let notes = Notes::new();
    counted(|| {
        let host = Host::new(&flags, Process::BARE);
        verb::init::run(&host, &notes)
    })
}

#[test]
fn init_allocates_nothing() {
    let count = state(A, 2, false, Good, Good);
    let older = block_of(state(A, 3, false, Good, Good));

    assert_eq!(init(&Machine::with_state(state(A, 3, true, Good, Good)), None), (Exit::Done, 0), "nothing to write");
    assert_eq!(init(&Machine::with_state(count), None), (Exit::Done, 0), "marks");
    let second_follows = Machine::with_copies(Some(block_of(count).bytes()), Some(older.bytes()));
    assert_eq!(init(&second_follows, None), (Exit::Done, 0), "the second copy follows");
    let trial = Machine::with_state(state(B, 2, false, Good, Trial)).booted(B);
    assert_eq!(init(&trial, None), (Exit::Done, 0), "a trial");
    trial.cmdline("ksolo.mode=emergency");
    assert_eq!(init(&trial, None), (Exit::Emergency, 0), "the emergency shell");
}

/// The two events that `state.json` records. Each comes once in the life of an update.
#[test]
fn the_end_of_an_update_takes_little_memory() {
    let given_up = Machine::with_state(BootState { rollback_from: Some(B), ..state(A, 2, false, Good, Bad) });
    let committed = Machine::with_state(state(B, 2, false, Good, Trial)).booted(B);
    committed.folder.write("conf", "mark=init\ncolor=red\nmark\n");
    for machine in [given_up, committed] {
        let (exit, asked) = init(&machine, None);
        assert_eq!(exit, Exit::Done);
        assert!(asked < 100, "{asked}");
        assert_eq!(init(&machine, None), (Exit::Done, 0), "the next boot");
    }
}

#[test]
fn a_repair_allocates_nothing() {
    let block = block_of(state(A, 2, false, Good, Good));
    for (name, readable, damaged) in damages(&block) {
        for (first, second) in [(damaged.as_deref(), Some(block.bytes())), (Some(block.bytes()), damaged.as_deref())] {
            assert_eq!(init(&Machine::with_copies(first, second), None), (Exit::Done, 0), "{name}");
        }
        let (exit, asked) = init(&Machine::with_copies(damaged.as_deref(), damaged.as_deref()), None);
        // With nothing to go by init asks the disk what the other slot holds; there is none here.
        assert!(exit == Exit::Done && asked <= if readable { 0 } else { PER_ERROR }, "{name}: {asked}");
    }
}

/// An error's text is on the heap: what it is put together from, the text itself, and std's words for the error number.
const PER_ERROR: usize = 6;

#[test]
fn only_an_error_is_on_the_heap() {
    let machine = Machine::with_state(state(B, 2, false, Good, Trial)).booted(B);
    fs::remove_dir(machine.folder.path("data")).unwrap();
    let (exit, asked) = init(&machine, None);
    println!("no data partition: {asked} allocations");
    assert_eq!(exit, Exit::Reboot);
    // The log of the boots cannot be written, and the probe fails.
    assert!((1..=2 * PER_ERROR).contains(&asked), "{asked}");
}

/// A disk image with our four names.
fn disk(machine: &Machine, name: &str) -> Option<String> {
    let sgdisk = tool("sgdisk")?;
    let image = machine.folder.text(&format!("dev/{name}"));
    machine.folder.write(&format!("sys/{name}/uevent"), format!("DEVNAME={name}\nDEVTYPE=disk\n"));
    fs::File::create(&image).unwrap().set_len(2 << 20).unwrap();
    let mut words = vec!["-a1".to_owned()];
    for (number, name) in (1..).zip(kubesolo_boot::disk::partitions::NAMES) {
        words.extend([format!("-n{number}:0:+100"), format!("-c{number}:{name}")]);
    }
    words.push(image.clone());
    must(&sgdisk, &words.iter().map(String::as_str).collect::<Vec<_>>());
    Some(image)
}

#[test]
fn finding_the_disk_allocates_nothing() {
    // A block without the slots' states: init looks at the slots on the disk. It cannot mount them here, and says so
    // to nobody.
    let machine =
        Machine::with_block(&block_with(&[("active_slot", "A"), ("boot_counter", "2"), ("boot_success", "0")]));
    let Some(image) = disk(&machine, "sda") else { return };
    let (exit, asked) = init(&machine, Some(&image));
    println!("an older block, on a disk that cannot be mounted: {asked} allocations");
    assert!(exit == Exit::Done && asked <= 2 * PER_ERROR);

    let words = machine.flags();
    for disk in [Some(image.as_str()), None, None] {
        let flags =
            Flags { disk, cmdline: Some(&words[3]), sys: Some(&words[9]), dev: Some(&words[11]), ..Flags::default() };
        let (found, asked) = counted(|| {
            let host = Host::new(&flags, Process::BARE);
            host.disk().and_then(|disk| disk.partition("KSOLODATA"))
        });
        assert_eq!(asked, 0);
        assert!(found.unwrap().starts_with(&image));
    }
}
