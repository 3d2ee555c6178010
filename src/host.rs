//! The machine the program runs on, as the flags describe it: where the disks are listed, which env block and which
//! data folder are meant, and what the kernel command line said.

use core::cell::{OnceCell, RefCell};
use core::fmt;
use core::time::Duration;
use std::string::String;
use std::time::Instant;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, statat, statfs};
use rustix::system::sysinfo;

use crate::boot::env_files::{EnvFiles, Loaded};
use crate::disk::chosen::{self, Chosen};
use crate::disk::partitions;
use crate::disk::partitions::Disk;
use crate::disk::search::Search;
use crate::failure::{Exit, Failure, Reason};
use crate::flags::Flags;
use crate::history::boots;
use crate::linux::children::Hanging;
use crate::linux::device::Device;
use crate::linux::folder::{folder_and_name, open_folder};
use crate::linux::mount::{self, Access, Kind};
use crate::linux::process::Process;
use kubesolo_core::boot::cmdline::Cmdline;
use kubesolo_core::boot::env_mismatch;
use kubesolo_core::boot::slot::Slot;
use kubesolo_core::boot::stage;
use kubesolo_core::boot::state::{BootState, Reading};
use kubesolo_core::ignore::ignore;
use kubesolo_core::update::config::{CommitBy, Config};

/// Where the data partition is mounted.
pub const DATA_FOLDER: &str = "/var/lib/kubesolo";
/// Folder and name of the env block on the ESP.
const ENV_FOLDER: &str = "boot/grub";
const ENV_FILE: &str = "grubenv";
/// What makes a slot bootable.
pub const SLOT_FILES: [&str; 2] = ["vmlinuz", "kubesolo-os.gz"];

/// How long a disk may take to answer: one that has to spin up needs some seconds.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for a second disk while the one that is there may be the wrong one: USB disks take 25 to 35 s.
const UNSURE_MAX: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How often a message says what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Most of `/proc/cmdline` that is read, in bytes: the kernel's limit on x86.
const CMDLINE_MAX: usize = 2048;

/// `f_type` of ramfs and of tmpfs (Linux `include/uapi/linux/magic.h`).
const IN_MEMORY: [i64; 2] = [0x8584_58f6, 0x0102_1994];

/// The machine. Reads the command line and looks for the disk when they are first needed.
pub struct Host<'a> {
    flags: &'a Flags<'a>,
    /// What needs unsafe code or a child process.
    pub process: Process,
    cmdline: OnceCell<([u8; CMDLINE_MAX], usize)>,
    machine_id: OnceCell<String>,
    disk: OnceCell<Disk>,
    hanging: RefCell<Hanging>,
}

