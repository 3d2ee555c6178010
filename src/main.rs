//! The program: verb → function, and the only place that exits.
#![no_main]

mod process;
mod restart;

use std::ffi::OsStr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::termios::isatty;

use kubesolo_boot::cli::args::{Asked, Call};
use kubesolo_boot::cli::console::{Notes, Output};
use kubesolo_boot::cli::help::help;
use kubesolo_boot::cli::verbs::Verb;
use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::folder::folder_and_name;
use kubesolo_boot::report::progress::Style;
use kubesolo_boot::verb;
use kubesolo_boot::verb::status::Status;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::text::json::Quoted;

/// Longest the boot stage may take, whatever a disk does: less than the watchdog of the shipped image waits for.
const INIT_DEADLINE: Duration = Duration::from_secs(40);

/// Longest a verb may take that only reads or writes a little.
const VERB_DEADLINE: Duration = Duration::from_secs(60);
/// At shutdown nobody waits for a note.
const STOPPING_DEADLINE: Duration = Duration::from_secs(10);
/// Longest for asking a server, for reading a slot's files back, or for a filesystem to grow.
const CHECK_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Its checks have deadlines of their own, which a box can set.
const HEALTHCHECK_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// In the exit code of a verb's child: the box is to be restarted. No exit code has this bit.
const RESTART: u8 = 0x80;

/// How what is said looks: as it does on this process' own streams, which a child does not have.
#[derive(Clone, Copy)]
struct Look {
    colour: bool,
    style: Style,
}

impl Look {
    /// Asks the terminal only for a verb that has use for it.
    fn of(verb: Verb<'_>, json: bool) -> Look {
        let is_seen = || isatty(rustix::stdio::stdout()) && (process::HOOKS.variable)("NO_COLOR").is_none();
        Look {
            colour: verb == Verb::Status && is_seen(),
            style: match verb {
                Verb::Apply(_) | Verb::Activate => Style::pick(json),
                _ => Style::Lines,
            },
        }
    }
}

/// Runs the program; `called` is the name it was called by. Gives the exit code.
fn run(called: &OsStr, arguments: &[&OsStr]) -> u8 {
    let called = called.to_str().unwrap_or("kubesolo-boot");
    if folder_and_name(called).1 == "grub-editenv" {
        return verb::grub_editenv::run(called, arguments);
    }
    let notes = Notes::new();
    let exit = Call::parse(arguments).and_then(|call| match call.asked()? {
        Asked::Help(verb) => print(&help(verb)),
        Asked::Version => print(concat!("kubesolo-boot ", env!("CARGO_PKG_VERSION"), "\n")),
        Asked::Work(Verb::Init) => init(&call),
        Asked::Work(verb) => run_in_time(&call, verb, &notes),
    });
    exit.unwrap_or_else(|failure| {
        notes.say(format_args!("{failure}"));
        failure.exit()
    }) as u8
}

fn init(call: &Call<'_>) -> Result<Exit, Failure> {
    let notes = Notes::with_kernel_log();
    let host = Host::new(&call.given.flags, process::HOOKS);
    let ended = process::within(INIT_DEADLINE, || verb::init::run(&host, &notes) as u8);
    Ok(match ended {
        process::Ended::With(code) => {
            return Ok(Exit::with(code).unwrap_or(Exit::GoOnDegraded));
        }
        process::Ended::TooLate => verb::init::too_late(&host, &notes, INIT_DEADLINE),
        process::Ended::Crashed => {
            notes.say(format_args!("init: go on, degraded: crashed; please report this"));
            Exit::GoOnDegraded
        }
    })
}

/// How long the verb may take; `None`: it looks after its time itself.
fn deadline(call: &Call<'_>, verb: Verb<'_>) -> Option<Duration> {
    match verb {
        // A watchdog has to starve when the disk hangs; a download takes as long as it takes; `find` touches no disk
        // itself, unless it is to say what is on it.
        Verb::Watchdog | Verb::Apply(_) => None,
        Verb::Find(_) if !call.given.ext4 => None,
        // A block that is given by name is on no disk of ours.
        Verb::EnvList | Verb::EnvGet(_) | Verb::EnvSet(_) | Verb::EnvUnset(_) | Verb::EnvCreate
            if call.given.flags.grubenv.is_some() =>
        {
            None
        }
        Verb::Stopping => Some(STOPPING_DEADLINE),
        Verb::Check(_) | Verb::Activate | Verb::Grow => Some(CHECK_DEADLINE),
        Verb::Healthcheck => Some(HEALTHCHECK_DEADLINE),
        _ => Some(VERB_DEADLINE),
    }
}

