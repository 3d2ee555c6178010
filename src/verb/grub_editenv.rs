//! The program called by the name `grub-editenv`: takes that tool's arguments, and gives the same output, exit codes and bytes, for
//! scripts that use it. One file, of any length; the second copy is not touched.
//!
//! Unlike grub-editenv it writes in place and syncs, so that a power cut leaves no empty file.

use core::mem::MaybeUninit;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use embedded_io::{Read, Seek, SeekFrom, Write};
use rustix::fd::AsRawFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat_raw};
use rustix::io::Errno;

use crate::cli::console::Output;
use crate::failure::Reason;
use crate::linux::device::{Device, IoError};
use crate::linux::folder::folder_and_name;
use crate::linux::lock::{self, Share};
use kubesolo_core::boot::env_block::{EnvBlock, Error};
use kubesolo_core::disk::storage::Storage;

/// Longest path that the kernel tells.
const PATH_MAX: usize = 4096;
const DEFAULT_FILE: &str = "/boot/grub/grubenv";
/// `EX_USAGE` of sysexits.h, which the tool's argument parser ends with.
const EX_USAGE: u8 = 64;
/// Longest block that is read, in bytes.
const LEN_MAX: usize = 1 << 20;

/// A message for standard error, and the exit code.
struct Stop(String, u8);

/// Runs as `grub-editenv`; gives the exit code. `called` is the name it was called by, `words` the arguments.
pub fn run(called: &str, words: &[&OsStr]) -> u8 {
    let mut out = Output::to(rustix::stdio::stdout());
    let result = run_words(called, words, &mut out);
    let written = out.finish();
    match (result, written) {
        (Ok(()), Ok(())) => 0,
        (Ok(()), Err(_)) => 1,
        (Err(Stop(message, exit)), _) => {
            let mut err = Output::to(rustix::stdio::stderr());
            err.bytes(message.as_bytes());
            err.finish().map_or(1, |()| exit)
        }
    }
}

fn run_words(called: &str, words: &[&OsStr], out: &mut Output<'_>) -> Result<(), Stop> {
    let base = folder_and_name(called).1;
    let mut operands: Vec<&OsStr> = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" => operands.extend(words.by_ref()),
            [b'-', b'-', option @ ..] => {
                let option = long_option(option, word).map_err(|problem| bad_option(called, base, &problem))?;
                if answers(option.as_bytes(), called, out) {
                    return Ok(());
                }
            }
            [b'-', letters @ ..] if !letters.is_empty() => {
                for letter in letters {
                    if !b"vV?".contains(letter) {
                        return Err(bad_option(called, base, &format!("invalid option -- '{}'", char::from(*letter))));
                    }
                    if answers(&[*letter], called, out) {
                        return Ok(());
                    }
                }
            }
            _ => operands.push(word),
        }
    }
    let default = OsStr::new(DEFAULT_FILE);
    let (file, command, rest) = match operands.as_slice() {
        [] => return Err(Stop(format!("You need to specify at least one command.\n{}", usage(base)), EX_USAGE)),
        [command] => (default, *command, &[][..]),
        [file, command, rest @ ..] => (if *file == "-" { default } else { *file }, *command, rest),
    };
    let result = match command.as_bytes() {
        b"create" => alone(file, &|| create(file)),
        b"list" => load(file).map(|block| list(&block, out)),
        b"set" => edit(file, &|block| rest.iter().try_for_each(|word| set(block, word))),
        b"unset" => edit(file, &|block| {
            rest.iter().for_each(|name| block.unset(name.as_bytes()));
            Ok(())
        }),
        _ => return Err(Stop(format!("Unknown command `{}'.\n{}", shown(command), usage(called)), 1)),
    };
    result.map_err(|message| Stop(format!("{called}: error: {message}.\n"), 1))
}

/// Prints what `--help` and the like ask for; `false` for the other options, which do nothing.
fn answers(option: &[u8], called: &str, out: &mut Output<'_>) -> bool {
    match option {
        b"V" | b"version" => {
            out.bytes(format!("{called} (kubesolo-boot) {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
        }
        b"?" | b"help" | b"usage" => out.bytes(help(folder_and_name(called).1).as_bytes()),
        _ => return false,
    }
    true
}

/// The long option meant by `text`, which may be cut as long as it is clear (getopt_long(3)).
fn long_option(text: &[u8], word: &OsStr) -> Result<&'static str, String> {
    const OPTIONS: [&str; 4] = ["help", "usage", "verbose", "version"];
    let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut fitting = OPTIONS.into_iter().filter(|option| option.as_bytes().starts_with(name));
    match (fitting.next(), fitting.next()) {
        (None, _) => Err(format!("unrecognized option '{}'", shown(word))),
        (Some(one), Some(other)) => {
            Err(format!("option '{}' is ambiguous; possibilities: '--{one}' '--{other}'", shown(word)))
        }
        (Some(option), None) if name.len() < text.len() => {
            Err(format!("option '--{option}' doesn't allow an argument"))
        }
        (Some(option), None) => Ok(option),
    }
}

fn set(block: &mut EnvBlock<Vec<u8>>, word: &OsStr) -> Result<(), String> {
    let bytes = word.as_bytes();
    let (name, value) = bytes
        .iter()
        .position(|byte| *byte == b'=')
        .and_then(|at| bytes.split_at_checked(at))
        .and_then(|(name, rest)| Some((name, rest.strip_prefix(b"=")?)))
        .ok_or_else(|| format!("invalid parameter {}", shown(word)))?;
    block.set(name, value).map_err(|error| message(error).into())
}

fn help(base: &str) -> String {
    format!(
        "Usage: {base} [-vV?] [FILE|-] COMMAND\n\n  create, list, set NAME=VALUE..., unset NAME...\n\n\
         FILE is {DEFAULT_FILE} if it is - or missing. This is kubesolo-boot, called as {base};\n\
         kubesolo-boot --help has more.\n"
    )
}

fn bad_option(called: &str, base: &str, problem: &str) -> Stop {
    Stop(format!("{called}: {problem}\n{}", hint(base)), EX_USAGE)
}

fn usage(name: &str) -> String {
    format!("Usage: {name} [OPTION...] FILENAME COMMAND\n{}", hint(name))
}

fn hint(name: &str) -> String {
    format!("Try '{name} --help' or '{name} --usage' for more information.\n")
}

fn message(error: Error) -> &'static str {
    match error {
        Error::TooShort { .. } | Error::NoHeader => "invalid environment block",
        Error::NoRoom => "environment block too small",
    }
}

