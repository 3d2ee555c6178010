//! Succeeds if the API server reports the node as Ready.

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;

const CONDITION: &str = "jsonpath={range .items[*]}node {.status.conditions[?(@.type==\"Ready\")].status} {.metadata.name}\
                         {\"\\n\"}{end}";

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    subject.until(&mut || {
        let mut buffer = [0; 4096];
        let answer =
            kubectl::run(subject.host.process, subject.config, &["get", "nodes", "-o", CONDITION], &mut buffer)?;
        let mut nodes = answer.lines().filter_map(|line| line.strip_prefix("node ")).peekable();
        if nodes.peek().is_none() {
            return Err(Failure::new(Exit::No, format_args!("node_ready: the API server knows no node")));
        }
        match nodes.find(|node| !node.starts_with("True ")) {
            None => Ok(()),
            Some(node) => Err(Failure::new(Exit::No, format_args!("node_ready: its Ready condition is: {node}"))),
        }
    })
}