/// Runs a verb, and restarts the box if it is to be. A disk that stalls never lets go of whoever called for it: so that is a
/// child, which is left behind.
fn run_in_time(call: &Call<'_>, verb: Verb<'_>, notes: &Notes) -> Result<Exit, Failure> {
    let look = Look::of(verb, call.given.json);
    let host = Host::new(&call.given.flags, process::HOOKS);
    let (exit, restart) = match deadline(call, verb) {
        None => run_verb(call, verb, &host, notes, look)?,
        Some(deadline) => {
            let work = || match run_verb(call, verb, &host, notes, look) {
                Ok((exit, restart)) => exit as u8 | if restart { RESTART } else { 0 },
                Err(failure) => {
                    notes.say(format_args!("{failure}"));
                    failure.exit() as u8
                }
            };
            let (ended, passed_on) = process::passing_on(deadline, work);
            let code = match ended {
                process::Ended::With(code) => code,
                process::Ended::Crashed => {
                    return Err(Failure::new(Exit::Io, format_args!("{}: crashed; please report this", call.word())));
                }
                process::Ended::TooLate => {
                    let seconds = deadline.as_secs();
                    return Err(Failure::new(
                        Exit::Io,
                        format_args!(
                            "{}: not done after {seconds} s: the disk does not answer; dmesg may say why",
                            call.word()
                        ),
                    ));
                }
            };
            passed_on.map_err(not_written)?;
            (Exit::with(code & !RESTART).unwrap_or(Exit::Io), code & RESTART != 0)
        }
    };
    if restart {
        restart::now(&host)?;
    }
    Ok(exit)
}

/// Gives the exit code, and whether the box is to be restarted.
fn run_verb(
    call: &Call<'_>,
    verb: Verb<'_>,
    host: &Host<'_>,
    notes: &Notes,
    look: Look,
) -> Result<(Exit, bool), Failure> {
    let mut out = Output::to(rustix::stdio::stdout());
    let warn = |warning| notes.say(format_args!("warning: {warning}"));
    match verb {
        Verb::Check(_) | Verb::Apply(_) | Verb::Activate | Verb::Healthcheck | Verb::Watchdog | Verb::Grow => {
            return run_update(call, verb, host, notes, look.style, out);
        }
        Verb::Status => {
            let status = Status::read(host)?;
            let printed = if call.given.json {
                status.print_json(host, &mut out)
            } else {
                status.print(host, look.colour, &mut out)
            };
            printed.unwrap_or_default();
        }
        Verb::SlotShow => show_slots(&verb::slot::show(host)?, call.given.json, &mut out),
        Verb::SlotSet(slot, state) => {
            show_slots(&verb::slot::set(host, notes, slot, state)?, call.given.json, &mut out)
        }
        Verb::Commit => {
            let state = verb::boot_state::commit(host, notes)?;
            say(&mut out, format_args!("Slot {} is good and stays.", state.active));
        }
        Verb::Rollback => {
            let state = verb::boot_state::rollback(host, notes, "rolled back by hand")?;
            say(&mut out, format_args!("Slot {} boots next.", state.active));
        }
        Verb::EnvList if call.given.json => verb::env::list_json(host, &mut out)?,
        Verb::EnvList => verb::env::list(host, &mut out)?,
        Verb::EnvGet(name) => verb::env::get(host, name, &mut out)?,
        Verb::EnvSet(pairs) => verb::env::set(host, pairs, &warn)?,
        Verb::EnvUnset(names) => verb::env::unset(host, names, &warn)?,
        Verb::EnvCreate => verb::env::create(host, &warn)?,
        Verb::Metrics(file) => verb::metrics::run(host, file, &mut out)?,
        Verb::Stopping => verb::stopping::run(host)?,
        Verb::Probe => return probe(host, call.given.json, out).map(|exit| (exit, false)),
        Verb::Find(name) => say(&mut out, format_args!("{}", verb::find::run(host, notes, name, call.given.ext4)?)),
        Verb::Init => {}
    }
    finish(out)?;
    Ok((Exit::Done, call.given.reboot))
}

