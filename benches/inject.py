#!/usr/bin/env python3
"""Time to send mail, compared with Postfix's own programs.

usage: benches/inject.py [ROUNDS [MESSAGES]]          (5 rounds, 2000 messages)

One message to 1,000 recipients, repeatedly; and MESSAGES messages from a shell loop, one process each, as scripts
send them. All go to local sinks, which store nothing: Postfix's smtp-sink and qmqp-sink, and those for QMTP and TLS
below. A tenth of MESSAGES goes over TLS, next to msmtp where it is installed.
Postfix's sendmail writes to a queue of its own on tmpfs, which no daemon empties. The commands of a round alternate.
Prints medians of the rounds, and the median of each round's ratios to the first of the group, which is reliable even
on a busy machine. Needs root, Postfix's programs and a release build.
"""

import contextlib
import os
import shutil
import socket
import socketserver
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(TOP, "target/release/mailferry")
HEADER = (b"From: ann@example.org\nTo: list@example.org\nDate: 3 Feb 2001 04:05:06 -0000\n"
          b"Message-ID: <1@example.org>\nSubject: how long it takes\n\n")
BODY = b"line of a letter of the usual size\n" * 110
# Enough in one run for a time that can be measured.
TIMES = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def sink(program, *options):
    port = free_port()
    # As a daemon of Postfix it refuses to run as root.
    options += ("-u", "nobody") if program == "smtp-sink" else ()
    child = subprocess.Popen([program, *options, f"127.0.0.1:{port}", "100"], cwd="/", stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.01)
        yield port
    finally:
        child.terminate()
        child.wait()


def netstring(file):
    length = 0
    while (byte := file.read(1)) != b":":
        if not byte.isdigit():
            raise EOFError
        length = 10 * length + int(byte)
    text = file.read(length)
    if file.read(1) != b",":
        raise EOFError
    return text


def serve_qmtp(listener):
    while True:
        with listener.accept()[0] as client, client.makefile("rb") as file:
            with contextlib.suppress(EOFError):
                while True:
                    netstring(file)
                    netstring(file)
                    addresses = netstring(file)
                    count = 0
                    while addresses:
                        length, _, rest = addresses.partition(b":")
                        addresses = rest[int(length) + 1:]
                        count += 1
                    client.sendall(b"3:Kok," * count)


class SmtpsClient(socketserver.StreamRequestHandler):
    """A client of a server that takes any password and stores nothing."""

    REPLIES = {b"EHLO": b"250-mail\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n", b"AUTH": b"235 ok\r\n",
               b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}

    def handle(self):
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        with contextlib.suppress(OSError), self.request.makefile("rwb") as file:
            file.write(b"220 mail\r\n")
            file.flush()
            for line in file:
                file.write(self.REPLIES.get(line[:4].upper(), b"250 ok\r\n"))
                file.flush()
                if line[:4].upper() == b"DATA":
                    while file.readline() != b".\r\n":
                        pass
                    file.write(b"250 ok\r\n")
                    file.flush()
                elif line[:4].upper() == b"QUIT":
                    return


