//! kubesolo-cloud-init: on first boot, the `updates:` block of a NoCloud seed becomes `update.conf`.
//!
//! A program of its own, run by `/init` of the initramfs: a YAML parser is 57 KB and would not fit into kubesolo-boot.

use std::io::Write as _;
use std::process::ExitCode;

use kubesolo_boot::failure::{Exit, Failure};

mod conf;
mod seed;
mod store;
mod volume;
mod yaml;

use conf::Outcome;
use seed::{Places, Seed};
use store::Store;

const HELP: &str = "\
kubesolo-cloud-init [FLAGS]: the updates: block of a NoCloud seed becomes update.conf, once for each seed

Looks for user-data in DATA/cloud-init/, in /var/lib/cloud/seed/nocloud/, and on a disk labelled CIDATA.
Writes DATA/update/update.conf. full-config.yaml in its source shows every key.

  --data DIR   the data partition (default /var/lib/kubesolo)
  --seed DIR   look in this folder, and nowhere else
  --sys DIR    instead of /sys/class/block
  --dev DIR    instead of /dev
  -h, --help   this
  -V, --version

Exit codes:
   0  written, or there is nothing to do
   2  the command line cannot be understood
   4  two disks carry the label CIDATA; unplug one
   6  reading or writing failed; update.conf is whole, the old one or the new one
   7  the seed is not right: not YAML, a value that its key cannot have, too long; nothing was changed
";

struct Flags {
    data: String,
    seed: Option<String>,
    sys: String,
    dev: String,
}

fn main() -> ExitCode {
    let exit = run().unwrap_or_else(|failure| {
        say(&format!("{failure}{}", if failure.exit() == Exit::Refused { "; nothing was changed" } else { "" }));
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

fn run() -> Result<Exit, Failure> {
    let Some(flags) = parse_flags()? else { return Ok(Exit::Done) };
    let own = format!("{}/cloud-init", flags.data);
    let folders = match &flags.seed {
        Some(folder) => vec![folder.as_str()],
        None => vec![own.as_str(), "/var/lib/cloud/seed/nocloud"],
    };
    let disks = flags.seed.is_none().then_some((flags.sys.as_str(), flags.dev.as_str()));
    let Some(seed) = Seed::find(&Places { folders: &folders, disks })? else { return Ok(Exit::Done) };

    let store = Store::open(&flags.data)?;
    let identity = seed.identity();
    if store.holds(identity) {
        return Ok(Exit::Done);
    }
    let source = seed.source.as_str();
    let mut warn = |line: usize, reason: String| say(&format!("warning: {source}:{line}: {reason}"));
    match conf::from_user_data(&seed.user_data, source, &mut warn) {
        Ok(Outcome::Text(conf)) => {
            store.put(&conf, identity)?;
            say(&format!("{source}: written to {}", store.conf()));
        }
        Ok(Outcome::Nothing(why)) => say(&format!("{source}: {why}; nothing to do")),
        Err(flaw) => {
            return Err(Failure::new(Exit::Refused, format_args!("{source}:{}: {}", flaw.line, flaw.reason)));
        }
    }
    Ok(Exit::Done)
}

/// `None` when help or version was asked for, and given.
fn parse_flags() -> Result<Option<Flags>, Failure> {
    let usage = |word: &str, problem: &str| {
        Failure::new(Exit::Usage, format_args!("{word}: {problem}; see kubesolo-cloud-init --help"))
    };
    let mut flags = Flags {
        data: kubesolo_boot::host::DATA_FOLDER.into(),
        seed: None,
        sys: "/sys/class/block".into(),
        dev: "/dev".into(),
    };
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        let mut seed = String::new();
        let place = match &*word {
            "-h" | "--help" => return Ok(print(HELP)),
            "-V" | "--version" => return Ok(print(concat!("kubesolo-cloud-init ", env!("CARGO_PKG_VERSION"), "\n"))),
            "--data" => &mut flags.data,
            "--seed" => &mut seed,
            "--sys" => &mut flags.sys,
            "--dev" => &mut flags.dev,
            word => return Err(usage(word, "no such flag")),
        };
        let value = words.next().ok_or_else(|| usage(&word, "needs a value"))?;
        *place = value.into_string().map_err(|_| usage(&word, "its value is not UTF-8"))?;
        if !seed.is_empty() {
            flags.seed = Some(seed);
        }
    }
    Ok(Some(flags))
}

/// Prints, as far as somebody listens.
fn print(text: &str) -> Option<Flags> {
    std::io::stdout().write_all(text.as_bytes()).unwrap_or_default();
    None
}

/// One line for the console. Nothing in it can move the cursor or make a second line.
fn say(text: &str) {
    let line: String = text.chars().map(|each| if each.is_control() { '?' } else { each }).collect();
    std::io::stderr().write_all(format!("kubesolo-cloud-init: {line}\n").as_bytes()).unwrap_or_default();
}
