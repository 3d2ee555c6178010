//! The rows: what the API server holds, and what `healthcheck` says and does to a trial.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Good, Trial};
use serde_json::{Value, json};

use crate::cluster::{AGO, Cluster};
use crate::scene::machine::{Machine, state};
use crate::scene::{self, Ran, skipped};

const BOOT: &str = "6f1b4b1e-7e3a-4f3e-9d0c-0d9c8a7b6c5d";
/// Longer ago than any machine that tests run on was started.
const BEFORE: i64 = 40_000_000;

/// A box with a trial, whose Kubernetes has that API server.
struct Node {
    machine: Machine,
    cluster: Cluster,
}

impl Node {
    fn start() -> Option<Node> {
        // Ages of some minutes have to be of this boot.
        if rustix::system::sysinfo().uptime < 900 {
            skipped("this machine was started less than 15 minutes ago");
            return None;
        }
        let cluster = Cluster::start()?;
        let listener = UnixListener::bind(cluster.folder.text("containerd.sock")).unwrap();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                connection.read_exact(&mut [0; 33]).unwrap_or_default();
                connection.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0").unwrap_or_default();
            }
        });
        let machine = Machine::with_state(state(B, 2, false, Good, Trial)).booted(B);
        machine.folder.write("boot_id", format!("{BOOT}\n"));
        Some(Node { machine, cluster })
    }

    /// Runs the verb on a new trial, with one look for each check.
    fn check(&self, flags: &str) -> Ran {
        self.machine.set(state(B, 2, false, Good, Trial));
        let own = format!(
            "healthcheck --json --healthcheck-timeout 0 --kube-system-settle 30 --kubeconfig {} --kubectl {} --containerd {}",
            self.cluster.folder.text("kubeconfig"),
            self.cluster.kubectl(),
            self.cluster.folder.text("containerd.sock")
        );
        Command::new(scene::binary())
            .args(own.split(' ').chain(flags.split_whitespace()))
            .args(self.machine.flags())
            .env("HOME", self.cluster.folder.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into()
    }

    /// Asserts that this check says so, or that the trial is committed if it is to say nothing.
    fn says(&self, case: &str, check: &str, want: &str, flags: &str) {
        let ran = self.check(flags);
        let report: Value = serde_json::from_str(ran.out()).unwrap_or_else(|error| panic!("{case}: {error}: {ran:?}"));
        let committed = self.machine.state() == state(B, 3, true, Good, Good);
        assert_eq!((committed, ran.exit == 0), (want.is_empty(), want.is_empty()), "{case}: {report}");
        let said = report["reasons"][check].as_str().unwrap_or_default();
        assert!(said.contains(want), "{case}: {want:?} is not in {report}");
    }
}

impl Node {
    /// Asserts what one check says, whatever the others do.
    fn says_of(&self, case: &str, check: &str, want: &str) {
        let report: Value = serde_json::from_str(self.check("").out()).unwrap();
        let said = report["reasons"][check].as_str().unwrap_or_default();
        assert!(said.contains(want) && said.is_empty() == want.is_empty(), "{case}: {want:?} is not in {report}");
    }

    /// Asserts the error of `apply`, from a server that is not there.
    fn apply_says(&self, case: &str, want: &str, flags: &str) {
        self.machine.set(state(A, 3, true, Good, Good));
        let kubeconfig = self.cluster.folder.text("kubeconfig");
        let words = format!("apply /nowhere --kubeconfig {kubeconfig} --kubectl {} {flags}", self.cluster.kubectl());
        let ran = self.machine.run_words(&words.split_whitespace().collect::<Vec<_>>());
        assert!(ran.exit != 0 && ran.stderr.contains(want), "{case}: {want:?} is not in {ran:?}");
    }
}

/// So many seconds before the row begins.
fn ago(seconds: i64) -> String {
    format!("{AGO}{seconds}")
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(60) })
}

