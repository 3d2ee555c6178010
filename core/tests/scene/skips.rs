//! What a test says that cannot run here. libtest swallows what a passing test prints, so this goes past it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

/// Says so on the terminal, and in the file `KSOLO_SKIPS`, which `make test` and `make proof` tell at their end.
pub fn skipped(why: &str) {
    let thread = thread::current();
    // The core's own tests have no `format!`.
    let line = [thread.name().unwrap_or("a test"), ": ", why, "\n"].concat();
    std::io::stderr().write_all(["skipped ", &line].concat().as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("KSOLO_SKIPS") {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
