//! Whether the box is healthy: six checks, a file each. All of them run, and each has its own deadline.

mod api_server;
mod containerd;
mod disk_writable;
mod kube_system;
pub mod kubectl;
mod node_ready;
mod probe_url;

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::host::Host;
use kubesolo_core::update::config::Config;

/// The pause before a failed check is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is checked, and until when.
struct Subject<'a> {
    host: &'a Host<'a>,
    config: &'a Config<'a>,
    deadline: Instant,
}

type Check = fn(&Subject<'_>) -> Result<(), Failure>;

/// Name and work of each, in the order in which they run.
const CHECKS: [(&str, Check); 6] = [
    ("containerd", containerd::check),
    ("api_server", api_server::check),
    ("node_ready", node_ready::check),
    ("kube_system_ready", kube_system::check),
    ("probe_url", probe_url::check),
    ("disk_writable", disk_writable::check),
];

/// How the checks came out: name, and why it failed if it did.
pub struct Report(pub [(&'static str, Option<Failure>); 6]);

impl Report {
    /// Runs every check; a failing one is repeated until its `timeout`.
    pub fn make(host: &Host<'_>, config: &Config<'_>, timeout: &dyn Fn(&str) -> Duration) -> Report {
        Report(CHECKS.map(|(name, check)| {
            let now = Instant::now();
            let subject = Subject { host, config, deadline: now.checked_add(timeout(name)).unwrap_or(now) };
            (name, check(&subject).err())
        }))
    }

    /// The checks that failed, with why.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.0.iter().filter_map(|(name, failure)| failure.as_ref().map(|failure| (*name, failure)))
    }
}

impl Subject<'_> {
    /// What is left until the deadline.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Repeats `look` until it succeeds or the time is over; gives the last result. It is called at least once.
    fn until(&self, look: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        loop {
            let seen = look();
            if seen.is_ok() || self.left() < PAUSE {
                return seen;
            }
            sleep(PAUSE);
        }
    }
}