fn node_of(name: &str, boot: &str, ready: &str) -> Value {
    let info = json!({ "bootID": boot, "machineID": "m", "systemUUID": "s", "kernelVersion": "6.1", "osImage": "KubeSolo OS",
                       "containerRuntimeVersion": "containerd://1.7", "kubeletVersion": "v1.34.4", "kubeProxyVersion": "",
                       "operatingSystem": "linux", "architecture": "amd64" });
    let conditions = json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", ""),
        condition(
            "Ready",
            ready,
            "KubeletNotReady",
            "container runtime network not ready:\ncni plugin not initialized"
        ),
    ]);
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
            "status": { "nodeInfo": info, "conditions": conditions } })
}

fn node() -> Value {
    node_of("box", BOOT, "True")
}

/// How a container is: `running: age`, or why it is not.
fn container(name: &str, state: &Value, restarts: u32, last: &Value) -> Value {
    json!({ "name": name, "image": "i", "imageID": "i", "restartCount": restarts, "ready": !state["running"].is_null(), "state": state,
            "lastState": last })
}

fn running(age: i64) -> Value {
    json!({ "running": { "startedAt": ago(age) } })
}

fn waiting(reason: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": "it says \"so\"" } })
}

fn ended(reason: &str, code: u8, began: i64, end: i64) -> Value {
    json!({ "terminated": { "reason": reason, "exitCode": code, "startedAt": ago(began), "finishedAt": ago(end) } })
}

/// A pod of this node: phase, Ready, containers.
fn pod(name: &str, phase: &str, ready: &str, containers: &[Value]) -> Value {
    let names: Vec<Value> = containers.iter().map(|one| json!({ "name": one["name"], "image": "i" })).collect();
    let names = if names.is_empty() { json!([{ "name": "c", "image": "i" }]) } else { json!(names) };
    let reason = if phase == "Failed" { "PodFailed" } else { "ContainersNotReady" };
    let ready = condition("Ready", ready, reason, "containers with unready status: [c]");
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "kube-system" },
            "spec": { "nodeName": "box", "containers": names },
            "status": { "phase": phase, "conditions": [ready], "containerStatuses": containers } })
}

/// One that is well.
fn dns() -> Value {
    pod("coredns", "Running", "True", &[container("c", &running(100), 0, &json!({}))])
}

fn one(name: &str, phase: &str, ready: &str, state: &Value) -> Value {
    pod(name, phase, ready, &[container("c", state, 0, &json!({}))])
}

fn failed(name: &str, reason: &str) -> Value {
    with(pod(name, "Failed", "False", &[]), "status", "reason", json!(reason))
}

fn with(mut object: Value, part: &str, name: &str, value: Value) -> Value {
    object[part][name] = value;
    object
}

fn owned(mut object: Value, by: &str) -> Value {
    object["owner"] = json!(by);
    object
}

fn deleted(mut object: Value) -> Value {
    object["deleted"] = json!(true);
    object
}

/// A set of pods that wants so many.
fn set(kind: &str, replicas: Option<u32>) -> Value {
    let template =
        json!({ "metadata": { "labels": { "k": "v" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let mut set = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "set", "namespace": "kube-system" },
                          "spec": { "selector": { "matchLabels": { "k": "v" } }, "template": template },
                          "status": {} });
    if let Some(replicas) = replicas {
        set["spec"]["replicas"] = json!(replicas);
        set["status"]["replicas"] = json!(replicas);
    }
    if kind == "DaemonSet" {
        set["status"] = json!({ "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1 });
    }
    set
}

/// A Job that is at work, `Complete` or `Failed`.
fn job(name: &str, came_to: &str) -> Value {
    let template = json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } });
    let conditions = match came_to {
        "Complete" => json!([
            condition("SuccessCriteriaMet", "True", "CompletionsReached", ""),
            condition("Complete", "True", "CompletionsReached", "")
        ]),
        "Failed" => json!([
            condition("FailureTarget", "True", "BackoffLimitExceeded", ""),
            condition("Failed", "True", "BackoffLimitExceeded", "")
        ]),
        _ => json!([]),
    };
    let mut job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "kube-system" },
                          "spec": { "template": template },
                          "status": { "startTime": ago(120), "conditions": conditions, "uncountedTerminatedPods": {} } });
    if came_to == "Complete" {
        job["status"]["completionTime"] = json!(ago(60));
        job["status"]["succeeded"] = json!(1);
    }
    job
}