fn run_update(
    call: &Call<'_>,
    verb: Verb<'_>,
    host: &Host<'_>,
    notes: &Notes,
    style: Style,
    mut out: Output<'_>,
) -> Result<(Exit, bool), Failure> {
    let mut buffer = [[0; kubesolo_boot::update::settings::LEN_MAX]; 2];
    let settings = kubesolo_boot::update::settings::Settings::read(&call.given.flags, &mut buffer);
    let config = match verb {
        // `init` has read them so, and started it: a mistake in a line must not end in a reset every minute.
        Verb::Watchdog => {
            settings.lenient(&call.given.flags, &|problem| notes.say(format_args!("watchdog: {problem}")))
        }
        _ => settings.strict(&call.given.flags, &|warning| notes.say(warning))?,
    };
    let mut exit = Exit::Done;
    match verb {
        Verb::Check(source) => exit = verb::check::run(host, notes, &config, source, call.given.json, &mut out)?,
        Verb::Apply(source) => {
            let applied = verb::apply::run(host, notes, &config, source, style)?;
            let (slot, version) = (applied.slot, &applied.version);
            if call.given.json {
                say(&mut out, format_args!("{{\"event\":\"staged\",\"slot\":\"{slot}\",\"version\":\"{version}\"}}"));
            } else {
                let already = if applied.already { "already " } else { "" };
                say(&mut out, format_args!("Version {version} is {already}installed in slot {slot}."));
                say(&mut out, format_args!("Next: kubesolo-boot activate --reboot"));
            }
        }
        Verb::Watchdog => verb::watchdog::run(host, notes, &config, &mut out)?,
        Verb::Grow => verb::grow::run(host, notes, &config, &mut out)?,
        Verb::Healthcheck => {
            let concluded = verb::healthcheck::run(host, notes, &config, call.given.json, &mut out);
            // What was seen is told also where nothing could be made of it.
            finish(out)?;
            let (healthy, rolled_back) = concluded?;
            return Ok((healthy, call.given.reboot && rolled_back));
        }
        _ => {
            let state = verb::activate::run(host, notes, style)?;
            say(&mut out, format_args!("Slot {} boots next, on trial.", state.active));
        }
    }
    finish(out)?;
    Ok((exit, call.given.reboot))
}

fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = Output::to(rustix::stdio::stdout());
    out.bytes(text.as_bytes());
    finish(out).map(|()| Exit::Done)
}

fn say(out: &mut Output<'_>, line: std::fmt::Arguments<'_>) {
    use std::fmt::Write;
    // An output keeps its error until it is finished.
    writeln!(out, "{line}").unwrap_or_default();
}

fn finish(out: Output<'_>) -> Result<(), Failure> {
    out.finish().map_err(not_written)
}

fn not_written(errno: Errno) -> Failure {
    Failure::new(Exit::Io, format_args!("write to standard output: {}", Reason(errno)))
}

fn show_slots(state: &BootState, json: bool, out: &mut Output<'_>) {
    if json {
        say(out, format_args!("{{\"slot_A\":\"{}\",\"slot_B\":\"{}\"}}", state.a, state.b));
    } else {
        for slot in Slot::BOTH {
            say(out, format_args!("{slot} {}", state.slot(slot)));
        }
    }
}

fn probe(host: &Host<'_>, json: bool, mut out: Output<'_>) -> Result<Exit, Failure> {
    let result = verb::probe::run(host);
    if !json {
        say(&mut out, format_args!("{} takes writes.", result?));
        finish(out)?;
        return Ok(Exit::Done);
    }
    let (writable, exit, reason) = match &result {
        Ok(_) => (true, Exit::Done, String::new()),
        Err(failure) => (false, failure.exit(), failure.to_string()),
    };
    say(&mut out, format_args!("{{\"disk_writable\":{writable},\"reason\":{}}}", Quoted::text(&reason)));
    finish(out)?;
    Ok(exit)
}
