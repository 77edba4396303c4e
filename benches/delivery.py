#!/usr/bin/env python3
"""Time of one delivery compared with safecat, in alternated pairs.

usage: benches/delivery.py [PAIRS]          (300)

As root: on a fresh ext4 in a file on the disk, on one in memory, and on tmpfs. Needs safecat and a release
build. safecat flushes the message; mailferry also flushes its directory. Prints medians, and the median of
the ratios of the pairs, which is reliable even on a busy machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(TOP, "target/release/mailferry")
MESSAGE = b"From: ann@example.org\nSubject: how long it takes\n\n" + b"line of a letter of the usual size\n" * 110


def seconds(command, message):
    with open(message, "rb") as stdin:
        started = time.perf_counter()
        subprocess.run(command, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started


def compare(where, directory, pairs):
    maildir = os.path.join(directory, "Maildir")
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(maildir, name))
    message = os.path.join(directory, "message")
    with open(message, "wb") as file:
        file.write(MESSAGE)
    commands = (["safecat", maildir + "/tmp", maildir + "/new"], [BINARY, "deliver", maildir])
    times = ([], [])
    for n in range(pairs + 10):
        order = (0, 1) if n % 2 == 0 else (1, 0)
        for which in order:
            took = seconds(commands[which], message)
            # Warm up.
            if n >= 10:
                times[which].append(took)
    ours, theirs = statistics.median(times[1]), statistics.median(times[0])
    ratio = statistics.median(b / a for a, b in zip(*times))
    print(f"{where:18} safecat {theirs * 1e3:6.2f} ms   mailferry {ours * 1e3:6.2f} ms   ratio {ratio:.2f}")


def on_ext4(where, root, pairs):
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        image, mounted = os.path.join(scratch, "image"), os.path.join(scratch, "mounted")
        os.mkdir(mounted)
        subprocess.run(["truncate", "-s", "512M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        try:
            compare(where, mounted, pairs)
        finally:
            subprocess.run(["umount", mounted], check=True)


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    on_ext4("ext4 on disk", "/var/tmp", pairs)
    on_ext4("ext4 in memory", "/dev/shm", pairs)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        compare("tmpfs", scratch, pairs)


main()
