//! Makes the man page and the shells' completions, of the tables of verbs, flags and keys that the program itself goes by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "what cannot be made must stop the build"
)]

mod completions;
mod grammar;
mod page;

use std::fs;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [date, folder] = arguments.as_slice() else {
        eprintln!("usage: manual DATE FOLDER\nDATE, for the man page, as in 'November 24, 2026'.");
        std::process::exit(2);
    };
    fs::create_dir_all(folder).unwrap();
    for (name, text) in [
        ("kubesolo-boot.8", page::page(date)),
        ("kubesolo-boot.bash", completions::bash()),
        ("_kubesolo-boot", completions::zsh()),
        ("kubesolo-boot.fish", completions::fish()),
    ] {
        fs::write(Path::new(folder).join(name), text).unwrap();
    }
}
