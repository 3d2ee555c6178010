#!/usr/bin/env python3
"""Draws docs/fleet.svg: how 10,000 boxes follow `1h:1 4h:5 1d:15 2d:40 4d:70 6d:100`. Places are computed here as docs/fleet.md says."""

import hashlib

WAVES = [(0, 0), (3600, 1), (14400, 5), (86400, 15), (172800, 40), (345600, 70), (518400, 100)]
LEFT, TOP, WIDTH, HEIGHT = 50, 20, 640, 240


def offered(number):
    """Seconds after the start."""
    machine_id = hashlib.md5(str(number).encode()).hexdigest()
    place = int.from_bytes(hashlib.sha256(f"{machine_id}\0001.2.0".encode()).digest()[:4], "big") % 10000
    for (since, low), (until, high) in zip(WAVES, WAVES[1:]):
        if place < high * 100:
            return since + (until - since) * (place - low * 100) // ((high - low) * 100)


def point(seconds, percent):
    return f"{LEFT + seconds * WIDTH / 518400:.1f},{TOP + HEIGHT - percent * HEIGHT / 100:.1f}"


times = sorted(offered(number) for number in range(10000))
boxes = " ".join(point(times[at], (at + 1) / 100) for at in range(0, 10000, 50))
table = " ".join(point(*wave) for wave in WAVES)
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" font-family="sans-serif" font-size="12">')
print('<rect width="720" height="300" fill="#fff"/>')
for percent in range(0, 101, 25):
    x, y = point(0, percent).split(",")
    print(f'<path d="M{x} {y}h{WIDTH}" stroke="#ddd"/><text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{percent} %</text>')
for day in range(7):
    x, y = point(day * 86400, 0).split(",")
    print(f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle">{day} d</text>')
print(f'<polyline points="{table}" fill="none" stroke="#bbb" stroke-width="5"/>')
print(f'<polyline points="{boxes}" fill="none" stroke="#06c" stroke-width="1.5"/>')
print('<text x="70" y="40" fill="#06c">boxes that have been offered the version</text>')
print('<text x="70" y="56" fill="#888">the waves in latest.json</text>')
print("</svg>")
