//! Knows QEMU: starting it on a disk, its power switch, its keyboard. One `Machine` is one time that the power is on.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::bus::Bus;
use crate::failure::{Failure, Result, Step};
use crate::firmware::Firmware;
use crate::serial::{Serial, Transcript};

thread_local! {
    static BUSY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long the machines that have ended in this thread kept a core busy.
pub fn busy() -> Duration {
    BUSY.get()
}

/// What the machine is made of.
pub struct Parts<'a> {
    /// Its firmware.
    pub firmware: Firmware,
    /// QEMU's words for the disk behind `-drive if=none,id=disk,`.
    pub drive: &'a str,
    /// What the disk is attached to.
    pub bus: Bus,
    /// Its memory, in MiB.
    pub memory: u32,
    /// A folder of its own: firmware variables, QEMU's complaints.
    pub work: &'a Path,
    /// Whether a reset ends the machine, in place of starting it anew.
    pub reset_ends_it: bool,
    /// More arguments for QEMU.
    pub more: &'a [&'a str],
}

/// A machine with its power on. Dropping it cuts the power.
pub struct Machine {
    child: Child,
    serial: Serial,
    monitor: BufReader<UnixStream>,
}

impl Machine {
    /// Switches the power on. The guest has not yet said a word when this returns.
    ///
    /// # Errors
    /// When QEMU is missing, or will not take the parts.
    pub fn power_on(parts: &Parts, transcript: &Transcript) -> Result<Self> {
        let pair = || UnixStream::pair().step(|| "socket pair for QEMU".into());
        let (line, guest_line) = pair()?;
        let (monitor, guest_monitor) = pair()?;
        let complaints = parts.work.join("qemu.stderr");
        let stderr = File::create(&complaints).step(|| format!("create {}", complaints.display()))?;
        let memory = parts.memory.to_string();
        let [qemu, machine, cpu] = parts.firmware.machine();
        let machine = parts.bus.machine().unwrap_or(machine);
        // The sockets are handed over as QEMU's standard input and output: nothing to name, to wait for or to clean up.
        // A harness that is killed takes its machines with it: QEMU itself would run on without anybody on the line.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", qemu])
            .args(["-machine", machine, "-accel", "tcg", "-cpu", cpu, "-m", &memory])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-chardev", "socket,id=line,fd=0", "-serial", "chardev:line"])
            .args(["-chardev", "socket,id=monitor,fd=1", "-mon", "chardev=monitor,mode=control"])
            .args(["-drive", &format!("if=none,id=disk,{}", parts.drive)])
            .args(parts.bus.devices().iter().flat_map(|device| ["-device", device]))
            .args(parts.firmware.args(parts.work)?)
            .args(if parts.reset_ends_it { &["-no-reboot"][..] } else { &[] })
            .args(parts.more)
            .stdin(OwnedFd::from(guest_line))
            .stdout(OwnedFd::from(guest_monitor))
            .stderr(stderr)
            .spawn()
            .step(|| format!("{qemu}: cannot start (is it installed? `tools/deps`)"))?;
        let serial = Serial::attach(transcript, line)?;
        let mut machine = Self { child, serial, monitor: BufReader::new(monitor) };
        machine.greet().map_err(|failure| {
            let said = std::fs::read_to_string(&complaints).unwrap_or_default();
            Failure::new(format!("{failure}: {}", said.trim()))
        })?;
        Ok(machine)
    }

    /// Waits for a marker on the serial line; returns the text since the last one.
    ///
    /// # Errors
    /// When the deadline passes or the machine ends first.
    pub fn wait_for(&mut self, marker: &str, deadline: Duration) -> Result<String> {
        Ok(self.serial.wait_for_any(&[marker], deadline)?.1)
    }

    /// Waits for whichever marker comes first; returns its place in the list and the text since the last one.
    ///
    /// # Errors
    /// When the deadline passes or the machine ends first.
    pub fn wait_for_any(&mut self, markers: &[&str], deadline: Duration) -> Result<(usize, String)> {
        self.serial.wait_for_any(markers, deadline)
    }

