#!/usr/bin/env python3
"""Check what a program reads out of mboxes and Maildirs.

usage: conformance/run.py 'COMMAND {in} {out}'      one program: it writes the mail of {in} into a new Maildir {out}
       conformance/run.py --table [--write]         the programs of tools.json; --write puts the table into
                                                    docs/conformance.md

Options: --case NAME (repeatable), --list.

cases.json says for each case what is right and why, and want/ has each message as it should come out. A result is
  yes      the same messages, byte for byte, with the flags and the date that the case names
  nearly   the same messages, but for line ends, one line end at the end, and fields in which stores keep flags
  no       other messages, with the first difference
The exit code is 0 if all results are "yes" or "nearly", 1 if not, 2 for a wrong call. --table exits 1 if the results
differ from what cases.json explains, or the table from docs/conformance.md.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(os.path.dirname(HERE), "docs/conformance.md")
# Fields in which programs keep flags, numbers and lengths.
STORE_FIELDS = re.compile(
    rb"(?im)^(status|x-status|x-keywords|x-uid|x-imapbase|x-imap|x-mozilla-[^:\n]*|content-length|lines)[ \t]*:.*\n([ \t].*\n)*"
)


class Message:
    def __init__(self, data, flags=None, received=None):
        self.data, self.flags, self.received = data, flags, received

    def text(self):
        """Return the bytes without what "nearly" allows."""
        head, blank, body = self.data.replace(b"\r\n", b"\n").partition(b"\n\n")
        text = STORE_FIELDS.sub(b"", head + b"\n") + blank[1:] + body
        return text.removesuffix(b"\n")

    def is_nearly(self, other):
        ours, theirs = self.text(), other.text()
        return ours == theirs or ours + b"\n" == theirs or ours == theirs + b"\n"


def lay_out(case, place):
    """Create the input of a case. Return its path."""
    if "input" in case:
        path = os.path.join(place, os.path.basename(case["input"]))
        shutil.copy(os.path.join(HERE, case["input"]), path)
        return path
    path = os.path.join(place, "Maildir")
    for name in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(path, name))
    for name, source in case["maildir"].items():
        if source is None:
            os.mkdir(os.path.join(path, name))
        else:
            shutil.copy(os.path.join(HERE, source), os.path.join(path, name))
    return path


def read_maildir(path):
    messages = []
    for directory in ("cur", "new"):
        directory = os.path.join(path, directory)
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            file = os.path.join(directory, name)
            if name.startswith(".") or not os.path.isfile(file):
                continue
            flags = name.partition(":2,")[2]
            with open(file, "rb") as opened:
                data = opened.read()
            messages.append(Message(data, "".join(sorted(c for c in flags if c.isupper())), os.stat(file).st_mtime))
    return messages


def wanted(case):
    messages = []
    for entry in case.get("messages", []):
        with open(os.path.join(HERE, entry["file"]), "rb") as file:
            messages.append(Message(file.read(), entry.get("flags"), entry.get("received")))
    return messages


def compare(case, code, seen):
    """Return the result, and the first difference."""
    want = wanted(case)
    if case.get("refused"):
        if seen:
            return "no", f"reads {len(seen)} messages"
        return ("yes", "") if code else ("no", "exits with 0 and reads nothing")
    if case.get("may_be_refused") and code and not seen:
        return "yes", ""
    if len(seen) != len(want):
        return "no", f"{len(seen)} instead of {len(want)}"
    left, pairs, result = list(seen), [], "yes"
    for n, message in enumerate(want, 1):
        same = [other for other in left if other.data == message.data]
        nearly = [other for other in left if message.is_nearly(other)]
        # Equal messages differ in their flags.
        fits = [other for other in same or nearly if message.flags in (None, other.flags)]
        found = next(iter(fits or same or nearly), None)
        if found is None:
            return "no", f"message {n} differs"
        left.remove(found)
        pairs.append((n, message, found))
        result = result if same else "nearly"
    for n, message, found in pairs:
        if message.flags not in (None, found.flags):
            return "no", f"message {n}: flags {found.flags or 'none'} instead of {message.flags or 'none'}"
        if message.received is not None and abs(found.received - message.received) > 1:
            return "no", f"message {n}: another date"
    return result, ""


def check(command, case):
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        home, out = os.path.join(place, "home"), os.path.join(place, "out")
        os.mkdir(home)
        words = {"{in}": shlex.quote(lay_out(case, place)), "{out}": shlex.quote(out), "{tools}": shlex.quote(f"{HERE}/tools")}
        for word, path in words.items():
            command = command.replace(word, path)
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=60,
                cwd=place,
                env={"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "TERM": "dumb", "TZ": "UTC"},
            )
        except subprocess.TimeoutExpired:
            return "no", "does not end", ""
        return *compare(case, done.returncode, read_maildir(out)), done.stderr.decode(errors="replace")


def run_one(command, cases):
    failed = 0
    for case in cases:
        result, why, errors = check(command, case)
        print(f"{result:6}  {case['name']}" + (f": {why}" if why else ""))
        if result == "no":
            failed += 1
            print(f"        right: {case['right']} ({case['source']})")
            for line in errors.splitlines()[:3]:
                print(f"        {line}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return failed > 0


def table(tools, cases):
    """Return the lines of the page, and the results that nobody explained."""
    lines = ["| case | " + " | ".join(tool["name"] for tool in tools) + " |", "|---" * (len(tools) + 1) + "|"]
    notes, open_ends = [], []
    totals = dict.fromkeys((tool["name"] for tool in tools), 0)
    for case in cases:
        cells, differs = [], case.get("differs", {})
        for tool in tools:
            name = tool["name"]
            result, why, _ = check(tool["command"], case)
            totals[name] += result != "no"
            cells.append({"yes": "yes", "nearly": "nearly", "no": f"**no**: {why}"}[result])
            if (result == "no") != (name in differs):
                open_ends.append(f"{case['name']}: {name}: {result} {why}; explained: {differs.get(name)}")
        lines.append(f"| [{case['name']}](#{case['name']}) | " + " | ".join(cells) + " |")
        notes += ["", f"### {case['name']}", "", f"{case['right']} *Source: {case['source']}.*"]
        notes += [""] * bool(differs) + [f"- {name}: {text}" for name, text in differs.items()]
    lines.append("| **right or nearly, of " + str(len(cases)) + "** | " + " | ".join(str(n) for n in totals.values()) + " |")
    return "\n".join([*lines, "", "## The cases", *notes]), open_ends


def run_table(cases, write):
    with open(os.path.join(HERE, "tools.json")) as file:
        tools = json.load(file)
    absent = [tool["name"] for tool in tools if not shutil.which(tool["program"])]
    if absent:
        print(f"skipped: the table needs {', '.join(absent)}")
        return False
    text, open_ends = table(tools, cases)
    for line in open_ends:
        print(line)
    with open(PAGE) as file:
        before, mark, rest = file.read().partition("<!-- run.py -->\n")
    if write:
        with open(PAGE, "w") as file:
            file.write(f"{before}{mark}\n{text}\n")
    elif rest.strip() != text.strip():
        print("docs/conformance.md has other results: conformance/run.py --table --write")
        return True
    print(f"{len(cases) - len(open_ends)} passed, {len(open_ends)} failed")
    return bool(open_ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", help="with {in} and {out}")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--case", action="append")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    with open(os.path.join(HERE, "cases.json")) as file:
        cases = json.load(file)
    unknown = set(options.case or []) - {case["name"] for case in cases}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    cases = [case for case in cases if not options.case or case["name"] in options.case]
    if options.list:
        for case in cases:
            print(f"{case['name']}: {case['right']}")
    elif options.table:
        sys.exit(run_table(cases, options.write))
    elif options.command and "{in}" in options.command and "{out}" in options.command:
        sys.exit(run_one(options.command, cases))
    else:
        parser.error("give a command with {in} and {out}, or --table")


if __name__ == "__main__":
    main()
