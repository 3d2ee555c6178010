//! What kubectl prints, whatever was asked: one byte for how it ends, then its output, the same for every question.
//!
//! A check passes only on an answer that says so, and whatever comes, there is a report. The seeds' node is of the boot `b1`.
#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;
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

/// The file with this boot's id.
static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("ksolo-fuzz-boot-id-{}", std::process::id()));
    std::fs::write(&path, "b1\n").unwrap();
    path.to_str().unwrap().to_owned()
});

/// Ends and prints as it was told to, some bytes at a time as a pipe would.
fn output(_: &[&str], _: Duration, take: &mut dyn FnMut(&[u8])) -> Ran {
    ANSWER.with_borrow(|(end, text)| {
        text.chunks(100).for_each(take);
        match end {
            b'!' => Ran::Failed,
            b'.' => Ran::TimedOut,
            b'-' => Ran::NotStarted,
            _ => Ran::Succeeded,
        }
    })
}

const KUBECTL: Process = Process { output, ..Process::BARE };

fuzz_target!(|input: &[u8]| {
    let Some((end, text)) = input.split_first() else { return };
    ANSWER.set((*end, text.to_vec()));
    let boot_id = BOOT_ID.as_str();
    bounded(|| {
        let config = Config { kubeconfig: "/dev/null", containerd: "/nowhere", ..Config::default() };
        let answered = !b"!.-".contains(end);
        let text = String::from_utf8_lossy(text);
        let lines = |start: &'static str| text.split('\n').filter(move |line| answered && line.starts_with(start));

        match kubectl::updates_blocked(KUBECTL, &config, "b1") {
            Ok(blocked) => assert!(answered && (!blocked || lines("Node\t").any(|line| line.contains("\ttrue")))),
            Err(_) => assert!(!answered),
        }

        let flags = Flags { data: Some("/nowhere"), boot_id: Some(boot_id), ..Flags::default() };
        let host = Host::new(&flags, KUBECTL);
        let report = Report::make(&host, &config, &|_| Duration::ZERO, &mut |_, _| ());
        let here = lines("Node\t").any(|line| line.contains("\tb1"));
        for (name, failure) in &report.0 {
            let passed = failure.is_none();
            failure.as_ref().map(|failure| failure.to_string());
            match *name {
                "containerd" | "disk_writable" => assert!(!passed, "{name}"),
                "probe_url" => assert!(passed, "none is configured"),
                "api_server" => assert!(!passed || lines("ok").any(|line| line.trim_ascii_end() == "ok")),
                "node_ready" => assert!(!passed || here && lines("Node\t").any(|line| line.contains("\tTrue"))),
                "kube_system_ready" => assert!(!passed || here && lines("Pod\t").next().is_some()),
                other => panic!("a check that this target does not know: {other}"),
            }
        }
    });
});
