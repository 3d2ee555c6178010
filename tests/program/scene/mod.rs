//! What several tests need: the program, a folder of their own to run it in, and random numbers that can be had again.
#![allow(dead_code, unused_imports, reason = "the core's tests use the rest")]

#[path = "../../../core/tests/scene/faults.rs"]
pub mod faults;
#[cfg(feature = "minreq")]
pub mod forked;
pub mod machine;
#[path = "../../../core/tests/scene/medium.rs"]
pub mod medium;
#[path = "../../../core/tests/scene/random.rs"]
mod random;
#[path = "../../../core/tests/scene/skips.rs"]
mod skips;
#[path = "../../../core/tests/scene/tools.rs"]
mod tools;

use std::sync::LazyLock;

pub use random::{Random, cases, seed};
pub use skips::skipped;
pub use tools::{Folder, Ran, must, run, run_as, tool};

/// The program under test: cargo's own, or `KSOLO_BINARY`, which may be another machine's behind an emulator.
pub fn binary() -> &'static str {
    static BINARY: LazyLock<String> = LazyLock::new(|| {
        std::env::var("KSOLO_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kubesolo-boot").to_owned())
    });
    &BINARY
}
