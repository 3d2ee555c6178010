//! Whether the pods of a namespace are well and settled, and their owners have what they want.
//!
//! | object | is well if |
//! |---|---|
//! | pod | its own `Ready` condition is true, and its containers have settled; or it has succeeded |
//! | failed pod of a controller | the controller has another one, or wants none |
//! | ReplicaSet, StatefulSet | so many pods as it wants have not ended |
//! | Job, with its pods | it has not failed in this boot, or its CronJob has had a later one that completed |
//!
//! Pods that are being deleted, and those of other nodes, do not count. A container has settled once its age, or the time it was seen
//! without a change, is the time asked for. An age counts only if the container was started in this boot: the clock may have been set.

use core::fmt;

use crate::health::node::Nodes;
use crate::health::object::{Container, Object};
use crate::health::{Reason, Text, put};
use crate::text::decimal::decimal;
use crate::text::timestamp::Moment;

/// Longest pause of kubelet before it starts a container again, in seconds; its first is [`PAUSE_MIN`], and each is twice the last.
const PAUSE_MAX: u64 = 300;
const PAUSE_MIN: u64 = 10;
/// How many owners can be told apart: those of pods that run or have failed, not those of old rollouts.
const OWNERS_MAX: usize = 128;

/// This boot, as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'b> {
    /// Its `boot_id`.
    pub id: &'b str,
    /// The time of day.
    pub now: Moment,
    /// For how many seconds it has been running.
    pub uptime: u64,
}

/// What the objects of an answer say. Nodes come first in it, and pods last.
#[derive(Debug)]
pub struct Pods<'b> {
    boot: Boot<'b>,
    settle: u64,
    nodes: Nodes<'b>,
    owners: heapless::Vec<Owner, OWNERS_MAX>,
    /// Whether there is any pod that counts.
    any: bool,
    reason: Reason,
}

/// An owner, which is well if it has as much as is needed.
#[derive(Debug, Default)]
struct Owner {
    uid: Text,
    /// What to say if it is not.
    label: Text,
    /// Of a set: how many pods it wants. Of another controller: one, if one has failed. Of a CronJob: when its newest Job that failed
    /// was made.
    needed: u64,
    /// How many pods have not ended; when its newest Job that completed was made.
    has: u64,
}

impl<'b> Pods<'b> {
    /// Before the first line. Containers have settled after so many seconds.
    pub fn new(boot: Boot<'b>, settle: u64) -> Pods<'b> {
        let (nodes, owners) = (Nodes::new(boot.id), heapless::Vec::new());
        Pods { boot, settle, nodes, owners, any: false, reason: Reason::default() }
    }

    /// Takes a line of the answer in. `seen` says for how many seconds it has been in the answers without a change; it is called for
    /// pods that are ready and whose age says too little.
    pub fn take(&mut self, line: &str, seen: &mut dyn FnMut(&str) -> u64) {
        let Some(object) = Object::parse(line) else { return };
        match object.kind {
            "Node" => self.nodes.take_node(&object),
            _ if !object.deleted.is_empty() => {}
            "Job" => self.job(&object),
            "Pod" => self.pod(&object, seen),
            _ => self.set(&object),
        }
    }

    /// Succeeds if all is well.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn verdict(&mut self) -> Result<(), &str> {
        self.nodes.registered()?;
        if !self.any {
            self.reason.add(format_args!("there are no pods in kube-system on this node"));
        }
        for owner in self.owners.iter().filter(|owner| owner.has < owner.needed) {
            self.reason.add(format_args!("{}", owner.label));
        }
        self.reason.verdict()
    }

    fn owner(&mut self, uid: &str) -> Option<&mut Owner> {
        let known = self.owners.iter().position(|owner| owner.uid == uid);
        if known.is_none() {
            let uid = Text::try_from(uid).unwrap_or_default();
            if self.owners.push(Owner { uid, ..Owner::default() }).is_err() {
                self.reason.add(format_args!("more than {OWNERS_MAX} owners of pods: too many to judge"));
            }
        }
        known.map_or(self.owners.len().checked_sub(1), Some).and_then(|at| self.owners.get_mut(at))
    }

