#!/usr/bin/env python3
"""Makes deny/advisories.toml from RustSec's advisory-db: a git folder of it is the one argument.

Only facts are taken: which advisories name a crate of ours, which versions have the patch, which never had the defect.
"""

import pathlib
import re
import subprocess
import sys
import tomllib

TOP = pathlib.Path(__file__).parent.parent
LOCKS = ["Cargo.lock", "fuzz/Cargo.lock"]


def git(*words):
    return subprocess.run(["git", "-C", sys.argv[1], *words], check=True, capture_output=True, text=True).stdout


def names():
    packages = [package for lock in LOCKS for package in tomllib.loads((TOP / lock).read_text())["package"]]
    return sorted({package["name"] for package in packages if "source" in package})


def advisory(path):
    """The advisory's front matter; none if it was withdrawn."""
    found = tomllib.loads(re.search(r"```toml\n(.*?)```", git("show", f"HEAD:{path}"), re.S)[1])
    head, versions = found["advisory"], found.get("versions", {})
    if "withdrawn" in head:
        return None
    quoted = lambda texts: "[" + ", ".join(f'"{text}"' for text in texts) + "]"
    fields = [f'id = "{head["id"]}"', f"patched = {quoted(versions.get('patched', []))}"]
    if versions.get("unaffected"):
        fields.append(f"unaffected = {quoted(versions['unaffected'])}")
    if "informational" in head:
        fields.append(f'informational = "{head["informational"]}"')
    return "{ " + ", ".join(fields) + " }"


def main():
    commit, date = git("log", "-1", "--format=%H %cs").split()
    print("# What RustSec's advisory-db says of every crate in Cargo.lock and fuzz/Cargo.lock, by deny/refresh.py; an empty")
    print("# list: nothing. tools/audit fails for a version that is neither patched nor unaffected, and for a crate that")
    print("# is not here: then somebody has to look, and run deny/refresh.py with a newer advisory-db.")
    print(f'commit = "{commit}"\ndate = {date}\n\n[crates]')
    for name in names():
        paths = git("ls-tree", "-r", "--name-only", "HEAD", f"crates/{name}/").split()
        known = [known for known in map(advisory, sorted(paths)) if known]
        print(f"{name} = " + ("[\n" + "".join(f"  {each},\n" for each in known) + "]" if known else "[]"))


main()
