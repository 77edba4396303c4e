#!/usr/bin/env bash
# Conversion of one mbox beside what a user would do instead, rounds interleaved, ratios of one run.
#
#   benches/compare.sh MBOX [DIR] [ROUNDS]
#
# DIR must be empty and on the file system to measure: a tmpfs, or better a fresh ext4, since an old
# one stays slow for a while after every delete. With DIR left out and as root it makes a fresh ext4
# in memory (a loop mount) and takes it away again.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
mbox=$(realpath "$1"); dir=${2:-}; rounds=${3:-5}
bin=$top/target/release/mailferry
[ -x "$bin" ] || (cd "$top" && cargo build --release --locked)

image=
clean_up() {
    if [ -n "$image" ]; then umount "$dir" 2>/dev/null || true; rm -rf "$image" "$dir"; fi
}
trap clean_up EXIT
if [ -z "$dir" ]; then
    image=$(mktemp -d -p /dev/shm); dir=$(mktemp -d)
    truncate -s $(($(stat -c %s "$mbox") * 8 + 536870912)) "$image/fs"
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 -i 2048 "$image/fs"
    mount -o loop "$image/fs" "$dir"
fi

export bin mbox dir rounds
exec_python() { python3 - <<'PYTHON'
import os, resource, shutil, statistics, subprocess, time
bin, mbox, dir, rounds = (os.environ[k] for k in ('bin', 'mbox', 'dir', 'rounds'))
ref, out = f'{dir}/ref', f'{dir}/out'

def run(command):
    started = time.monotonic()
    code = subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    return time.monotonic() - started, code

def clean(path):
    shutil.rmtree(path, ignore_errors=True)
    run(f'sync -f {dir}')

run(f'cat {mbox}')
assert run(f'{bin} convert -q {mbox} {ref}')[1] == 0
run(f'sync -f {dir}')
count = sum(len(os.listdir(f'{ref}/{d}')) for d in ('new', 'cur'))
commands = {
    'mailferry convert (durable)': f'{bin} convert -q {mbox} {out}',
    'the same with --no-manifest': f'{bin} convert -q --no-manifest {mbox} {out}',
    'cp -r of the result': f'cp -r {ref} {out}',
    'cp -r and sync': f'cp -r {ref} {out} && sync -f {dir}',
    'tar | tar of the result': f'mkdir {out} && tar -C {ref} -c . | tar -C {out} -x',
}
seconds = {name: [] for name in commands}
for _ in range(int(rounds)):
    for name, command in commands.items():
        clean(out)
        time.sleep(0.2)
        took, code = run(command)
        assert code == 0, name
        seconds[name].append(took)
clean(out)
peak = subprocess.run(['/usr/bin/env', 'python3', '-c', f'''
import resource, subprocess
subprocess.run(["{bin}", "convert", "-q", "{mbox}", "{out}"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)'''], capture_output=True, text=True, check=True)
clean(out)
clean(ref)
base = statistics.median(seconds['cp -r of the result'])
kind = subprocess.getoutput(f'stat -f -c %T {dir}')
print(f'{count} messages, {os.path.getsize(mbox) / 1e6:.0f} MB, {kind}, {os.cpu_count()} cores, {rounds} rounds')
print(f'{"command":30} {"median s":>8} {"min":>6} {"x cp -r":>8} {"messages/s":>11}')
for name, took in seconds.items():
    median = statistics.median(took)
    print(f'{name:30} {median:8.2f} {min(took):6.2f} {median / base:8.2f} {count / median:11.0f}')
print(f'peak resident memory of convert: {peak.stdout.strip()} MiB')
PYTHON
}
exec_python
