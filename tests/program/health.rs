//! `healthcheck`: real kubectl against an API server of recorded objects, real containerd, and what becomes of a trial.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::scene::machine::{Machine, block_with, state};
use crate::scene::{self, Folder, Ran, skipped, tool};
use kubesolo_boot::update::state::now;
use kubesolo_core::boot::slot::Slot::{A, B};
use kubesolo_core::boot::slot::SlotState::{Bad, Good, Staged, Trial};
use serde_json::{Value, json};

/// The `boot_id` of the box.
const BOOT: &str = "6f1b4b1e-7e3a-4f3e-9d0c-0d9c8a7b6c5d";

/// What the API server says, by path; `hang` says nothing.
type Answers = HashMap<&'static str, (u16, String)>;

/// A stand-in for the API server: the real one is in `tests/kubernetes/`. The objects are those of a real one, cut to what counts.
struct ApiServer {
    answers: Arc<Mutex<Answers>>,
    port: u16,
}

impl ApiServer {
    fn new() -> ApiServer {
        let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"] });
        let resources = |version: &str, all: &[Value]| {
            (200, json!({ "kind": "APIResourceList", "groupVersion": version, "resources": all }).to_string())
        };
        let group = |name: &str| {
            let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
            json!({ "name": name, "versions": [version], "preferredVersion": version })
        };
        let groups = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group("apps"), group("batch")] });
        let answers: Answers = HashMap::from([
            ("/readyz", (200, "ok".into())),
            ("/version", (200, json!({ "major": "1", "minor": "32", "gitVersion": "v1.32.4" }).to_string())),
            ("/api", (200, json!({ "kind": "APIVersions", "versions": ["v1"] }).to_string())),
            ("/apis", (200, groups.to_string())),
            ("/api/v1", resources("v1", &[resource("nodes", "Node", false), resource("pods", "Pod", true)])),
            (
                "/apis/apps/v1",
                resources(
                    "apps/v1",
                    &[resource("replicasets", "ReplicaSet", true), resource("statefulsets", "StatefulSet", true)],
                ),
            ),
            ("/apis/batch/v1", resources("batch/v1", &[resource("jobs", "Job", true)])),
            ("/apis/apps/v1/namespaces/kube-system/replicasets", (200, list("ReplicaSetList", &[]))),
            ("/apis/apps/v1/namespaces/kube-system/statefulsets", (200, list("StatefulSetList", &[]))),
            ("/apis/batch/v1/namespaces/kube-system/jobs", (200, list("JobList", &[]))),
        ]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = ApiServer { answers: Arc::new(Mutex::new(answers)), port: listener.local_addr().unwrap().port() };
        server.node("True");
        server.pods(&[("coredns", "Running", true, 100)]);
        let answers = Arc::clone(&server.answers);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let answers = Arc::clone(&answers);
                thread::spawn(move || serve(&mut BufReader::new(connection.unwrap()), &answers));
            }
        });
        server
    }

    fn says(&self, path: &'static str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path, (status, body.to_owned()));
    }

    fn node(&self, ready: &str) {
        let conditions = json!([{ "type": "MemoryPressure", "status": "False" }, { "type": "Ready", "status": ready }]);
        let node = json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "name": "box" },
                           "status": { "conditions": conditions, "nodeInfo": { "bootID": BOOT } } });
        self.says("/api/v1/nodes", 200, &list("NodeList", &[node]));
    }

    /// Pods of kube-system: name, phase, whether the container is ready, seconds since it started.
    fn pods(&self, pods: &[(&str, &str, bool, i64)]) {
        let pods: Vec<Value> = pods
            .iter()
            .map(|(name, phase, ready, age)| {
                let mut started = now();
                started.0 = started.0.checked_add_signed(-age).unwrap();
                let running = json!({ "running": { "startedAt": started.to_string() } });
                let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
                let conditions = json!([{ "type": "Ready", "status": if *ready { "True" } else { "False" } }]);
                json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": name, "namespace": "kube-system" },
                        "spec": { "nodeName": "box" },
                        "status": { "phase": phase, "conditions": conditions, "containerStatuses": [
                            { "name": "c", "ready": ready, "restartCount": 1,
                              "state": if *ready { running } else { waiting } } ] } })
            })
            .collect();
        self.says("/api/v1/namespaces/kube-system/pods", 200, &list("PodList", &pods));
    }
}

