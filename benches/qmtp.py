#!/usr/bin/env python3
"""Time to receive mail by QMTP, QMQP and LMTP into a Maildir, compared with Postfix and Dovecot.

usage: benches/qmtp.py [ROUNDS [MESSAGES]]          (3 rounds, 10000 messages)

As root: on a fresh ext4 in a file on the disk, on one in memory, and on tmpfs. Each run sends MESSAGES messages of
4 KB to one user over 1 or 4 connections, and ends when all are in the user's new Maildir. mailferry runs under
tcpserver; Postfix's qmqpd and Dovecot's LMTP server have a configuration of their own. Postfix replies when a message
is in its queue, so the time of its last reply is printed too. The commands of a round alternate. Prints medians of the
rounds, and the median of each round's ratios to the first, which is reliable even on a busy machine; and how often
each program flushes for a message. Needs tcpserver, Postfix, Dovecot, strace and a release build.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target")), "release/mailferry")
SIZE = 4000
USER = "joe@h.example"
MANY = 4
FLUSHES = "fsync,fdatasync,syncfs,sync,sync_file_range"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(holds):
    while not holds():
        time.sleep(0.002)


def is_open(port):
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def netstring(content):
    return b"%d:%s," % (len(content), content)


def package(number):
    text = b"\nFrom: s@x.example\nTo: %s\nMessage-ID: <%d@x.example>\nSubject: how long it takes\n\n" % (
        USER.encode(), number)
    text += (b"line of a letter of the usual size\n" * 120)[:SIZE + 1 - len(text)]
    return netstring(text) + netstring(b"s@x.example") + netstring(netstring(USER.encode()))


def send_qmtp(port, packages):
    """Send without waiting for replies, which another thread reads."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        def send():
            for start in range(0, len(packages), 16):
                connection.sendall(b"".join(packages[start:start + 16]))
            connection.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        replies = b""
        while part := connection.recv(1 << 16):
            replies += part
        sender.join()
    accepted = len(re.findall(rb"(?:^|,)\d+:K", replies))
    assert accepted == len(packages), replies[:200]


def qmtp(connections):
    def send(port, count):
        packages = [package(number) for number in range(count)]
        shares = [packages[n::connections] for n in range(connections)]
        threads = [threading.Thread(target=send_qmtp, args=(port, share)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return send


def source(program, *options):
    def send(port, count):
        subprocess.run([program, *options, "-l", str(SIZE), "-m", str(count), "-f", "s@x.example", "-t", USER,
                        f"127.0.0.1:{port}"], check=True, stdout=subprocess.DEVNULL)
    return send


def maildir(root):
    path = os.path.join(root, "mail/h.example/joe/Maildir")
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(path, name))
    for where, directories, _ in os.walk(os.path.join(root, "mail")):
        for name in (where, *(os.path.join(where, one) for one in directories)):
            shutil.chown(name, "nobody", "nogroup")
    return path


@contextlib.contextmanager
def mailferry(root, protocol):
    listen = ["tcpserver", "-1", "-q", "-H", "-R", "-l", "localhost", "-c", "60", "-b", "100", "127.0.0.1", "0"]
    command = [*listen, BINARY, "deliver", "--protocol", protocol, f"--mailbox={root}/mail/%d/%u/Maildir/"]
    environment = dict(os.environ, TMPDIR=root)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, user="nobody", group="nogroup")
    try:
        yield int(server.stdout.readline()), [server.pid]
    finally:
        server.terminate()
        server.wait()


MASTER = """\
127.0.0.1:{port} inet n - n - - qmqpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
postlog   unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
inet_protocols = ipv4
myhostname = mx.example.org
mydestination =
qmqpd_authorized_clients = 127.0.0.1
virtual_mailbox_domains = h.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:h.example/joe/Maildir/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
default_transport = error:nothing leaves this machine
"""


