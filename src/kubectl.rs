//! Questions for Kubernetes, asked through the box's own `kubectl`: the one program that this one runs.

use core::time::Duration;

use rustix::fs::{Access, access};

use crate::config::Config;
use crate::host::Process;

/// Longest an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The label by which an operator holds a node's updates back.
const BLOCKED: &str = "jsonpath={.items[*].metadata.labels.updates\\.kubesolo\\.io/block}";

/// Whether the node is labelled `updates.kubesolo.io/block=true`. `None` if nobody can be asked: no kubeconfig, no
/// kubectl, no API server, no answer within ten seconds.
pub fn updates_blocked(process: Process, config: &Config<'_>) -> Option<bool> {
    access(config.kubeconfig, Access::READ_OK).ok()?;
    let mut answer = [0; 1024];
    let words =
        [config.kubectl, "--kubeconfig", config.kubeconfig, "--request-timeout=8s", "get", "nodes", "-o", BLOCKED];
    let len = (process.output)(&words, DEADLINE, &mut answer)?;
    Some(answer.get(..len)?.split(u8::is_ascii_whitespace).any(|value| value == b"true"))
}