def smtps_sink(root):
    """Start a server with a certificate of its own, which is also the authority. Return its port."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority"],
                   cwd=root, check=True, stderr=subprocess.DEVNULL)
    with open(os.path.join(root, "extensions"), "w") as file:
        file.write("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n")
    subprocess.run("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -subj /CN=x "
                   "-out request && openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                   "-extfile extensions -out certificate", shell=True, cwd=root, check=True,
                   stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), SmtpsClient)
    server.daemon_threads = True
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(os.path.join(root, "certificate"), os.path.join(root, "key"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def qmtp_sink():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve_qmtp, args=(listener,), daemon=True).start()
    return listener.getsockname()[1]


def postfix(root):
    """Return the directory of a configuration that only queues mail."""
    queue, configuration = os.path.join(root, "queue"), os.path.join(root, "postfix")
    os.mkdir(configuration)
    for name, owner, group, mode in (("", "root", "root", 0o755), ("maildrop", "postfix", "postdrop", 0o730),
                                     ("public", "postfix", "postdrop", 0o710)):
        path = os.path.join(queue, name)
        os.mkdir(path)
        shutil.chown(path, owner, group)
        os.chmod(path, mode)
    with open(os.path.join(configuration, "main.cf"), "w") as file:
        file.write(f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {root}\n"
                   f"myhostname = mx.example.org\nmaillog_file = {root}/log\nmaillog_file_prefixes = {root}\n")
    open(os.path.join(configuration, "master.cf"), "w").close()
    return configuration


def loop(count, command, message):
    """Return a script that runs a command this often."""
    return f"i=0; while [ $i -lt {count} ]; do {command} < {message} || exit 1; i=$((i+1)); done"


def compare(title, rounds, each, commands):
    print(f"\n{title}\n")
    times = {name: [] for name, _ in commands}
    for n in range(rounds):
        # Every other round runs in reverse order.
        for name, script in commands if n % 2 == 0 else reversed(commands):
            started = time.perf_counter()
            subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - started)
    reference = times[commands[0][0]]
    for name, _ in commands:
        ratio = statistics.median(b / a for a, b in zip(reference, times[name]))
        print(f"| `{name}` | {statistics.median(times[name]) / each * 1e3:.2f} ms | {ratio:.2f} |", flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root, sink("smtp-sink") as smtp, sink("qmqp-sink") as qmqp:
        os.chmod(root, 0o755)
        message = os.path.join(root, "message")
        with open(message, "wb") as file:
            file.write(HEADER + BODY)
        os.makedirs(os.path.join(root, "qmail/control"))
        for name, line in (("me", "client.example.org"), ("qmqpservers", f"127.0.0.1:{qmqp}")):
            with open(os.path.join(root, "qmail/control", name), "w") as file:
                file.write(line + "\n")
        link = os.path.join(root, "sendmail")
        os.symlink(BINARY, link)
        os.environ["QMAILHOME"] = os.path.join(root, "qmail")
        os.environ["MAIL_CONFIG"] = postfix(root)
        os.environ.pop("QMAILQUEUE", None)

        source = f"-c -l {len(BODY)} -f s@example.org"
        theirs = {"smtp": f"smtp-source {source}", "qmqp": f"qmqp-source {source}"}
        ports = {"smtp": smtp, "qmqp": qmqp, "qmtp": qmtp_sink()}

        def their(program, count, recipients=""):
            return f"{theirs[program]} {recipients} -t r@example.org -m {count} 127.0.0.1:{ports[program]}"

        def ours(scheme, recipients="r@example.org"):
            return f"{BINARY} inject -f s@example.org -a --via {scheme}://127.0.0.1:{ports[scheme]} {recipients}"

        many = " ".join(f"{n}r@example.org" for n in range(1, 1001))
        compare("One message to 1,000 recipients, by SMTP", rounds, TIMES, [
            ("smtp-source -r 1000 -m 1", loop(TIMES, their("smtp", 1, "-r 1000"), message)),
            ("mailferry inject --via smtp://", loop(TIMES, ours("smtp", many), message)),
        ])
        compare("The same by QMQP and QMTP", rounds, TIMES, [
            ("qmqp-source -r 1000 -m 1", loop(TIMES, their("qmqp", 1, "-r 1000"), message)),
            ("mailferry inject --via qmqp://", loop(TIMES, ours("qmqp", many), message)),
            ("mailferry inject --via qmtp://", loop(TIMES, ours("qmtp", many), message)),
        ])
        print(f"\n{messages} messages, a process each; the time of one")
        compare("By SMTP", rounds, messages, [
            ("smtp-source -m 1", loop(messages, their("smtp", 1), message)),
            ("mailferry inject --via smtp://", loop(messages, ours("smtp"), message)),
            (f"smtp-source -m {messages}, one process", their("smtp", messages)),
            ("true", loop(messages, "/bin/true", message)),
        ])
        if shutil.which("msmtp"):
            port, ca = smtps_sink(root), os.path.join(root, "ca.pem")
            password = os.path.join(root, "password")
            with open(password, "w") as file:
                file.write("secret\n")
            os.chmod(password, 0o600)
            few = max(1, messages // 10)
            compare("By SMTP over TLS 1.3 with a password", rounds, few, [
                ("msmtp", loop(few, f"msmtp --host=localhost --port={port} --tls=on --tls-starttls=off --auth=plain "
                                    f"--tls-trust-file={ca} --user=ann --passwordeval='cat {password}' "
                                    "-f s@example.org r@example.org", message)),
                ("mailferry inject --via smtps://",
                 loop(few, f"{BINARY} inject -a -f s@example.org --via smtps://ann@localhost:{port} --ca {ca} "
                           f"--password-command 'cat {password}' r@example.org", message)),
            ])
        compare("By QMQP", rounds, messages, [
            ("qmqp-source -m 1", loop(messages, their("qmqp", 1), message)),
            ("mailferry inject --via qmqp://", loop(messages, ours("qmqp"), message)),
        ])
        compare("By the name of sendmail", rounds, messages, [
            ("sendmail of Postfix", loop(messages, "/usr/sbin/sendmail -f s@example.org r@example.org", message)),
            ("our link on a null client, to QMQP", loop(messages, f"{link} -f s@example.org r@example.org", message)),
        ])
        waiting = len(os.listdir(os.path.join(root, "queue/maildrop")))
        assert waiting == rounds * messages, f"Postfix's sendmail queued {waiting}"


main()
