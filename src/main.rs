//! The program: calls the function of the verb, and gives its exit code.
#![no_main]

mod process;
mod restart;

use std::ffi::OsStr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::termios::isatty;

use kubesolo_boot::cli::args::{Action, Call};
use kubesolo_boot::cli::console::{KEEPS_ITS_ERROR, Notes, Output};
use kubesolo_boot::cli::flags::FLAGS;
use kubesolo_boot::cli::help::help;
use kubesolo_boot::cli::verbs::{Row, Verb};
use kubesolo_boot::failure::{Exit, Failure, Reason};
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::folder::folder_and_name;
use kubesolo_boot::report::progress::Style;
use kubesolo_boot::update::settings::{self, Settings};
use kubesolo_boot::verb;
use kubesolo_boot::verb::apply::Installed;
use kubesolo_boot::verb::machine::Machine;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::flow::outcome;
use kubesolo_core::flow::ports::LastError;
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::json::{self, Fill};
use kubesolo_core::update::config::Config;

/// Longest the boot stage may take, whatever a disk does: less than the watchdog of the shipped image waits for.
const INIT_DEADLINE: Duration = Duration::from_secs(40);

/// Longest a verb may take that only reads or writes a little.
const VERB_DEADLINE: Duration = Duration::from_secs(60);
/// A note in the boot log must not delay a shutdown.
const STOPPING_DEADLINE: Duration = Duration::from_secs(10);
/// Longest for asking a server, for reading a slot's files back, or for a filesystem to grow.
const CHECK_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Its checks have deadlines of their own, which a box can set.
const HEALTHCHECK_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// In the exit code of a verb's child: the box is to be restarted. No exit code has this bit.
const RESTART: u8 = 0x80;

/// What a verb needs.
#[derive(Clone, Copy)]
struct Session<'a> {
    call: &'a Call<'a>,
    host: &'a Host<'a>,
    notes: &'a Notes,
    look: Look,
}

/// How output looks. Decided by this process: the streams of the child are pipes.
#[derive(Clone, Copy)]
struct Look {
    colour: bool,
    style: Style,
}

