//! Requests to Kubernetes through the box's own `kubectl`, the only program that this one runs.

use core::fmt;
use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::failure::{Exit, Failure, Reason};
use crate::linux::process::{Process, Ran};
use crate::update::state::now;
use kubesolo_core::health::certificate;
use kubesolo_core::health::node::Nodes;
use kubesolo_core::health::object::TEMPLATE;
use kubesolo_core::update::config::Config;

/// Longest an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest line that is read, in bytes: a pod of fifty containers. The rest of a longer one is passed over.
const LINE_MAX: usize = 8 * 1024;

/// The server of the kubeconfig, and the certificate that is shown to it, wherever that is kept.
const CONFIG: &str = "jsonpath=server {.clusters[0].cluster.server}{\"\\n\"}certificate {.users[0].user.client-certificate-data}{\"\\n\"}";

/// Whether the node of the boot with this `boot_id` is labelled `updates.kubesolo.io/block=true`. No kubeconfig, no label.
///
/// # Errors
/// That is not known: those of [`run`].
pub fn updates_blocked(process: Process, config: &Config<'_>, boot_id: &str) -> Result<bool, Failure> {
    if access(config.kubeconfig, Access::EXISTS) == Err(Errno::NOENT) {
        return Ok(false);
    }
    let mut nodes = Nodes::new(boot_id);
    run(process, config, &["get", "nodes", "-o", TEMPLATE], &mut |line| nodes.take(line))?;
    Ok(nodes.is_blocked())
}

/// Runs kubectl with these arguments, hands on each line that it prints, and gives the last one, cut to 200 characters. A warning may come
/// before the answer.
///
/// # Errors
/// [`Exit::No`] with kubectl's last line, or why it could not be run. What was handed on is no answer then.
pub fn run(
    process: Process,
    config: &Config<'_>,
    words: &[&str],
    take: &mut dyn FnMut(&str),
) -> Result<String, Failure> {
    let (program, kubeconfig) = (config.kubectl, config.kubeconfig);
    let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::No, format_args!("ask Kubernetes: {reason}"));
    access(kubeconfig, Access::READ_OK)
        .map_err(|errno| failed(format_args!("kubeconfig {kubeconfig}: {}", Reason(errno))))?;
    let mut last = String::new();
    match lines(process, config, words, take, &mut last) {
        Ran::Succeeded => Ok(last),
        Ran::Failed if last.is_empty() => {
            Err(failed(format_args!("{program} cannot be run; give its path with kubectl=")))
        }
        Ran::Failed => Err(explain(process, config, &last).map_or_else(
            || failed(format_args!("{program}: {last}")),
            |reason| failed(format_args!("kubeconfig {kubeconfig}: {reason}")),
        )),
        Ran::TimedOut => Err(failed(format_args!("{program} has no answer in time"))),
        Ran::NotStarted => Err(failed(format_args!("{program} cannot be run"))),
    }
}

/// Runs kubectl and hands on each line; `last` becomes the last one that is not empty, cut to 200 characters.
fn lines(process: Process, config: &Config<'_>, words: &[&str], take: &mut dyn FnMut(&str), last: &mut String) -> Ran {
    let start = [config.kubectl, "--kubeconfig", config.kubeconfig, "--request-timeout=8s"];
    let mut line = heapless::Vec::<&str, 12>::from_iter(start);
    line.extend(words.iter().copied().take(8));
    let mut lines = Lines { line: Vec::with_capacity(LINE_MAX), last };
    let ran = (process.output)(&line, DEADLINE, &mut |bytes| bytes.iter().for_each(|byte| lines.byte(*byte, take)));
    lines.end(take);
    ran
}

/// What is wrong with the kubeconfig, if that is why the API server was not reached or refused. kubectl says of one without a server
/// that localhost:8080 refused, and of a certificate that has expired nothing.
fn explain(process: Process, config: &Config<'_>, last: &str) -> Option<String> {
    if last.contains("refused") && !last.contains("localhost:8080") {
        return None;
    }
    let (mut has_server, mut validity) = (false, None);
    let words = ["config", "view", "--minify", "--raw", "--flatten", "-o", CONFIG];
    let mut take = |line: &str| match line.split_once(' ') {
        Some(("server", _)) => has_server = true,
        Some(("certificate", text)) => validity = certificate::validity(text),
        _ => {}
    };
    let ran = lines(process, config, &words, &mut take, &mut String::new());
    let now = now();
    match validity {
        _ if !has_server => {
            (last.contains("localhost:8080") && ran != Ran::TimedOut).then(|| "it is empty, or names no server".into())
        }
        Some((_, to)) if to < now => Some(format!("its client certificate expired on {to}")),
        Some((from, _)) if from > now => {
            Some(format!("its client certificate is good from {from} on, and the clock says {now}"))
        }
        _ => None,
    }
}

/// Bytes as they come → lines.
struct Lines<'a> {
    line: Vec<u8>,
    last: &'a mut String,
}

impl Lines<'_> {
    fn byte(&mut self, byte: u8, take: &mut dyn FnMut(&str)) {
        if byte == b'\n' {
            self.end(take);
        } else if self.line.len() < LINE_MAX {
            self.line.push(byte);
        }
    }

    fn end(&mut self, take: &mut dyn FnMut(&str)) {
        let whole = String::from_utf8_lossy(&self.line);
        let line = whole.trim_ascii_end();
        if !line.is_empty() {
            self.last.clear();
            self.last.extend(line.chars().take(200));
            take(line);
        }
        self.line.clear();
    }
}
