//! Knows how to run a tool of the build machine (fdisk, mtools, debugfs, grub-editenv) and read its answer.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitStatus};

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
    let (status, answer) = finish(tool, &args)?;
    if status.success() {
        return Ok(answer);
    }
    let words: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
    Err(Failure::new(format!("{tool} {}: {status}: {}", words.join(" "), answer.stderr.trim())))
}

/// Runs a tool that says something by its exit code.
///
/// # Errors
/// When it cannot be started or is killed.
pub fn exit_code<A: AsRef<OsStr>>(tool: &str, args: impl IntoIterator<Item = A>) -> Result<i32> {
    let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let (status, _) = finish(tool, &args)?;
    status.code().ok_or_else(|| Failure::new(format!("{tool}: {status}")))
}

fn finish(tool: &str, args: &[OsString]) -> Result<(ExitStatus, Answer)> {
    let out = Command::new(tool)
        .args(args)
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .step(|| format!("{tool}: cannot start (is it installed? `tools/deps`)"))?;
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    Ok((out.status, Answer { stdout: out.stdout, stderr }))
}

/// PATH with the folders that hold fdisk, debugfs and mkfs for everybody but root.
pub fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
