#!/usr/bin/env python3
"""Draws docs/demo.svg, a terminal in which the transcript of `make demo` goes by, from docs/demo.txt.

`make demo RECORD=1` writes the transcript and calls this. Where a picture does not move, it shows the last screen.
"""

import html
import pathlib
import re
import sys
import textwrap

ROWS = 28  # Lines that the terminal shows.
COLUMNS = 118
WIDTH, HEIGHT = 7.2, 17  # Of a letter, in pixels: 12 pixels of a monospaced font.
PAUSE, AT_THE_END = 0.35, 8.0  # Seconds for a line, and for the last screen.
COMMAND, CHAPTER = 1.2, 2.5  # A line that a person has to read takes longer.

WHO = {"GRUB": "grub", "init": "init", "Linux": "linux", "you": "you"}


def classed(line):
    """The line as SVG text: who speaks, and states in the colours that `status` has."""
    text = html.escape(line, quote=False)
    if re.match(r"\d+\. ", line):
        return f'<tspan class="chapter">{text}</tspan>'
    speaker = re.match(r"( {3})(\w+)( +)(.*)", line)
    if speaker and speaker[2] in WHO:
        before, who, gap, rest = speaker.groups()
        rest = html.escape(rest, quote=False)
        return f'{before}<tspan class="{WHO[who]}">{who}</tspan>{gap}' + (
            f'<tspan class="command">{rest}</tspan>' if who == "you" else states(rest)
        )
    return states(text)


def states(text):
    colours = {"good": "good", "bad": "bad", "trial": "trial", "staged": "trial"}
    return re.sub(r"(?<=[( ])(good|bad|trial|staged)(?=[),: ])", lambda word: f'<tspan class="{colours[word[1]]}">{word[1]}</tspan>', text)


def seconds(line):
    if re.match(r"\d+\. ", line):
        return CHAPTER
    return COMMAND if " # " in line else PAUSE


def draw(transcript):
    lines = []
    for line in transcript.strip("\n").split("\n"):
        lines += textwrap.wrap(line, COLUMNS, subsequent_indent=" " * 22) or [""]
    width, height = round(COLUMNS * WIDTH) + 32, ROWS * HEIGHT + 52
    total = sum(map(seconds, lines)) + AT_THE_END
    # Each line comes in at the bottom and moves all of it up by one.
    steps, now = [], 0.0
    for count, line in enumerate(lines, 1):
        steps.append(f"{now / total * 100:.3f}%{{transform:translateY({(ROWS - count) * HEIGHT}px)}}")
        now += seconds(line)
    last = (ROWS - len(lines)) * HEIGHT
    steps.append(f"100%{{transform:translateY({last}px)}}")
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">')
    print("<title>kubesolo-boot: a good update, a bad update, and its rollback</title>")
    print("<!-- Drawn by docs/demo.py from docs/demo.txt. -->")
    print("<style>")
    print("text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9;white-space:pre}")
    print(".chapter{fill:#8b949e;font-style:italic}.you,.command{fill:#f0f6fc;font-weight:bold}.grub,.init,.linux{fill:#79c0ff}")
    print(".good{fill:#56d364}.bad{fill:#ff7b72}.trial{fill:#e3b341}")
    print(f".lines{{animation:up {total:.2f}s step-end infinite}}")
    print("@keyframes up{" + "".join(steps) + "}")
    print("@media (prefers-reduced-motion:reduce){.lines{animation:none}}")
    print("</style>")
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>')
    for place, colour in enumerate(["#ff5f56", "#ffbd2e", "#27c93f"]):
        print(f'<circle cx="{20 + place * 18}" cy="18" r="6" fill="{colour}"/>')
    print(f'<clipPath id="screen"><rect x="0" y="36" width="{width}" height="{ROWS * HEIGHT + 6}"/></clipPath>')
    print('<g clip-path="url(#screen)"><g class="lines" transform="translate(0 %d)">' % last)
    for place, line in enumerate(lines):
        if line.strip():
            print(f'<text x="16" y="{36 + 13 + place * HEIGHT}" xml:space="preserve">{classed(line)}</text>')
    print("</g></g>")
    print("</svg>")


if len(sys.argv) > 1:
    sys.exit(__doc__)
draw((pathlib.Path(__file__).parent / "demo.txt").read_text())
