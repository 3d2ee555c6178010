#!/usr/bin/env python3
"""Does deny/advisories.toml know of a defect in any crate that these Cargo.lock files name? Needs no network.

Also a failure: a crate that is not in the list, and one that does not come from crates.io. What became known after the day
of the list is not in it, so its age is told; `--age` prints nothing but that, in days. KSOLO_TODAY=2026-11-27 stands for
another day.
"""

import datetime
import os
import pathlib
import re
import sys
import tomllib

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def version(text):
    """A version in the order of semver.org, item 11: what comes before a release is less than it."""
    release, _, before = text.split("+")[0].partition("-")
    numbers = [int(number) for number in release.split(".")]
    words = [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in before.split(".") if word]
    return [*numbers, *[0] * (3 - len(numbers))], not before, words


def caret(least):
    """The first version that `^` no longer takes: the leftmost number above 0 goes up."""
    numbers = version(least)[0]
    at = next((at for at in range(3) if numbers[at]), 2)
    return [*numbers[:at], numbers[at] + 1, *[0] * (2 - at)], True, []


def holds(ranges, ours):
    """Whether any of the ranges, each bounds with commas between them, has this version."""

    def within(bound):
        sign, than = re.fullmatch(r"\s*([<>=^]*)\s*(\d\S*)\s*", bound).groups()
        mine, theirs = version(ours), version(than)
        return {
            ">=": mine >= theirs,
            ">": mine > theirs,
            "<=": mine <= theirs,
            "<": mine < theirs,
            "=": mine == theirs,
            "^": theirs <= mine < caret(than),
        }[sign or "^"]

    return any(all(map(within, bounds.split(","))) for bounds in ranges)


def problems(lock, advisories):
    """Every reason not to take what this file locks."""
    for package in tomllib.loads(pathlib.Path(lock).read_text())["package"]:
        name, ours, source = package["name"], package["version"], package.get("source")
        if source is None:
            continue  # A package of this repository.
        if source != CRATES_IO:
            yield f"{name} {ours} comes from {source}"
        if name not in advisories:
            yield f"{name} is not in deny/advisories.toml: run deny/refresh.py"
        for known in advisories.get(name, []):
            if not holds(known["patched"] + known.get("unaffected", []), ours):
                yield f"{name} {ours} has {known['id']}"


def main():
    known = tomllib.loads((pathlib.Path(__file__).parent / "advisories.toml").read_text())
    today = os.environ.get("KSOLO_TODAY")
    today = datetime.date.fromisoformat(today) if today else datetime.datetime.now(datetime.UTC).date()
    age = (today - known["date"]).days
    if sys.argv[1:] == ["--age"]:
        print(age)
        return
    found = [f"{lock}: {problem}" for lock in sys.argv[1:] for problem in problems(lock, known["crates"])]
    told = f"the advisories are those of {known['date']}, {age} days ago"
    print("\n".join(found) or f"no defect that RustSec knew of: {told}")
    sys.exit(bool(found))


main()