/// Asserts each row: what is held, and what `kube_system_ready` says; the trial is committed if it says nothing.
fn rows(node_: &Node, check: &str, rows: &[(&str, Vec<Value>, &str)]) {
    for (case, objects, want) in rows {
        node_.cluster.holds(objects);
        node_.says(case, check, want, "");
    }
}

#[test]
fn only_this_boots_node_counts() {
    let Some(box_) = Node::start() else { return };
    let rows_ = [
        ("no kubelet ever", vec![dns()], "the API server knows no node"),
        (
            "kubelet did not come up",
            vec![node_of("box", "of-the-boot-before", "True"), dns()],
            "kubelet has not registered in this boot",
        ),
        (
            "not ready",
            vec![node_of("box", BOOT, "False"), dns()],
            "node box: its Ready condition is False: KubeletNotReady: container runtime",
        ),
        ("unknown", vec![node_of("box", BOOT, "Unknown"), dns()], "Unknown"),
        ("beside an old hostname's", vec![node_of("an-old-box", "long-ago", "Unknown"), node(), dns()], ""),
        ("before an old hostname's", vec![node(), node_of("old-box", "long-ago", "False"), dns()], ""),
    ];
    rows(&box_, "node_ready", &rows_);
}

#[test]
fn pods_are_well_by_their_own_condition_and_settle() {
    let Some(box_) = Node::start() else { return };
    let none = json!({});
    let sidecar = |state: &Value, ready: &str| {
        let mut pod = one("coredns", "Running", ready, &running(100));
        pod["spec"]["initContainers"] = json!([{ "name": "side", "image": "i", "restartPolicy": "Always" }]);
        pod["status"]["initContainerStatuses"] = json!([container("side", state, 3, &none)]);
        pod
    };
    let again = |age: i64, last: Value| pod("coredns", "Running", "True", &[container("c", &running(age), 9, &last)]);
    let gate = {
        let mut pod = with(
            one("coredns", "Running", "False", &running(100)),
            "spec",
            "readinessGates",
            json!([{ "conditionType": "x/y" }]),
        );
        pod["status"]["conditions"] = json!([condition(
            "Ready",
            "False",
            "ReadinessGatesNotReady",
            "the status of pod readiness gate \"x/y\" is not \"True\""
        )]);
        pod
    };
    let unscheduled = with(
        with(pod("x", "Pending", "False", &[]), "spec", "nodeName", Value::Null),
        "status",
        "conditions",
        json!([condition("PodScheduled", "False", "Unschedulable", "0/1 nodes")]),
    );
    let rows_ = [
        ("well", vec![node(), dns()], ""),
        ("no pods", vec![node()], "no pods"),
        ("settled by age alone", vec![node(), one("coredns", "Running", "True", &running(3))], "has been running for"),
        ("settled", vec![node(), one("coredns", "Running", "True", &running(31))], ""),
        (
            "of the boot before, not seen since",
            vec![node(), one("coredns", "Running", "True", &running(BEFORE))],
            "running for 0 s only",
        ),
        (
            "a crashing native sidecar",
            vec![node(), sidecar(&waiting("CrashLoopBackOff"), "False")],
            "pod coredns: container side: CrashLoopBackOff",
        ),
        (
            "a native sidecar that was started again",
            vec![node(), sidecar(&running(4), "True")],
            "container side has been running for",
        ),
        (
            "a readiness gate",
            vec![node(), gate],
            "pod coredns is Running, but not ready: ReadinessGatesNotReady: the status of pod readiness gate \"x/y\"",
        ),
        ("set unready by a controller", vec![node(), one("coredns", "Running", "False", &running(100))], "not ready"),
        ("nine restarts, the last 40 s ago", vec![node(), again(40, ended("Error", 1, 400, 350))], "restarts: 9"),
        ("nine reboots, the last 40 s ago", vec![node(), again(40, ended("Unknown", 255, BEFORE, 45))], ""),
        (
            "no image",
            vec![node(), dns(), one("web", "Pending", "False", &waiting("ImagePullBackOff"))],
            "pod web: container c: ImagePullBackOff",
        ),
        ("bound to no node", vec![node(), dns(), unscheduled], "pod x is Pending: Unschedulable"),
        (
            "of an old hostname's node",
            vec![node(), dns(), with(one("y", "Running", "False", &running(9)), "spec", "nodeName", json!("old-box"))],
            "",
        ),
        ("completed", vec![node(), dns(), one("once", "Succeeded", "False", &ended("Completed", 0, 50, 40))], ""),
        ("failed, of nobody", vec![node(), dns(), failed("once", "Evicted")], "pod once is Failed: Evicted"),
    ];
    rows(&box_, "kube_system_ready", &rows_);
}

