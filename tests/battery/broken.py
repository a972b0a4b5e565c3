"""Cases of `full` beside full disks: one that becomes read-only under a worker, one with an error, and one that fails at random.

Each takes an empty directory to work in, and calls `note(kind, text)` for what must not be; it returns how much was sent.
"""

import datetime
import os
import random
import select
import shutil
import subprocess
import sys
import time

import harness

# What a job has read is a file of its own, which appears when it is whole.
JOB = 'cat > "$1/.$$" && sleep "$2" && mv "$1/.$$" "$1/$$.$MQ_ATTEMPT.$MQ_UID"'
PATIENCE = 20


class Queue:
    """A queue of messages that must come out again."""

    def __init__(self, mq, work, note):
        self.mq, self.work, self.note = mq, work, note
        self.mount, self.out = os.path.join(work, "mnt"), os.path.join(work, "out")
        self.queue = os.path.join(self.mount, "queue")
        self.sent, self.acked, self.refused, self.number = set(), set(), set(), 0

    def call(self, *arguments, given=None, allowed=(0,)):
        code, out, err = harness.call(self.mq, *arguments, given=given)
        if code not in allowed or code > 1 and not err.startswith("mq: "):
            self.note("odd", f"{' '.join(arguments)[:200]}: exit {code}: {err[:300]}")
        return code, out, err

    def create(self):
        self.call("create", self.queue, "--backoff", "1ms..1ms", "--max-attempts", "1000")

    def send(self, allowed=(0,), delay="0", length=20_000):
        self.number += 1
        key = f"m{self.number}"
        body = harness.body_of(key, random.choice((0, 100, length))).encode()
        code, _, err = self.call("send", self.queue, "--delay", delay, given=body, allowed=allowed)
        if code == 0:
            self.sent.add(key)
        elif "sent" not in err:
            self.refused.add(key)

    def worker(self, *options, pause="0"):
        arguments = [self.mq, "work", self.queue, *options, "--", "sh", "-c", JOB, "job", self.out, pause]
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                process_group=0)

    def outputs(self):
        return [name for name in os.listdir(self.out) if not name.startswith(".")]

    def wait_for(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                self.note("stuck", f"{what}: not within {PATIENCE} s")
                return False
            time.sleep(0.002)
        return True

    def account(self):
        """Mends, drains, and compares."""
        self.call("fsck", self.queue, "--repair")
        self.call("work", self.queue, "-q", "-j", "2", "--drain", "--", "sh", "-c", JOB, "job", self.out, "0")
        for message in harness.listing(self.mq, self.queue):
            self.note("stuck", f"not drained: {message['state']} {message['id']}")
        seen = set()
        for name in self.outputs():
            with open(os.path.join(self.out, name), encoding="utf-8", errors="replace") as file:
                key = harness.key_of(file.read())
            if key is None:
                self.note("damaged", name)
            seen.add(key)
        for key in self.sent - seen - self.acked:
            self.note("lost", key)
        for key in seen & self.refused:
            self.note("unexpected", f"{key}: its send had failed")
        for path in harness.litter(self.queue) + [str(why) for why in harness.set_aside(self.queue)]:
            self.note("litter", path)
        return len(self.sent)


def made(work, *options):
    """A small ext4, mounted."""
    image, mount = os.path.join(work, "image"), os.path.join(work, "mnt")
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", ",".join(["loop", *options]), image, mount], check=True)
    return image, mount


def ended(one, worker, what, codes):
    """The worker's end: its exit code and what it said."""
    try:
        _, err = worker.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        one.note("stuck", f"{what}: the worker does not end")
        harness.end_all()
        return
    if worker.returncode not in codes or "Read-only file system" not in err and "Input/output error" not in err:
        one.note("odd", f"{what}: exit {worker.returncode}: {err[:300]}")


def read_only(mq, work, note):
    """Remounted read-only under a worker that waits, which says so and goes on afterwards; one that drains ends with it.

    In the middle of a job the kernel refuses that, since the message is open for writing: see `error`.
    """
    _, mount = made(work)
    one = Queue(mq, work, note)
    one.create()
    for delay in (*["0"] * 5, *["1500ms"] * 5):
        one.send(delay=delay)
    worker = one.worker()
    one.wait_for("the first jobs", lambda: len(one.outputs()) >= 5)
    remount = ["mount", "-o", "remount,ro", mount]
    one.wait_for("remount", lambda: subprocess.run(remount, check=False, capture_output=True).returncode == 0)
    one.wait_for("words", lambda: select.select([worker.stderr], [], [], 0.1)[0])
    one.call("ls", one.queue, "-q")
    one.send(allowed=(74,))
    one.call("claim", one.queue, allowed=(74,))
    ended(one, one.worker("--drain"), "a drain", (74,))
    subprocess.run(["mount", "-o", "remount,rw", mount], check=True)
    one.wait_for("what was left, by the same worker", lambda: len(one.outputs()) >= len(one.sent))
    worker.terminate()
    ended(one, worker, "read-only and back", (0,))
    return one.account()


def error(mq, work, note):
    """The file system finds an error in itself while a job runs, and makes itself read-only (errors=remount-ro)."""
    image, mount = made(work, "errors=remount-ro")
    one = Queue(mq, work, note)
    one.create()
    for _ in range(60):
        one.send()
    worker = one.worker("--drain", "-j", "2", pause="0.05")
    one.wait_for("the first jobs", lambda: len(one.outputs()) >= 5)
    device = subprocess.run(["findmnt", "-no", "SOURCE", mount], check=True, capture_output=True, text=True).stdout.strip()
    with open(f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error", "w", encoding="ascii") as file:
        file.write("1")
    ended(one, worker, "an error", (74,))
    one.send(allowed=(74,))
    subprocess.run(["umount", mount], check=True)
    if subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True).returncode > 1:
        note("odd", "e2fsck can't mend it")
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    return one.account()


def quota(mq, work, note):
    """A btrfs whose quota is used up: acknowledging, listing and draining go on."""
    image, mount = os.path.join(work, "image"), os.path.join(work, "mnt")
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    limited = os.path.join(mount, "limited")
    for words in (("quota", "enable", mount), ("subvolume", "create", limited), ("qgroup", "limit", "4M", limited)):
        subprocess.run(["btrfs", *words], check=True, stdout=subprocess.DEVNULL)
    # What is counted anew in the background is not held to a limit until that is over.
    subprocess.run(["btrfs", "quota", "rescan", "-w", mount], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    one = Queue(mq, work, note)
    one.queue = os.path.join(limited, "queue")
    one.create()
    for _ in range(100):
        one.send(allowed=(0, 75), length=100_000)
        if one.refused:
            break
    if not one.refused:
        print("skipped: btrfs-quota: the kernel held nothing to the limit of the qgroup")
    one.call("ls", one.queue, "-q")
    for end in ("ack", "dead", "nack"):
        code, out, _ = one.call("claim", one.queue, allowed=(0, 75))
        if code == 0:
            _, body, _ = one.call("cat", out.strip())
            if one.call(end, out.strip(), allowed=(0,) if end == "ack" else (0, 75))[0] == 0 and end == "ack":
                one.acked.add(harness.key_of(body))
            elif end != "ack":
                # What could not be put elsewhere is still claimed; else the receipt is spent.
                if one.call("ack", out.strip(), allowed=(0, 6))[0] == 0:
                    one.acked.add(harness.key_of(body))
    one.call("dlq", "redrive", one.queue, "--all", allowed=(0, 1, 75))
    return one.account()


def python_with_fuse():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import fuse"], check=False, capture_output=True).returncode == 0:
            return python
    return None


def faulty(mq, work, note):
    """Every command on a FUSE file system without flags of rename, of whose calls some fail with EIO."""
    shown, mount, switch = (os.path.join(work, name) for name in ("shown", "mnt", "switch"))
    os.mkdir(shown)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faulty.py")
    server = subprocess.Popen([python_with_fuse(), script, shown, mount, switch, "-f"], process_group=0,
                              stderr=subprocess.DEVNULL)
    one = Queue(mq, work, note)
    if not one.wait_for("the mount", lambda: os.path.ismount(mount)):
        return 0
    one.create()
    for _ in range(30):
        one.send()
    fine = (0, 74, 75)
    for number in range(60):
        with open(switch + ".new", "w", encoding="ascii") as file:
            file.write(random.choice(("1", "3", "10")))
        os.rename(switch + ".new", switch)
        one.send(allowed=fine)
        code, out, _ = one.call("claim", one.queue, "--lease", "3s", allowed=fine)
        receipt = out.strip()
        if code == 0:
            code, body, _ = one.call("cat", receipt, allowed=fine)
            if code == 0 and harness.key_of(body) is None:
                note("damaged", f"cat: {body[:60]}")
            if code == 0 and one.call(random.choice(("ack", "nack", "dead")), receipt, allowed=fine)[0] == 0:
                # Of a nack and a dead-lettering the account below sees the end.
                if receipt.split(":")[-2] not in [message["id"] for message in quiet(one, switch)]:
                    one.acked.add(harness.key_of(body))
        one.call("dlq", "redrive", one.queue, "--all", allowed=(*fine, 1))
        if number % 20 == 19:
            one.call("work", one.queue, "-n", "5", "--for", "2s", "--", "sh", "-c", JOB, "job", one.out, "0", allowed=fine)
    os.remove(switch)
    # A send whose rename failed, and then the removal of its file as well, is one whose sender died: recovery publishes it.
    one.refused.clear()
    # Those of 3 s that nobody settled.
    one.wait_for("the end of the leases", lambda: not leased(one))
    one.call("dlq", "redrive", one.queue, "--all", allowed=(0, 1))
    one.account()
    subprocess.run(["umount", mount], check=False)
    server.wait()
    return len(one.sent)


def leased(one):
    """Whether a timed lease has not run out yet."""
    ends = (message.get("lease_until") for message in harness.listing(one.mq, one.queue))
    return any(end and datetime.datetime.fromisoformat(end) > datetime.datetime.now(datetime.UTC) for end in ends)


def quiet(one, switch):
    """What is there, while nothing fails."""
    os.rename(switch, switch + ".off")
    listed = harness.listing(one.mq, one.queue)
    os.rename(switch + ".off", switch)
    return listed


# name: (what it needs, how)
CASES = {
    "ext4-read-only": (lambda: os.path.exists("/dev/loop-control") or "no loop devices", read_only),
    "ext4-error": (lambda: os.path.isdir("/sys/fs/ext4") and os.path.exists("/dev/loop-control") or "no ext4 or loop devices", error),
    "btrfs-quota": (lambda: shutil.which("mkfs.btrfs") is not None and os.path.exists("/dev/loop-control") or "no mkfs.btrfs", quota),
    "fuse-faulty": (lambda: os.path.exists("/dev/fuse") and python_with_fuse() is not None or "no python3-fuse", faulty),
}
