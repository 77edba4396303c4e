#!/usr/bin/env python3
"""Time of many accounts compared with a shell loop over single conversions, in alternated rounds.

usage: benches/accounts.py [--accounts N] [--rounds N] [--in DIR]          (2000, 3, a temporary directory)

Needs a release build. The sizes of the mailboxes follow a Zipf law: the first has 2,000 messages, the nth 2,000/n,
and none has fewer than one. The loop and `convert --accounts` run on one core, and the latter on two. Prints the
medians, and the medians of the ratios within a round.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("MAILFERRY", os.path.join(TOP, "target/release/mailferry"))
LOOP = 'while read -r user; do "$0" convert -q "$1/$user.mbox" "$2/$user"; done < "$3"'


def make(directory, accounts):
    users = []
    for n in range(1, accounts + 1):
        user = f"user{n}"
        users.append(user)
        with open(os.path.join(directory, user + ".mbox"), "w") as mbox:
            for message in range(max(1, 2000 // n)):
                second, minute = message % 60, message // 60
                mbox.write(f"From ada@example.org Mon Mar  2 10:{minute:02}:{second:02} 2015\n"
                           f"From: Ada <ada@example.org>\nSubject: number {message}\n\n" + "some words\n" * 200 + "\n")
    with open(os.path.join(directory, "list"), "w") as file:
        file.write("\n".join(users) + "\n")


def seconds(words, cores, directory):
    out, results = (os.path.join(directory, name) for name in ("out", "results"))
    os.mkdir(out)
    os.sync()
    started = time.perf_counter()
    subprocess.run(["taskset", "-c", cores] + words, stdout=subprocess.DEVNULL, check=True)
    took = time.perf_counter() - started
    shutil.rmtree(out)
    shutil.rmtree(results, ignore_errors=True)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in", dest="place")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.place) as directory:
        make(directory, args.accounts)
        names, out = os.path.join(directory, "list"), os.path.join(directory, "out")
        loop = ["sh", "-c", LOOP, BINARY, directory, out, names]
        accounts = [BINARY, "convert", "-q", "--accounts", names, "--results", os.path.join(directory, "results"),
                    directory + "/%u.mbox", out + "/%u"]
        runs = {"shell loop, one core": (loop, "0"), "--accounts, one core": (accounts, "0"),
                "--accounts, two cores": (accounts, "0,1")}
        times = {name: [] for name in runs}
        for n in range(args.rounds):
            for name in list(runs)[::1 if n % 2 == 0 else -1]:
                times[name].append(seconds(*runs[name], directory))
        base = times["shell loop, one core"]
        for name, of_run in times.items():
            ratio = statistics.median(mine / theirs for mine, theirs in zip(of_run, base))
            print(f"{name:22} {statistics.median(of_run):7.2f} s   {ratio:.2f} × the loop")
        one, two = times["--accounts, one core"], times["--accounts, two cores"]
        print(f"two cores are {statistics.median(a / b for a, b in zip(one, two)):.2f} × as fast as one")


if __name__ == "__main__":
    main()
