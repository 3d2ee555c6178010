//! What kubectl prints, whatever was asked: one byte for how it ends, then its output, the same for every question.
//!
//! A check passes only on an answer that says so, and whatever comes, there is a report.
#![no_main]

use std::cell::RefCell;
use std::time::Duration;

use kubesolo_boot::flags::Flags;
use kubesolo_boot::health::Report;
use kubesolo_boot::health::kubectl;
use kubesolo_boot::host::Host;
use kubesolo_boot::linux::process::{Process, Ran};
use kubesolo_core::update::config::Config;
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static ANSWER: RefCell<(u8, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// Ends and prints as it was told to, into the buffer as a process would.
fn output(_: &[&str], _: Duration, buffer: &mut [u8]) -> Ran {
    ANSWER.with_borrow(|(end, text)| {
        let Some(place) = buffer.get_mut(..text.len()) else { return Ran::OutputTooLong };
        place.copy_from_slice(text);
        match end {
            b'!' => Ran::Failed(text.len()),
            b'>' => Ran::OutputTooLong,
            b'.' => Ran::TimedOut,
            b'-' => Ran::NotStarted,
            _ => Ran::Succeeded(text.len()),
        }
    })
}

const KUBECTL: Process = Process { output, ..Process::BARE };

fuzz_target!(|input: &[u8]| {
    let Some((end, text)) = input.split_first() else { return };
    ANSWER.set((*end, text.to_vec()));
    bounded(|| {
        let config = Config { kubeconfig: "/dev/null", containerd: "/nowhere", ..Config::default() };
        let answered = str::from_utf8(text).ok().filter(|_| !b"!>.-".contains(end));

        let blocked = kubectl::updates_blocked(KUBECTL, &config);
        let label = answered.filter(|text| text.len() <= 1024).map(|text| text.split_whitespace().any(|w| w == "true"));
        // White space that is not ASCII is part of a word.
        assert!(blocked == label || text.iter().any(|byte| !byte.is_ascii() || *byte == 0xb), "{blocked:?} {label:?}");

        let flags = Flags { data: Some("/nowhere"), ..Flags::default() };
        let host = Host::new(&flags, KUBECTL);
        let report = Report::make(&host, &config, &|_| Duration::ZERO, &mut |_, _| ());
        let lines = || answered.unwrap_or_default().lines();
        for (name, failure) in &report.0 {
            let passed = failure.is_none();
            failure.as_ref().map(|failure| failure.to_string());
            match *name {
                "containerd" | "disk_writable" => assert!(!passed, "{name}"),
                "probe_url" => assert!(passed, "none is configured"),
                "api_server" => assert!(!passed || lines().any(|line| line == "ok")),
                "node_ready" => {
                    let mut nodes = lines().filter(|line| line.starts_with("node "));
                    assert!(!passed || nodes.clone().count() > 0 && nodes.all(|line| line.starts_with("node True ")));
                }
                "kube_system_ready" => {
                    let mut pods = lines().filter(|line| line.starts_with("pod "));
                    let well = |line: &str| matches!(line.split(' ').nth(2), Some("Running" | "Succeeded"));
                    assert!(!passed || pods.clone().count() > 0 && pods.all(well));
                }
                other => panic!("a check that this target does not know: {other}"),
            }
        }
    });
});
