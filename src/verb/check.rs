//! `check`: is there an update for this box? Changes nothing.

use core::fmt::{self, Write};
use std::string::String;

use rustix::fs::{Access, access};

use crate::cli::console::{KEEPS_ITS_ERROR, Notes, Output};
use crate::failure::{Exit, Failure};
use crate::flags::Flags;
use crate::host::Host;
use crate::net::fetch::Client;
use crate::report::progress::Size;
use crate::update::remote_manifest::RemoteManifest;
use crate::update::slot_version::read_version;
use crate::update::state::{now, read_unlocked};
use kubesolo_core::ignore::ignore;
use kubesolo_core::net::url::Location;
use kubesolo_core::text::hex;
use kubesolo_core::text::json::{self, Shown};
use kubesolo_core::update::config::Config;
use kubesolo_core::update::manifest::{ARCHITECTURE, Manifest, Refusal, Rollout, UpdatePolicy};
use kubesolo_core::update::version::Version;

use super::cost::{Cost, cost};

/// Fetches the manifest from the server, or from `source`, and prints whether this box would take the update.
///
/// # Errors
/// [`Exit::Io`], [`Exit::Untrusted`]; a refused update is not an error but an exit code.
pub fn run(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    source: Option<&str>,
    json: bool,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let client = Client::new(config.ca.unwrap_or_default(), &host.process);
    let remote = fetch_manifest(&client, config, source, notes)?;
    let manifest = remote.manifest()?;
    let running = running_version(host);
    let known_bad = known_bad(host);
    let (exit, word, reason) = match policy(host, config, running, &known_bad).check(&manifest) {
        Ok(()) => (Exit::Done, "available", None),
        Err(refusal @ Refusal::UpToDate(_)) => (Exit::No, "up_to_date", Some(refusal)),
        Err(refusal) => (Exit::Refused, "refused", Some(refusal)),
    };
    let cost = if reason.is_none() { cost(host, &client, &remote, &manifest) } else { None };
    let printed = if json {
        print_json(out, word, &remote, &manifest, running, reason.as_ref(), cost)
    } else {
        print(out, &manifest, running, reason.as_ref(), cost)
    };
    ignore(printed, KEEPS_ITS_ERROR);
    Ok(exit)
}

/// Fetches the manifest, and warns if no public key is configured to verify it.
///
/// # Errors
/// [`Exit::Usage`] if no server is configured; those of [`RemoteManifest::fetch`].
pub fn fetch_manifest(
    client: &Client<'_>,
    config: &Config<'_>,
    source: Option<&str>,
    notes: &Notes,
) -> Result<RemoteManifest, Failure> {
    let text = source.or(config.server).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format_args!(
                "no update server: give a URL or path, --server, or a line server= in \
                 /var/lib/kubesolo/update/update.conf"
            ),
        )
    })?;
    let usage = |problem: fmt::Arguments<'_>| Failure::new(Exit::Usage, problem);
    if !text.contains("://") && !text.starts_with(['/', '.']) && access(text, Access::EXISTS).is_err() {
        return Err(usage(format_args!("update server {text}: no such folder here; of a web server: http://{text}")));
    }
    if let Some(key) = config.pubkey.filter(|key| hex::parse::<32>(key.as_bytes()).is_some()) {
        return Err(usage(format_args!(
            "pubkey {key}: is a key itself; write it into a file, and give the file's name"
        )));
    }
    let at = Location::manifest_of(text).map_err(|error| usage(format_args!("update server {text}: {error}")))?;
    let remote = RemoteManifest::fetch(client, &at, config.pubkey)?;
    if !remote.signed {
        notes.say(format_args!(
            "WARNING: no public key is configured (pubkey=): anybody who can change {} decides what this box runs",
            remote.at
        ));
    }
    Ok(remote)
}

/// Which updates this box takes.
pub fn policy<'a>(
    host: &'a Host<'_>,
    config: &Config<'a>,
    running: Option<Version>,
    known_bad: &'a str,
) -> UpdatePolicy<'a> {
    let Flags { allow_downgrade, force, .. } = *host.flags();
    let Config { channel, want, rollout_group: group, .. } = *config;
    let known_bad = if force { "" } else { known_bad };
    let rollout = (!force).then(|| Rollout { machine_id: host.machine_id(), group, want, now: now() });
    UpdatePolicy { channel, architecture: ARCHITECTURE, running, allow_downgrade, known_bad, rollout }
}

/// The images that were rolled back from.
fn known_bad(host: &Host<'_>) -> String {
    read_unlocked(&host.state_path()).map(|state| state.known_bad).unwrap_or_default()
}

/// The version of the slot that runs.
pub fn running_version(host: &Host<'_>) -> Option<Version> {
    let booted = host.booted_if_known().ok()??;
    read_version(&host.slot_files(booted).ok()?).and_then(|text| Version::parse(&text).ok())
}

fn print(
    out: &mut Output<'_>,
    manifest: &Manifest<'_>,
    running: Option<Version>,
    reason: Option<&Refusal<'_>>,
    cost: Option<Cost>,
) -> fmt::Result {
    match reason {
        None => write!(out, "Version {} is available", manifest.version)?,
        Some(refusal @ Refusal::UpToDate(_)) => return writeln!(out, "{refusal}"),
        Some(refusal) => return writeln!(out, "Version {} is not for this box: {refusal}", manifest.version),
    }
    match running {
        Some(running) => writeln!(out, "; version {running} runs.")?,
        None => writeln!(out, ".")?,
    }
    if let Some(Cost { to_fetch, total }) = cost {
        writeln!(out, "To fetch: {} of {}", Size(to_fetch), Size(total))?;
    }
    if let Some(date) = manifest.release_date {
        writeln!(out, "Released {date}")?;
    }
    if let Some(notes) = manifest.release_notes {
        writeln!(out, "\n{notes}\n")?;
    }
    writeln!(out, "To install it: kubesolo-boot apply, then kubesolo-boot activate --reboot")
}

fn print_json(
    out: &mut Output<'_>,
    word: &str,
    remote: &RemoteManifest,
    manifest: &Manifest<'_>,
    running: Option<Version>,
    reason: Option<&Refusal<'_>>,
    cost: Option<Cost>,
) -> fmt::Result {
    json::object(out, &mut |all| {
        all.member("result", &word)?;
        all.member("version", &Shown(manifest.version))?;
        all.member("running", &running.map(Shown))?;
        all.member("signed", &remote.signed)?;
        all.member("reason", &reason.map(Shown))?;
        if let Some(Refusal::NotYet(from)) = reason {
            all.member("offered_from", &Shown(from))?;
        }
        all.member("to_fetch", &cost.map(|cost| cost.to_fetch))?;
        all.member("total", &cost.map(|cost| cost.total))?;
        all.member("release_date", &manifest.release_date)?;
        all.member("release_notes", &manifest.release_notes)
    })?;
    writeln!(out)
}
