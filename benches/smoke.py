#!/usr/bin/env python3
"""Is a conversion still as cheap as it was? Fails on system calls and on ratios, never on seconds.

usage: benches/smoke.py

Needs a release build and strace. System calls a message are the difference between two mboxes, so that what a run
itself takes does not count; waiting for each other (futex) and advice about memory depend on the machine and do not
count either. Ratios are medians of alternated rounds on a file system in memory, and allow for a busy machine.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import compare

# What the machine's load decides, and not the mail.
NOT_OURS = {"futex", "sched_yield", "madvise", "mprotect", "mmap", "munmap", "brk", "restart_syscall", "clock_nanosleep"}
INTO_NEW, INTO_EXISTING = 4, 6
# A folder of a tree, its ten messages and all that it waits for included; a hundred of them wait for each other.
A_FOLDER = 300
# In processor time and by the clock, beside cp -r of the result; 1.4 and 0.9 were seen when this was written.
PROCESSOR, CLOCK = 2.5, 2.0


def calls(arguments, only_ours=True):
    with tempfile.NamedTemporaryFile("r") as table:
        subprocess.run(["strace", "-f", "-c", "-o", table.name, compare.BINARY, "convert", "-q", *arguments], check=True)
        rows = [line.split() for line in table.read().splitlines()]
    counted = [row for row in rows if len(row) >= 5 and row[0][0].isdigit() and row[-1] != "total"]
    return sum(int(row[3]) for row in counted if not (only_ours and row[-1] in NOT_OURS))


def maildir(path):
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(path, name))
    return path


def system_calls(scratch):
    less, more = os.path.join(scratch, "less.mbox"), os.path.join(scratch, "more.mbox")
    compare.make_mbox(less, 1000)
    compare.make_mbox(more, 3000)
    at = lambda name: os.path.join(scratch, name)
    new = (calls([more, at("new-more")]) - calls([less, at("new-less")])) / 2000
    there = (calls([more, maildir(at("there-more"))]) - calls([less, maildir(at("there-less"))])) / 2000
    yield "system calls a message into a new Maildir", new, INTO_NEW
    yield "system calls a message into an existing one", there, INTO_EXISTING
    tree = at("tree")
    os.mkdir(tree)
    for n in range(200):
        compare.make_mbox(os.path.join(tree, f"folder{n}"), 10)
    yield "system calls a folder of a tree, all of them", calls([tree, at("folders")], only_ours=False) / 200, A_FOLDER


def ratios(scratch):
    mbox, out, ref = (os.path.join(scratch, name) for name in ("mbox", "out", "ref"))
    compare.make_mbox(mbox, 10_000)
    ours, theirs = [compare.BINARY, "convert", "-q", mbox, out], ["cp", "-r", ref, out]
    subprocess.run([*ours[:-1], ref], check=True)
    seconds = {"clock": ([], []), "processor": ([], [])}
    for _ in range(7):
        for which, command in enumerate((ours, theirs)):
            shutil.rmtree(out, ignore_errors=True)
            before = os.times()
            subprocess.run(command, check=True)
            after = os.times()
            seconds["clock"][which].append(after.elapsed - before.elapsed)
            took = after.children_user + after.children_system - before.children_user - before.children_system
            seconds["processor"][which].append(took)
    for name, most in (("processor", PROCESSOR), ("clock", CLOCK)):
        mine, other = map(statistics.median, seconds[name])
        yield f"{name} time beside cp -r", mine / other, most


def main():
    if not shutil.which("strace"):
        sys.exit("benches/smoke.py: strace is missing")
    if not os.path.exists(compare.BINARY):
        sys.exit("benches/smoke.py: build first: cargo build --release --locked")
    failed = False
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        for measure in (system_calls, ratios):
            for what, seen, most in measure(scratch):
                # The manifest is written, and flushed, every so often: that is no call a message.
                ok = seen <= most + 0.05
                failed |= not ok
                print(f"{'ok ' if ok else 'BAD'}  {what}: {seen:.2f}, at most {most}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
