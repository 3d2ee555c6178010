//! Which of the API server's nodes is this box in this boot, and whether it is ready.
//!
//! No one takes back what a node said of itself: KubeSolo has no node-lifecycle controller, so that a node stays Ready for ever, and
//! that of an old hostname stays for ever besides. kubelet writes the kernel's `boot_id` when it registers.

use crate::health::object::Object;
use crate::health::{Reason, Text};

/// What the nodes of an answer say.
#[derive(Debug)]
pub struct Nodes<'b> {
    boot_id: &'b str,
    here: Option<Text>,
    is_ready: bool,
    unready: Reason,
    stale: Reason,
    blocked_here: bool,
    blocked_elsewhere: bool,
}

impl<'b> Nodes<'b> {
    /// Before the first line. The `boot_id` is empty if it is not known, and then no node is of this boot.
    pub fn new(boot_id: &'b str) -> Nodes<'b> {
        let (unready, stale) = (Reason::default(), Reason::default());
        Nodes { boot_id, here: None, is_ready: false, unready, stale, blocked_here: false, blocked_elsewhere: false }
    }

    /// Takes a line of the answer in. Other objects are passed over.
    pub fn take(&mut self, line: &str) {
        if let Some(node) = Object::parse(line).filter(|object| object.kind == "Node") {
            self.take_node(&node);
        }
    }

    /// Takes a node in.
    pub fn take_node(&mut self, node: &Object<'_>) {
        let is_blocked = node.block == "true";
        if self.boot_id.is_empty() || node.place != self.boot_id {
            self.blocked_elsewhere |= is_blocked;
            self.stale.add(format_args!(
                "kubelet has not registered in this boot; what node {} says is of another one",
                node.name
            ));
            return;
        }
        self.blocked_here |= is_blocked;
        // There are two if the hostname has changed in this boot. The one that is ready is the one that kubelet writes now.
        if self.here.is_none() || node.ready == "True" && !self.is_ready {
            self.here = Text::try_from(node.name).ok();
        }
        self.is_ready |= node.ready == "True";
        let ready = if node.ready.is_empty() { "missing" } else { node.ready };
        let (name, why, message) = (node.name, node.reason(), node.message);
        self.unready.add(format_args!("node {name}: its Ready condition is {ready}: {why}: {message}"));
    }

    /// The name of this box's node.
    pub fn here(&self) -> Option<&str> {
        self.here.as_deref()
    }

    /// Succeeds if the node of this boot is there.
    ///
    /// # Errors
    /// What is there instead.
    pub fn registered(&self) -> Result<(), &str> {
        match (&self.here, self.stale.verdict()) {
            (Some(_), _) => Ok(()),
            (None, Ok(())) => Err("the API server knows no node: kubelet has not registered"),
            (None, stale) => stale,
        }
    }

    /// Succeeds if it is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub fn ready(&self) -> Result<(), &str> {
        self.registered()?;
        if self.is_ready { Ok(()) } else { self.unready.verdict() }
    }

    /// Whether an operator blocks this box's updates. If kubelet has not registered in this boot, the label of any node does.
    pub fn is_blocked(&self) -> bool {
        if self.here.is_some() { self.blocked_here } else { self.blocked_elsewhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    fn node(name: &str, boot_id: &str, ready: &str, block: &str) -> String {
        format!("Node\t{name}\tu\t\t\t\t\t{block}\t\t{boot_id}\t\t{ready}\t\t\t\t  KubeletNotReady\tno network\n")
    }

    fn nodes<'b>(answer: &str, boot_id: &'b str) -> Nodes<'b> {
        let mut nodes = Nodes::new(boot_id);
        answer.lines().for_each(|line| nodes.take(line));
        nodes
    }

    #[test]
    fn only_this_boots_node_counts() {
        let rows = [
            ("none", "".to_string(), "the API server knows no node"),
            ("ready", node("box", "b1", "True", ""), ""),
            (
                "of the boot before",
                node("box", "b0", "True", ""),
                "kubelet has not registered in this boot; what node box",
            ),
            ("that says no boot", node("box", "", "True", ""), "not registered in this boot"),
            (
                "unready",
                node("box", "b1", "False", ""),
                "node box: its Ready condition is False: KubeletNotReady: no network",
            ),
            ("unknown", node("box", "b1", "Unknown", ""), "Unknown"),
            ("without the condition", node("box", "b1", "", ""), "its Ready condition is missing"),
            ("beside an old hostname's", node("a", "b0", "False", "") + &node("box", "b1", "True", ""), ""),
            ("before an old hostname's", node("box", "b1", "True", "") + &node("old", "b0", "Unknown", ""), ""),
            (
                "unready beside an old one's",
                node("box", "b1", "False", "") + &node("old", "b0", "True", ""),
                "node box: ",
            ),
            ("under two names", node("a", "b1", "Unknown", "") + &node("box", "b1", "True", ""), ""),
        ];
        for (case, answer, want) in rows {
            let nodes = nodes(&answer, "b1");
            let got = nodes.ready().err().unwrap_or_default();
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{case}: {got}");
        }
        assert!(nodes(&node("box", "", "True", ""), "").ready().is_err(), "this boot's id could not be read");
        let two = node("a", "b1", "Unknown", "") + &node("box", "b1", "True", "") + &node("c", "b1", "False", "");
        assert_eq!(nodes(&two, "b1").here(), Some("box"));
    }

    #[test]
    fn the_label_of_another_node_holds_nothing_back() {
        let rows = [
            (node("box", "b1", "True", "true"), true),
            (node("box", "b1", "True", "false"), false),
            (node("box", "b1", "True", ""), false),
            (node("old", "b0", "True", "true") + &node("box", "b1", "True", ""), false),
            (node("old", "b0", "True", "") + &node("box", "b1", "True", "true"), true),
            (node("box", "b0", "True", "true"), true),
            (String::new(), false),
        ];
        for (answer, want) in rows {
            assert_eq!(nodes(&answer, "b1").is_blocked(), want, "{answer}");
        }
    }
}
