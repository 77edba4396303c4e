#!/usr/bin/env python3
"""Check that a conversion is as cheap as before. Fails on system calls, memory and ratios, never on seconds.

usage: benches/smoke.py

Needs a release build and strace. System calls per message are the difference between two mboxes, so that the calls
of the run itself do not count. Waits between threads (futex) and memory management depend on the machine and do not
count either. Ratios are medians of alternated rounds on a file system in memory, with tolerance for a busy machine.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import compare

# Calls that depend on the load, not on the mail.
IGNORED = {"futex", "sched_yield", "madvise", "mprotect", "mmap", "munmap", "brk", "restart_syscall", "clock_nanosleep"}
INTO_NEW, INTO_EXISTING = 4, 6
# Verification opens, looks up, reads and closes each message, and only looks it up with --quick.
VERIFIED, LOOKED_UP = 4, 1
# Per folder of a tree with ten messages, waits included. A hundred folders wait for each other.
A_FOLDER = 300
# Bytes of peak memory per message; 97 were measured in the beginning.
MEMORY = 160
# Verification keeps names, hashes and an index; 300 to 460 were measured.
VERIFY_MEMORY = 600
# Processor and elapsed time relative to cp -r of the result; 1.3 and 0.75 were measured in the beginning.
PROCESSOR, CLOCK = 2.5, 1.5
# Elapsed time relative to grep -c '^From '; 0.6 and 1.0 were measured.
DRY_RUN, LISTING = 1.5, 2.5
# Elapsed time of the verification of a Maildir relative to xargs cat of its messages; 1.1 and 0.19 were
# measured on a busy machine.
VERIFY, QUICK = 1.6, 0.5


def calls(arguments, skip_ignored=True, command="convert"):
    with tempfile.NamedTemporaryFile("r") as table:
        subprocess.run(["strace", "-f", "-c", "-o", table.name, compare.BINARY, command, "-q", *arguments], check=True)
        rows = [line.split() for line in table.read().splitlines()]
    counted = [row for row in rows if len(row) >= 5 and row[0][0].isdigit() and row[-1] != "total"]
    return sum(int(row[3]) for row in counted if not (skip_ignored and row[-1] in IGNORED))


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
    yield "system calls per message into a new Maildir", new, INTO_NEW
    yield "system calls per message into an existing one", there, INTO_EXISTING
    for depth, most in ([], VERIFIED), (["--quick"], LOOKED_UP):
        seen = [calls([*depth, at(out)], command="verify") for out in ("new-more", "new-less")]
        yield " ".join(["system calls per verified message", *depth]), (seen[0] - seen[1]) / 2000, most
    tree = at("tree")
    os.mkdir(tree)
    for n in range(200):
        compare.make_mbox(os.path.join(tree, f"folder{n}"), 10)
    yield "system calls per folder of a tree, all of them", calls([tree, at("folders")], skip_ignored=False) / 200, A_FOLDER


def make_small(mbox, count):
    with open(mbox, "w") as file:
        for n in range(count):
            file.write(f"From a@example.org Sun Sep  9 01:46:40 2001\nMessage-ID: <{n}@example.org>\n\n{'x' * 300}\n\n")


def verified(scratch):
    """Measure the memory of verification with the manifest. Without its source, which would be mapped."""
    peaks, counts = [], (30_000, 90_000)
    for count in counts:
        mbox, out = (os.path.join(scratch, f"{name}{count}") for name in ("gone", "verified"))
        make_small(mbox, count)
        subprocess.run([compare.BINARY, "convert", "-q", mbox, out], check=True)
        os.remove(mbox)
        peaks.append(compare.run(f"{compare.BINARY} verify -q {out}")[1])
        shutil.rmtree(out)
    yield "bytes of memory per verified message", (peaks[1] - peaks[0]) * (1 << 20) / (counts[1] - counts[0]), VERIFY_MEMORY


def resident(scratch):
    """Measure memory with small messages, so that the read-ahead is the same for few and for many."""
    peaks, counts = [], (100_000, 300_000)
    for count in counts:
        mbox, out = (os.path.join(scratch, f"{name}{count}") for name in ("small", "dry"))
        make_small(mbox, count)
        # A dry run with one existing message: it determines all names and writes nothing.
        os.makedirs(maildir(out), exist_ok=True)
        open(os.path.join(out, "new", "1.0123456789abcdef01234567.mailferry,S=1,W=1"), "w").close()
        took = compare.run(f"{compare.BINARY} convert -n -q {mbox} {out}")
        peaks.append(took[1])
    yield "bytes of memory per message", (peaks[1] - peaks[0]) * (1 << 20) / (counts[1] - counts[0]), MEMORY


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
        yield f"{name} time relative to cp -r", mine / other, most
    # Not to /dev/null: grep would stop at the first match.
    grep = f"grep -c '^From ' {mbox} | cat"
    looks = (f"{compare.BINARY} convert -n -q {mbox} {out}", DRY_RUN), (f"{compare.BINARY} inspect {mbox} | cat", LISTING)
    shutil.rmtree(out)
    for look, most in looks:
        ratio = [compare.run(look)[0] / compare.run(grep)[0] for _ in range(7)]
        yield f"{look.split()[1]} relative to grep -c", statistics.median(ratio), most
    cat = f"find {ref}/new {ref}/cur -type f -print0 | xargs -0 cat"
    for depth, most in ("", VERIFY), ("--quick", QUICK):
        ratio = [compare.run(f"{compare.BINARY} verify -q {depth} {ref}")[0] / compare.run(cat)[0] for _ in range(7)]
        yield " ".join(["verify", depth, "relative to xargs cat"]), statistics.median(ratio), most


def main():
    if not shutil.which("strace"):
        sys.exit("benches/smoke.py: strace is missing")
    if not os.path.exists(compare.BINARY):
        sys.exit("benches/smoke.py: build first: cargo build --release --locked")
    failed = False
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        for measure in (system_calls, resident, verified, ratios):
            for what, seen, most in measure(scratch):
                # The manifest is written and flushed at intervals, not per message.
                ok = seen <= most + 0.05
                failed |= not ok
                print(f"{'ok ' if ok else 'BAD'}  {what}: {seen:.2f}, at most {most}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
