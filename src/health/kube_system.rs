//! Succeeds if every pod of kube-system has settled: its containers have been running for `kube_system_settle` seconds since their
//! last start. A completed pod of a Job counts as settled.

use core::fmt;
use std::time::{Duration, Instant};

use super::Subject;
use crate::failure::{Exit, Failure};
use crate::health::kubectl;
use crate::update::state::now;
use kubesolo_core::text::timestamp::Moment;

/// One line for each pod: name, phase, and for each container whether it is ready and when it was started.
const PODS: &str = "jsonpath={range .items[*]}pod {.metadata.name} {.status.phase}{range .status.containerStatuses[*]} \
                    {.ready}={.state.running.startedAt}{end}{\"\\n\"}{end}";
/// Longest answer, in bytes: some three hundred pods.
const ANSWER_MAX: usize = 64 * 1024;

pub fn check(subject: &Subject<'_>) -> Result<(), Failure> {
    let settle = Duration::from_secs(subject.config.kube_system_settle.into());
    // The time to settle is added to the time that the check may wait.
    let deadline = subject.deadline.checked_add(if subject.left().is_zero() { Duration::ZERO } else { settle });
    let subject = Subject { deadline: deadline.unwrap_or(subject.deadline), ..*subject };
    let mut buffer = std::vec![0; ANSWER_MAX];
    let mut seen = std::string::String::new();
    let mut since = Instant::now();
    subject.until(&mut || {
        let words = ["get", "pods", "-n", "kube-system", "-o", PODS];
        let answer = kubectl::run(subject.host.process, subject.config, &words, &mut buffer)?;
        if answer != seen {
            seen = answer.into();
            since = Instant::now();
        }
        // If the clock was set back, start times are in the future. So the time since the last change seen here counts as well.
        settled(answer, now(), settle.saturating_sub(since.elapsed()))
    })
}

/// Succeeds if every pod of the answer has been running for `settle` at the moment `now`.
fn settled(answer: &str, now: Moment, settle: Duration) -> Result<(), Failure> {
    let mut pods: u32 = 0;
    for pod in answer.lines().filter_map(|line| line.strip_prefix("pod ")) {
        let mut words = pod.split(' ');
        let (name, phase) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let failed = |reason: fmt::Arguments<'_>| {
            Err(Failure::new(Exit::No, format_args!("kube_system_ready: pod {name} {reason}")))
        };
        pods = pods.saturating_add(1);
        if phase == "Succeeded" {
            continue;
        }
        if phase != "Running" {
            return failed(format_args!("is {phase}"));
        }
        for container in words {
            let Some(started) = container.strip_prefix("true=").and_then(Moment::parse) else {
                return failed(format_args!("has a container that is not ready"));
            };
            let age = now.0.checked_sub(started.0).map_or(Duration::ZERO, Duration::from_secs);
            if age < settle {
                return failed(format_args!(
                    "has been running for {} s only, less than kube_system_settle",
                    age.as_secs()
                ));
            }
        }
    }
    if pods == 0 {
        return Err(Failure::new(Exit::No, format_args!("kube_system_ready: there are no pods in kube-system")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn pods_settle_by_their_own_start_times() {
        let now = Moment::parse("2026-11-23T15:30:00Z").unwrap();
        let rows = [
            ("pod dns Running true=2026-11-23T15:29:30Z\n", ""),
            ("Warning: old kubectl\npod dns Running true=2026-11-23T15:29:30Z true=2026-11-23T10:00:00Z\n", ""),
            ("pod dns Running true=2026-11-23T15:29:30Z\npod job-1 Succeeded false=\n", ""),
            ("pod dns Running true=2026-11-23T15:29:31Z\n", "pod dns has been running for 29 s only"),
            ("pod dns Running true=2026-11-23T15:31:00Z\n", "for 0 s only"),
            ("pod dns Running true=2026-11-23T15:29:30Z false=\n", "not ready"),
            ("pod dns Running false=2026-11-23T15:00:30Z\n", "not ready"),
            ("pod dns Pending\n", "pod dns is Pending"),
            ("pod job-1 Failed false=\n", "is Failed"),
            ("", "no pods"),
            ("<html>", "no pods"),
        ];
        for (answer, want) in rows {
            let got = settled(answer, now, Duration::from_secs(30))
                .map_or_else(|failure| failure.to_string(), |()| "".into());
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{answer}: {got}");
        }
        // Seen for long enough, whatever the clock says.
        assert!(settled("pod dns Running true=2026-11-23T15:31:00Z\n", now, Duration::ZERO).is_ok());
    }
}
