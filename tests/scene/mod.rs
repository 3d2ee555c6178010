//! What several tests need: a folder of their own, the program run in it, and random numbers that can be had again.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod machine;
pub mod medium;
pub mod skips;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use skips::skipped;

/// A folder that is removed with this value.
pub struct Folder(PathBuf);

impl Folder {
    /// In memory where that can be had: the program syncs what it writes, and tests need not wait for a disk.
    pub fn new() -> Folder {
        let shared = Path::new("/dev/shm");
        let in_memory = std::env::var_os("TMPDIR").is_none() && shared.is_dir();
        Folder::within(if in_memory { shared.to_owned() } else { std::env::temp_dir() })
    }

    /// Where programs can be run.
    pub fn on_disk() -> Folder {
        Folder::within(std::env::temp_dir())
    }

    fn within(base: PathBuf) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("ksolo-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path as text, for flags.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    /// The file's bytes, if there is one.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// What a program came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub exit: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub fn run(program: impl AsRef<OsStr>, words: impl IntoIterator<Item = impl AsRef<OsStr>>, at: &Path) -> Ran {
    let name = program.as_ref().to_str().unwrap();
    run_as(Path::new(&program), name, words, at)
}

/// Runs the program under another name.
pub fn run_as(program: &Path, name: &str, words: impl IntoIterator<Item = impl AsRef<OsStr>>, at: &Path) -> Ran {
    Command::new(program)
        .arg0(name)
        .args(words)
        .current_dir(at)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// The program under test: cargo's own, or `KSOLO_BINARY`, which may be another machine's behind an emulator.
pub fn binary() -> &'static str {
    static BINARY: LazyLock<String> = LazyLock::new(|| {
        std::env::var("KSOLO_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kubesolo-boot").to_owned())
    });
    &BINARY
}

/// A tool of the system, wherever Debian puts it; without it the test is skipped, and says so.
pub fn tool(name: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        skipped(&format!("{name} is not installed"));
    }
    found
}

/// Runs a tool that must succeed.
pub fn must(tool: &Path, words: &[&str]) {
    let ran = run(tool, words, Path::new("/"));
    assert_eq!(ran.exit, 0, "{} {words:?}: {}{}", tool.display(), ran.out(), ran.stderr);
}

/// xorshift64*: the same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// How many random cases to try: as many as `make proof` has time for, so many of them as `KSOLO_CASES=1/10` says, or
/// `KSOLO_CASES` itself.
pub fn cases(usual: usize) -> usize {
    let Ok(text) = std::env::var("KSOLO_CASES") else { return usual };
    match text.strip_prefix("1/") {
        Some(part) => usual.div_ceil(part.parse().unwrap()),
        None => text.parse().unwrap(),
    }
}

/// The seed of the random cases: `KSOLO_SEED`, or always the same one. Printed, for a failure.
pub fn seed() -> u64 {
    let seed = std::env::var("KSOLO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("seed: KSOLO_SEED={seed}");
    seed
}
