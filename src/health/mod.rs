//! Whether the box is healthy: six checks, a file each. All of them run at the same time, each in a process of its own that is left
//! behind if it hangs, and each has its own deadline.

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

use crate::failure::{Exit, Failure};
use crate::host::Host;
use crate::linux::children::{self, Answer, Hanging};
use crate::update::state::push_word;
use kubesolo_core::ignore::ignore;
use kubesolo_core::update::config::Config;

/// The pause before a failed check is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is checked, and until when.
struct Subject<'a> {
    host: &'a Host<'a>,
    config: &'a Config<'a>,
    deadline: Instant,
}

/// A check's last look may take so much longer than its time.
const LAST_LOOK: Duration = Duration::from_secs(30);
/// The first byte of an answer that has a reason.
const FAILED: u8 = b'F';

type Check = fn(&Subject<'_>) -> Result<(), Failure>;

/// Name and work of each, in the order in which they are told.
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
    let timeout = |name: &str| match name {
        "probe_url" => timeout,
        "kube_system_ready" if has_kubernetes(config) => timeout,
        _ => Duration::ZERO,
    };
    let report = Report::make(host, config, &timeout, &mut |_, _| ());
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
    /// Runs every check; a failing one is repeated until its `timeout`. Calls `known` with each when its result is known: its name,
    /// and why it failed if it did.
    pub fn make(
        host: &Host<'_>,
        config: &Config<'_>,
        timeout: &dyn Fn(&str) -> Duration,
        known: &mut dyn FnMut(&'static str, Option<&Failure>),
    ) -> Report {
        let longest = CHECKS.iter().map(|(name, _)| timeout(name)).max().unwrap_or_default();
        let settle = Duration::from_secs(config.kube_system_settle.into());
        let deadline = longest.saturating_add(settle).saturating_add(LAST_LOOK);
        let names = CHECKS.map(|(name, _)| children::Subject::try_from(name).unwrap_or_default());
        let work = |place: usize| {
            let Some((name, check)) = CHECKS.get(place) else { return Answer::new() };
            let now = Instant::now();
            encode(check(&Subject { host, config, deadline: now.checked_add(timeout(name)).unwrap_or(now) }))
        };
        let mut results = CHECKS.map(|_| None);
        children::all(host.process, deadline, &mut Hanging::none(), &names, &work, &mut |place, answer| {
            if let (Some((name, _)), Some(result)) = (CHECKS.get(place), results.get_mut(place)) {
                known(name, result.insert(decode(answer)).as_ref());
            }
        });
        let mut checks = CHECKS.map(|(name, _)| (name, None));
        for ((name, failure), result) in checks.iter_mut().zip(results) {
            *failure = result.unwrap_or_else(|| {
                let silent = Some(Failure::new(Exit::No, format_args!("{name}: has no answer, and hangs")));
                known(name, silent.as_ref());
                silent
            });
        }
        Report(checks)
    }

    /// The checks that failed, with why.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.0.iter().filter_map(|(name, failure)| failure.as_ref().map(|failure| (*name, failure)))
    }
}

/// The answer of a check's process: nothing, or a mark and why it failed.
fn encode(result: Result<(), Failure>) -> Answer {
    let mut answer = Answer::new();
    if let Err(failure) = result {
        let text = failure.text();
        let end = text.floor_char_boundary(answer.capacity().saturating_sub(1));
        let bytes = [&[FAILED], text.get(..end).unwrap_or_default().as_bytes()];
        bytes.iter().for_each(|part| ignore(answer.extend_from_slice(part), "it was cut to what fits"));
    }
    answer
}

fn decode(answer: &[u8]) -> Option<Failure> {
    let text = core::str::from_utf8(answer.strip_prefix(&[FAILED])?).unwrap_or_default();
    Some(Failure::new(Exit::No, format_args!("{text}")))
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
