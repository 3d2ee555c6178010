//! `apply`: an update from the server, or a folder, into the slot that does not run.
//!
//! Everything that can be refused is refused before the first byte changes. Then the target slot is recorded as
//! `empty`, the files are written under temporary names, synced, read back from the medium and verified, and only then
//! is the slot recorded as `staged`. A power cut anywhere leaves the running slot good and active; the next `apply`
//! takes up the download where it broke off.

use core::fmt;
use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use rustix::fs::{CWD, OFlags};

use crate::cli::console::Notes;
use crate::disk::ours;
use crate::failure::{Exit, Failure, Reason};
use crate::health::{self, kubectl};
use crate::history::boots;
use crate::host::{Host, open_instead};
use crate::linux::device::Device;
use crate::linux::mount::{self, Access, Kind};
use crate::net::fetch::Client;
use crate::net::retry::patiently;
use crate::report::progress::{Progress, Size, Style};
use crate::update::remote_manifest::RemoteManifest;
use crate::update::state::{self, State};
use crate::update::target::{Target, index_name, partial_name};
use kubesolo_core::boot::advice::{Advice, Wish};
use kubesolo_core::boot::slot::{Slot, SlotState};
use kubesolo_core::boot::state::BootState;
use kubesolo_core::disk::contents::Contents;
use kubesolo_core::disk::ext4;
use kubesolo_core::flow::apply::{Applied, Update, apply};
use kubesolo_core::flow::install::{TargetSlot, WritableSlot};
use kubesolo_core::history::boot_log;
use kubesolo_core::net::backoff::pause_after_wrong;
use kubesolo_core::net::url::Location;
use kubesolo_core::update::config::{CommitBy, Config};
use kubesolo_core::update::digest::Hash;
use kubesolo_core::update::index::INDEX_MAX;
use kubesolo_core::update::manifest::{Image, Manifest, Refusal};
use kubesolo_core::update::sums::{self, Sums};
use kubesolo_core::update::version::Version;

use super::check;
use super::download::{Download, Source, fits, index_source, running_slot};
use super::machine::Machine;

/// Both files are looked at before the slot is given up: the tries of each end after so long.
const LOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// The kernel and the initramfs: name in the slot; hash and size, without the location.
pub type Files = [(&'static str, Image<'static>); 2];

/// The result of `apply`: the slot holds this version, staged.
pub struct Installed {
    /// The slot.
    pub slot: Slot,
    /// The version.
    pub version: String,
    /// Whether it did before this run.
    pub already: bool,
}

/// Installs the update that `source` (else the configured server) offers.
///
/// # Errors
/// [`Exit::Refused`] with the reason, nothing changed; [`Exit::Untrusted`]; [`Exit::Busy`]; [`Exit::Io`] if the
/// download or the disk failed: the target slot is `empty` then, and what was downloaded is kept for the next try.
pub fn run(
    host: &Host<'_>,
    notes: &Notes,
    config: &Config<'_>,
    source: Option<&str>,
    style: Style,
) -> Result<Installed, Failure> {
    let client = Client::new(config.ca.unwrap_or_default(), &host.process);
    let job = Job { config, source, style, client: &client, slot: Slot::A, chosen: None, up_to_date: false };
    let mut machine = Machine::new(host, notes, job);
    let already = apply(&mut machine)? == Applied::Before;
    let Job { slot, chosen, .. } = machine.job;
    Ok(Installed { slot, version: chosen.map(|chosen| chosen.version).unwrap_or_default(), already })
}

/// The kernel and the initramfs that a manifest describes.
pub fn files_of(manifest: &Manifest<'_>) -> Files {
    let image = |Image { sha256, size, .. }| Image { url: None, sha256, size, index: None };
    [("vmlinuz", image(manifest.vmlinuz)), ("kubesolo-os.gz", image(manifest.initramfs))]
}