#[test]
fn leftovers_are_judged_by_their_owners() {
    let Some(box_) = Node::start() else { return };
    let mut rows_ = Vec::new();
    for (kind, replicas) in [("ReplicaSet", Some(1)), ("StatefulSet", Some(1)), ("DaemonSet", None)] {
        let by = format!("{kind}/set");
        for reason in ["Evicted", "NodeShutdown", "UnexpectedAdmissionError", "OutOfcpu"] {
            let replaced = vec![node(), set(kind, replicas), owned(dns(), &by), owned(failed("a-old", reason), &by)];
            rows_.push((format!("{kind}, replaced, {reason}"), replaced, ""));
            if reason != "Evicted" {
                continue;
            }
            let alone = vec![node(), set(kind, replicas), dns(), owned(failed("old", reason), &by)];
            rows_.push((
                format!("{kind}, not replaced"),
                alone,
                if kind == "DaemonSet" { "pod old is Failed: Evicted" } else { "set wants 1 pods" },
            ));
            let crashes = owned(one("z-new", "Running", "False", &waiting("CrashLoopBackOff")), &by);
            let crashes = vec![node(), set(kind, replicas), crashes, owned(failed("old", reason), &by)];
            rows_.push((
                format!("{kind}, the replacement crashes"),
                crashes,
                "pod z-new: container c: CrashLoopBackOff",
            ));
        }
    }
    rows_.push((
        "of an old rollout".into(),
        vec![node(), set("ReplicaSet", Some(0)), dns(), owned(failed("old", "Evicted"), "ReplicaSet/set")],
        "",
    ));
    rows_.push(("being deleted".into(), vec![node(), dns(), deleted(one("x", "Running", "False", &running(4)))], ""));
    rows_.push(("failed, being deleted".into(), vec![node(), dns(), deleted(failed("x", "Evicted"))], ""));
    let rows_: Vec<_> = rows_.iter().map(|(case, objects, want)| (case.as_str(), objects.clone(), *want)).collect();
    rows(&box_, "kube_system_ready", &rows_);
}

#[test]
fn jobs_are_judged_by_their_own_condition() {
    let Some(box_) = Node::start() else { return };
    let none = json!({});
    let failed_try = || owned(one("a-try", "Failed", "False", &ended("Error", 1, 100, 90)), "Job/job");
    let good_try = || owned(one("b-try", "Succeeded", "False", &ended("Completed", 0, 80, 70)), "Job/job");
    let young = || owned(one("b-try", "Running", "True", &running(2)), "Job/job");
    let helper = owned(
        pod(
            "b-try",
            "Running",
            "False",
            &[container("c", &running(50), 0, &none), container("helper", &ended("Completed", 0, 50, 40), 0, &none)],
        ),
        "Job/job",
    );
    let rows_ = [
        (
            "a failed try before a completed one",
            vec![node(), dns(), job("job", "Complete"), failed_try(), good_try()],
            "",
        ),
        ("a failed try, the next at work", vec![node(), dns(), job("job", ""), failed_try(), young()], ""),
        ("young", vec![node(), dns(), job("job", ""), young()], ""),
        ("a helper has finished", vec![node(), dns(), job("job", ""), helper], ""),
        ("failed", vec![node(), dns(), job("job", "Failed"), failed_try()], "Job job has failed: BackoffLimitExceeded"),
    ];
    rows(&box_, "kube_system_ready", &rows_);
}

