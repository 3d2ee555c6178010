#!/bin/bash
# Are the manifests in deploy/ what Kubernetes takes, and do their scripts do what they say? Needs no cluster.
#
# The schemas come with the Python package kubernetes-validate. kubectl has none: --dry-run=client asks a server for them.
set -u
export LC_ALL=C.UTF-8

case ${1:-} in
    '') ;;
    -h | --help)
        echo 'usage: deploy/tests/manifests.sh'
        echo 'Validates deploy/*.yaml against the schemas of several Kubernetes versions, shows that broken ones fail, and'
        echo 'runs their scripts against a stand-in. BINARY=FILE: kubesolo-boot (default dist/kubesolo-boot).'
        exit ;;
    *) echo "deploy/tests/manifests.sh: unknown argument '$1', see deploy/tests/manifests.sh --help" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/../.." || exit 1
. tests/checks.sh
needs "${BINARY:=dist/kubesolo-boot}"
tools busybox
binary=$(realpath "$BINARY")

venv=build/manifests
pinned $venv deploy/tests/manifests.txt

files=(deploy/namespace.yaml deploy/config.yaml deploy/update.yaml deploy/healthcheck.yaml deploy/activate.yaml)
# is_taken VERSION FILE...: each object has a schema, and fits. The tool passes over one that it has no schema for.
is_taken() {
    local version=$1
    shift
    $venv/bin/kubernetes-validate --strict -k "$version" "$@" >"$work/told" 2>&1 || { cat "$work/told"; return 1; }
    cat "$work/told"
    [ "$(grep -c ' passed for resource ' "$work/told")" = "$(cat "$@" | grep -c '^kind:')" ]
}

check 'every manifest is looked at' diff <(printf '%s\n' "${files[@]}" deploy/kustomization.yaml | sort) <(ls deploy/*.yaml)
for version in 1.30.0 1.33.0 1.37.0; do
    check "Kubernetes $version takes them" is_taken "$version" "${files[@]}"
done

# breaks NAME FILE SED-SCRIPT: one change, and it is refused.
changed_and_refused() { ! cmp -s "deploy/$1" "$work/$1" && ! is_taken 1.37.0 "$work/$1"; }
breaks() {
    sed -E "$3" "deploy/$2" >"$work/$2"
    check "refused: $1" changed_and_refused "$2"
}
breaks 'a misspelt key' update.yaml 's/concurrencyPolicy/concurencyPolicy/'
breaks 'a key in the wrong place' update.yaml 's/^ {10}hostNetwork/      hostNetwork/'
breaks 'a number that is text' update.yaml 's/(backoffLimit:) 0/\1 none/'
breaks 'a CronJob without a schedule' update.yaml '/^  schedule:/d'
breaks 'a container without a name' healthcheck.yaml 's/- name: healthcheck/- title: healthcheck/'
breaks 'an API version that is gone' healthcheck.yaml 's|batch/v1|batch/v1beta1|'
breaks 'a ConfigMap with a number in it' config.yaml '$a\  port: 80'
breaks 'a kind that is none' namespace.yaml 's/kind: ServiceAccount/kind: ServiceUser/'

# What no schema knows: each file is in its own words, `at PATH FILE`.
at() { $venv/bin/python -c '
import sys, yaml
value = next(iter(yaml.safe_load_all(open(sys.argv[2]))))
for step in sys.argv[1].split("/"):
    value = value[int(step) if step.isdigit() else step]
print(value if isinstance(value, str) else "\n".join(sorted(str(each["name"]) for each in value)))' "$@"; }
pod=spec/jobTemplate/spec/template/spec
for job in update healthcheck activate; do
    file=deploy/$job.yaml
    at $pod/containers/0/args/0 "$file" >"$work/$job.sh"
    check "$job: every mount has its volume" diff <(at $pod/volumes "$file") <(at $pod/containers/0/volumeMounts "$file")
    check "$job: the image is pinned" grep -Eq ':[0-9][0-9.]*(@sha256:[0-9a-f]{64})?$' <(at $pod/containers/0/image "$file")
    check "$job: the namespace is that of the rest" diff <(at metadata/name deploy/namespace.yaml) <(at metadata/namespace "$file")
    check "$job: never two at once" grep -qx Forbid <(at spec/concurrencyPolicy "$file")
    check "$job: its script parses" busybox sh -n "$work/$job.sh"
done
check 'kustomization.yaml names the image and its tag' diff <(at $pod/containers/0/image deploy/update.yaml) \
    <($venv/bin/python -c '
import yaml
image = yaml.safe_load(open("deploy/kustomization.yaml"))["images"][0]
print(image["name"] + ":" + image["newTag"])')
if command -v kubectl >/dev/null; then
    check 'kubectl kustomize builds it' grep -q 'image: registry.k8s.io/pause:' <(kubectl kustomize deploy)
else
    skipped 'kubectl kustomize builds it' 'no kubectl here'
fi

# The ConfigMap's update.conf, by the program itself: no complaint about any line.
at data/update.conf deploy/config.yaml >"$work/update.conf"
sed -i 's/^#\([a-z_]*=\)/\1/' "$work/update.conf" # also what is commented out
"$binary" check "$work/nothing" --conf "$work/update.conf" >"$work/said" 2>&1
check 'kubesolo-boot takes every line of the ConfigMap' refuted grep -E 'update\.conf:[0-9]|warning' "$work/said"

# The scripts, with a stand-in for kubesolo-boot that ends as it is told and writes down how it was called.
mkdir "$work/bin"
cat >"$work/bin/kubesolo-boot" <<'STUB'
#!/bin/sh
echo "$*" >>"$CALLS"
[ "$1" != status ] || echo "$STATUS"
[ "$2" != --json ] || echo "{\"running\":${RUNNING:-\"1.0.0\"}}"
eval "exit \${$1:-0}"
STUB
chmod +x "$work/bin/kubesolo-boot"
# script JOB EXIT CALLS [NAME=VALUE...]: its exit code, and what it called, each verb once.
script() {
    local job=$1 exit=$2 want=$3 code
    shift 3
    rm -f "$work/calls"
    env -i PATH="$work/bin:/usr/bin:/bin" CALLS="$work/calls" "$@" busybox sh -c "$(cat "$work/$job.sh")"
    code=$?
    cat "$work/calls"
    [ "$code" = "$exit" ] || { echo "exit code $code"; return 1; }
    [ "$(cut -d ' ' -f 1 "$work/calls" | tr '\n' ' ')" = "$want " ]
}
check 'update: installs what is there' script update 0 'check apply'
check 'update: up to date is no failure' script update 0 check check=1
check 'update: a wrong signature is one' script update 9 check check=9
check 'update: outside the window is none' script update 0 'check apply check' apply=7
check 'update: a version that is refused is none' script update 0 'check check' check=7
check 'update: not to know which version runs is one' script update 7 'check check' check=7 RUNNING=null
check 'update: a broken download is one' script update 6 'check apply' apply=6
check 'healthcheck: ends as the check does' script healthcheck 1 healthcheck healthcheck=1
check 'activate: boots what is staged' script activate 0 'status activate' 'STATUS={"slot_B":{"state":"staged"}}'
check 'activate: nothing staged, nothing done' script activate 0 status 'STATUS={"slot_B":{"state":"good"}}'

verdict