/// The update, as far as it is known.
struct Job<'a> {
    config: &'a Config<'a>,
    source: Option<&'a str>,
    style: Style,
    client: &'a Client<'a>,
    slot: Slot,
    chosen: Option<Chosen>,
    /// The box runs the version that is offered.
    up_to_date: bool,
}

/// The kernel and the initramfs, and the chunk index of each, if there is one.
type Sources = [(&'static str, Source, Option<Source>); 2];

/// All that is decided before the first byte changes.
struct Chosen {
    remote: RemoteManifest,
    files: Files,
    version: String,
    /// As [`Manifest::image`] names it.
    image: String,
    running: Option<Version>,
    target: Target,
    /// Where each file is, and its chunk index if it has one.
    sources: Option<Sources>,
}

impl Update for Machine<'_, Job<'_>> {
    fn may_begin(&mut self) -> Result<(), Failure> {
        in_window(self.job.config, self.host.flags().force)
    }

    fn target(&mut self, state: &BootState) -> Result<Slot, Failure> {
        self.job.slot = target_slot(self.host, state)?;
        Ok(self.job.slot)
    }

    fn fetch_manifest(&mut self, state: &State) -> Result<(), Failure> {
        let Job { config, source, client, slot, .. } = self.job;
        not_held_back(self.host, config)?;
        let remote = check::fetch_manifest(client, config, source, self.notes)?;
        let manifest = remote.manifest()?;
        let running = check::running_version(self.host);
        if let Err(refusal) = check::policy(self.host, config, running, &state.known_bad).check(&manifest) {
            self.job.up_to_date = matches!(refusal, Refusal::UpToDate(_));
            return Err(Failure::new(Exit::Refused, format_args!("apply: {refusal}")));
        }
        let (files, version, image) =
            (files_of(&manifest), format!("{}", manifest.version), manifest.image().as_str().into());
        let target = open_target(self.host, slot)?;
        self.job.chosen = Some(Chosen { remote, files, version, image, running, target, sources: None });
        Ok(())
    }

    fn is_there(&mut self) -> Result<bool, Failure> {
        let Chosen { files, target, .. } = self.job.chosen()?;
        let Some(document) = target.read_text("slot.json") else { return Ok(false) };
        Ok(Manifest::parse(&document).is_ok_and(|staged| {
            files_of(&staged).iter().zip(files).all(|((_, staged), (_, image))| staged.sha256 == image.sha256)
        }))
    }

    fn has_room(&mut self) -> Result<(), Failure> {
        let Chosen { remote, files, target, .. } = self.job.chosen()?;
        let locations = locations(remote)?;
        if !self.host.flags().force {
            not_wrong_before(target, files, &locations, state::now().0)?;
        }
        let sizes = sizes(self.job.client, files, &locations)?;
        let sources = sources(remote, locations, sizes)?;
        has_room(target, &sources)?;
        if let Some(chosen) = &mut self.job.chosen {
            chosen.sources = Some(sources);
        }
        Ok(())
    }

    fn is_to_be_recorded(&self, _: &Failure) -> bool {
        !self.job.up_to_date
    }

    fn begin(&mut self, state: &mut State) {
        let Some(Chosen { version, image, running, .. }) = &self.job.chosen else { return };
        state.from_version = running.map(|running| format!("{running}")).unwrap_or_default();
        state.started_at = format!("{}", state::now());
        state.attempt_count = if state.to_version == *version { state.attempt_count.saturating_add(1) } else { 1 };
        state.to_version = version.clone();
        state.to_image = image.clone();
        state.failed_before = failed_before(self.host, self.notes, self.job.config);
        state.health_check_failures = 0;
        state.last_error.clear();
    }
}

impl TargetSlot for Machine<'_, Job<'_>> {
    fn verify(&mut self, _: Slot) -> Result<(), Failure> {
        let Chosen { files, target, .. } = self.job.chosen()?;
        verify(target, files, self.job.style)
    }
}

impl WritableSlot for Machine<'_, Job<'_>> {
    fn remove_leftovers(&mut self) -> Result<(), Failure> {
        let Chosen { target, sources, .. } = self.job.chosen()?;
        target.leftovers(&partial_names(sources.iter().flatten()), true).map(drop)
    }

    fn write_images(&mut self) -> Result<(), Failure> {
        let Chosen { target, sources, .. } = self.job.chosen()?;
        // What it does not have, or does not give, is fetched.
        let running = running_slot(self.host, !self.job.slot);
        for (name, source, index) in sources.iter().flatten() {
            let download = Download { target, client: self.job.client, style: self.job.style, name, source };
            download.run(running.as_ref(), index.as_ref(), self.notes)?;
        }
        Ok(())
    }

    fn write_texts(&mut self) -> Result<(), Failure> {
        let Chosen { remote, files, target, version, .. } = self.job.chosen()?;
        target.write_text(sums::FILE, sums_of(files).as_bytes())?;
        target.write_text("version", format!("{version}\n").as_bytes())?;
        target.write_text("slot.json", remote.document())
    }

    fn sync_names(&mut self) -> Result<(), Failure> {
        self.job.chosen()?.target.sync_names()
    }
}

impl Job<'_> {
    /// What was decided. The flow fetches the manifest before all that needs this.
    fn chosen(&self) -> Result<&Chosen, Failure> {
        self.chosen.as_ref().ok_or_else(|| Failure::new(Exit::Io, format_args!("apply: no manifest was fetched")))
    }
}

/// The list with which GRUB verifies these files.
pub fn sums_of(files: &Files) -> String {
    format!("{}", Sums(files.map(|(name, image)| (name, image.sha256))))
}

/// Compares the files on the medium with the manifest, and the list of their sums with it.
///
/// # Errors
/// [`Exit::Io`].
pub fn verify(target: &Target, files: &Files, style: Style) -> Result<(), Failure> {
    let compare = |name: &str, hash: Hash, len: u64, want: Hash| {
        if hash == want {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Io,
            format_args!(
                "verify {name}: read-back mismatch: {len} bytes with SHA-256 {hash}, not {want}; the disk may be failing"
            ),
        ))
    };
    for (name, image) in files {
        let what = format!("verify {name}");
        let mut progress = Progress::begin(style, &what, 0, image.size.unwrap_or_default());
        let (hash, len) = target.hash(name, &mut |done| progress.at(done))?;
        progress.end();
        compare(name, hash, len, image.sha256)?;
    }
    let (hash, len) = target.hash(sums::FILE, &mut |_| ())?;
    compare(sums::FILE, hash, len, Hash::of(sums_of(files).as_bytes()))
}