/// Prints the variables as the tool does, which prints C strings: a NUL byte ends a name or a value.
fn list(block: &EnvBlock<Vec<u8>>, out: &mut Output<'_>) {
    for var in block.variables() {
        var.name.iter().take_while(|byte| **byte != 0).for_each(|byte| out.bytes(&[*byte]));
        out.bytes(b"=");
        var.value.bytes().take_while(|byte| *byte != 0).for_each(|byte| out.bytes(&[byte]));
        out.bytes(b"\n");
    }
}

/// A name as text, for messages; `?` if it is not UTF-8.
fn shown(name: &OsStr) -> &str {
    name.to_str().unwrap_or("?")
}

/// The name of the tool's temporary file, which its error messages have.
fn new_name(file: &OsStr) -> OsString {
    let mut name = file.to_os_string();
    name.push(".new");
    name
}

fn cannot_open(file: &OsStr, errno: Errno) -> String {
    cannot("open", file, errno)
}

fn cannot(step: &str, file: &OsStr, errno: Errno) -> String {
    format!("cannot {step} `{}': {}", shown(file), Reason(errno))
}

/// Reads the whole file; one that is not there is made first.
fn load(file: &OsStr) -> Result<EnvBlock<Vec<u8>>, String> {
    let mut device = match Device::open(CWD, file, OFlags::RDONLY) {
        Err(Errno::NOENT) => {
            create(file)?;
            Device::open(CWD, file, OFlags::RDONLY)
        }
        // Here the tool tries to make a new file. This program only gives the same message.
        Err(errno) => return Err(cannot_open(&new_name(file), errno)),
        opened => opened,
    }
    .map_err(|errno| cannot_open(file, errno))?;
    // The same length as the tool's fseek finds: the size of a regular file, which is 0 for those in /proc.
    let stat = fstat(device.fd()).map_err(|errno| cannot("seek", file, errno))?;
    let len = if FileType::from_raw_mode(stat.st_mode).is_file() {
        stat.st_size.unsigned_abs()
    } else {
        device.seek(SeekFrom::End(0)).map_err(|error| cannot("seek", file, error.0))?
    };
    let len = usize::try_from(len).ok().filter(|len| *len <= LEN_MAX).ok_or("out of memory")?;
    let mut bytes = vec![0; len];
    device.seek(SeekFrom::Start(0)).map_err(|error| cannot_open(file, error.0))?;
    device.read_exact(&mut bytes).map_err(|_| format!("cannot read `{}': File too short", shown(file)))?;
    EnvBlock::parse(bytes).map_err(|error| message(error).into())
}

/// A change of a block in memory; it fails with the tool's message.
type Change<'a> = dyn Fn(&mut EnvBlock<Vec<u8>>) -> Result<(), String> + 'a;

fn edit(file: &OsStr, change: &Change<'_>) -> Result<(), String> {
    alone(file, &|| {
        let mut block = load(file)?;
        change(&mut block)?;
        store(file, OFlags::WRONLY, block.bytes())
    })
}

/// Does the work under the lock of the file's folder, as [`crate::boot::env_files`] takes it. If the lock is not free in time it goes
/// on without, as the tool takes no lock either.
fn alone(file: &OsStr, work: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
    // The folder of the file itself, not that of a link to it: the other verbs lock that one.
    let mut buffer = [MaybeUninit::uninit(); PATH_MAX];
    let opened = Device::open(CWD, file, OFlags::PATH);
    let real = opened.and_then(|file| {
        let link = format!("/proc/self/fd/{}", file.fd().as_raw_fd());
        readlinkat_raw(CWD, link, &mut buffer).map(|(path, _)| &*path)
    });
    let real = real.unwrap_or(file.as_bytes());
    let folder = match Path::new(OsStr::from_bytes(real)).parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let locked = openat(CWD, folder, flags, Mode::empty())
        .and_then(|folder| lock::take(&folder, Share::Nobody).map(|()| folder));
    let done = work();
    drop(locked);
    done
}

fn create(file: &OsStr) -> Result<(), String> {
    let new = new_name(file);
    let device = Device::open(CWD, file, OFlags::WRONLY | OFlags::CREATE).map_err(|errno| cannot_open(&new, errno))?;
    write(device, EnvBlock::blank().bytes()).map_err(|error| cannot_open(&new, error.0))
}

fn store(file: &OsStr, flags: OFlags, bytes: &[u8]) -> Result<(), String> {
    Device::open(CWD, file, flags)
        .map_err(IoError)
        .and_then(|device| write(device, bytes))
        .map_err(|error| cannot_open(file, error.0))
}

fn write(mut device: Device, bytes: &[u8]) -> Result<(), IoError> {
    device.write_all(bytes)?;
    rustix::fs::ftruncate(device.fd(), bytes.len() as u64)?;
    device.sync()
}
