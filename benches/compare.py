#!/usr/bin/env python3
"""Time of a conversion, and of the way back, compared with the alternatives: the tables of docs/benchmarks.md.

usage: benches/compare.py [--mbox MBOX | --made N] [--on tmpfs|ram|disk ...] [--rounds N] [--slow] [--svg FILE]

Needs root (for the loop mounts) and a release build; strace for system calls; mb2md, mblaze and python3 for the
peers. A missing peer is left out and named. `ram` is a fresh ext4 in memory and `disk` a fresh one in a file on the
disk: an old file system stays slow for some time after a delete. The commands alternate. Each figure is the median
of the rounds, and each ratio the median of the ratios within a round. Commands that take many times longer (mb2md,
mdeliver, Python's mailbox) run once, and only with --slow. mailferry and mdeliver return when the mail is on stable
storage, the others do not. floor.c makes the system calls alone, for as many files of the same size: the lower bound
for a program that writes a Maildir.
"""

import argparse
import collections
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(TOP, "target/release/mailferry")
PYTHON = """
import mailbox, sys
to = mailbox.Maildir(sys.argv[2], create=True)
for message in mailbox.mbox(sys.argv[1]):
    to.add(message)
"""
# Name, shell command, whether it is many times slower, the program that it needs.
COMMANDS = [
    ("mailferry convert (durable, with its manifest)", "{binary} convert -q {mbox} {out}", False, None),
    ("mailferry convert --no-manifest (durable)", "{binary} convert -q --no-manifest {mbox} {out}", False, None),
    ("the system calls alone (durable)", "{floor} {out} {messages} {each}", False, "cc"),
    ("cp -r of the result", "cp -r {ref} {out}", False, None),
    ("cp -r and sync", "cp -r {ref} {out} && sync -f {out}", False, None),
    ("tar to tar of the result", "mkdir {out} && tar -C {ref} -c . | tar -C {out} -x", False, "tar"),
    ("mb2md", "mb2md -s {mbox} -d {out}", True, "mb2md"),
    ("mdeliver -M", "mkdir -p {out}/cur {out}/new {out}/tmp && mdeliver -M {out} < {mbox}", True, "mdeliver"),
    ("Python's mailbox", "{python} -c '" + PYTHON + "' {mbox} {out}", True, "python3"),
]
BASE = "cp -r of the result"
# Commands that only read, in groups. Each is compared with the first one of its group. `grep` stops at the first line
# if its output is /dev/null. `verify` exits 1 for real mail.
READING = [
    [
        ("grep -c '^From '", "grep -c '^From ' {mbox} | cat"),
        ("mailferry inspect", "{binary} inspect {mbox} | cat"),
        ("mailferry convert -n", "{binary} convert -qn {mbox} {out}"),
        ("mailferry verify of the mbox", "{binary} verify -q {mbox} || [ $? = 1 ]"),
    ],
    [
        ("xargs cat of the messages", "find {ref}/new {ref}/cur -type f -print0 | xargs -0 cat"),
        ("mailferry verify of the Maildir", "{binary} verify -q {ref} || [ $? = 1 ]"),
        ("mailferry verify --quick", "{binary} verify -q --quick {ref} || [ $? = 1 ]"),
    ],
]
# Commands that write a file out of a Maildir. Each is compared with the first one.
BACK = [
    ("tar c of the Maildir", "tar -C {ref} -cf {out} ."),
    ("mailferry convert --exact (durable)", "{binary} convert -q --exact {ref} {out}"),
    ("mailferry convert MAILDIR MBOX (durable)", "{binary} convert -q {ref} {out}"),
]


