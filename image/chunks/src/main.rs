//! Images of which a box that has most of one fetches only the rest: image/initramfs packs with `gzip`, and image/release
//! lists with `index` what the files are made of.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use kubesolo_chunks::{gzip, index, newc};

const USAGE: &str = "usage: kubesolo-chunks gzip <FILE >FILE.gz
       kubesolo-chunks inodes <FILE.cpio >OTHER.cpio
       kubesolo-chunks index FILE >FILE.idx
gzip   packs in chunks of 32 to 64 KiB, each on its own: where two files have the same bytes, so have the packed ones.
       Any gunzip reads it, and so does the kernel. The same input gives the same output, on every machine.
inodes gives each entry of an archive (newc) a number of its name, so that a file more changes no other entry.
index  writes which chunks a file is made of: what was packed by this cut where it was flushed, all else by its content.
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["-h" | "--help"] => io::stdout().write_all(USAGE.as_bytes()).map_err(|error| at("standard output", error)),
        ["gzip"] => pack(),
        ["inodes"] => renumber(),
        ["index", path] => list(Path::new(path)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kubesolo-chunks: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn at(what: &str, error: impl fmt::Display) -> String {
    format!("{what}: {error}")
}

fn read_input() -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content).map_err(|error| at("standard input", error))?;
    Ok(content)
}

fn renumber() -> Result<(), String> {
    let mut archive = read_input()?;
    newc::renumber(&mut archive).map_err(|error| at("standard input", error))?;
    io::stdout().write_all(&archive).map_err(|error| at("standard output", error))
}

fn pack() -> Result<(), String> {
    let content = read_input()?;
    let mut out = BufWriter::new(io::stdout().lock());
    gzip::pack(&content, &mut out).and_then(|()| out.flush()).map_err(|error| at("standard output", error))
}

fn list(path: &Path) -> Result<(), String> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut content));
    read.map_err(|error| at(&path.display().to_string(), error))?;
    let index = index::of(&content).map_err(|error| at(&path.display().to_string(), error))?;
    io::stdout().write_all(&index).map_err(|error| at("standard output", error))
}
