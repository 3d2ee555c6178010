//! What is asked of kubectl, and the objects in its answer: one a line, its fields between tabs.
//!
//! One template serves every kind, as a field that an object does not have is empty. Texts are last in a line: one with a line break
//! in it leaves a line behind that is no object.

/// The kinds that are asked for.
const KINDS: [&str; 5] = ["Node", "Pod", "ReplicaSet", "StatefulSet", "Job"];

/// For `kubectl get ... -o`, in the order in which [`Object::parse`] reads.
pub const TEMPLATE: &str = concat!(
    "jsonpath={range .items[*]}",
    "{.kind}{\"\\t\"}{.metadata.name}{\"\\t\"}{.metadata.uid}{\"\\t\"}{.metadata.deletionTimestamp}{\"\\t\"}{.metadata.creationTimestamp}{\"\\t\"}",
    "{.metadata.ownerReferences[?(@.controller==true)].kind}{\"\\t\"}{.metadata.ownerReferences[?(@.controller==true)].uid}{\"\\t\"}",
    "{.metadata.labels.updates\\.kubesolo\\.io/block}{\"\\t\"}{.spec.replicas}{\"\\t\"}{.spec.nodeName}{.status.nodeInfo.bootID}{\"\\t\"}",
    "{.status.phase}{\"\\t\"}{.status.conditions[?(@.type==\"Ready\")].status}{.status.conditions[?(@.type==\"Complete\")].status}{\"\\t\"}",
    "{.status.conditions[?(@.type==\"Failed\")].status}{\"\\t\"}{.status.conditions[?(@.type==\"Failed\")].lastTransitionTime}{\"\\t\"}",
    "{range .status['initContainerStatuses','containerStatuses'][*]}",
    "{.name},{.restartCount},{.state.running.startedAt},{.lastState.terminated.startedAt},{.state.waiting.reason}{.state.terminated.reason} ",
    "{end}{\"\\t\"}",
    "{.status.reason} {.status.conditions[?(@.type==\"PodScheduled\")].reason} {.status.conditions[?(@.type==\"Ready\")].reason}",
    "{.status.conditions[?(@.type==\"Failed\")].reason}{\"\\t\"}{.status.conditions[?(@.type==\"Ready\")].message}{\"\\n\"}{end}"
);

/// An object of the answer. A text is empty where the object has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// The whole line: it changes when anything in it does.
    pub line: &'a str,
    /// `Node`, `Pod`, `ReplicaSet`, `StatefulSet`, `Job`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What its pods call their owner.
    pub uid: &'a str,
    /// Since when it is being deleted.
    pub deleted: &'a str,
    /// When it was made. Moments of this form are in order as texts.
    pub created: &'a str,
    /// The kind of its controller.
    pub owner_kind: &'a str,
    /// The uid of its controller.
    pub owner: &'a str,
    /// The label with which an operator blocks a node's updates.
    pub block: &'a str,
    /// How many pods it wants.
    pub replicas: &'a str,
    /// Of a pod: the node it is bound to. Of a node: the `boot_id` with which kubelet registered it.
    pub place: &'a str,
    /// Of a pod.
    pub phase: &'a str,
    /// Its condition `Ready`, of a Job `Complete`: `True`, `False` or `Unknown`.
    pub ready: &'a str,
    /// Its condition `Failed`, of a Job.
    pub failed: &'a str,
    /// Since when that is so.
    pub failed_at: &'a str,
    /// Of a pod: [`Object::containers`].
    containers: &'a str,
    /// Reasons of its conditions, between blanks.
    reasons: &'a str,
    /// What the condition `Ready` says besides.
    pub message: &'a str,
}

/// A container of a pod, init containers first. A text is empty where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Its name.
    pub name: &'a str,
    /// How often it was started again, over all boots.
    pub restarts: &'a str,
    /// Since when it has been running.
    pub started: &'a str,
    /// When its run before that began.
    pub started_before: &'a str,
    /// Why it does not run.
    pub reason: &'a str,
}

impl<'a> Object<'a> {
    /// Reads a line; `None` if it is no object. The fields that a line which was cut has lost are empty.
    pub fn parse(line: &'a str) -> Option<Object<'a>> {
        let mut fields = line.split('\t');
        let kind = fields.next().filter(|kind| KINDS.contains(kind))?;
        let name = fields.next()?;
        let mut next = || fields.next().unwrap_or_default();
        Some(Object {
            line,
            kind,
            name,
            uid: next(),
            deleted: next(),
            created: next(),
            owner_kind: next(),
            owner: next(),
            block: next(),
            replicas: next(),
            place: next(),
            phase: next(),
            ready: next(),
            failed: next(),
            failed_at: next(),
            containers: next(),
            reasons: next(),
            message: next(),
        })
    }

    /// Its containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + Clone + use<'a> {
        self.containers.split_ascii_whitespace().filter_map(|words| {
            let mut words = words.split(',');
            Some(Container {
                name: words.next()?,
                restarts: words.next()?,
                started: words.next()?,
                started_before: words.next()?,
                reason: words.next()?,
            })
        })
    }

    /// The first of its reasons.
    pub fn reason(&self) -> &'a str {
        self.reasons.split_ascii_whitespace().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The line of a pod that runs on `box`, as kubectl prints it.
    const POD: &str = "Pod\tdns\tu1\t\t2026-11-27T09:00:00Z\tReplicaSet\tr1\t\t\tbox\tRunning\tFalse\t\t\tside,1,2026-11-27T10:00:00Z,, \
                       c,3,,2026-11-27T09:00:00Z,CrashLoopBackOff \t  ContainersNotReady\tcontainers with unready status: [c]";

    #[test]
    fn a_line_is_an_object() {
        let pod = Object::parse(POD).unwrap();
        let fields =
            [pod.kind, pod.name, pod.uid, pod.owner_kind, pod.owner, pod.place, pod.phase, pod.ready, pod.reason()];
        assert_eq!(fields, ["Pod", "dns", "u1", "ReplicaSet", "r1", "box", "Running", "False", "ContainersNotReady"]);
        assert_eq!((pod.deleted, pod.failed, pod.message), ("", "", "containers with unready status: [c]"));
        let containers: Vec<_> = pod.containers().collect();
        let side =
            Container { name: "side", restarts: "1", started: "2026-11-27T10:00:00Z", started_before: "", reason: "" };
        let crashing = Container {
            name: "c",
            restarts: "3",
            started: "",
            started_before: "2026-11-27T09:00:00Z",
            reason: "CrashLoopBackOff",
        };
        assert_eq!(containers, [side, crashing]);
    }

    #[test]
    fn the_template_has_as_many_fields_as_are_read() {
        let template: Vec<&str> = TEMPLATE.split("{\"\\t\"}").collect();
        assert_eq!(template.len(), POD.split('\t').count());
        // Deeper ranges print no tabs.
        assert_eq!(TEMPLATE.matches("{range").count(), TEMPLATE.matches("{end}").count());
    }

    #[test]
    fn what_is_no_object_is_passed_over() {
        for line in ["", "Warning: v1 is deprecated", "<html>", "Pod", "Podium\tx", "pod\tdns"] {
            assert_eq!(Object::parse(line), None, "{line}");
        }
        let cut = Object::parse(&POD[..120]).unwrap();
        assert_eq!((cut.name, cut.ready, cut.message), ("dns", "False", ""));
    }
}
