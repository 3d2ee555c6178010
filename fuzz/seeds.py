#!/usr/bin/env python3
"""Makes the corpora in fuzz/corpus: small files by the real tools, and by hand where there is none.

Run it in the top folder of the repository on Debian 12, after tools/deps. The corpora are committed, so that nobody has
to; the keys and dates in them are new each time.
"""

import hashlib
import json
import pathlib
import struct
import subprocess
import tempfile

CORPUS = pathlib.Path(__file__).parent / "corpus"
WORK = pathlib.Path(tempfile.mkdtemp())


def seed(target, name, *parts):
    """Writes one seed: text or bytes, with the byte ff between its parts."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    parts = [part.encode() if isinstance(part, str) else part for part in parts]
    (folder / name).write_bytes(b"\xff".join(parts))


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def env_block():
    file = str(WORK / "grubenv")

    def block(*words):
        pathlib.Path(file).unlink(missing_ok=True)
        run("grub-editenv", file, "create")
        if words:
            run("grub-editenv", file, "set", *words)
        return pathlib.Path(file).read_bytes()

    state = ["active_slot=B", "boot_counter=2", "boot_success=0", "slot_A=good", "slot_B=trial"]
    edits = ["boot_counter=1", "a=\\\n", "slot_A", "b=" + "x" * 40, "a"]
    seed("env_block", "blank", block(), *edits)
    seed("env_block", "trial", block(*state), *edits)
    seed("env_block", "legacy", block(*state[:3]), "boot_counter=3")
    seed("env_block", "rolled-back", block("saved_entry=0", *state, "rollback_from=A", "next=\\ \n="), "rollback_from")
    seed("env_block", "nearly-full", block(*state, "x=" + "y" * 820), "z=" + "z" * 30, "x=", "z=" + "z" * 30)
    seed("env_block", "no-padding", block(*state).replace(b"##", b"\0\0"), "a=1")
    seed("env_block", "twice", block(*state).replace(b"slot_A=good\n", b"a=1\na=234567\n"), "a=5")
    seed("env_block", "no-sign", block(*state).replace(b"boot_counter=2", b"boot_counter92"), "slot_B=good")
    seed("env_block", "open-comment", block(*state[:3]).replace(b"\n###", b"\n#\\\n", 1), "slot_B=good")
    seed("env_block", "short", block(*state)[:600], "a=1")


def boot_log():
    def line(number, words):
        return f"{number} 6f1b4b1e-7e3a-4f3e-9d0c-0d9c8a7b6c5d B trial 2026-11-23T15:30:00Z {words}".ljust(511) + "\n"

    seed("boot_log", "first", line(0, "handed_over"))
    seed("boot_log", "two", line(0, "handed_over stopped") + line(1, "before=clean_stop"))
    seed("boot_log", "panic", line(0, "handed_over") + line(1, "before=panic split=by_hand|Kernel panic - not syncing: \u00e9"))
    seed("boot_log", "round", "".join(line(8 + n, "before=hang handed_over committed") for n in range(8)))
    seed("boot_log", "last-number", line(4294967295, "handed_over"))


def gpt():
    def disk(sectors, *options):
        file = WORK / "disk"
        with open(file, "wb") as image:
            image.truncate(sectors * 512)
        run("sgdisk", *options, str(file))
        return file.read_bytes()

    def pieces(image, sector_size=512):
        """What is not zero, as the target's description of a disk."""
        found = b""
        end = len(image)
        for at in range(0, end, sector_size):
            sector = image[at : at + sector_size].rstrip(b"\0")
            if sector and at:
                place, flag = (at, 0) if at < end // 2 else (end - at, 0x8000)
                found += struct.pack("<IH", place // 512, len(sector) | flag) + sector
        return struct.pack("<Q", end) + found

    names = ["KSOLOEFI", "KSOLOA", "KSOLOB", "KSOLODATA"]
    ours = ["-a1"] + [f"-n{n}:{start}:+99" for n, start in enumerate([2048, 2200, 2400, 2600], 1)]
    ours += [f"-c{n}:{name}" for n, name in enumerate(names, 1)]
    whole = disk(4096, "-o", *ours)
    seed("gpt", "ours", b"\0" + pieces(whole))
    seed("gpt", "ours-mended", b"\x0f" + pieces(whole))
    seed("gpt", "backup", b"\0" + pieces(whole[:512] + bytes(512) + whole[1024:]))
    seed("gpt", "entries-damaged", b"\0" + pieces(whole[:1030] + b"\1" + whole[1031:]))
    seed("gpt", "empty", b"\0" + pieces(disk(4096, "-o")))
    seed("gpt", "other-names", b"\x01" + pieces(disk(4096, "-o", "-S8", "-n8:2048:2050", "-c8:Grüße 中文")))
    ext4 = WORK / "ext4"
    run("mkfs.ext4", "-q", "-O", "^has_journal", "-L", "KSOLODATA", str(ext4), "1M")
    seed("gpt", "ext4", b"\0" + struct.pack("<QIH", 1 << 20, 2, 0x200) + ext4.read_bytes()[1024:1536])


def latest_json():
    key, www = WORK / "key", WORK / "www"
    run("image/release", "--new-key", str(key))
    image = WORK / "image"
    image.write_bytes(b"any bytes")
    words = ["--kernel", image, "--initramfs", image, "--key", key, "--out", www]
    run("image/release", *map(str, words), "--version", "1.1.0")
    public = (WORK / "key.pub").read_bytes()
    names = ["latest.json", "latest.json.sig"]

    def published():
        """The document, and its signature in the form that cannot hold the byte ff."""
        document, signature = [(www / name).read_bytes() for name in names]
        return document, signature if len(signature) > 64 else signature.hex().encode()

    plain, signature = published()
    seed("latest_json", "signed", plain, signature, public, "", "1.0.0", "http://updates.example/stable/")
    more = ["--channel", "stable", "--architecture", "amd64", "--min-compatible-version", "1.0.0"]
    run("image/release", *map(str, words), "--version", "2.0.0", *more, "--release-notes", 'A "note"\n\\ é')
    gated, signature = published()
    seed("latest_json", "gated", gated, signature, public, "stable", "1.0.0", "/mnt/usb")
    seed("latest_json", "refused", gated, signature, public, "edge", "v3.0.0-rc.1", "file:///mnt/my%20usb/latest.json")
    fields = json.loads(plain) | {
        "vmlinuz_url": "../v\u00e9/./vmlinuz?a=b#c",
        "initramfs_url": "//[::1]:8080/i",
        "metadata_sig_url": "\ud83d\ude00/sig",
        "unknown": {"a": [1, -2.5e10, True, None, {"b": ["\\"]}]},
    }
    seed("latest_json", "other-publisher", json.dumps(fields), signature, f"# key\n{public.decode()}", "", "1.0.0")


def update_conf():
    text = pathlib.Path("deploy/config.yaml").read_text().split("update.conf: |\n")[1].split("\n---")[0]
    lines = [line.strip() for line in text.splitlines()]
    seed("update_conf", "deploy", "\n".join(lines) + "\n")
    seed("update_conf", "deploy-all", "\n".join(line.replace("#", "", line[1:2] != " ") for line in lines))
    keys = """# a box
 server = http://x/u/
channel=stable
pubkey=/etc/k\nca=/etc/ca\nmaintenance_window=23:00-01:00
healthcheck_url=http://y/?a=b\nauto_rollback_after=3\nkube_system_settle=60
healthcheck_timeout=5\ntrial_timeout=600\ncontainerd=/s\nkubectl=/k\nkubeconfig=/c\nmark=init\nwatchdog=60
"""
    seed("update_conf", "every-key", keys)
    seed("update_conf", "wrong", "mark=maybe\r\n\nmarks=init\ninit\nwatchdog=-1\nmaintenance_window=2-4\nserver=\n")


def state_json():
    fields = {"phase": "activated", "from_version": "1.0.0", "to_version": "1.1.0"}
    fields |= {"started_at": "2026-11-23T15:30:00Z", "updated_at": "2026-11-23T15:31:00Z"}
    fields |= {"attempt_count": 2, "health_check_failures": 1, "last_error": 'a "quoted" \\ path\n\u00e9'}
    fields |= {"to_image": "0" * 32, "failed_before": "probe_url", "known_bad": " ".join(["1" * 32] * 8)}
    seed("state_json", "trial", json.dumps(fields))
    seed("state_json", "others", json.dumps({"phase": "rolled_back", "new": {"a": [1, None]}, "attempt_count": 4294967295}))
    seed("state_json", "wrong", '{"phase":"on fire","attempt_count":-1}')


def kubectl_output():
    # kind, name, uid, deleted, created, owner's kind and uid, label, replicas, node or boot, phase, Ready, Failed, its time,
    # containers, reasons, message
    def line(kind, name, owner=" ", block="", replicas="", place="box", phase="", ready="", failed="", containers="", reason=""):
        of, uid = owner.split(" ")
        fields = [kind, name, "u" + name, "", "2026-11-23T15:29:30Z", of, uid, block, replicas, place, phase, ready]
        return "\t".join(fields + [failed, "2999-01-01T00:00:00Z", containers, reason, "its message"]) + "\n"

    node = line("Node", "box", place="b1", ready="True")
    old = line("Node", "old", place="b0", ready="Unknown", block="true")
    runs = line("Pod", "dns", "ReplicaSet us", phase="Running", ready="True", containers="c,9,2026-11-23T15:29:30Z,2999-01-01T00:00:00Z, ")
    sets = line("ReplicaSet", "s", replicas="1") + line("StatefulSet", "t", replicas="0")
    well = "Warning: old kubectl\nok\n" + old + node + line("Pod", "once", phase="Succeeded", ready="False")
    seed("kubectl_output", "all-well", " " + well)
    seed("kubectl_output", "blocked", " " + line("Node", "box", place="b1", ready="True", block="true"))
    not_ready = old + sets + line("Pod", "x", phase="Pending", containers="c,0,,,ErrImagePull ", reason="Unschedulable")
    seed("kubectl_output", "not-ready", " [-]etcd failed\nreadyz check failed\n" + not_ready)
    refused = "E1123 10:00:00 memcache.go:265] couldn't get current server API group list\n"
    refused += "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n"
    seed("kubectl_output", "refused", "!" + refused)
    seed("kubectl_output", "young", " " + node + sets + runs)
    left = line("Pod", "old", "DaemonSet ud", phase="Failed", reason="Evicted") + line("Pod", "a-try", "Job uj", phase="Failed")
    jobs = line("Job", "j", "CronJob uc", failed="True", reason="BackoffLimitExceeded") + line("Job", "k", "CronJob uc", ready="True")
    seed("kubectl_output", "leftovers", " " + node + jobs + left)


def http_peer():
    head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
    head += 'Content-Type: application/json\r\nLast-Modified: Mon, 23 Nov 2026 09:00:00 GMT\r\nConnection: close\r\n'
    whole = head + 'ETag: "a"\r\nAccept-Ranges: bytes\r\nContent-Length: 12\r\n\r\n{"version":1'
    chunked = head + "Transfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"versi\r\n5\r\non\":1\r\n0\r\nX-Y: z\r\n\r\n"
    part = whole.replace("200 OK", "206 Partial Content").replace(": 12\r\n\r\n{\"ver", ": 7\r\nContent-Range: bytes 5-11/12\r\n\r\n")
    redirect = "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n"
    seed("http_peer", "length", "\0\1\3" + whole)
    seed("http_peer", "small", "\2\1\1" + whole)
    seed("http_peer", "chunks", "\0\2\5" + chunked)
    seed("http_peer", "small-chunks", "\2\7\1" + chunked)
    seed("http_peer", "resumed", "\1\11\1" + part)
    seed("http_peer", "beyond-its-end", "\1\1\1" + part.replace("Content-Length: 7", "X: y") + "more")
    seed("http_peer", "start-over", "\1\1\1HTTP/1.1 416 Range\r\nContent-Range: bytes */3\r\n\r\n", whole)
    seed("http_peer", "other-file", "\1\1\1" + part.replace('"a"', '"b"'), whole)
    seed("http_peer", "redirects", "\0\1\1" + redirect.format("/a?b"), redirect.format("//other/c"), redirect.format("../d"), whole)
    seed("http_peer", "to-a-file", "\3\1\1" + redirect.format("file:///etc/shadow"))
    seed("http_peer", "proxy", "\10\1\1" + whole)
    seed("http_peer", "interim", "\3\1\1HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole)
    seed("http_peer", "refused", "\0\1\1HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n<html>")
    seed("http_peer", "stalls", ("\0\1\1" + whole[:-4]).encode() + b"\xfe")
    seed("http_peer", "resets", ("\0\1\1" + chunked[:-20]).encode() + b"\xfd")


def chunk_index():
    def index(size, *lens):
        chunks = b"".join(struct.pack("<I", len) + hashlib.sha256(b"x" * len).digest() for len in lens)
        return b"ksoloidx" + struct.pack("<Q", size) + chunks

    seed("chunk_index", "three", index(102_000, 40_000, 60_000, 2_000))
    seed("chunk_index", "none", index(0))
    seed("chunk_index", "twice", index(80_000, 40_000, 40_000))
    seed("chunk_index", "too-long", index(131_073, 131_073))
    seed("chunk_index", "another-size", index(7, 40_000))
    seed("chunk_index", "cut", index(40_000, 40_000)[:-5])
    seed("chunk_index", "puts-together", bytes([60, 80]) + bytes(range(1, 200, 3)) * 2)
    seed("chunk_index", "puts-together-whole", bytes([200, 255]) + bytes(range(0, 250, 7)) * 2)


for make in (env_block, boot_log, gpt, latest_json, update_conf, state_json, kubectl_output, http_peer, chunk_index):
    make()