fn list(kind: &str, items: &[Value]) -> String {
    json!({ "kind": kind, "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }).to_string()
}

/// Answers every request on a connection.
fn serve(connection: &mut BufReader<std::net::TcpStream>, answers: &Mutex<Answers>) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if connection.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let absent = || (404, json!({ "kind": "Status", "status": "Failure", "code": 404 }).to_string());
        let (status, body) = answers.lock().unwrap().get(path).cloned().unwrap_or_else(absent);
        if body == "hang" {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if connection.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// containerd's socket: the real one's where it can run, else a stand-in's that says what containerd says first.
struct Containerd(Option<Child>);

impl Containerd {
    fn start(folder: &Folder) -> Containerd {
        let socket = folder.text("containerd.sock");
        let real = rustix::process::geteuid().is_root().then(|| tool("containerd")).flatten();
        let Some(program) = real else {
            skipped("real containerd: it wants root and Debian's package; a stand-in takes its place");
            let listener = UnixListener::bind(&socket).unwrap();
            thread::spawn(move || {
                for connection in listener.incoming() {
                    connection.unwrap().write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0").unwrap_or_default();
                }
            });
            return Containerd(None);
        };
        let (root, run) = (folder.text("root"), folder.text("run"));
        folder.write(
            "config.toml",
            format!(
                "version = 2\nroot = '{root}'\nstate = '{run}'\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n\
                 [grpc]\naddress = '{socket}'\n[ttrpc]\naddress = '{socket}.ttrpc'\n"
            ),
        );
        let log = fs::File::create(folder.path("log")).unwrap();
        let child = Command::new(program)
            .args(["--config", &folder.text("config.toml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let log = || String::from_utf8(folder.read("log").unwrap()).unwrap();
            assert!(began.elapsed() < Duration::from_secs(20), "containerd does not start: {}", log());
            thread::sleep(Duration::from_millis(50));
        }
        Containerd(Some(child))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// A box of files with a trial in slot B that was activated, and its Kubernetes.
struct Node {
    machine: Machine,
    folder: Folder,
    api: ApiServer,
    _containerd: Containerd,
}

impl Node {
    fn new() -> Option<Node> {
        tool("kubectl")?;
        let machine = Machine::with_state(state(B, 2, false, Good, Trial)).booted(B);
        machine.folder.write("boot_id", format!("{BOOT}\n"));
        let folder = Folder::on_disk();
        let api = ApiServer::new();
        let containerd = Containerd::start(&folder);
        folder.write(
            "kubeconfig",
            format!(
                "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
                 clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{}'}}}}], users: [{{name: u, user: {{}}}}]}}",
                api.port
            ),
        );
        let node = Node { machine, folder, api, _containerd: containerd };
        node.phase("activated", "");
        Some(node)
    }

    fn phase(&self, phase: &str, more: &str) {
        let text = format!("{{\"phase\":\"{phase}\",\"to_version\":\"1.1.0\",\"to_image\":\"00aa\"{more}}}");
        self.machine.folder.write("data/update/state.json", text);
    }

    fn journal(&self) -> Value {
        serde_json::from_slice(&self.machine.folder.read("data/update/state.json").unwrap()).unwrap()
    }

    /// Runs the verb with one look for each check, and these flags besides.
    fn check(&self, flags: &str) -> Ran {
        let own = format!(
            "healthcheck --healthcheck-timeout 0 --kube-system-settle 30 --kubeconfig {} --containerd {}",
            self.folder.text("kubeconfig"),
            self.folder.text("containerd.sock")
        );
        Command::new(scene::binary())
            .args(own.split(' ').chain(flags.split_whitespace()))
            .args(self.machine.flags())
            .env("HOME", self.folder.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into()
    }

    /// The JSON of a check-up that finds the box sick.
    fn sick(&self, flags: &str) -> Value {
        let ran = self.check(&format!("--json {flags}"));
        assert_eq!(ran.exit, 1, "{}{}", ran.out(), ran.stderr);
        serde_json::from_str(ran.out()).unwrap_or_else(|error| panic!("{error}: {}", ran.out()))
    }
}

#[test]
fn a_healthy_trial_is_committed_and_its_failures_are_forgotten() {
    let Some(node) = Node::new() else { return };
    node.phase("verifying", ",\"health_check_failures\":2,\"known_bad\":\"11 00aa\"");
    let ran = node.check("--json");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let want = json!({ "healthy": true, "outcome": "committed", "containerd": true, "api_server": true, "node_ready": true,
                       "kube_system_ready": true, "probe_url": true, "disk_writable": true, "reasons": {} });
    assert_eq!(serde_json::from_str::<Value>(ran.out()).unwrap(), want);
    assert_eq!(node.machine.state(), state(B, 3, true, Good, Good));
    let journal = node.journal();
    assert_eq!((&journal["phase"], &journal["health_check_failures"]), (&json!("success"), &json!(0)));
    assert_eq!(journal["known_bad"], "11");

    let before = (node.machine.copies(), node.journal());
    let told = node.check("").out().to_owned();
    assert!(told.starts_with("Six checks at once") && told.contains("\ncontainerd         ok\n"), "{told}");
    assert!(told.contains("\nprobe_url          not set\n"), "{told}");
    node.api.node("False");
    assert_eq!(node.sick("--auto-rollback-after 1")["outcome"], "none", "long stable");
    assert_eq!((node.machine.copies(), node.journal()), before);
}

#[test]
fn each_thing_that_is_wrong_is_named_and_nothing_is_committed() {
    let Some(node) = Node::new() else { return };
    let before = node.machine.copies();
    let told = |check: &str, want: &str, flags: &str| {
        let report = node.sick(flags);
        let reason = report["reasons"][check].as_str().unwrap_or_default();
        assert!(reason.contains(want), "{check}: {want:?} is not in {report}");
        assert_eq!(report[check], false);
        assert_eq!(node.machine.copies(), before);
    };
    let pods = |pods: &[(&str, &str, bool, i64)]| node.api.pods(pods);

    node.api.node("Unknown");
    told("node_ready", "node box: its Ready condition is Unknown", "");
    node.api.node("True");
    pods(&[("coredns", "Running", true, 100), ("helper", "Pending", false, 0)]);
    told("kube_system_ready", "pod helper: container c: CrashLoopBackOff", "");
    pods(&[("coredns", "Running", false, 0)]);
    told("kube_system_ready", "pod coredns: container c: CrashLoopBackOff", "");
    pods(&[]);
    told("kube_system_ready", "no pods", "");
    pods(&[("coredns", "Running", true, 100), ("job", "Succeeded", false, 0)]);
    node.api.says("/readyz", 500, "[-]etcd failed: reason withheld\nreadyz check failed");
    told("api_server", "kubectl: ", "");
    node.api.says(
        "/readyz",
        401,
        &json!({ "kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401 }).to_string(),
    );
    told("api_server", "kubectl: ", "");
    node.api.says("/readyz", 200, "<html>a captive portal</html>");
    told("api_server", "/readyz says: <html>", "");
    node.api.says("/readyz", 200, "ok");
    told("containerd", "No such file or directory", "--containerd /nowhere");
    told("api_server", "kubeconfig /nowhere: No such file", "--kubeconfig /nowhere");
    let refusing = node.folder.text("refusing");
    let config = String::from_utf8(node.folder.read("kubeconfig").unwrap()).unwrap();
    node.folder.write("refusing", config.replace(&format!(":{}'", node.api.port), ":1'"));
    told("api_server", "refused", &format!("--kubeconfig {refusing}"));
    told("node_ready", "cannot be run", "--kubectl /nowhere");
    let silent = node.folder.text("silent.sock");
    let _listener = UnixListener::bind(&silent).unwrap();
    told("containerd", "does not answer", &format!("--containerd {silent}"));
    fs::rename(node.machine.folder.path("data"), node.machine.folder.path("gone")).unwrap();
    told("disk_writable", "open folder of", "");
}

#[test]
fn kubectl_may_hang_print_garbage_or_without_end() {
    let Some(node) = Node::new() else { return };
    for (script, want) in [
        ("exec sleep 60", "has no answer in time"),
        ("printf '\\377\\376'; exit 1", "kubectl: \u{fffd}\u{fffd}"),
        ("echo it is broken >&2; exit 1", "it is broken"),
    ] {
        let path = node.folder.text("kubectl");
        node.folder.write("kubectl", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(Path::new(&path), fs::Permissions::from_mode(0o755)).unwrap();
        let report = node.sick(&format!("--kubectl {path}"));
        for check in ["api_server", "node_ready", "kube_system_ready"] {
            assert!(report["reasons"][check].as_str().unwrap().contains(want), "{script}: {report}");
        }
    }
    // What is no answer says nothing; a line of ten megabytes takes no memory.
    for script in ["exit 0", "head -c 10000000 /dev/zero | tr '\\0' x", "printf '\\377\\376'", "echo Node"] {
        node.folder.write("kubectl", format!("#!/bin/sh\n{script}\n"));
        let report = node.sick(&format!("--kubectl {}", node.folder.text("kubectl")));
        for check in ["api_server", "node_ready", "kube_system_ready"] {
            assert_eq!(report[check], false, "{script}: {report}");
        }
    }
    assert_eq!(node.machine.state(), state(B, 2, false, Good, Trial));
}

#[test]
fn pods_that_settle_in_time_are_waited_for() {
    let Some(node) = Node::new() else { return };
    node.api.pods(&[("coredns", "Running", true, 28)]);
    let ran = node.check("--healthcheck-timeout 5");
    assert_eq!(ran.exit, 0, "{}", ran.out());
    assert_eq!(node.machine.state().b, Good);
}

#[test]
fn a_clock_that_was_put_back_does_not_undo_an_update() {
    let Some(node) = Node::new() else { return };
    node.api.pods(&[("coredns", "Running", true, -3600)]);
    let ran = node.check("--kube-system-settle 3 --healthcheck-timeout 5");
    assert_eq!(ran.exit, 0, "{}", ran.out());
}

#[test]
fn the_nth_failure_in_a_row_rolls_back_and_the_image_is_remembered() {
    let Some(node) = Node::new() else { return };
    node.api.node("False");
    for failures in 1..=2 {
        let report = node.sick("--auto-rollback-after 3");
        assert_eq!(report["outcome"], "counted");
        let journal = node.journal();
        assert_eq!((&journal["phase"], &journal["health_check_failures"]), (&json!("verifying"), &json!(failures)));
        assert_eq!(node.machine.state(), state(B, 2, false, Good, Trial));
    }
    assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "rolled_back");
    assert_eq!(node.machine.state(), state(A, 3, false, Good, Bad));
    let journal = node.journal();
    assert_eq!((&journal["phase"], &journal["known_bad"]), (&json!("rolled_back"), &json!("00aa")));
    let why = journal["last_error"].as_str().unwrap();
    assert!(
        why.starts_with("health check failed 3 times: node_ready: node box: its Ready condition is False"),
        "{why}"
    );
    assert!(node.machine.run("status").out().contains(why));
}

#[test]
fn without_a_number_failures_are_only_counted() {
    let Some(node) = Node::new() else { return };
    node.api.node("False");
    for _ in 0..4 {
        node.sick("");
    }
    assert_eq!(node.journal()["health_check_failures"], 4);
    assert_eq!(node.machine.state(), state(B, 2, false, Good, Trial));
}

#[test]
fn what_failed_before_the_update_cannot_undo_it() {
    let Some(node) = Node::new() else { return };
    node.phase("activated", ",\"failed_before\":\"probe_url kube_system_ready\"");
    node.api.pods(&[("coredns", "Running", false, 100)]);
    let ran = node.check("--auto-rollback-after 1 --healthcheck-url http://127.0.0.1:1/");
    assert_eq!(ran.exit, 0, "{}", ran.out());
    for check in ["kube_system_ready ", "probe_url         "] {
        assert!(ran.out().contains(&format!("{check} failed, as before the update")), "{}", ran.out());
    }
    assert_eq!(node.machine.state(), state(B, 3, true, Good, Good));
    let status = node.machine.run("status");
    assert!(status.out().contains("Excused     probe_url kube_system_ready"), "{}", status.out());
}

/// An update that begins before Kubernetes is up: what Kubernetes is made of has to work all the same.
#[test]
fn what_kubernetes_is_made_of_is_never_excused() {
    let all = "containerd api_server node_ready kube_system_ready probe_url disk_writable";
    for check in ["containerd", "api_server", "node_ready", "disk_writable"] {
        let Some(node) = Node::new() else { return };
        node.phase("activated", &format!(",\"failed_before\":\"{all}\""));
        let flags = match check {
            "containerd" => "--containerd /nowhere/containerd.sock",
            "api_server" => {
                node.api.says("/readyz", 500, "not yet");
                ""
            }
            "node_ready" => {
                node.api.node("False");
                ""
            }
            _ => {
                fs::rename(node.machine.folder.path("data"), node.machine.folder.path("gone")).unwrap();
                ""
            }
        };
        node.sick(&format!("--auto-rollback-after 1 {flags}"));
        assert_eq!(node.machine.state().b, Bad, "{check}");
    }
}

#[test]
fn an_excuse_ends_once_the_check_has_passed() {
    let Some(node) = Node::new() else { return };
    node.phase("activated", ",\"failed_before\":\"probe_url kube_system_ready\"");
    node.api.node("False");
    let url = format!("http://127.0.0.1:{}", node.api.port);
    node.api.says("/well", 200, "");
    node.api.pods(&[("coredns", "Running", false, 100)]);
    assert_eq!(node.sick(&format!("--healthcheck-url {url}/well"))["outcome"], "counted");
    assert_eq!(node.journal()["failed_before"], "kube_system_ready", "the URL has answered");
    node.api.node("True");
    assert_eq!(node.sick(&format!("--healthcheck-url {url}/absent"))["outcome"], "counted");
    assert_eq!(node.check(&format!("--healthcheck-url {url}/well")).exit, 0);
}

/// The excused check passes between `apply` and `activate`, while the old system still runs.
#[test]
fn an_excuse_ends_once_the_check_has_passed_before_the_trial() {
    let Some(node) = Node::new() else { return };
    node.machine.set(state(A, 3, true, Good, Staged));
    node.phase("staged", ",\"failed_before\":\"probe_url kube_system_ready\"");
    let url = format!("http://127.0.0.1:{}", node.api.port);
    node.api.says("/well", 200, "");
    node.api.pods(&[("coredns", "Running", false, 100)]);
    assert_eq!(node.check(&format!("--healthcheck-url {url}/well")).exit, 1);
    assert_eq!(node.journal()["failed_before"], "kube_system_ready", "the URL has answered");
    assert_eq!(node.journal()["phase"], "staged");
    assert_eq!(node.machine.state(), state(A, 3, true, Good, Staged));
}

/// The block says what a trial is: the power went before the activation was recorded, the file is lost, of another update or another
/// program's.
#[test]
fn a_sick_trial_is_rolled_back_whatever_state_json_says() {
    for text in [
        Some("{\"phase\":\"staged\",\"to_image\":\"00aa\"}"),
        Some("{\"phase\":\"success\",\"to_image\":\"00aa\"}"),
        Some("{\"phase\":\"rolled_back\",\"to_image\":\"00aa\"}"),
        Some("{\"phase\":\"transcended\"}"),
        Some("no JSON"),
        None,
    ] {
        let Some(node) = Node::new() else { return };
        node.api.node("False");
        match text {
            Some(text) => node.machine.folder.write("data/update/state.json", text),
            None => fs::remove_file(node.machine.folder.path("data/update/state.json")).unwrap_or_default(),
        }
        assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "counted", "{text:?}");
        assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "counted", "{text:?}");
        assert_eq!(node.machine.state(), state(B, 2, false, Good, Trial));
        assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "rolled_back", "{text:?}");
        assert_eq!(node.machine.state(), state(A, 3, false, Good, Bad));
        assert_eq!(node.journal()["phase"], "rolled_back", "{text:?}");
    }
}

/// No file can be written there, so this boot counts in memory.
#[test]
fn failures_that_state_json_cannot_hold_are_counted_all_the_same() {
    let Some(node) = Node::new() else { return };
    node.api.node("False");
    fs::remove_dir_all(node.machine.folder.path("data/update")).unwrap_or_default();
    fs::remove_dir_all(node.machine.folder.path("data")).unwrap();
    for _ in 1..=2 {
        assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "counted");
        assert_eq!(node.machine.state(), state(B, 2, false, Good, Trial));
    }
    assert_eq!(node.sick("--auto-rollback-after 3")["outcome"], "rolled_back");
    let left = kubesolo_core::boot::state::BootState { rollback_from: Some(B), ..state(A, 3, false, Good, Bad) };
    assert_eq!(node.machine.state(), left, "the next init records it");
}

/// The grub.cfg of an older KubeSolo OS does not say which slot it boots: it is the active one.
#[test]
fn a_trial_is_concluded_also_where_grub_does_not_say_what_it_booted() {
    let Some(node) = Node::new() else { return };
    node.machine.cmdline("console=tty0");
    node.api.node("False");
    assert_eq!(node.sick("--auto-rollback-after 2")["outcome"], "counted");
    node.api.node("True");
    assert_eq!(node.check("").exit, 0);
    assert_eq!(node.machine.state(), state(B, 3, true, Good, Good));
}

#[test]
fn nothing_is_counted_against_a_slot_that_does_not_run_yet() {
    let Some(node) = Node::new() else { return };
    // Activated, not rebooted: slot A still runs.
    let node = Node { machine: Machine::with_state(state(B, 3, false, Good, Trial)).booted(A), ..node };
    node.machine.folder.write("boot_id", BOOT);
    node.phase("activated", "");
    node.api.node("False");
    let before = node.machine.copies();
    assert_eq!(node.sick("--auto-rollback-after 1")["outcome"], "none");
    assert_eq!(node.journal()["phase"], "activated");
    node.api.node("True");
    assert_eq!(node.check("").exit, 0);
    assert_eq!(node.machine.copies(), before);
}

#[test]
fn a_state_file_from_the_future_or_in_pieces_keeps_nobody_from_a_commit() {
    for text in ["{\"phase\":\"transcended\"}", "{\"phase\":\"activ"] {
        let Some(node) = Node::new() else { return };
        node.machine.folder.write("data/update/state.json", text);
        let ran = node.check("");
        assert_eq!(ran.exit, 0, "{}{}", ran.out(), ran.stderr);
        assert_eq!(node.machine.state().b, Good);
    }
}

#[test]
fn the_url_has_to_answer_200_in_time() {
    let Some(node) = Node::new() else { return };
    node.api.says("/healthy", 200, "");
    node.api.says("/sick", 500, "");
    node.api.says("/slow", 200, "hang");
    let url = |path: &str| format!("--healthcheck-url http://127.0.0.1:{}{path}", node.api.port);
    for (flags, want) in [
        (url("/sick"), "answers 500"),
        (url("/slow"), "does not answer in time"),
        (url("/absent"), "answers 404"),
        ("--healthcheck-url http://127.0.0.1:1/".into(), "Connection refused"),
        ("--healthcheck-url gopher://x/".into(), "healthcheck_url gopher://x/"),
    ] {
        let report = node.sick(&flags);
        assert!(report["reasons"]["probe_url"].as_str().unwrap().contains(want), "{flags}: {report}");
    }
    assert_eq!(node.check(&url("/healthy")).exit, 0);
}

/// What was seen is told, also where nothing can be made of it.
#[test]
fn a_block_that_cannot_be_read_hides_no_check() {
    let Some(node) = Node::new() else { return };
    node.phase("success", "");
    for name in ["esp/grubenv", "esp/grubenv.bak"] {
        node.machine.folder.write(name, "no block");
    }
    let ran = node.check("");
    assert_eq!(ran.exit, 5, "{}{}", ran.out(), ran.stderr);
    assert!(ran.out().contains("disk_writable      ok"), "{}{}", ran.out(), ran.stderr);
}

/// The last of them needs no time, and does not wait for the first, which takes all it has.
#[test]
fn the_checks_run_side_by_side_and_each_is_told_once() {
    let machine = Machine::with_state(state(A, 3, true, Good, Good));
    let ran = machine
        .run("healthcheck --healthcheck-timeout 4 --kube-system-settle 0 --kubeconfig /nowhere --containerd /nowhere");
    assert_eq!(ran.exit, 1, "{}{}", ran.out(), ran.stderr);
    for name in ["containerd", "api_server", "node_ready", "kube_system_ready", "probe_url", "disk_writable"] {
        assert_eq!(ran.out().matches(name).count(), 1, "{}", ran.out());
    }
    assert!(ran.out().find("disk_writable").unwrap() < ran.out().find("containerd").unwrap(), "{}", ran.out());
}

/// From the three variables of an older KubeSolo OS, whose grub.cfg does not say what it boots, to a box that takes updates.
#[test]
fn an_older_box_is_moved() {
    let older = [("active_slot", "B"), ("boot_counter", "2"), ("boot_success", "0")];
    for healthy in [true, false] {
        let machine = Machine::with_copies(Some(block_with(&older).bytes()), None);
        machine.cmdline("console=tty0 quiet");
        assert_eq!(machine.run("init").exit, 0);
        let now = machine.state();
        assert_eq!((now.active, now.counter, now.success), (B, 2, false), "nothing is marked");
        // No disk says here that the slots have files.
        machine.set(state(B, 2, false, Good, Trial));
        if healthy {
            assert_eq!(machine.run("commit").exit, 0);
            assert_eq!(machine.state(), state(B, 3, true, Good, Good));
            // The new grub.cfg says what it boots.
            let machine = machine.booted(B);
            assert!(machine.run("status").out().contains("Running slot B (good)"));
        } else {
            let ran = machine.run("healthcheck --healthcheck-timeout 0 --auto-rollback-after 1");
            assert_eq!(ran.exit, 1, "there is no Kubernetes: {}", ran.out());
            assert_eq!(machine.state(), state(A, 3, false, Good, Bad));
        }
    }
}