    /// Types keys on the serial line.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn type_keys(&mut self, keys: &[u8]) -> Result {
        self.serial.type_bytes(keys)
    }

    /// Types a line on the serial line, with its carriage return.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn type_line(&mut self, text: &str) -> Result {
        self.serial.type_bytes(format!("{text}\r").as_bytes())
    }

    /// From now on the far end of the serial line sends back whatever it hears.
    pub fn echo(&self) {
        self.serial.echo();
    }

    /// Presses a key of the keyboard that stands at the box, by QEMU's name for it (`esc`, `down`, `ret`).
    ///
    /// # Errors
    /// When the monitor refuses.
    pub fn press(&mut self, key: &str) -> Result {
        let keys = format!(r#""arguments":{{"keys":[{{"type":"qcode","data":"{key}"}}]}}"#);
        self.order(&format!(r#"{{"execute":"send-key",{keys}}}"#))
    }

    /// Pulls the cable out of the network card, or puts it back.
    ///
    /// # Errors
    /// When the machine has no network card.
    pub fn cable(&mut self, plugged_in: bool) -> Result {
        self.order(&format!(r#"{{"execute":"set_link","arguments":{{"name":"net","up":{plugged_in}}}}}"#))
    }

    /// Pulls the USB stick that it was started from.
    ///
    /// # Errors
    /// When it has none.
    pub fn pull_stick(&mut self) -> Result {
        self.order(r#"{"execute":"device_del","arguments":{"id":"stick"}}"#)
    }

    /// Puts that stick back: QEMU's words for the drive behind `if=none,id=disk,`.
    ///
    /// # Errors
    /// When it is there still.
    pub fn put_stick_back(&mut self, drive: &str) -> Result {
        // A drive goes with its device, and QMP has no order for one of `-drive`.
        let line = format!("drive_add 0 if=none,id=disk,{drive}");
        self.order(&format!(r#"{{"execute":"human-monitor-command","arguments":{{"command-line":"{line}"}}}}"#))?;
        let stick = r#"{"driver":"usb-storage","id":"stick","drive":"disk"}"#;
        self.order(&format!(r#"{{"execute":"device_add","arguments":{stick}}}"#))
    }

    /// Makes a drive, by QEMU's name for it, take a second for each byte from now on: it hangs and reports no error.
    ///
    /// # Errors
    /// When the machine has no such drive.
    pub fn stall(&mut self, drive: &str) -> Result {
        self.throttle(drive, 1)
    }

    /// Lets that drive answer again.
    ///
    /// # Errors
    /// When the machine has no such drive.
    pub fn release(&mut self, drive: &str) -> Result {
        self.throttle(drive, 0)
    }

    fn throttle(&mut self, drive: &str, rate: u8) -> Result {
        let rates = format!(r#""bps":{rate},"bps_rd":0,"bps_wr":0,"iops":0,"iops_rd":0,"iops_wr":0"#);
        let order = r#"{"execute":"block_set_io_throttle","arguments":"#;
        self.order(&format!(r#"{order}{{"device":"{drive}",{rates}}}}}"#))
    }

    /// Cuts the power at this instant. What the guest wrote before stays on the disk, as `cache=unsafe` hands it to the
    /// build machine's page cache at once.
    pub fn power_cut(mut self) {
        self.end();
    }

    /// Waits until the machine ends by itself; returns what it said since the last marker.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub fn wait_exit(mut self, deadline: Duration) -> Result<String> {
        let rest = self.serial.wait_for_end(deadline)?;
        self.end();
        Ok(rest)
    }

    fn greet(&mut self) -> Result {
        let timeout = Some(Duration::from_secs(20));
        self.monitor.get_ref().set_read_timeout(timeout).step(|| "monitor: set time-out".into())?;
        self.heard()?;
        self.order(r#"{"execute":"qmp_capabilities"}"#)
    }

    /// Gives the monitor one order and waits for its answer, past any events.
    fn order(&mut self, order: &str) -> Result {
        let mut voice = self.monitor.get_ref();
        voice.write_all(format!("{order}\n").as_bytes()).step(|| "monitor: write".into())?;
        loop {
            let answer = self.heard()?;
            if answer.contains(r#""error""#) {
                return Err(Failure::new(format!("monitor: {order}: {answer}")));
            }
            if answer.contains(r#""return""#) {
                return Ok(());
            }
        }
    }

    fn heard(&mut self) -> Result<String> {
        let mut answer = String::new();
        let len = self.monitor.read_line(&mut answer).step(|| "monitor: read".into())?;
        if len == 0 {
            return Err(Failure::new("QEMU ended"));
        }
        Ok(answer)
    }

    /// Adds the time that it kept a core busy: fields 14 and 15 of proc(5)'s `stat`, in hundredths of a second. It must not have been
    /// waited for.
    fn count(&self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
        let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        BUSY.set(BUSY.get() + Duration::from_millis(ticks * 10));
    }

    fn end(&mut self) {
        // Both fail only when QEMU has ended by itself, which is what is wanted.
        drop(self.child.kill());
        self.count();
        drop(self.child.wait());
        self.serial.drain();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}
