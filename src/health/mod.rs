//! Whether the box is healthy: six checks, a file each. All of them run, and each has its own deadline.

mod api_server;
mod containerd;
mod disk_writable;
mod kube_system;
pub mod kubectl;
mod node_ready;
mod probe_url;

use std::string::String;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use crate::failure::Failure;
use crate::host::Host;
use crate::update::state::push_word;
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

/// Whether a failure of that check can be excused because it failed before the update too. What Kubernetes is made of cannot, on a box
/// that has it: an update that begins before Kubernetes is up would be committed whatever it does to it.
pub fn can_be_excused(name: &str, config: &Config<'_>) -> bool {
    match name {
        "disk_writable" => false,
        "containerd" | "api_server" | "node_ready" => !has_kubernetes(config),
        _ => true,
    }
}

/// The checks that fail before an update and can be excused, a space between two. Each has its full time, if there is something to
/// wait for.
pub fn failing_before(host: &Host<'_>, config: &Config<'_>) -> String {
    let timeout = Duration::from_secs(config.healthcheck_timeout.into());
    let report = Report::make(host, config, &|name| match name {
        "probe_url" => timeout,
        "kube_system_ready" if has_kubernetes(config) => timeout,
        _ => Duration::ZERO,
    });
    let mut names = String::new();
    for (name, _) in report.failed().filter(|(name, _)| can_be_excused(name, config)) {
        push_word(&mut names, name);
    }
    names
}

/// Whether Kubernetes has run on this box, or its settings say where it is.
fn has_kubernetes(config: &Config<'_>) -> bool {
    let Config { containerd, kubectl, kubeconfig, .. } = Config::default();
    let is_set = config.containerd != containerd || config.kubectl != kubectl || config.kubeconfig != kubeconfig;
    is_set || [config.containerd, config.kubeconfig].iter().any(|path| access(*path, Access::EXISTS).is_ok())
}

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
