//! Knows how to run a tool of the build machine (sgdisk, mtools, debugfs, grub-editenv) and read its answer.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::failure::{Failure, Result, Step};

/// What a tool said.
pub struct Answer {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a tool to its end.
///
/// # Errors
/// When it cannot be started or exits with a code other than 0: its last words are in the text.
pub fn run<A: AsRef<OsStr>>(tool: &str, args: impl IntoIterator<Item = A>) -> Result<Answer> {
    let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let out = Command::new(tool)
        .args(&args)
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .step(|| format!("{tool}: cannot start (is it installed? `image/deps`)"))?;
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    if out.status.success() {
        return Ok(Answer { stdout: out.stdout, stderr });
    }
    let words: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
    Err(Failure::new(format!("{tool} {}: {}: {}", words.join(" "), out.status, stderr.trim())))
}

/// PATH with the folders that hold sgdisk, debugfs and mkfs for everybody but root.
pub fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
