//! `metrics`: the boot state and the update in Prometheus' text format (version 0.0.4), for node-exporter's textfile
//! collector.

use core::fmt::{self, Write};
use std::string::String;

use rustix::fd::AsFd;
use rustix::fs::CWD;

use crate::cli::console::Output;
use crate::failure::{Exit, Failure, Reason};
use crate::host::Host;
use crate::linux::folder::{folder_and_name, open_folder};
use crate::linux::replace::replace;
use crate::report::degraded;
use crate::update::state::{State, read_unlocked};
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::state::BootState;
use kubesolo_core::ignore::ignore;
use kubesolo_core::text::timestamp::Moment;
use kubesolo_core::update::phase::Phase;

/// Prints the metrics, or writes them to `file` by a rename, so that a reader never finds half of them.
///
/// # Errors
/// [`Exit::Io`] if the file cannot be written; those of reading the boot state.
pub fn run(host: &Host<'_>, file: Option<&str>, out: &mut Output<'_>) -> Result<(), Failure> {
    let boot = host.boot_state()?;
    let update = read_unlocked(&host.state_path()).unwrap_or_default();
    let is_degraded = degraded::read(host.run_folder()).is_some();
    let Some(path) = file else {
        ignore(
            print(&boot, is_degraded, &update, out),
            "an output keeps its error until it is finished, and text in memory has none",
        );
        return Ok(());
    };
    let (folder, name) = folder_and_name(path);
    let mut text = String::new();
    ignore(
        print(&boot, is_degraded, &update, &mut text),
        "an output keeps its error until it is finished, and text in memory has none",
    );
    open_folder(CWD, folder)
        .and_then(|folder| replace(folder.as_fd(), name, text.as_bytes()))
        .map_err(|errno| Failure::new(Exit::Io, format_args!("write {path}: {}", Reason(errno))))
}

fn print(boot: &BootState, is_degraded: bool, update: &State, out: &mut dyn Write) -> fmt::Result {
    let begun = Moment::parse(&update.started_at).map_or(0, |moment| moment.0);
    let numbers = [
        ("boot_counter", u64::from(boot.counter)),
        ("boot_success", boot.success.into()),
        ("boot_degraded", is_degraded.into()),
        ("update_attempts", update.attempt_count.into()),
        ("update_last_attempt_timestamp_seconds", begun),
        ("update_health_check_failures", update.health_check_failures.into()),
    ];
    for (name, number) in numbers {
        writeln!(out, "# TYPE kubesolo_{name} gauge\nkubesolo_{name} {number}")?;
    }
    // Under the name and the type that KubeSolo OS has. It begins anew at each success, as a counter may.
    let attempts = update.attempt_count;
    writeln!(out, "# TYPE kubesolo_update_attempts_total counter\nkubesolo_update_attempts_total {attempts}")?;
    writeln!(out, "# TYPE kubesolo_slot gauge")?;
    for slot in Slot::BOTH {
        let (state, active) = (boot.slot(slot), u8::from(boot.active == slot));
        writeln!(out, "kubesolo_slot{{slot=\"{slot}\",state=\"{state}\"}} {active}")?;
    }
    writeln!(out, "# TYPE kubesolo_update_phase gauge")?;
    for phase in Phase::ALL {
        writeln!(out, "kubesolo_update_phase{{phase=\"{phase}\"}} {}", u8::from(update.phase == phase))?;
    }
    Ok(())
}
