//! Succeeds if the pods of kube-system are well, and have been for `kube_system_settle` seconds.

use std::time::{Duration, Instant};
use std::vec::Vec;

use rustix::system::sysinfo;

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;
use crate::history::boots::boot_id;
use crate::update::state::now;
use kubesolo_core::health::object::TEMPLATE;
use kubesolo_core::health::pods::{Boot, Pods};

/// In the order in which they are judged. Nodes are in no namespace.
const KINDS: &str = "nodes,replicasets.apps,statefulsets.apps,jobs.batch,pods";
/// How many pods can be watched at once.
const WATCHED_MAX: usize = 4096;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    let settle = subject.config.kube_system_settle;
    // The time to settle is added to the time that the check may wait.
    let more = if subject.left().is_zero() { Duration::ZERO } else { Duration::from_secs(settle.into()) };
    let deadline = subject.deadline.checked_add(more);
    let subject = Subject { deadline: deadline.unwrap_or(subject.deadline), ..*subject };
    let mut id = [0; 36];
    let id = boot_id(&subject.host.boot_log(), &mut id);
    let mut watched = Vec::new();
    subject.until(&mut || {
        let uptime = u64::try_from(sysinfo().uptime).unwrap_or_default();
        let mut pods = Pods::new(Boot { id, now: now(), uptime }, settle.into());
        let mut watch = Watch { before: &watched, now: Vec::new() };
        let words = ["get", KINDS, "-n", "kube-system", "-o", TEMPLATE];
        kubectl::run(subject.host.process, subject.config, &words, &mut |line| {
            pods.take(line, &mut |line| watch.seen(line));
        })?;
        watched = watch.now;
        pods.verdict().map_err(|reason| Failure::new(Exit::No, format_args!("kube_system_ready: {reason}")))
    })
}

/// Pods whose age says too little, as the clock was set or they have died: a sum of each one's line, and since when it is seen.
struct Watch<'a> {
    before: &'a [(u64, Instant)],
    now: Vec<(u64, Instant)>,
}

impl Watch<'_> {
    /// For how many seconds this line has been in each answer.
    fn seen(&mut self, line: &str) -> u64 {
        let sum = fnv1a(line);
        let is_it = |watched: &&(u64, Instant)| watched.0 == sum;
        let known = self.now.last().filter(is_it).or_else(|| self.before.iter().find(is_it));
        let since = known.map_or_else(Instant::now, |watched| watched.1);
        // One that is not remembered begins anew with each look.
        if self.now.last().filter(is_it).is_none() && self.now.len() < WATCHED_MAX {
            self.now.push((sum, since));
        }
        since.elapsed().as_secs()
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
