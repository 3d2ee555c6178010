//! Succeeds if kubelet has registered this box's node in this boot, and the node is Ready.

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;
use crate::history::boots::boot_id;
use kubesolo_core::health::node::Nodes;
use kubesolo_core::health::object::TEMPLATE;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    let mut id = [0; 36];
    let boot_id = boot_id(&subject.host.boot_log(), &mut id);
    subject.until(&mut || {
        let mut nodes = Nodes::new(boot_id);
        let words = ["get", "nodes", "-o", TEMPLATE];
        kubectl::run(subject.host.process, subject.config, &words, &mut |line| nodes.take(line))?;
        nodes.ready().map_err(|reason| Failure::new(Exit::No, format_args!("node_ready: {reason}")))
    })
}