#[test]
fn pods_whose_age_says_nothing_are_watched_for_the_whole_time() {
    let Some(box_) = Node::start() else { return };
    // After a reboot, before kubelet has looked at its pods; or the clock was set.
    for age in [BEFORE, -86_400] {
        box_.cluster.holds(&[node(), one("coredns", "Running", "True", &running(age))]);
        let began = Instant::now();
        box_.says("watched", "kube_system_ready", "", "--kube-system-settle 4 --healthcheck-timeout 10");
        assert!(began.elapsed() >= Duration::from_secs(4), "it takes the whole time");
    }
    // A container that dies again and again, each time before it has settled.
    box_.cluster.holds(&[node(), one("coredns", "Running", "True", &running(0))]);
    let over = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            for restarts in 1.. {
                thread::sleep(Duration::from_secs(4));
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let last = ended("Error", 1, 5, 1);
                let state = container("c", &running(0), restarts, &last);
                box_.cluster.becomes(pod("coredns", "Running", "True", &[state]));
            }
        });
        let ran = box_.check("--kube-system-settle 8 --healthcheck-timeout 8");
        over.store(true, Ordering::Relaxed);
        ran
    });
    assert!(ran.exit == 1 && ran.out().contains("s only, of"), "{ran:?}");
    assert_eq!(box_.machine.state(), state(B, 2, false, Good, Trial));
}

#[test]
fn any_number_of_pods_is_judged() {
    let Some(box_) = Node::start() else { return };
    let name = |number: u32| format!("pod-{number}-{}", "x".repeat(150));
    let mut objects: Vec<Value> = (0..450).map(|number| one(&name(number), "Running", "True", &running(100))).collect();
    objects.push(node());
    box_.cluster.holds(&objects);
    assert!(box_.cluster.run("get pods -o name", "").len() > 64 * 1024);
    box_.says("all are well", "kube_system_ready", "", "");
    box_.cluster.becomes(one(&name(449), "Running", "False", &waiting("CrashLoopBackOff")));
    box_.says("one is not", "kube_system_ready", "container c: CrashLoopBackOff", "");
}

#[test]
fn what_is_wrong_with_the_kubeconfig_is_named() {
    let Some(box_) = Node::start() else { return };
    box_.cluster.holds(&[node(), dns()]);
    let rows_ = [
        ("a certificate", box_.cluster.with_certificate(30), ""),
        ("one that has expired", box_.cluster.with_certificate(-1), "its client certificate expired on 20"),
        ("an empty file", String::new(), "it is empty, or names no server"),
        ("no server", "{apiVersion: v1, kind: Config}".into(), "it is empty, or names no server"),
        ("no YAML", "{".into(), "error loading config file"),
        ("a wrong token", box_.cluster.kubeconfig(&json!({ "token": "wrong" })), "logged in to the server"),
    ];
    let good = box_.cluster.folder.read("kubeconfig").unwrap();
    for (case, kubeconfig, want) in rows_ {
        box_.cluster.folder.write("kubeconfig", kubeconfig);
        for check in ["api_server", "node_ready", "kube_system_ready"] {
            box_.says_of(case, check, want);
        }
        box_.cluster.folder.write("kubeconfig", &good);
    }
}

#[test]
fn updates_are_held_back_by_this_nodes_label_or_by_no_answer() {
    let Some(box_) = Node::start() else { return };
    box_.machine.cmdline("ksolo.slot=A ksolo.via=auto");
    let label = |mut node: Value, value: &str| {
        node["metadata"]["labels"] = json!({ "updates.kubesolo.io/block": value });
        node
    };
    let old = || node_of("old-box", "long-ago", "True");
    let held = "the node is labelled updates.kubesolo.io/block=true";
    let unknown = "cannot ask whether updates are held back";
    let goes_on = "latest.json";
    for (case, objects, want) in [
        ("no label", vec![node()], goes_on),
        ("held", vec![label(node(), "true")], held),
        ("let go", vec![label(node(), "false")], goes_on),
        ("an old hostname's", vec![node(), label(old(), "true")], goes_on),
        ("kubelet is not up yet", vec![label(old(), "true")], held),
    ] {
        box_.cluster.holds(&objects);
        box_.apply_says(case, want, "");
    }
    box_.cluster.hangs(true);
    box_.apply_says("hangs", unknown, "");
    box_.apply_says("hangs, by force", goes_on, "--force");
    box_.cluster.hangs(false);
    fs::remove_file(box_.cluster.folder.path("kubeconfig")).unwrap();
    box_.apply_says("no kubeconfig", goes_on, "");
}