@contextlib.contextmanager
def postfix(root):
    port, owner = free_port(), os.stat(os.path.join(root, "mail"))
    for name in ("etc", "spool", "data"):
        os.mkdir(os.path.join(root, name))
    shutil.chown(os.path.join(root, "data"), "postfix")
    for name, text in (("main.cf", MAIN), ("master.cf", MASTER)):
        with open(os.path.join(root, "etc", name), "w") as file:
            file.write(text.format(root=root, port=port, uid=owner.st_uid, gid=owner.st_gid))
    command = ["postfix", "-c", os.path.join(root, "etc")]
    subprocess.run([*command, "start"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port))
        with open(os.path.join(root, "spool/pid/master.pid")) as file:
            yield port, [int(file.read())]
    finally:
        subprocess.run([*command, "stop"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


DOVECOT = """\
base_dir = {root}/run
state_dir = {root}/run
instance_name = bench
protocols = lmtp
listen = 127.0.0.1
ssl = no
log_path = {root}/log
auth_username_format = %Ln
mail_location = maildir:{root}/mail/h.example/%n/Maildir
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
passdb {{
  driver = static
  args = password=pw
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={root}/mail/h.example/%n allow_all_users=yes
}}
protocol lmtp {{
  postmaster_address = postmaster@h.example
}}
"""


@contextlib.contextmanager
def dovecot(root):
    port, configuration = free_port(), os.path.join(root, "dovecot.conf")
    with open(configuration, "w") as file:
        file.write(DOVECOT.format(root=root, port=port))
    server = subprocess.Popen(["dovecot", "-F", "-c", configuration])
    try:
        wait_until(lambda: is_open(port))
        yield port, [server.pid]
    finally:
        server.terminate()
        server.wait()


def family(processes):
    """Return these processes and all their children."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()]
    known = set(processes)
    while more := {pid for pid, parent in rows if parent in known} - known:
        known |= more
    return sorted(known)


def is_traced(process):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{process}/status") as file:
        status = file.read()
        return "\nTracerPid:\t0\n" not in status or "\nState:\tZ" in status
    return True


@contextlib.contextmanager
def flushes(processes):
    """Yield a list that gets the number of flushes."""
    counted = []
    # Let all of its first children start. Those that start later are traced from the beginning.
    time.sleep(1)
    processes = family(processes)
    with tempfile.NamedTemporaryFile("r") as log:
        options = [word for pid in processes for word in ("-p", str(pid))]
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", f"trace={FLUSHES}", "-o", log.name, *options])
        wait_until(lambda: all(map(is_traced, processes)))
        yield counted
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        counted.append(len(re.findall(r"sync\w*\(", log.read())))


SUITE = (
    (f"QMTP, {MANY} connections", lambda root: mailferry(root, "qmtp"), qmtp(MANY)),
    ("QMTP, one connection", lambda root: mailferry(root, "qmtp"), qmtp(1)),
    (f"QMQP, `qmqp-source -s {MANY}`", lambda root: mailferry(root, "qmqp"), source("qmqp-source", "-s", str(MANY))),
    (f"LMTP, `smtp-source -L -d -s {MANY}`", lambda root: mailferry(root, "lmtp"),
     source("smtp-source", "-L", "-d", "-s", str(MANY))),
    (f"Postfix's qmqpd, `qmqp-source -s {MANY}`", postfix, source("qmqp-source", "-s", str(MANY))),
    (f"Dovecot, `smtp-source -L -d -s {MANY}`", dovecot, source("smtp-source", "-L", "-d", "-s", str(MANY))),
)


def receive(directory, server, send, count, traced=False):
    """Return the seconds to the last reply and to the last message, and the flushes."""
    with tempfile.TemporaryDirectory(dir=directory) as root:
        os.chmod(root, 0o755)
        new = os.path.join(maildir(root), "new")
        with server(root) as (port, processes):
            with flushes(processes) if traced else contextlib.nullcontext([0]) as counted:
                started = time.perf_counter()
                send(port, count)
                replied = time.perf_counter() - started
                wait_until(lambda: len(os.listdir(new)) >= count)
                done = time.perf_counter() - started
                # The last flush may follow the last name.
                time.sleep(1 if traced else 0)
            assert len(os.listdir(new)) == count
    return replied, done, counted[0]


def compare(where, directory, rounds, messages):
    print(f"\n{where}\n", flush=True)
    times = {name: [] for name, _, _ in SUITE}
    for n in range(rounds):
        # Every other round runs in reverse order.
        for name, server, send in SUITE if n % 2 == 0 else reversed(SUITE):
            times[name].append(receive(directory, server, send, messages)[:2])
    reference = times[SUITE[0][0]]
    for name, server, send in SUITE:
        replied, done = (statistics.median(run[part] for run in times[name]) for part in (0, 1))
        ratio = statistics.median(b[1] / a[1] for a, b in zip(reference, times[name]))
        per_message = receive(directory, server, send, 100, True)[2] / 100
        print(f"| {name} | {replied:.1f} s | {done:.1f} s | {ratio:.2f} | {per_message:.2f} |", flush=True)


def on_ext4(where, root, rounds, messages):
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        os.chmod(scratch, 0o755)
        image, mounted = os.path.join(scratch, "image"), os.path.join(scratch, "mounted")
        os.mkdir(mounted)
        subprocess.run(["truncate", "-s", "1G", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        try:
            compare(where, mounted, rounds, messages)
        finally:
            subprocess.run(["umount", mounted], check=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    print("| by | last reply | last message | ratio | flushes per message |")
    on_ext4("ext4 on disk", "/var/tmp", rounds, messages)
    on_ext4("ext4 in memory", "/dev/shm", rounds, messages)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        os.chmod(scratch, 0o755)
        compare("tmpfs", scratch, rounds, messages)


if __name__ == "__main__":
    main()
