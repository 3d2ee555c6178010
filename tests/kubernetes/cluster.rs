//! etcd and kube-apiserver on ports of their own, and kubectl to fill them.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kubesolo_boot::update::state::now;
use serde_json::{Value, json};

use crate::scene::{Folder, must, skipped, tool};

/// What `tests/kubernetes/build` has built.
fn built(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/kubernetes").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("build/kubernetes/{name} is not built; run tests/kubernetes/build"));
    None
}

/// What an age in seconds begins with.
pub const AGO: &str = "ago:";

pub struct Cluster {
    pub folder: Folder,
    kubectl: PathBuf,
    server: String,
    api: Child,
    etcd: Child,
    /// How the API server is started: its words.
    command: Vec<String>,
}

/// Starts a program in the folder.
fn start(folder: &Folder, command: &[String], name: &str) -> Child {
    let log = |end: &str| fs::File::create(folder.path(&format!("{name}.{end}"))).unwrap();
    let (program, flags) = command.split_first().unwrap();
    Command::new(program)
        .args(flags)
        .current_dir(folder.path(""))
        .stdin(Stdio::null())
        .stdout(log("log"))
        .stderr(log("error"))
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// Starts them; `None` if something is not there, which was said.
    pub fn start() -> Option<Cluster> {
        let (etcd, openssl) = (tool("etcd")?, tool("openssl")?);
        let (api, kubectl) = (built("kube-apiserver")?, built("kubectl")?);
        let folder = Folder::on_disk();
        folder.write("tokens", "secret,admin,1,system:masters\n");
        let key = folder.text("sa.key");
        must(&openssl, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key]);
        must(&openssl, &["pkey", "-in", &key, "-pubout", "-out", &folder.text("sa.pub")]);
        let ca = [
            "req",
            "-x509",
            "-new",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            "/CN=ca",
        ];
        must(&openssl, &[&ca[..], &["-keyout", &folder.text("ca.key"), "-out", &folder.text("ca.crt")]].concat());
        let [clients, peers, port] = [(); 3].map(|()| free_port());
        let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
        let command = [
            etcd.to_str().unwrap(),
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            &format!("--listen-client-urls={clients}"),
            &format!("--advertise-client-urls={clients}"),
            &format!("--listen-peer-urls={peers}"),
            &format!("--initial-advertise-peer-urls={peers}"),
            &format!("--initial-cluster=default={peers}"),
        ];
        let etcd = start(&folder, &command.map(String::from), "etcd");
        let command = [
            api.to_str().unwrap(),
            &format!("--etcd-servers={clients}"),
            &format!("--secure-port={port}"),
            "--bind-address=127.0.0.1",
            "--cert-dir=certs",
            "--token-auth-file=tokens",
            "--client-ca-file=ca.crt",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=sa.pub",
            "--service-account-signing-key-file=sa.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged=true",
        ];
        let command: Vec<String> = command.map(String::from).into();
        let (api, server) = (start(&folder, &command, "api"), format!("https://127.0.0.1:{port}"));
        let mut cluster = Cluster { folder, kubectl, server, api, etcd, command };
        cluster.folder.write("kubeconfig", cluster.kubeconfig(&json!({ "token": "secret" })));
        cluster.wait();
        Some(cluster)
    }

    /// A kubeconfig of a user who shows this.
    pub fn kubeconfig(&self, user: &Value) -> String {
        let cluster =
            json!({ "server": self.server, "certificate-authority": self.folder.text("certs/apiserver.crt") });
        json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
                "clusters": [{ "name": "c", "cluster": cluster }], "users": [{ "name": "u", "user": user }] })
        .to_string()
    }

    /// The kubeconfig of an administrator with a client certificate that is good for so many days from now on.
    pub fn with_certificate(&self, days: i32) -> String {
        let openssl = tool("openssl").unwrap();
        let [key, request, certificate, ca, ca_key] =
            [&*format!("{days}.key"), "user.csr", &format!("{days}.crt"), "ca.crt", "ca.key"]
                .map(|name| self.folder.text(name));
        let subject = ["-subj", "/O=system:masters/CN=admin", "-keyout", &key, "-out", &request];
        must(&openssl, &[&["req", "-new", "-nodes", "-newkey", "rsa:2048"][..], &subject].concat());
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", &days.to_string(), "-out", &certificate];
        must(&openssl, &[&["x509", "-req", "-in", &request][..], &by].concat());
        self.kubeconfig(&json!({ "client-certificate": certificate, "client-key": key }))
    }

    /// Lets the API server hang, or go on.
    pub fn hangs(&self, hangs: bool) {
        let process = rustix::process::Pid::from_child(&self.api);
        let signal = if hangs { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        rustix::process::kill_process(process, signal).unwrap();
    }

    pub fn kubectl(&self) -> &str {
        self.kubectl.to_str().unwrap()
    }

    fn wait(&mut self) {
        let began = Instant::now();
        while !self.ran("get --raw=/readyz", "").status.success()
            || !self.ran("get ns kube-system", "").status.success()
        {
            let log = String::from_utf8(self.folder.read("api.error").unwrap()).unwrap();
            assert!(began.elapsed() < Duration::from_secs(600), "the API server does not start: {log}");
            // It gives up where etcd has no answer for it in twenty seconds; whoever runs it starts it again.
            if self.api.try_wait().unwrap().is_some() {
                self.api = start(&self.folder, &self.command, "api");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs kubectl.
    pub fn ran(&self, words: &str, input: &str) -> Output {
        let mut child = Command::new(&self.kubectl)
            .args(["--kubeconfig", &self.folder.text("kubeconfig"), "--namespace=kube-system"])
            .args(words.split_whitespace())
            .env("HOME", self.folder.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs kubectl, which must succeed; gives what it prints.
    pub fn run(&self, words: &str, input: &str) -> String {
        let output = self.ran(words, input);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "kubectl {words}: {}\n{input}", text(output.stderr));
        text(output.stdout)
    }

    /// Removes everything, and makes these objects with their status. `owner` names one of an earlier call, as `KIND/NAME`; `deleted` is
    /// one that waits for its finalizer.
    pub fn holds(&self, objects: &[Value]) {
        self.clear();
        let objects = objects.iter().cloned().map(|mut object| {
            set_times(&mut object);
            object
        });
        let (owners, owned): (Vec<Value>, Vec<Value>) = objects.partition(|one| one["owner"].is_null());
        self.make(owners);
        self.make(owned);
    }

    fn clear(&self) {
        let kinds = "nodes,pods,replicasets,statefulsets,daemonsets,jobs,cronjobs";
        let left = self.run(&format!("get {kinds} -o name"), "");
        for name in left.lines() {
            self.ran(&format!("patch {name} --type=merge -p {{\"metadata\":{{\"finalizers\":null}}}}"), "");
        }
        if !left.is_empty() {
            self.run(&format!("delete {kinds} --all --force --grace-period=0 --wait=true"), "");
        }
    }

    /// Sets the status of an object that is there.
    pub fn becomes(&self, mut object: Value) {
        set_times(&mut object);
        self.set_status(vec![object]);
    }

    fn make(&self, mut objects: Vec<Value>) {
        if objects.is_empty() {
            return;
        }
        for object in &mut objects {
            let owner = object.as_object_mut().unwrap().remove("owner");
            if let Some((kind, name)) = owner.as_ref().and_then(|owner| owner.as_str()?.split_once('/')) {
                let of = self.run(&format!("get {kind} {name} -o jsonpath={{.apiVersion}},{{.metadata.uid}}"), "");
                let (version, uid) = of.split_once(',').unwrap();
                object["metadata"]["ownerReferences"] =
                    json!([{ "apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true }]);
            }
        }
        let mut deleted = Vec::new();
        for object in &mut objects {
            if object.as_object_mut().unwrap().remove("deleted").is_some() {
                object["metadata"]["finalizers"] = json!(["tests/stays"]);
                let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
                deleted.push(format!("{kind}/{name}"));
            }
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
        self.run("create -f -", &list);
        self.set_status(objects);
        for name in deleted {
            self.run(&format!("delete {name} --wait=false"), "");
        }
    }

    fn set_status(&self, mut objects: Vec<Value>) {
        for object in &mut objects {
            object.as_object_mut().unwrap().remove("spec");
            object["metadata"].as_object_mut().unwrap().remove("ownerReferences");
            object["metadata"].as_object_mut().unwrap().remove("finalizers");
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
        self.run("apply --server-side --force-conflicts --subresource=status -f -", &list);
    }
}

/// Puts moments in the place of ages.
fn set_times(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(set_times),
        Value::Array(items) => items.iter_mut().for_each(set_times),
        Value::String(text) => {
            if let Some(age) = text.strip_prefix(AGO) {
                let mut at = now();
                at.0 = at.0.checked_add_signed(-age.parse::<i64>().unwrap()).unwrap();
                *text = at.to_string();
            }
        }
        _ => {}
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in [&mut self.api, &mut self.etcd] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