impl Look {
    /// Looks at the terminal only for a verb that needs to know.
    fn of(verb: Verb<'_>, json: bool) -> Look {
        let is_seen = || isatty(rustix::stdio::stdout()) && (process::HOOKS.variable)("NO_COLOR").is_none();
        let is_long = matches!(verb, Verb::Apply(_) | Verb::Activate);
        Look {
            colour: verb == Verb::Status && is_seen(),
            style: if is_long { Style::pick(json) } else { Style::Lines },
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
    let exit = Call::parse(arguments).and_then(|call| match call.action()? {
        Action::Help(verb) => print(&help(verb)),
        Action::Version => print(concat!("kubesolo-boot ", env!("CARGO_PKG_VERSION"), "\n")),
        Action::Work(Verb::Init) => run_in_time(&call, Verb::Init, &Notes::with_kernel_log()),
        Action::Work(verb) => run_in_time(&call, verb, &notes),
    });
    exit.unwrap_or_else(|failure| {
        notes.say(format_args!("{failure}"));
        failure.exit()
    }) as u8
}

/// How long the verb may take; `None`: it has time limits of its own.
fn deadline(call: &Call<'_>, verb: Verb<'_>) -> Option<Duration> {
    match verb {
        // If the disk hangs, so must `watchdog`, without its keepalives; a download has time limits of its own.
        Verb::Watchdog | Verb::Apply(_) => None,
        // `find` reads no disk in this process, unless it looks for ext4.
        Verb::Find(_) => call.given.ext4.then_some(VERB_DEADLINE),
        // With --grubenv no disk is searched or mounted.
        Verb::EnvList | Verb::EnvGet(_) | Verb::EnvSet(_) | Verb::EnvUnset(_) | Verb::EnvCreate => {
            call.given.flags.grubenv.is_none().then_some(VERB_DEADLINE)
        }
        Verb::Init => Some(INIT_DEADLINE),
        Verb::Stopping => Some(STOPPING_DEADLINE),
        Verb::Check(_) | Verb::Activate | Verb::Grow => Some(CHECK_DEADLINE),
        Verb::Healthcheck => Some(HEALTHCHECK_DEADLINE),
        Verb::Status | Verb::Commit | Verb::Rollback => Some(VERB_DEADLINE),
        Verb::SlotShow | Verb::SlotSet(..) | Verb::Metrics(_) | Verb::Probe => Some(VERB_DEADLINE),
    }
}

/// Runs a verb, and restarts the box if that was asked for. A process that waits for a disk that hangs cannot be killed, so the verb
/// runs in a child, which is left behind.
fn run_in_time(call: &Call<'_>, verb: Verb<'_>, notes: &Notes) -> Result<Exit, Failure> {
    let host = Host::new(&call.given.flags, process::HOOKS);
    let session = Session { call, host: &host, notes, look: Look::of(verb, call.given.json) };
    let delay = restart::delay(call.given.reboot_in)?;
    let (exit, restart) = match deadline(call, verb) {
        None => run_verb(session, verb)?,
        Some(deadline) if verb == Verb::Init => (run_init(session, deadline), false),
        Some(deadline) => run_in_child(session, verb, deadline)?,
    };
    match delay {
        _ if !restart => {}
        None => restart::now(&host)?,
        Some(delay) => restart::later(&host, delay)?,
    }
    Ok(exit)
}

/// Runs the boot stage. Gives an exit code for `/init` in every case.
fn run_init(session: Session<'_>, deadline: Duration) -> Exit {
    let work = || run_verb(session, Verb::Init).map_or(Exit::GoOnDegraded, |(exit, _)| exit) as u8;
    match process::run_with_timeout(deadline, work) {
        process::Ended::With(code) => Exit::with(code).unwrap_or(Exit::GoOnDegraded),
        process::Ended::TimedOut => verb::init::too_late(session.host, session.notes, deadline),
        process::Ended::Crashed => {
            session.notes.say(format_args!("init: go on, degraded: crashed; please report this"));
            Exit::GoOnDegraded
        }
    }
}

fn run_in_child(session: Session<'_>, verb: Verb<'_>, deadline: Duration) -> Result<(Exit, bool), Failure> {
    let word = session.call.word();
    let (ended, passed_on) = process::run_passing_output_on(deadline, || match run_verb(session, verb) {
        Ok((exit, restart)) => exit as u8 | if restart { RESTART } else { 0 },
        Err(failure) => {
            session.notes.say(format_args!("{failure}"));
            failure.exit() as u8
        }
    });
    let code = match ended {
        process::Ended::With(code) => code,
        process::Ended::Crashed => {
            return Err(Failure::new(Exit::Io, format_args!("{word}: crashed; please report this")));
        }
        process::Ended::TimedOut => {
            let seconds = deadline.as_secs();
            return Err(Failure::new(
                Exit::Io,
                format_args!("{word}: not done after {seconds} s: the disk does not answer; dmesg may say why"),
            ));
        }
    };
    passed_on.map_err(not_written)?;
    Ok((Exit::with(code & !RESTART).unwrap_or(Exit::Io), code & RESTART != 0))
}

/// Gives the exit code, and whether the box is to be restarted.
fn run_verb(session: Session<'_>, verb: Verb<'_>) -> Result<(Exit, bool), Failure> {
    let mut out = Output::to(rustix::stdio::stdout());
    let ended = work(session, verb, &mut out);
    // A verb that has printed its answer already says the rest as a note alone: there is one object.
    if let Err(failure) = &ended
        && session.call.given.json
        && out.is_unused()
    {
        print_error(failure, verb, &mut out);
    }
    // Printed also if the verb failed in the end.
    let printed = finish(out);
    let ended = ended?;
    printed.map(|()| ended)
}

fn work(session: Session<'_>, verb: Verb<'_>, out: &mut Output<'_>) -> Result<(Exit, bool), Failure> {
    let Session { call, host, notes, look } = session;
    let (json, ext4) = (call.given.json, call.given.ext4);
    let (mut exit, mut restart) = (Exit::Done, call.given.reboot || call.given.reboot_in.is_some());
    let warn = |warning| notes.say(format_args!("warning: {warning}"));
    let buffer = &mut [[0; settings::LEN_MAX]; 2];
    match verb {
        Verb::Status => verb::status::run(host, notes, json, look.colour, out)?,
        Verb::Check(source) => exit = verb::check::run(host, notes, &config(session, buffer)?, source, json, out)?,
        Verb::Apply(source) => {
            let applied = verb::apply::run(host, notes, &config(session, buffer)?, source, look.style)?;
            show_applied(&applied, json, out);
        }
        Verb::Activate => {
            let state = verb::activate::run(host, notes, &lenient_config(session, buffer, "warning"), look.style)?;
            out.line(format_args!("Slot {} boots next, on trial.", state.active));
        }
        Verb::Healthcheck => {
            let (healthy, restarts) = verb::healthcheck::run(host, notes, &config(session, buffer)?, json, out)?;
            (exit, restart) = (healthy, restart && restarts);
        }
        Verb::Rollback => {
            let state =
                outcome::roll_back(&mut Machine::new(host, notes, ()), LastError::Words("rolled back by hand"))?;
            out.line(format_args!("Slot {} boots next.", state.active));
        }
        Verb::Commit => {
            let state = outcome::commit(&mut Machine::new(host, notes, ()))?;
            out.line(format_args!("Slot {} is good and stays.", state.active));
        }
        Verb::SlotShow => show_slots(&host.boot_state()?, json, out),
        Verb::SlotSet(slot, state) => show_slots(&verb::slot::set(host, notes, slot, state)?, json, out),
        Verb::EnvList => verb::env::list(host, json, out)?,
        Verb::EnvGet(name) => verb::env::get(host, name, json, out)?,
        Verb::EnvSet(pairs) => verb::env::set(host, pairs, &warn)?,
        Verb::EnvUnset(names) => verb::env::unset(host, names, &warn)?,
        Verb::EnvCreate => verb::env::create(host, &warn)?,
        Verb::Watchdog => {
            restart = verb::watchdog::run(host, notes, &lenient_config(session, buffer, "watchdog"), restart, out)?
        }
        Verb::Stopping => verb::stopping::run(host)?,
        Verb::Metrics(file) => verb::metrics::run(host, file, out)?,
        Verb::Probe => exit = probe(host, json, out)?,
        Verb::Find(name) => out.line(format_args!("{}", verb::find::run(host, notes, name, ext4)?)),
        Verb::Grow => verb::grow::run(host, notes, &config(session, buffer)?, out)?,
        Verb::Init => exit = verb::init::run(host, notes),
    }
    Ok((exit, restart))
}

/// The settings; a mistake in one that the verb needs is an error.
fn config<'a>(session: Session<'a>, buffer: &'a mut settings::Buffer) -> Result<Config<'a>, Failure> {
    let flags = &session.call.given.flags;
    // A verb needs the keys that it takes as flags.
    let verb = Row::of(session.call.word()).map(|row| row.name);
    let needs = |key: &str| verb.is_some_and(|verb| FLAGS.iter().any(|flag| flag.is_key(key) && flag.is_of(verb)));
    Settings::read(flags, buffer).strict(flags, &needs, &|warning| session.notes.say(warning))
}

/// The settings, with mistakes only reported, behind a word, as `init` reads them: `init` has started the watchdog, and if `watchdog`
/// stopped at a mistake the box would be reset every minute; `activate` only asks what may be out of reach as well.
fn lenient_config<'a>(session: Session<'a>, buffer: &'a mut settings::Buffer, word: &str) -> Config<'a> {
    let flags = &session.call.given.flags;
    Settings::read(flags, buffer).lenient(flags, &|problem| session.notes.say(format_args!("{word}: {problem}")))
}

fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = Output::to(rustix::stdio::stdout());
    out.bytes(text.as_bytes());
    finish(out).map(|()| Exit::Done)
}

fn finish(out: Output<'_>) -> Result<(), Failure> {
    out.finish().map_err(not_written)
}

fn not_written(errno: Errno) -> Failure {
    Failure::new(Exit::Io, format_args!("write to standard output: {}", Reason(errno)))
}

fn show_applied(Installed { slot, version, already }: &Installed, json: bool, out: &mut Output<'_>) {
    if json {
        return print_object(out, &mut |event| {
            event.member("event", &"staged")?;
            event.member("slot", &slot.name())?;
            event.member("version", &version.as_str())
        });
    }
    let already = if *already { "already " } else { "" };
    out.line(format_args!("Version {version} is {already}installed in slot {slot}."));
    out.line(format_args!("Next: kubesolo-boot activate --reboot"));
}

fn show_slots(state: &BootState, json: bool, out: &mut Output<'_>) {
    if json {
        return print_object(out, &mut |all| {
            all.member("slot_A", &state.a.name())?;
            all.member("slot_B", &state.b.name())
        });
    }
    for slot in Slot::BOTH {
        out.line(format_args!("{slot} {}", state.slot(slot)));
    }
}

fn probe(host: &Host<'_>, json: bool, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let result = verb::probe::run(host);
    if !json {
        out.line(format_args!("{} takes writes.", result?));
        return Ok(Exit::Done);
    }
    let (writable, exit, reason) = match &result {
        Ok(_) => (true, Exit::Done, String::new()),
        Err(failure) => (false, failure.exit(), failure.to_string()),
    };
    print_object(out, &mut |all| {
        all.member("disk_writable", &writable)?;
        all.member("reason", &reason.as_str())
    });
    Ok(exit)
}

fn print_object(out: &mut Output<'_>, fill: Fill<'_>) {
    ignore(json::object(out, fill), KEEPS_ITS_ERROR);
    out.bytes(b"\n");
}

/// What a script gets in place of the answer.
fn print_error(failure: &Failure, verb: Verb<'_>, out: &mut Output<'_>) {
    print_object(out, &mut |all| {
        if matches!(verb, Verb::Apply(_) | Verb::Activate) {
            all.member("event", &"failed")?;
        }
        all.member("error", &failure.text())?;
        all.member("exit_code", &u32::from(failure.exit() as u8))
    });
}