fn in_window(config: &Config<'_>, force: bool) -> Result<(), Failure> {
    match config.maintenance_window {
        Some(window) if !force && !window.holds(state::now()) => Err(Failure::new(
            Exit::Refused,
            format_args!("apply: it is {}, outside the maintenance window {window}; wait, or --force", state::now()),
        )),
        _ => Ok(()),
    }
}

/// The slot to write: the one that does not run. The running slot must be active and good, so that there is a slot to go back to.
fn target_slot(host: &Host<'_>, state: &BootState) -> Result<Slot, Failure> {
    let refused = |reason: fmt::Arguments<'_>| Failure::new(Exit::Refused, format_args!("apply: {reason}"));
    let Some(booted) = host.booted_if_known()? else {
        return Err(refused(format_args!(
            "the kernel command line does not say which slot runs (ksolo.slot=); boot through this box's \
             GRUB, or move a box with an older grub.cfg as docs/migration.md says"
        )));
    };
    let force = host.flags().force;
    let mut log = [0; boot_log::LEN];
    let place = host.boot_log();
    let boot = boots::this(&place, boots::read_unlocked(&place, &mut log));
    if let Some(mismatch) = boot.and_then(|boot| boot.mismatch()).filter(|_| !force) {
        return Err(refused(format_args!("{mismatch}; or --force")));
    }
    let advice = Advice::of(Wish::Apply, state, booted);
    if state.active != booted && !force {
        return Err(refused(format_args!("slot {booted} runs, but slot {} boots next; {advice}", state.active)));
    }
    match state.slot(booted) {
        SlotState::Good => Ok(!booted),
        slot_state => Err(refused(format_args!(
            "the running slot {booted} is {slot_state}, not good: there would be nothing to go back to; wait for its \
             health check, or {advice}"
        ))),
    }
}

