//! Questions for Kubernetes, asked through the box's own `kubectl`: the one program that this one runs.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Where KubeSolo keeps the administrator's kubeconfig.
pub const KUBECONFIG: &str = "/var/lib/kubesolo/pki/admin/admin.kubeconfig";
/// Longest an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// The label by which an operator holds a node's updates back.
const BLOCKED: &str = "{.items[*].metadata.labels.updates\\.kubesolo\\.io/block}";

/// Whether the node is labelled `updates.kubesolo.io/block=true`. `None` if nobody can be asked: no kubeconfig, no
/// kubectl, no API server, no answer within ten seconds.
pub fn updates_blocked(kubeconfig: &str) -> Option<bool> {
    if !Path::new(kubeconfig).exists() {
        return None;
    }
    let template = std::format!("jsonpath={BLOCKED}");
    let answer = ask(kubeconfig, &["get", "nodes", "-o", &template])?;
    Some(answer.split_ascii_whitespace().any(|value| value == "true"))
}

/// Runs kubectl and gives what it prints, if it succeeds in time.
fn ask(kubeconfig: &str, words: &[&str]) -> Option<String> {
    let mut child = Command::new("kubectl")
        .args(["--kubeconfig", kubeconfig, "--request-timeout=8s"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    if !ends_well(&mut child) {
        // One that has ended meanwhile needs no killing.
        child.kill().unwrap_or_default();
        child.wait().ok()?;
        return None;
    }
    let mut answer = Vec::new();
    child.stdout.take()?.take(ANSWER_MAX).read_to_end(&mut answer).ok()?;
    String::from_utf8(answer).ok()
}

/// An answer longer than a pipe holds keeps kubectl from ending; no question here has one.
fn ends_well(child: &mut Child) -> bool {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if began.elapsed() < DEADLINE => std::thread::sleep(PAUSE),
            _ => return false,
        }
    }
}
