//! The machine that the tests run on: a folder of their own, and its tools, run in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::skipped;

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