impl<'a> Host<'a> {
    /// Reads nothing yet.
    pub fn new(flags: &'a Flags<'a>, process: Process) -> Host<'a> {
        Host {
            flags,
            process,
            cmdline: OnceCell::new(),
            machine_id: OnceCell::new(),
            disk: OnceCell::new(),
            hanging: RefCell::new(Hanging::none()),
        }
    }

    /// The `ksolo.*` words of the kernel command line; none if it cannot be read.
    pub fn cmdline(&self) -> Cmdline<'_> {
        let (bytes, len) = self.cmdline.get_or_init(|| {
            let mut bytes = [0; CMDLINE_MAX];
            let path = self.flags.cmdline.unwrap_or("/proc/cmdline");
            let len = Device::read_small_at(path, &mut bytes).map_or(0, <[u8]>::len);
            (bytes, len)
        });
        Cmdline::parse(bytes.get(..*len).unwrap_or_default())
    }

    /// What the box is called (machine-id(5)); `None` where it has no name yet.
    pub fn machine_id(&self) -> Option<&str> {
        let read = || {
            let path = self.flags.machine_id.unwrap_or("/etc/machine-id");
            let mut bytes = [0; 64];
            let text = core::str::from_utf8(Device::read_small_at(path, &mut bytes).unwrap_or_default());
            text.unwrap_or_default().trim_ascii().into()
        };
        Some(self.machine_id.get_or_init(read).as_str()).filter(|id| !matches!(*id, "" | "uninitialized"))
    }

    /// The flags the program was called with.
    pub fn flags(&self) -> &'a Flags<'a> {
        self.flags
    }

    /// Where the kernel makes its device nodes.
    pub fn dev_folder(&self) -> &'a str {
        self.flags.dev.unwrap_or("/dev")
    }

    /// How many seconds a trial of this boot may still take. `None`: for ever, as its settings or `init` decide; or as a person chose it in
    /// GRUB's menu, where GRUB does not count it.
    pub fn time_for_a_trial(&self, config: &Config<'_>) -> Option<u32> {
        let is_judged = config.commit_by == CommitBy::Healthcheck && self.cmdline().via != Some("menu");
        let uptime = sysinfo().uptime.try_into().unwrap_or_default();
        config.trial_timeout.filter(|_| is_judged).map(|timeout| timeout.saturating_sub(uptime))
    }

    /// Where `state.json` is.
    pub fn state_path(&self) -> String {
        match self.flags.state {
            Some(path) => path.into(),
            None => std::format!("{}/update/state.json", self.data_folder()),
        }
    }

    /// Whether `state.json` would be gone with this boot: nothing is mounted where the data partition belongs, as in the emergency
    /// shell, and the root filesystem is in memory.
    pub fn state_is_in_memory(&self) -> bool {
        let is_ours = self.flags.state.is_none() && self.flags.data.is_none();
        is_ours && statfs(DATA_FOLDER).is_ok_and(|of| IN_MEMORY.contains(&of.f_type))
    }

    /// Where the data partition is mounted.
    pub fn data_folder(&self) -> &'a str {
        self.flags.data.unwrap_or(DATA_FOLDER)
    }

    /// The disk to work on.
    ///
    /// # Errors
    /// As [`Search::find`].
    pub fn disk(&self) -> Result<Disk, Failure> {
        match self.disk.get() {
            Some(disk) => Ok(disk.clone()),
            None => self.look_for_disk(ANSWER, false).map(|disk| self.use_disk(disk)),
        }
    }

    /// The disk to work on. Waits for it to appear, and for another one while the one found does not look like the one that GRUB
    /// booted. `say` is called with the reason from time to time. Returns by the deadline, also if a disk hangs.
    ///
    /// # Errors
    /// As [`Search::find`], when the time is over.
    pub fn wait_for_disk(&self, timeout: Duration, say: &dyn Fn(fmt::Arguments<'_>)) -> Result<Disk, Failure> {
        let began = Instant::now();
        let (unsure_max, mut last_said) = (timeout.min(UNSURE_MAX), Duration::ZERO);
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            let found = self.look_for_disk(left.clamp(PAUSE, ANSWER), true);
            // Each look reads the disk: fewer of them once there is one.
            let pause = if found.is_ok() { PAUSE_BETWEEN_LOOKS } else { PAUSE };
            let waited = began.elapsed();
            let over = match &found {
                Ok(disk) => disk.sure || waited >= unsure_max,
                Err(failure) => failure.exit() != Exit::NoDisk && waited >= unsure_max,
            };
            if over || waited.saturating_add(pause) >= timeout {
                return found.map(|disk| self.use_disk(disk));
            }
            if waited.saturating_sub(last_said) >= SAY_EVERY {
                last_said = waited;
                match &found {
                    Ok(disk) => say(format_args!("{} does not look like the one that GRUB booted", disk.path)),
                    Err(failure) => say(format_args!("{failure}")),
                }
            }
            std::thread::sleep(pause);
        }
    }

    /// The folder for what holds for this boot only.
    pub fn run_folder(&self) -> &'a str {
        self.flags.run.unwrap_or("/run/kubesolo-boot")
    }

    /// The log of boots.
    pub fn boot_log(&self) -> boots::Place<'a> {
        boots::Place {
            data: self.data_folder(),
            boot_id: self.flags.boot_id.unwrap_or("/proc/sys/kernel/random/boot_id"),
            is_own: self.flags.data.is_none(),
        }
    }

    /// Records the disk that was found, for every later verb of this boot. If that fails, each verb searches again.
    pub fn remember_disk(&self) {
        if let Some(disk) = self.disk.get() {
            ignore(chosen::store(self.run_folder(), disk), "without the record each verb searches again");
        }
    }

    /// Uses the disk from now on, unless the kernel has not yet listed all of its partitions.
    fn use_disk(&self, disk: Disk) -> Disk {
        if disk.is_complete() {
            self.disk.get_or_init(|| disk.clone());
        }
        disk
    }

    fn look_for_disk(&self, deadline: Duration, thorough: bool) -> Result<Disk, Failure> {
        let cmdline = self.cmdline();
        // A block that cannot be read does not show that GRUB counted this boot in it.
        let counted = |disk: &Disk| self.was_counted(disk).unwrap_or(false);
        let search = Search {
            sys: self.flags.sys.unwrap_or("/sys/class/block"),
            dev: self.dev_folder(),
            process: self.process,
            deadline,
            partuuid: cmdline.partuuid,
            counted: cmdline.counter.is_some().then_some(&counted),
            chosen: Chosen::read(self.run_folder()),
        };
        let hanging = &mut *self.hanging.borrow_mut();
        match self.flags.disk.or(cmdline.disk) {
            Some(path) => search.at(hanging, path),
            None => search.find(hanging, thorough),
        }
    }

    /// Whether the disk's env block is as GRUB described it on the command line after it counted this boot. Writes nothing.
    fn was_counted(&self, disk: &Disk) -> Result<bool, Failure> {
        let esp = mount::detached(&disk.partition(partitions::ESP)?, Kind::Fat, Access::Read)?;
        let mut loaded = Loaded::nothing();
        EnvFiles::lock(open_env_folder(esp, ENV_FOLDER)?, ENV_FILE, Access::Read)?.load(&mut loaded);
        // No slot is mounted to look for files: the comparison is about the booted slot, which has them.
        let state = loaded.block().map(|block| BootState::read_safely(&block, &|_| true).state);
        let named = stage::names_a_slot(loaded.chosen());
        Ok(env_mismatch::is_the_same_block(&self.cmdline(), state.as_ref().ok().filter(|_| named)))
    }

    /// The env block's two copies, locked.
    ///
    /// # Errors
    /// As [`Host::disk`], [`mount::detached`] and [`EnvFiles::lock`].
    pub fn env_files(&self, access: Access) -> Result<EnvFiles, Failure> {
        match self.flags.grubenv {
            Some(path) => {
                let (folder, name) = folder_and_name(path);
                EnvFiles::lock(open_env_folder(CWD, folder)?, name, access)
            }
            None => {
                let esp = mount::detached(&self.disk()?.partition(partitions::ESP)?, Kind::Fat, access)?;
                EnvFiles::lock(open_env_folder(esp, ENV_FOLDER)?, ENV_FILE, access)
            }
        }
    }

    /// The slot that runs, or the active one where the command line does not say.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the command line names a slot that is none.
    pub fn booted(&self, active: Slot) -> Result<Slot, Failure> {
        Ok(self.booted_if_known()?.unwrap_or(active))
    }

    /// The slot that runs, if the command line says.
    ///
    /// # Errors
    /// As [`Host::booted`].
    pub fn booted_if_known(&self) -> Result<Option<Slot>, Failure> {
        self.cmdline().booted().map_err(|unknown| {
            Failure::new(
                Exit::Usage,
                format_args!("kernel command line: ksolo.slot={}: not a slot, there are A and B", unknown.0),
            )
        })
    }

    /// The boot state, as both copies of the block have it.
    ///
    /// # Errors
    /// [`Exit::NoBlock`]; those of finding the disk.
    pub fn boot_state(&self) -> Result<BootState, Failure> {
        let mut loaded = Loaded::nothing();
        self.env_files(Access::Read)?.load(&mut loaded);
        Ok(self.reading(&loaded)?.state)
    }

    /// The boot state in the chosen block.
    ///
    /// # Errors
    /// [`Exit::NoBlock`].
    pub fn reading(&self, loaded: &Loaded) -> Result<Reading, Failure> {
        Ok(BootState::read_safely(&loaded.block()?, &|slot| self.has_files(slot)))
    }

    /// Opens a slot's filesystem for reading.
    ///
    /// # Errors
    /// As [`Host::disk`] and [`mount::detached`].
    pub fn slot_files(&self, slot: Slot) -> Result<OwnedFd, Failure> {
        if let Some(folder) = self.flags.running
            && self.cmdline().booted() == Ok(Some(slot))
        {
            return open_instead(folder);
        }
        mount::detached(&self.disk()?.partition(slot.partition())?, Kind::Ext4, Access::Read)
    }

    /// Whether the slot holds a kernel and an initramfs. True for the running slot, false for one that cannot be mounted.
    pub fn has_files(&self, slot: Slot) -> bool {
        let there =
            |name: &&str, files: &OwnedFd| statat(files, *name, AtFlags::empty()).is_ok_and(|stat| stat.st_size > 0);
        self.cmdline().booted() == Ok(Some(slot))
            || self.slot_files(slot).is_ok_and(|files| SLOT_FILES.iter().all(|name| there(name, &files)))
    }
}

/// Opens the folder that stands for a slot's filesystem.
///
/// # Errors
/// [`Exit::Io`].
pub fn open_instead(folder: &str) -> Result<OwnedFd, Failure> {
    open_folder(CWD, folder).map_err(|errno| Failure::new(Exit::Io, format_args!("open {folder}: {}", Reason(errno))))
}

fn open_env_folder(base: impl rustix::fd::AsFd, path: &str) -> Result<OwnedFd, Failure> {
    open_folder(base, path).map_err(|errno| {
        Failure::new(Exit::Io, format_args!("open folder of the env block: {path}: {}", Reason(errno)))
    })
}