fn not_held_back(host: &Host<'_>, config: &Config<'_>) -> Result<(), Failure> {
    if host.flags().force {
        return Ok(());
    }
    let refused = |reason: fmt::Arguments<'_>| Err(Failure::new(Exit::Refused, reason));
    let mut id = [0; 36];
    match kubectl::updates_blocked(host.process, config, boots::boot_id(&host.boot_log(), &mut id)) {
        Ok(false) => Ok(()),
        Ok(true) => refused(format_args!(
            "apply: the node is labelled updates.kubesolo.io/block=true; remove the label, or --force"
        )),
        Err(failure) => {
            refused(format_args!("apply: cannot ask whether updates are held back: {failure}; mend that, or --force"))
        }
    }
}

/// The health checks that fail before the update. None with `mark=init`, as no check decides about the trial then.
fn failed_before(host: &Host<'_>, notes: &Notes, config: &Config<'_>) -> String {
    if config.commit_by != CommitBy::Healthcheck {
        return String::new();
    }
    let names = health::failing_before(host, config);
    if !names.is_empty() {
        notes.say(format_args!("apply: these checks fail before the update, so that they cannot undo it: {names}"));
    }
    names
}

/// Mounts the slot for writing.
///
/// # Errors
/// [`Exit::Refused`] if its filesystem is damaged; those of finding and mounting it.
pub fn open_target(host: &Host<'_>, slot: Slot) -> Result<Target, Failure> {
    let root = match host.flags().target {
        Some(folder) => open_instead(folder)?,
        None => {
            let partition = host.disk()?.partition(slot.partition())?;
            check_filesystem(&partition, slot)?;
            mount::detached(&partition, Kind::Ext4, Access::Write)?
        }
    };
    Ok(Target::new(root, slot.partition()))
}

/// Succeeds if the slot holds our ext4, without errors on record.
fn check_filesystem(partition: &str, slot: Slot) -> Result<(), Failure> {
    let name = slot.partition();
    let failed = |reason: &dyn fmt::Display| {
        Failure::new(Exit::Io, format_args!("read superblock of {name} ({partition}): {reason}"))
    };
    if let contents @ Contents::Other(_) = ours::look(partition)? {
        return Err(Failure::new(
            Exit::Refused,
            format_args!(
                "apply: {name}: {partition} holds {contents}, not our ext4: left as it is; if that can go: mkfs.ext4 -L \
                 {name} {partition}"
            ),
        ));
    }
    let mut device = Device::open(CWD, partition, OFlags::RDONLY).map_err(|errno| failed(&Reason(errno)))?;
    match ext4::needs_fsck(&mut device).map_err(|error| failed(&error))? {
        None => Ok(()),
        Some(needs_fsck) => Err(Failure::new(
            Exit::Refused,
            format_args!(
                "apply: {name} ({partition}): {needs_fsck}; repair it with e2fsck -f {partition}, or make it anew with \
                 mkfs.ext4 -L {name} {partition}"
            ),
        )),
    }
}

/// Where the two files are; relative URLs start from the manifest's own location.
fn locations(remote: &RemoteManifest) -> Result<[Location; 2], Failure> {
    let (vmlinuz, initramfs) = remote.manifest()?.urls().map_err(|error| remote.unusable(&error))?;
    Ok([remote.join(vmlinuz)?, remote.join(initramfs)?])
}

