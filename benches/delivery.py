#!/usr/bin/env python3
"""Time of deliveries compared with other programs, and of many at a time compared with one after the other.

usage: benches/delivery.py [ROUNDS]          (300)

As root: on a fresh ext4 in a file on the disk, on one in memory, and on tmpfs. Needs a release build, and whichever of
safecat, dovecot-lda (dovecot-core) and notmuch are to be compared. First it prints what each one flushes, if strace is
there. The programs take turns. It prints medians, and the median of the ratios to the first row in each round, which
is reliable even on a busy machine. Then it compares 16 deliverers into one Maildir with one: processes, and sessions
by QMTP that wait for each reply.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("MAILFERRY", os.path.join(TOP, "target/release/mailferry"))
MESSAGE = b"From: ann@example.org\nSubject: how long it takes\n\n" + b"line of a letter of the usual size\n" * 110
DOVECOT_LDA = "/usr/lib/dovecot/dovecot-lda"
DELIVERERS = 16
# nobody
USER = 65534

DOVECOT = """\
base_dir = {0}/run
mail_location = maildir:{0}/dovecot
first_valid_uid = 0
log_path = {0}/log
postmaster_address = postmaster@example.org
"""
NOTMUCH = "[database]\npath={0}/notmuch\n[user]\nname=Ann\nprimary_email=ann@example.org\n[new]\ntags=\n"


def create_maildir(path):
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(path, name))
    return path


def mailers(directory):
    """Returns the commands by name, and the environment that they need. The first is what others are compared with."""
    environment = dict(os.environ, HOME=directory, NOTMUCH_CONFIG=os.path.join(directory, "notmuch.conf"))
    commands = {"mailferry deliver": [BINARY, "deliver", create_maildir(directory + "/Maildir")]}
    if shutil.which("safecat"):
        maildir = create_maildir(directory + "/safecat")
        commands["safecat"] = ["safecat", maildir + "/tmp", maildir + "/new"]
    if os.path.exists(DOVECOT_LDA):
        with open(directory + "/dovecot.conf", "w") as file:
            file.write(DOVECOT.format(directory))
        create_maildir(directory + "/dovecot")
        commands["dovecot-lda"] = [DOVECOT_LDA, "-c", directory + "/dovecot.conf", "-f", "ann@example.org"]
    if shutil.which("notmuch"):
        with open(environment["NOTMUCH_CONFIG"], "w") as file:
            file.write(NOTMUCH.format(directory))
        create_maildir(directory + "/notmuch")
        subprocess.run(["notmuch", "new", "--quiet"], env=environment, check=True)
        commands["notmuch insert"] = ["notmuch", "insert"]
    return commands, environment


def run(command, environment, directory):
    with open(directory + "/message", "rb") as stdin:
        started = time.perf_counter()
        subprocess.run(command, stdin=stdin, stdout=subprocess.DEVNULL, env=environment, check=True)
        return time.perf_counter() - started


def print_flushes(directory):
    if not shutil.which("strace"):
        return
    commands, environment = mailers(directory)
    for name, command in commands.items():
        run(command, environment, directory)
        log = directory + "/strace"
        strace = ["strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=fsync,fdatasync,syncfs,sync"]
        run(strace + command, environment, directory)
        with open(log) as file:
            flushed = re.findall(r"(\w+)\(\d+<([^>]*)>", file.read())
        paths = [os.path.relpath(path, directory) for _, path in flushed]
        shown = (re.sub(r"/\d{9}[^/]*$", "/MESSAGE", path) for path in paths)
        print(f"{name} flushes {', '.join(shown) or 'nothing'}")


def compare(directory, rounds):
    commands, environment = mailers(directory)
    times = {name: [] for name in commands}
    names = list(commands)
    for n in range(rounds + 10):
        for name in names[n % len(names):] + names[:n % len(names)]:
            took = run(commands[name], environment, directory)
            # Warm up.
            if n >= 10:
                times[name].append(took)
    first = times[names[0]]
    for name in names:
        ratio = statistics.median(ours / other for ours, other in zip(first, times[name]))
        print(f"  {name:20} {statistics.median(times[name]) * 1e3:7.2f} ms   mailferry / it {ratio:5.2f}")


def in_child(work, *arguments):
    """Runs a function in a child process, and returns its ID."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    return child


def wait_for(child):
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        sys.exit("a command failed")


def at_a_time(count, work, share):
    """Returns the seconds for `count` clients, each with its share of the work."""
    started = time.perf_counter()
    for child in [in_child(work, share) for _ in range(count)]:
        wait_for(child)
    return time.perf_counter() - started


def netstring(content):
    return b"%d:%s," % (len(content), content)


def compare_many(directory, rounds):
    maildir = create_maildir(directory + "/many")
    environment = dict(os.environ)
    total = max(rounds // DELIVERERS, 1) * DELIVERERS
    package = netstring(b"\n" + MESSAGE) + netstring(b"s@x") + netstring(netstring(b"ann@h"))

    def processes(share):
        for _ in range(share):
            run([BINARY, "deliver", maildir], environment, directory)

    def session(share):
        command = [BINARY, "deliver", "--protocol", "qmtp", "--mailbox=" + maildir + "/"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for _ in range(share):
                process.stdin.write(package)
                process.stdin.flush()
                reply = process.stdout.read(1)
                while not reply.endswith(b":"):
                    reply += process.stdout.read(1)
                assert process.stdout.read(int(reply[:-1]) + 1).startswith(b"K")
            process.stdin.close()

    for name, work in (("processes", processes), ("sessions", session)):
        ratios, rates = [], []
        for _ in range(5):
            alone = at_a_time(1, work, total)
            together = at_a_time(DELIVERERS, work, total // DELIVERERS)
            ratios.append(alone / together)
            rates.append((total / alone, total / together))
        alone, together = (statistics.median(rate) for rate in zip(*rates))
        ratio = statistics.median(ratios)
        print(f"  {DELIVERERS} {name:17} {together:7.0f} messages/s   one {alone:5.0f}   ratio {ratio:5.2f}")


def as_user(directory, work, *arguments):
    """Runs a function as a user, to whom the directory is given: dovecot-lda refuses root."""
    os.chmod(directory, 0o755)
    os.chown(directory, USER, USER)

    def become_user():
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        with open(directory + "/message", "wb") as file:
            file.write(MESSAGE)
        work(directory, *arguments)

    wait_for(in_child(become_user))


def measure(where, directory, rounds):
    print(where, flush=True)
    as_user(directory, compare, rounds)
    as_user(directory, compare_many, rounds)


def on_ext4(where, root, rounds):
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        os.chmod(scratch, 0o755)
        image, mounted = os.path.join(scratch, "image"), os.path.join(scratch, "mounted")
        os.mkdir(mounted)
        subprocess.run(["truncate", "-s", "1G", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        try:
            measure(where, mounted, rounds)
        finally:
            subprocess.run(["umount", mounted], check=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        as_user(scratch, print_flushes)
    on_ext4("ext4 on disk", "/var/tmp", rounds)
    on_ext4("ext4 in memory", "/dev/shm", rounds)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        measure("tmpfs", scratch, rounds)


main()
