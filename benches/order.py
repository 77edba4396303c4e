#!/usr/bin/env python3
"""Writes build/delivery-order.txt: the functions that a delivery runs, which build.rs has linked next to each other.

usage: CARGO_PROFILE_RELEASE_STRIP=none cargo build --release && benches/order.py

On Linux with x86-64. Runs deliveries one instruction at a time, which takes a minute. The names are patterns without
hashes, so that another compiler has them, too. A pattern that matches nothing does no harm.
"""

import bisect
import collections
import ctypes
import os
import re
import signal
import subprocess
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(TOP, "target/release/mailferry")
LIST = os.path.join(TOP, "build/delivery-order.txt")
MESSAGE = b"From: ann@example.org\nSubject: x\n\nHello\n"
DELIVERIES = (["{0}/Maildir"], ["-f", "ann@example.org", "-r", "joe@example.net", "{0}/Maildir/"])
# The kernel maps this much of a file at a page fault. A pattern is worth its size if it saves faults.
WINDOW = 1 << 16
WORTH = 0.6 * WINDOW

TRACE_ME, PEEK_USER, SINGLE_STEP = 0, 3, 9
RIP = 16 * 8
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def base_of(process):
    with open(f"/proc/{process}/maps") as maps:
        return next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(BINARY))


def addresses_of(arguments, message):
    """Returns the addresses in the binary that a delivery runs."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(message, os.O_RDONLY), 0)
        LIBC.ptrace(TRACE_ME, 0, None, None)
        os.execv(BINARY, [BINARY, "deliver", *arguments])
    os.waitpid(process, 0)
    base, addresses = base_of(process), set()
    while True:
        LIBC.ptrace(SINGLE_STEP, process, None, None)
        _, status = os.waitpid(process, 0)
        if not os.WIFSTOPPED(status):
            assert os.waitstatus_to_exitcode(status) == 0, arguments
            return addresses
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            raise SystemExit(f"signal {os.WSTOPSIG(status)}")
        addresses.add(LIBC.ptrace(PEEK_USER, process, RIP, None) - base)


def functions():
    """Returns the names of all functions by address."""
    names = collections.defaultdict(list)
    listed = subprocess.run(["nm", "--defined-only", BINARY], stdout=subprocess.PIPE, text=True, check=True)
    for line in listed.stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tT":
            names[int(address, 16)].append(name)
    return names


def pattern(name):
    name = re.sub(r"17h[0-9a-f]{16}E(\.llvm\.\d+)?$", "17h*", name)
    return re.sub(r"Cs[0-9A-Za-z]+_(?=\d)", "Cs*_", name) if name.startswith("_R") else name


def main():
    names = functions()
    starts = sorted(names)
    sizes = dict(zip(starts, (end - start for start, end in zip(starts, starts[1:]))))
    with tempfile.TemporaryDirectory() as scratch:
        message = os.path.join(scratch, "message")
        with open(message, "wb") as file:
            file.write(MESSAGE)
        for name in ("tmp", "new", "cur"):
            os.makedirs(os.path.join(scratch, "Maildir", name))
        runs = [[word.format(scratch) for word in arguments] for arguments in DELIVERIES]
        addresses = set().union(*(addresses_of(arguments, message) for arguments in runs))
    used = {starts[bisect.bisect_right(starts, address) - 1] for address in addresses if address >= starts[0]}
    size, used_size, used_count = (collections.Counter() for _ in range(3))
    for start, names_there in names.items():
        for one in set(map(pattern, names_there)):
            size[one] += sizes.get(start, 0)
            if start in used:
                used_size[one] += sizes.get(start, 0)
                used_count[one] += 1
    # Functions that are mostly used go first. An instance of a generic function brings all others along.
    is_dense = lambda one: size[one] <= max(3 * used_size[one], 2000)
    dense = sorted(one for one in used_size if is_dense(one))
    sparse = [one for one in used_size if not is_dense(one) and size[one] < WORTH * used_count[one]]
    sparse.sort(key=lambda one: (size[one] / used_count[one], one))
    # A linker script has no other characters without quotes.
    listed = [one for one in dense + sparse if re.fullmatch(r"[\w.$*]+", one)]
    with open(LIST, "w") as file:
        file.writelines(one + "\n" for one in listed)
    print(f"{len(listed)} patterns for {sum(used_size.values())} bytes that are used of {sum(size[one] for one in listed)}")


main()
