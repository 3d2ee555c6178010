//! `deploy/` as a real API server takes it: applied with strict validation, the Job of each CronJob made by hand, and its pod admitted.
//! Nothing runs them here.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::scene::Folder;

const THERE: &str = "--namespace=kubesolo-updates";
const STRICT: &str = "--validate=strict --namespace=kubesolo-updates";

#[test]
fn deploy_is_taken_as_it_is_and_the_job_of_each_cron_job_can_be_made_by_hand() {
    let Some(cluster) = Cluster::start() else { return };
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let apply = format!("apply -k {} {STRICT}", deploy.display());
    let applied = cluster.run(&apply, "");
    for name in ["namespace/kubesolo-updates", "serviceaccount/kubesolo-boot", "configmap/kubesolo-boot"] {
        assert!(applied.contains(&format!("{name} created")), "{applied}");
    }
    let again = cluster.run(&apply, "");
    assert!(!again.contains("created") && !again.contains("configured"), "{again}");
    // Optional, and so not in kustomization.yaml.
    cluster.run(&format!("apply -f {}/activate.yaml {STRICT}", deploy.display()), "");
    for job in ["update", "healthcheck", "activate"] {
        cluster.run(&format!("create job --from=cronjob/{job} {job}-now {THERE}"), "");
        let made = cluster.run(&format!("get job {job}-now -o json {THERE}"), "");
        let made: Value = serde_json::from_str(&made).unwrap();
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": job },
                          "spec": made["spec"]["template"]["spec"] })
        .to_string();
        cluster.run(&format!("create --dry-run=server -f - {STRICT}"), &pod);
        // Admission is at work: it is the namespace's label that lets a privileged pod in.
        let label = "label ns kubesolo-updates --overwrite pod-security.kubernetes.io/enforce";
        cluster.run(&format!("{label}=restricted"), "");
        let refused = cluster.ran(&format!("create --dry-run=server -f - {STRICT}"), &pod);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("privileged"), "{job}: {why}");
        cluster.run(&format!("{label}=privileged"), "");
    }
}

#[test]
fn a_manifest_with_a_mistake_is_refused() {
    let Some(cluster) = Cluster::start() else { return };
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    cluster.run(&format!("apply -f {}/namespace.yaml {STRICT}", deploy.display()), "");
    let right = fs::read_to_string(deploy.join("healthcheck.yaml")).unwrap();
    let volume = "            - name: run\n              hostPath";
    for (what, from, to, want) in [
        ("a misspelt key", "concurrencyPolicy", "concurencyPolicy", "unknown field \"spec.concurencyPolicy\""),
        (
            "a key in the wrong place",
            "  schedule:",
            "  backoffLimit: 0\n  schedule:",
            "unknown field \"spec.backoffLimit\"",
        ),
        ("a schedule that is none", "*/5 * * * *", "*/5 * * *", "expected exactly 5 fields"),
        ("a mount without its volume", volume, &volume.replace("run", "ran"), "volumeMounts"),
        (
            "a Job that would start its container again",
            "restartPolicy: Never",
            "restartPolicy: Always",
            "restartPolicy",
        ),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{what}");
        let folder = Folder::new();
        folder.write("healthcheck.yaml", wrong);
        let refused = cluster.ran(&format!("apply -f {} {STRICT}", folder.text("healthcheck.yaml")), "");
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && why.contains(want), "{what}: {why}");
    }
}
