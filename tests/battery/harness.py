"""What the batteries share: processes under load, their histories, and the inspection of a queue afterwards.

A history is one append-only file for each process, outside the reach of whatever is broken on purpose. A line is
written with one write(2), so a killed process leaves a whole line or none. Times are of the wall clock, which bash and
Python both tell without a process of its own: do not set the clock meanwhile.
"""

import binascii
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def find_mq():
    """The binary under test: $MQ, else the build of this checkout, made now."""
    given = os.environ.get("MQ")
    if given:
        path = shutil.which(given)
        if path is None:
            sys.exit(f"no such binary: MQ={given}")
        return os.path.abspath(path)
    return build(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def build(tree):
    """Builds a checkout as the README installs it, with musl where Rust has it."""
    musl = f"{os.uname().machine}-unknown-linux-musl"
    told = subprocess.run(["rustc", "--print", "target-libdir", "--target", musl], capture_output=True, text=True)
    return cargo_build(tree, "--release", *(["--target", musl] if os.path.isdir(told.stdout.strip() or "none") else []))


def cargo_build(tree, *options, environment=None):
    """Builds a checkout, and says where cargo, which is the one to know, has put the binary."""
    command = ["cargo", "build", "--locked", "--quiet", "--message-format=json", "--bin", "mq", *options]
    environment = {**os.environ, **(environment or {})}
    told = subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [json.loads(line).get("executable") for line in told.splitlines()]
    return next(path for path in paths if path and os.path.basename(path) == "mq")


def clean_environment():
    """What a worker gives its jobs must not leak into the commands that are tested."""
    for name in [name for name in os.environ if name.startswith("MQ_")]:
        del os.environ[name]
    os.environ["LC_ALL"] = "C"


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(0)


MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def cannot_mount(kind):
    """Why no file system of our own can be made here, or None."""
    if os.geteuid() != 0:
        return "only root may mount"
    if kind in MAKE:
        if not os.path.exists("/dev/loop-control"):
            return "there are no loop devices"
        if shutil.which(MAKE[kind][0]) is None:
            return f"no {MAKE[kind][0]}"
    return None


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def is_mounted(where):
    """By the kernel's table: stat, which os.path.ismount asks, fails on a file system that was cut off."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return any(line.split()[4] == where for line in table)


def mount_new(kind, file, mib, where):
    """Makes a file system of that size, in a new sparse file or in memory, and mounts it."""
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "mq-battery", where)
        return
    with open(file, "wb") as image:
        image.truncate(mib << 20)
    run(*MAKE[kind], file)
    run("mount", "-o", "loop", file, where)


def unmount(where):
    """Takes away what was mounted there, if anything was, though somebody may still have a file open."""
    if not unmounted(where, 2.5):
        subprocess.run(["umount", "-l", where], check=False)


def unmounted(where, patience):
    """Whether nothing is mounted there any more, after so many seconds at most: who was killed may be long about its end."""
    end = time.monotonic() + patience
    while is_mounted(where):
        if subprocess.run(["umount", where], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def body_of(key, padding):
    """A body that says by itself whether it is whole: key, length and checksum of what follows."""
    filling = (key * (padding // len(key) + 1))[:padding] if padding else ""
    return f"{key} {padding} {binascii.crc32(filling.encode()):08x}\n{filling}\n"


def key_of(body):
    """The key of a whole body, else None."""
    line, _, rest = body.partition("\n")
    words = line.split(" ")
    if len(words) != 3 or not words[1].isdigit():
        return None
    return words[0] if body_of(words[0], int(words[1])) == line + "\n" + rest else None


class History:
    """One process's own append-only record."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def add(self, *words):
        line = " ".join([f"{time.time():.6f}", *map(str, words)])
        os.write(self.fd, (line + "\n").encode())


def read_histories(directory):
    """Every record of every process: (time, words), in the order of time. What is no whole line is counted."""
    records, torn = [], 0
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if not line.endswith("\n") or len(words) < 2:
                    torn += 1
                    continue
                records.append((float(words[0]), words[1:]))
    records.sort(key=lambda record: record[0])
    return records, torn


def adopt_orphans():
    """Descendants whose parents were killed become our children, so that none escapes (PR_SET_CHILD_SUBREAPER)."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def stat_of(pid):
    """(state, parent, group) of a process, or None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[2])


def descendants():
    """Every living process that we started, whoever started it for us: pid -> (state, parent, group)."""
    table, children = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := stat_of(int(name))) is not None:
            table[int(name)] = stat
            children.setdefault(stat[1], []).append(int(name))
    found, queue = {}, [os.getpid()]
    while queue:
        for pid in children.get(queue.pop(), []):
            queue.append(pid)
            if table[pid][0] not in "ZX":
                found[pid] = table[pid]
    return found


def send_signal(pid, number):
    """Signals one of our descendants, never a stranger who got its number: by a descriptor, and looked at again."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        ancestor = pid
        while ancestor != os.getpid():
            stat = stat_of(ancestor)
            if stat is None or stat[1] <= 1:
                return False
            ancestor = stat[1]
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def reap():
    """Collects what has ended."""
    ended = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def end_all():
    """Ends every descendant."""
    for _ in range(200):
        living = descendants()
        if not living:
            reap()
            return
        for pid in living:
            send_signal(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap()
    raise RuntimeError(f"processes that do not end: {descendants()}")


def spawn(function, *arguments):
    """Runs `function` in a process of its own, in a group of its own, which never returns here."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        random.seed()
        function(*arguments)
        code = 0
    except BaseException as error:  # whatever it is, it must not run the parent's clean-up
        os.write(2, f"{function.__name__}: {error!r}\n".encode())
    finally:
        os._exit(code)
    return pid


def filled(content):
    """A file without a name, to be read from its beginning."""
    file = tempfile.TemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    file.write(content)
    file.seek(0)
    return file


def call(*command, given=None):
    """Runs mq to its end: (exit code, stdout, stderr); negative: the signal that ended it."""
    done = subprocess.run(command, input=given, capture_output=True, check=False, process_group=0)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace").strip()


def listing(mq, queue):
    """Every message with its body, as mq itself reads it."""
    code, out, err = call(mq, "ls", queue, "--full", "--all")
    if code not in (0, 1):
        raise RuntimeError(f"ls: exit {code}: {err}")
    return [json.loads(line) for line in out.splitlines()]


def litter(queue):
    """What must not be there in a queue that was repaired and emptied or is idle."""
    left = []
    for state in ("tmp", "claimed"):
        left += [f"{state}/{name}" for name in os.listdir(os.path.join(queue, state))]
    known = {"queue.json", "seq", "wake", "tmp", "ready", "delayed", "claimed", "dead", "done", "damaged", "groups",
             "reserve"}
    left += [name for name in os.listdir(queue) if name not in known]
    return left


def set_aside(queue):
    """What mq set aside as damaged: (from, reason)."""
    found = []
    directory = os.path.join(queue, "damaged")
    for name in sorted(os.listdir(directory)):
        if name.endswith(".why"):
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                why = json.load(file)
            found.append((str(why.get("from")), str(why.get("reason"))))
        elif not os.path.exists(os.path.join(directory, name + ".why")):
            found.append(("unknown", name))
    return found