/// All that is to be fetched.
fn sources(remote: &RemoteManifest, locations: [Location; 2], sizes: [u64; 2]) -> Result<Sources, Failure> {
    let manifest = remote.manifest()?;
    let ([kernel, initramfs], [kernel_size, initramfs_size]) = (locations, sizes);
    let source = |location, image: &Image<'_>, size| Source { location, sha256: image.sha256, size };
    Ok([
        ("vmlinuz", source(kernel, &manifest.vmlinuz, kernel_size), index_source(remote, &manifest.vmlinuz)?),
        (
            "kubesolo-os.gz",
            source(initramfs, &manifest.initramfs, initramfs_size),
            index_source(remote, &manifest.initramfs)?,
        ),
    ])
}

/// The files' sizes in bytes, by the manifest, or else by the server, which has to have both files, as long as promised: the slot is
/// still whole.
fn sizes(client: &Client<'_>, files: &Files, locations: &[Location; 2]) -> Result<[u64; 2], Failure> {
    let mut sizes = [0; 2];
    for ((size, (_, image)), location) in sizes.iter_mut().zip(files).zip(locations) {
        // One byte is enough to see how many there are.
        let body = patiently(LOOK_TIMEOUT, &mut || match image.size {
            Some(size) => client.open_part(location, size.saturating_sub(1), size, None),
            None => client.open(location, 0),
        })?;
        if let Some(promised) = image.size {
            fits(location, &body, promised)?;
        }
        *size = image.size.or(body.total()).ok_or_else(|| {
            Failure::new(
                Exit::Refused,
                format_args!("apply: neither latest.json nor the server says how long {location} is (Content-Length)"),
            )
        })?;
    }
    Ok(sizes)
}

/// Succeeds unless one of the files was whole and wrong not long ago.
fn not_wrong_before(target: &Target, files: &Files, locations: &[Location; 2], now: u64) -> Result<(), Failure> {
    for ((name, image), location) in files.iter().zip(locations) {
        let (times, when) = target.wrong(name, &image.sha256, location.as_str());
        let again = when.saturating_add(pause_after_wrong(times).as_secs());
        // A time ahead is that of a clock that was wrong, then or now.
        if (when..again).contains(&now) {
            return Err(Failure::new(
                Exit::Refused,
                format_args!(
                    "apply: {name} as the server had it did not fit its latest.json ({times} times); it is fetched again \
                     after {} hours, or with --force",
                    again.saturating_sub(now) / 3600
                ),
            ));
        }
    }
    Ok(())
}

/// The names that the files have while they are downloaded.
fn partial_names<'a>(sources: impl Iterator<Item = &'a (&'static str, Source, Option<Source>)>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, source, index) in sources {
        names.push(partial_name(name, &source.sha256));
        names.extend(index.iter().map(|index| partial_name(index_name(name), &index.sha256)));
    }
    names
}

/// Succeeds if there is room for both files, and a tenth more for the filesystem's own use. Downloaded parts count as written, and the
/// old files as free, as they are removed.
fn has_room(target: &Target, sources: &Sources) -> Result<(), Failure> {
    let mut wanted: u64 = 0;
    for (name, source, index) in sources {
        let left = source.size.saturating_sub(target.partial_len(name, &source.sha256));
        wanted =
            wanted.saturating_add(left).saturating_add(index.as_ref().map_or(0, |index| index.size.min(INDEX_MAX)));
    }
    let (needed, free) = (
        wanted.saturating_add(wanted / 10),
        target.free()?.saturating_add(target.leftovers(&partial_names(sources.iter()), false)?),
    );
    if free >= needed {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format_args!("apply: the target slot has {} free, {} are needed", Size(free), Size(needed)),
    ))
}