    fn set(&mut self, set: &Object<'_>) {
        // Those of old rollouts want none.
        let needed = decimal(set.replicas).unwrap_or(0);
        if let Some(owner) = (needed > 0).then(|| self.owner(set.uid)).flatten() {
            owner.needed = needed;
            put(&mut owner.label, format_args!("{} {} wants {needed} pods, and has fewer", set.kind, set.name));
        }
    }

    fn job(&mut self, job: &Object<'_>) {
        // A failure of which the time cannot be right counts.
        let boot = self.boot.now.0.saturating_sub(self.boot.uptime);
        let failed = job.failed == "True" && Moment::parse(job.failed_at).is_none_or(|at| at.0 > boot);
        if job.owner.is_empty() && failed {
            self.reason.add(format_args!("Job {} has failed: {}", job.name, job.reason()));
        }
        if job.owner.is_empty() || !failed && job.ready != "True" {
            return;
        }
        let created = Moment::parse(job.created).map_or(1, |created| created.0);
        let Some(owner) = self.owner(job.owner) else { return };
        if !failed {
            owner.has = owner.has.max(created);
        } else if created > owner.needed {
            owner.needed = created;
            put(&mut owner.label, format_args!("Job {} has failed: {}", job.name, job.reason()));
        }
    }

    fn pod(&mut self, pod: &Object<'_>, seen: &mut dyn FnMut(&str) -> u64) {
        let here = self.nodes.here();
        if here.is_none() || !pod.place.is_empty() && here != Some(pod.place) {
            return;
        }
        self.any = true;
        match pod.phase {
            _ if pod.owner_kind == "Job" => {}
            "Succeeded" => {}
            "Failed" => self.failed(pod),
            _ => {
                // A static pod's is its node, which replaces nothing.
                if !matches!(pod.owner_kind, "" | "Node")
                    && let Some(owner) = self.owner(pod.owner)
                {
                    owner.has = owner.has.saturating_add(1);
                }
                if pod.ready != "True" {
                    return self.reason.add(format_args!("{}", Unready(pod)));
                }
                pod.containers().for_each(|container| self.container(pod, &container, seen));
            }
        }
    }

    /// A leftover if its controller has another pod; that of a set has been counted.
    fn failed(&mut self, pod: &Object<'_>) {
        match pod.owner_kind {
            "ReplicaSet" | "StatefulSet" => {}
            "" | "Node" => self.reason.add(format_args!("{}", Unready(pod))),
            _ => {
                if let Some(owner) = self.owner(pod.owner) {
                    owner.needed = 1;
                    put(&mut owner.label, format_args!("{}", Unready(pod)));
                }
            }
        }
    }

    fn container(&mut self, pod: &Object<'_>, container: &Container<'_>, seen: &mut dyn FnMut(&str) -> u64) {
        // An init container that has done its work.
        if container.started.is_empty() {
            return;
        }
        let Container { name, restarts, started, started_before, .. } = *container;
        // After a reboot every container is started again; only one whose last run was of this boot as well has died by itself.
        let died = restarts != "0" && self.boot.age(started_before).is_some();
        let needed = self.settle.max(if died { pause(restarts) } else { 0 });
        let age = self.boot.age(started).unwrap_or_default();
        if age >= needed {
            return;
        }
        let seconds = age.max(seen(pod.line));
        if seconds < needed {
            self.reason.add(format_args!(
                "pod {}: container {name} has been running for {seconds} s only, of {needed} s; restarts: {restarts}",
                pod.name
            ));
        }
    }
}

/// How long kubelet waited before a start, in seconds: a container that keeps dying has not settled before it has run for as long.
fn pause(restarts: &str) -> u64 {
    let doubled = decimal::<u32>(restarts).map_or(u32::MAX, |restarts| restarts.saturating_sub(1));
    2_u64.saturating_pow(doubled).saturating_mul(PAUSE_MIN).min(PAUSE_MAX)
}