def make_mbox(path, count):
    """Write plain messages of 4.1 KB on average, the same each time."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(2000)]
    with open(path, "w") as out:
        for n in range(count):
            body, size, wanted = [], 0, chance.randint(3000, 4400)
            while size < wanted:
                body.append(" ".join(chance.choices(words, k=10)))
                size += len(body[-1]) + 1
            clock = f"{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}"
            out.write(
                f"From user{n % 97}@example.org Sun Sep  9 {clock} 2001\n"
                f"Return-Path: <user{n % 97}@example.org>\n"
                f"Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.org\n"
                f"\twith SMTP id {n}; Sun, 9 Sep 2001 {clock} +0000\n"
                f"Message-ID: <{n}@example.org>\nFrom: User <user{n % 97}@example.org>\nTo: list@example.org\n"
                f"Subject: {' '.join(body[0].split()[:6])}\nDate: Sun, 9 Sep 2001 {clock} +0000\n"
                "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n" + "\n".join(body) + "\n\n"
            )


class FileSystem:
    """A file system that is removed at the end."""

    def __init__(self, kind, room, files):
        self.kind = kind
        self.name = {"tmpfs": "tmpfs", "ram": "ext4 in memory", "disk": "ext4 on disk"}[kind]
        self.scratch = tempfile.mkdtemp(dir="/dev/shm" if kind != "disk" else os.environ.get("TMPDIR", "/var/tmp"))
        self.path = os.path.join(self.scratch, "mnt")
        os.mkdir(self.path)
        if kind == "tmpfs":
            return
        image = os.path.join(self.scratch, "image")
        with open(image, "wb") as file:
            file.truncate(room)
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-E", lazy, "-N", str(files), image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.kind != "tmpfs":
            subprocess.run(["umount", self.path], check=True)
        shutil.rmtree(self.scratch)

    def clean(self, path):
        if os.path.isfile(path):
            os.remove(path)
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(["sync", "-f", self.path], check=True)


def run(command):
    """Return the seconds, and the peak memory of the largest process in MiB. The memory is None if it was not more
    than that of this script, with which a child begins.
    """
    started = time.monotonic()
    child = subprocess.Popen(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command}: exit {child.returncode}")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return took, usage.ru_maxrss / 1024 if usage.ru_maxrss > own + 1024 else None


def system_calls(command):
    """Count the calls of a command and its children; None without strace."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as table:
        strace = ["strace", "-f", "-c", "-o", table.name, "bash", "-c", command]
        subprocess.run(strace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        rows = [line.split() for line in table.read().splitlines()]
    return sum(int(row[3]) for row in rows if len(row) >= 5 and row[0][0].isdigit() and row[-1] != "total")


def measure(mbox, kind, options):
    size = os.path.getsize(mbox)
    with FileSystem(kind, size * 8 + (1 << 29), 8 * (size // 2048) + 10000) as place:
        out, ref = os.path.join(place.path, "out"), os.path.join(place.path, "ref")
        run(f"cat {mbox}")
        run(f"{BINARY} convert -q {mbox} {ref}")
        messages = sum(len(os.listdir(os.path.join(ref, name))) for name in ("new", "cur"))
        words = {"binary": BINARY, "mbox": mbox, "out": out, "ref": ref, "python": sys.executable}
        words |= {"floor": os.path.join(place.scratch, "floor"), "messages": messages, "each": size // messages}
        if shutil.which("cc"):
            source = os.path.join(TOP, "benches/floor.c")
            subprocess.run(["cc", "-O2", "-pthread", "-o", words["floor"], source], check=True)
        commands, missing = [], []
        for name, command, slow, needs in COMMANDS:
            if slow and not options.slow:
                continue
            (commands if needs is None or shutil.which(needs) else missing).append((name, command.format(**words), slow))
        for name, _, _ in missing:
            print(f"left out, not installed: {name}", file=sys.stderr)
        seconds, memory = collections.defaultdict(list), {}
        for turn in range(options.rounds):
            for name, command, slow in commands:
                if slow and turn:
                    continue
                place.clean(out)
                time.sleep(0.2)
                took, resident = run(command)
                seconds[name].append(took)
                memory[name] = max(memory.get(name) or 0, resident or 0)
        calls = {}
        for name, command, slow in commands:
            if not slow and kind == "tmpfs":
                place.clean(out)
                counted = system_calls(command)
                calls[name] = counted and counted / messages
        rows = []
        for name, _, _ in commands:
            # Relative to the cp -r of the same round, because the load changes between rounds.
            ratios = [took / base for took, base in zip(seconds[name], seconds[BASE])]
            median = statistics.median(seconds[name])
            row = (name, median, min(seconds[name]), statistics.median(ratios), memory[name], calls.get(name))
            rows.append(row)
        return place.name, messages, size, rows


def print_table(name, messages, size, rows, rounds):
    print(f"\n{name}: {messages:,} messages, {size / 1e6:.0f} MB, {os.cpu_count()} cores, medians of {rounds} rounds\n")
    print("| command | seconds | least | × `cp -r` | messages/s | MiB | system calls a message |")
    print("|---|---|---|---|---|---|---|")
    for row, median, least, ratio, memory, calls in rows:
        calls, memory = f"{calls:.1f}" if calls else "", f"{memory:.0f}" if memory else ""
        print(f"| {row} | {median:.2f} | {least:.2f} | {ratio:.2f} | {messages / median:,.0f} | {memory} | {calls} |")


def measure_reading(mbox, options):
    """Print the time of each command of READING. The mail is in memory."""
    with FileSystem("tmpfs", 0, 0) as place:
        words = {"binary": BINARY, "mbox": mbox, "out": f"{place.scratch}/out", "ref": f"{place.scratch}/ref"}
        run("{binary} convert -q {mbox} {ref}".format(**words))
        print("\n| command | seconds | least | × the first |\n|---|---|---|---|")
        for group in READING:
            rounds = [[run(command.format(**words))[0] for _, command in group] for _ in range(options.rounds)]
            for (name, _), seconds in zip(group, zip(*rounds)):
                ratio = statistics.median(took / first for took, (first, *_) in zip(seconds, rounds))
                print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {ratio:.2f} |")


def measure_back(mbox, kind, options):
    """Print the time of each command of BACK. The Maildir is in the cache."""
    size = os.path.getsize(mbox)
    with FileSystem(kind, size * 8 + (1 << 29), 8 * (size // 2048) + 10000) as place:
        ref, out = os.path.join(place.path, "ref"), os.path.join(place.path, "out")
        words = {"binary": BINARY, "ref": ref, "out": out}
        run(f"{BINARY} convert -q {mbox} {ref}")
        rounds = []
        for _ in range(options.rounds):
            rounds.append([])
            for _, command in BACK:
                place.clean(out)
                rounds[-1].append(run(command.format(**words)))
        print(f"\n| out of a Maildir on {place.name} | seconds | least | × the first | MiB |\n|---|---|---|---|---|")
        for (name, _), runs in zip(BACK, zip(*rounds)):
            seconds = [took for took, _ in runs]
            ratio = statistics.median(took / first[0][0] for took, first in zip(seconds, rounds))
            memory = max(resident or 0 for _, resident in runs)
            print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {ratio:.2f} | {memory:.0f} |")


def draw(path, title, tables):
    """Draw a bar per command: the logarithm of its time relative to cp -r."""
    low, high = 0.1, 100.0
    width, left, right, step = 760, 300, 60, 20
    scale = lambda ratio: left + (width - left - right) * math.log(ratio / low) / math.log(high / low)
    y, parts = 46, []
    for name, _, _, rows in tables:
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{name}</text>')
        y += 8
        for row, _, _, ratio, _, _ in rows:
            ours = row.startswith("mailferry")
            end = scale(min(max(ratio, low * 1.02), high))
            parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{row}</text>')
            parts.append(
                f'<rect x="{left}" y="{y + 2}" width="{end - left:.1f}" height="13" fill="{"#1b6ca8" if ours else "#b8b8b8"}"/>'
            )
            parts.append(f'<text x="{end + 5:.1f}" y="{y + 12}">{ratio:.2f}</text>')
            y += step
        y += 22
    grid = "".join(
        f'<line x1="{scale(t):.1f}" y1="30" x2="{scale(t):.1f}" y2="{y - 20}" stroke="#ddd"/>'
        f'<text x="{scale(t):.1f}" y="{y - 6}" text-anchor="middle">{t:g}</text>'
        for t in (0.1, 1, 10, 100)
    )
    with open(path, "w") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 8}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="18" font-size="14">{title}</text>{grid}'
            + "\n".join(parts)
            + "</svg>\n"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mbox")
    parser.add_argument("--made", type=int, default=100_000)
    parser.add_argument("--on", nargs="+", choices=["tmpfs", "ram", "disk"], default=["tmpfs", "ram", "disk"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--svg")
    options = parser.parse_args()
    made = None
    if options.mbox is None:
        made = tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".mbox")
        make_mbox(made.name, options.made)
    mbox = os.path.realpath(options.mbox or made.name)
    tables = []
    for kind in options.on:
        tables.append(measure(mbox, kind, options))
        print_table(*tables[-1], options.rounds)
        measure_back(mbox, kind, options)
    measure_reading(mbox, options)
    if options.svg:
        title = f"{tables[0][1]:,} messages from one mbox into a Maildir: time as a multiple of cp -r of the result"
        draw(options.svg, title, tables)


if __name__ == "__main__":
    main()
