//! What every target has: the heap that the program has on a box, and no more.

pub mod peer;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The program's whole heap, as in `src/process.rs`.
const HEAP: usize = 1 << 20;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's heap, which ends the process where the program's own would be used up.
struct Bounded;

#[global_allocator]
static BOUNDED: Bounded = Bounded;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed).saturating_add(layout.size());
        // Who panics may say why.
        if live > MOST.load(Relaxed) && !std::thread::panicking() {
            eprintln!("this input takes more than the {HEAP} bytes of heap that there are");
            std::process::abort();
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Does the work within the heap that the program has.
pub fn bounded<T>(work: impl FnOnce() -> T) -> T {
    MOST.store(LIVE.load(Relaxed).saturating_add(HEAP), Relaxed);
    let result = work();
    MOST.store(usize::MAX, Relaxed);
    result
}

/// The input's parts; between two of them stands the byte `ff`, which no text has.
pub fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut parts = input.splitn(N, |byte| *byte == 0xff);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