impl Boot<'_> {
    /// How long ago that was, in seconds; `None` if it was not in this boot.
    fn age(&self, moment: &str) -> Option<u64> {
        let age = self.now.0.checked_sub(Moment::parse(moment)?.0)?;
        (age <= self.uptime).then_some(age)
    }
}

/// Why a pod is not ready: the container that keeps it from that, if one is named; else its own condition.
struct Unready<'a>(&'a Object<'a>);

impl fmt::Display for Unready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pod = self.0;
        write!(f, "pod {}", pod.name)?;
        let ended = pod.containers().filter(|container| !matches!(container.reason, "" | "Completed"));
        // Those wait for others of the pod.
        let waits = |container: &Container<'_>| matches!(container.reason, "PodInitializing" | "ContainerCreating");
        if let Some(container) = ended.clone().find(|container| !waits(container)).or_else(|| ended.clone().next()) {
            return write!(f, ": container {}: {}", container.name, container.reason);
        }
        let state = if pod.phase == "Running" { "Running, but not ready" } else { pod.phase };
        write!(f, " is {state}")?;
        [pod.reason(), pod.message].iter().filter(|text| !text.is_empty()).try_for_each(|text| write!(f, ": {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    const NODE: &str = "Node\tbox\tu\t\t\t\t\t\t\tb1\t\tTrue\t\t\t\t  \t\n";
    const NOW: &str = "2026-11-27T16:00:00Z";

    fn boot() -> Boot<'static> {
        Boot { id: "b1", now: Moment::parse(NOW).unwrap(), uptime: 3600 }
    }

    /// So many seconds before now, or behind it.
    fn ago(seconds: i64) -> String {
        Moment(boot().now.0.checked_add_signed(seconds.wrapping_neg()).unwrap()).to_string()
    }

    /// A pod on this node: name, owner, phase, Ready, containers.
    fn pod(name: &str, owner: &str, phase: &str, ready: &str, containers: &str) -> String {
        let (kind, uid) = owner.split_once(' ').unwrap_or_default();
        format!(
            "Pod\t{name}\tu\t\t\t{kind}\t{uid}\t\t\tbox\t{phase}\t{ready}\t\t\t{containers}\t  ItsReason\tits message\n"
        )
    }

    /// One of no owner with a container that runs for so many seconds.
    fn runs(name: &str, age: i64) -> String {
        pod(name, "", "Running", "True", &format!("c,0,{},, ", ago(age)))
    }

    fn set(kind: &str, uid: &str, replicas: u32) -> String {
        format!("{kind}\tname-{uid}\t{uid}\t\t\t\t\t\t{replicas}\t\t\t\t\t\t\t  \t\n")
    }

    /// A Job: uid, owner, when it was made, Complete, Failed and since when.
    fn job(uid: &str, owner: &str, created: i64, complete: &str, failed: &str, at: i64) -> String {
        let (created, at) = (ago(created), ago(at));
        format!(
            "Job\tjob-{uid}\t{uid}\t\t{created}\tCronJob\t{owner}\t\t\t\t\t{complete}\t{failed}\t{at}\t\t  BackoffLimitExceeded\t\n"
        )
    }

    fn verdict(objects: &str, seen: u64) -> String {
        let mut pods = Pods::new(boot(), 30);
        NODE.lines().chain(objects.lines()).for_each(|line| pods.take(line, &mut |_| seen));
        pods.verdict().err().unwrap_or_default().to_string()
    }

    #[test]
    fn a_pod_is_well_by_its_own_condition() {
        let waiting = |reason: &str| format!("a,0,{},, c,0,,,{reason} ", ago(100));
        let rows = [
            ("runs", runs("dns", 100), ""),
            (
                "crashing sidecar",
                pod("dns", "", "Running", "False", &waiting("CrashLoopBackOff")),
                "pod dns: container c: CrashLoopBackOff",
            ),
            (
                "gate",
                pod("dns", "", "Running", "False", &format!("c,0,{},, ", ago(100))),
                "pod dns is Running, but not ready: ItsReason: its message",
            ),
            ("no condition", pod("dns", "", "Pending", "", ""), "pod dns is Pending: ItsReason"),
            (
                "image",
                pod("dns", "", "Pending", "False", &waiting("ImagePullBackOff")),
                "container c: ImagePullBackOff",
            ),
            (
                "image of the second",
                pod("dns", "", "Pending", "False", "a,0,,,ContainerCreating b,0,,,ErrImagePull "),
                "container b: ErrImagePull",
            ),
            ("init", pod("dns", "", "Pending", "False", "i,1,,,Error c,0,,,PodInitializing "), "container i: Error"),
            (
                "creating",
                pod("dns", "", "Pending", "False", "i,0,,,Completed c,0,,,ContainerCreating "),
                "container c: ContainerCreating",
            ),
            ("unknown", pod("dns", "", "Unknown", "Unknown", ""), "pod dns is Unknown"),
            ("init is done", pod("dns", "", "Running", "True", &format!("i,0,,,Completed c,0,{},, ", ago(100))), ""),
            ("none", String::new(), "no pods"),
            ("completed", pod("once", "", "Succeeded", "False", "c,0,,,Completed "), ""),
            ("failed", pod("once", "", "Failed", "False", ""), "pod once is Failed: ItsReason"),
            (
                "static, failed",
                pod("once", "Node n", "Failed", "False", "") + &pod("other", "Node n", "Running", "True", ""),
                "pod once is Failed",
            ),
            ("second of two", runs("dns", 100) + &pod("x", "", "Pending", "", ""), "pod x is Pending"),
        ];
        for (case, objects, want) in rows {
            let got = verdict(&objects, 0);
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{case}: {got}");
        }
    }

    #[test]
    fn containers_settle_by_age_in_this_boot_or_by_being_watched() {
        let again = |restarts: u32, age: i64, before: i64| {
            pod("dns", "", "Running", "True", &format!("c,{restarts},{},{}, ", ago(age), ago(before)))
        };
        // Objects, for how long they were seen, what is said.
        let rows = [
            ("old enough", runs("dns", 30), 0, ""),
            ("young", runs("dns", 29), 0, "pod dns: container c has been running for 29 s only, of 30 s"),
            ("half by age, half seen", runs("dns", 15), 15, "for 15 s only"),
            ("young and seen", runs("dns", 5), 30, ""),
            ("of the boot before", runs("dns", 3601), 0, "for 0 s only"),
            ("of the boot before, seen", runs("dns", 3601), 30, ""),
            ("of the future", runs("dns", -60), 29, "for 29 s only"),
            ("of the future, seen", runs("dns", -60), 30, ""),
            (
                "young sidecar",
                pod("dns", "", "Running", "True", &format!("s,1,{},, c,0,{},, ", ago(5), ago(99))),
                0,
                "container s",
            ),
            ("nine restarts", again(9, 40, 400), 0, "for 40 s only, of 300 s; restarts: 9"),
            ("nine restarts, seen for a while", again(9, 40, 400), 40, "for 40 s only"),
            ("nine restarts, the last is long ago", again(9, 300, 700), 0, ""),
            ("nine restarts by nine reboots", again(9, 40, 4000), 0, ""),
            ("one restart", again(1, 30, 90), 0, ""),
            ("four restarts", again(4, 79, 90), 0, "of 80 s"),
            ("restarts without end", again(4_000_000_000, 299, 400), 0, "of 300 s"),
        ];
        for (case, objects, seen, want) in rows {
            let got = verdict(&objects, seen);
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{case}: {got}");
        }
    }

    #[test]
    fn leftovers_are_judged_by_their_owners() {
        let evicted = |owner: &str| pod("old", owner, "Failed", "False", "");
        let new = |owner: &str| pod("new", owner, "Running", "True", &format!("c,0,{},, ", ago(99)));
        let set_of = |kind: &str| evicted(&format!("{kind} s")) + &new(&format!("{kind} s"));
        let alone = |kind: &str| runs("dns", 99) + &evicted(&format!("{kind} s"));
        let rows = [
            ("replaced", set_of("ReplicaSet") + &set("ReplicaSet", "s", 1), ""),
            (
                "replaced once of twice",
                set_of("ReplicaSet") + &set("ReplicaSet", "s", 2),
                "ReplicaSet name-s wants 2 pods",
            ),
            ("not replaced", alone("StatefulSet") + &set("StatefulSet", "s", 1), "StatefulSet name-s wants 1 pods"),
            ("of an old rollout", alone("ReplicaSet") + &set("ReplicaSet", "s", 0), ""),
            ("of no more", alone("ReplicaSet"), ""),
            ("DaemonSet, replaced", set_of("DaemonSet"), ""),
            ("DaemonSet, not replaced", alone("DaemonSet"), "pod old is Failed"),
            ("own kind, replaced", set_of("Tortoise"), ""),
            ("a set without any pod", runs("dns", 99) + &set("ReplicaSet", "s", 1), "wants 1 pods"),
            (
                "its replacement crashes",
                evicted("ReplicaSet s")
                    + &pod("new", "ReplicaSet s", "Running", "False", "c,1,,,Error ")
                    + &set("ReplicaSet", "s", 1),
                "pod new: container c: Error",
            ),
            ("being deleted", runs("dns", 99) + &evicted("").replacen("u\t\t", "u\t2026-11-27T15:00:00Z\t", 1), ""),
            ("of another node", runs("dns", 99) + &evicted("").replace("\tbox\t", "\told\t"), ""),
            (
                "bound to no node",
                runs("dns", 99) + &pod("x", "", "Pending", "", "").replace("\tbox\t", "\t\t"),
                "pod x is Pending",
            ),
        ];
        for (case, objects, want) in rows {
            let got = verdict(&objects, 0);
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{case}: {got}");
        }
    }

    #[test]
    fn jobs_are_judged_by_their_own_condition() {
        let tries = pod("try-1", "Job j", "Failed", "False", "")
            + &pod("try-2", "Job j", "Running", "False", "c,0,,,Completed ");
        let rows = [
            ("at work", tries.clone() + &job("j", "", 60, "", "", 0), ""),
            ("completed", tries.clone() + &job("j", "", 60, "True", "", 0), ""),
            ("failed", tries.clone() + &job("j", "", 60, "", "True", 50), "Job job-j has failed: BackoffLimitExceeded"),
            ("failed before this boot", tries.clone() + &job("j", "", 9000, "", "True", 3600), ""),
            ("failed in the future", tries.clone() + &job("j", "", 60, "", "True", -50), "has failed"),
            (
                "failed, then made good",
                tries.clone() + &job("j", "cron", 60, "", "True", 50) + &job("k", "cron", 40, "True", "", 0),
                "",
            ),
            (
                "made good, then failed",
                tries.clone() + &job("j", "cron", 60, "", "True", 50) + &job("k", "cron", 90, "True", "", 0),
                "job-j",
            ),
            (
                "another's is good",
                tries.clone() + &job("j", "cron", 60, "", "True", 50) + &job("k", "x", 40, "True", "", 0),
                "job-j",
            ),
            (
                "no owner, no excuse",
                tries + &job("j", "", 60, "", "True", 50) + &job("k", "", 40, "True", "", 0),
                "job-j",
            ),
        ];
        for (case, objects, want) in rows {
            let got = verdict(&objects, 0);
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{case}: {got}");
        }
    }

    #[test]
    fn pods_of_another_boots_kubelet_say_nothing() {
        let mut asked = false;
        let mut pods = Pods::new(boot(), 30);
        for line in [&NODE.replace("b1", "b0"), &runs("dns", 5)] {
            pods.take(line.trim_end(), &mut |_| {
                asked = true;
                1000
            });
        }
        assert!(pods.verdict().unwrap_err().contains("kubelet has not registered in this boot"));
        assert!(!asked, "the time begins once kubelet has registered");
    }
}
