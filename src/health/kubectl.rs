//! Requests to Kubernetes through the box's own `kubectl`, the only program that this one runs.

use core::fmt;
use core::time::Duration;

use rustix::fs::{Access, access};

use crate::failure::{Exit, Failure, Reason};
use crate::linux::process::{Process, Ran};
use kubesolo_core::update::config::Config;

/// Longest an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The label with which an operator blocks a node's updates.
const BLOCKED: &str = "jsonpath={.items[*].metadata.labels.updates\\.kubesolo\\.io/block}";

/// Whether the node is labelled `updates.kubesolo.io/block=true`. `None` if that is not known: no kubeconfig, no kubectl, no API
/// server, no answer within ten seconds.
pub fn updates_blocked(process: Process, config: &Config<'_>) -> Option<bool> {
    let mut buffer = [0; 1024];
    let answer = run(process, config, &["get", "nodes", "-o", BLOCKED], &mut buffer).ok()?;
    Some(answer.split_ascii_whitespace().any(|value| value == "true"))
}

/// Runs kubectl with these arguments and gives what it prints. A warning may come before the answer.
///
/// # Errors
/// [`Exit::No`] with kubectl's last line, or why it could not be run.
pub fn run<'b>(
    process: Process,
    config: &Config<'_>,
    words: &[&str],
    buffer: &'b mut [u8],
) -> Result<&'b str, Failure> {
    let (program, kubeconfig) = (config.kubectl, config.kubeconfig);
    let failed = |reason: fmt::Arguments<'_>| Failure::new(Exit::No, format_args!("ask Kubernetes: {reason}"));
    access(kubeconfig, Access::READ_OK)
        .map_err(|errno| failed(format_args!("kubeconfig {kubeconfig}: {}", Reason(errno))))?;
    let mut line = heapless::Vec::<&str, 12>::from_iter([program, "--kubeconfig", kubeconfig, "--request-timeout=8s"]);
    line.extend(words.iter().copied().take(8));
    let ran = (process.output)(&line, DEADLINE, buffer);
    let (Ran::Succeeded(len) | Ran::Failed(len)) = ran else {
        let why = match ran {
            Ran::OutputTooLong => "prints too much",
            Ran::TimedOut => "has no answer in time",
            _ => "cannot be run",
        };
        return Err(failed(format_args!("{program} {why}")));
    };
    let text = buffer.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok());
    match text {
        Some(text) if ran == Ran::Succeeded(len) => Ok(text),
        Some("") => Err(failed(format_args!("{program} cannot be run; give its path with kubectl="))),
        Some(text) => Err(failed(format_args!("{program}: {}", last_line(text)))),
        None => Err(failed(format_args!("{program} prints no text"))),
    }
}

/// The last line, which has the error, cut to 200 bytes.
pub fn last_line(text: &str) -> &str {
    let text = text.trim_ascii_end();
    let line = text.rsplit_once('\n').map_or(text, |(_, line)| line);
    line.get(..200).unwrap_or(line)
}
