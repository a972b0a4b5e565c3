"""What `survey` does with the mutants that mq-switch has put into one program: see there.

    survey.py number                  gives each mutant of `cargo mutants --list --json`, on stdin, its number
    survey.py unviable WORK           notes in WORK/unviable which ones the compiler, in WORK/messages, refuses
    survey.py run WORK SURVIVORS      switches on one after the other, and holds what is not noticed against the list
"""

import collections
import errno
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

MAGIC = b"@@mq: the mutant is on@@"
REACHED = 0xFFFFFFFF
MAP_LENGTH = 1 << 16
# Tests that look at the sources or the manuals, and notice no mutant of the queue.
BLIND = ("man::", "docs::faults", "docs::readme", "docs::mdoc")
# Seconds that the tests of a run take together: a few quick ones notice most.
RUNS = (0.2, 0.5, 1, 3, 8, 20, 40)
# What does not end is noticed: so many times as long as it took, and some seconds.
PATIENCE, GRACE = 4, 5
THREADS = os.environ.get("MQ_SURVEY_THREADS", "2")
ONLY = tuple(os.environ.get("MQ_SURVEY_TESTS", "").split())
# A file with the names of the mutants that are wanted.
NAMES = os.environ.get("MQ_SURVEY_NAMES")


def number():
    mutants = json.load(sys.stdin)
    same = collections.Counter()
    for index, mutant in enumerate(mutants):
        mutant.pop("diff", None)
        # Without line and column, which change with every edit; instead which of those of the same name in its file.
        file, _, _, what = mutant["name"].split(":", 3)
        name = f"{file}:{what}"
        same[name] += 1
        mutant["name"] = name if same[name] == 1 else f"{name} #{same[name]}"
        mutant["number"] = index + 1
    if len(mutants) >= MAP_LENGTH:
        sys.exit("more mutants than there is room for")
    json.dump(mutants, sys.stdout)


def messages(work):
    with open(os.path.join(work, "messages")) as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


def unviable(work):
    """The innermost mutant around each place that the compiler complains about."""
    sources = {}

    def around(span):
        path = os.path.join(work, "switched", span["file_name"])
        if path not in sources:
            with open(path) as source:
                sources[path] = source.read().split("\n")
        closed = []
        for line in reversed(sources[path][: span["line_start"]]):
            mark = re.fullmatch(r"\s*/\*(mutant|end) (\d+)\*/\s*", line)
            if mark and mark[1] == "end":
                closed.append(mark[2])
            elif mark and closed and closed[-1] == mark[2]:
                closed.pop()
            elif mark:
                return int(mark[2])
        return None

    found = set()
    for message in messages(work):
        message = message.get("message")
        if not isinstance(message, dict) or message["level"] != "error":
            continue
        spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
        inside = [around(span) for span in spans if span["file_name"].startswith("src/queue")]
        found.update([mutant for mutant in inside if mutant][:1])
    with open(os.path.join(work, "unviable"), "a+") as file:
        file.seek(0)
        new = found - set(map(int, file.read().split()))
        file.writelines(f"{mutant}\n" for mutant in sorted(new))
    if not new:
        sys.exit("it does not compile, and not because of a mutant")


class Program:
    """A program with all mutants in it."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            contents = file.read()
        self.at = contents.index(MAGIC) + len(MAGIC)
        self.hash = hashlib.sha256(contents[: self.at] + contents[self.at + 4 :]).hexdigest()

    def switch(self, mutant):
        try:
            self.write(self.path, mutant)
        except OSError as error:
            if error.errno != errno.ETXTBSY:
                raise
            # It still runs: a new file.
            fresh = self.path + ".fresh"
            shutil.copy(self.path, fresh)
            self.write(fresh, mutant)
            os.rename(fresh, self.path)

    def write(self, path, mutant):
        with open(path, "r+b") as file:
            file.seek(self.at)
            file.write(struct.pack("<I", mutant))


def limits():
    # One that asks for ever more memory gets none.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))


class Survey:
    def __init__(self, work):
        self.work, self.tree = work, os.path.join(work, "switched")
        self.scratch = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"mq-survey-{os.getpid()}")
        self.mutants = json.load(open(os.path.join(work, "mutants.json")))
        if NAMES:
            with open(NAMES) as names:
                wanted = set(names.read().splitlines())
            self.mutants = [mutant for mutant in self.mutants if mutant["name"] in wanted]
        self.unviable = set(self.numbers("unviable"))
        self.singles = set(self.numbers("singles"))
        built = [message for message in messages(work) if message.get("executable")]
        self.programs = [Program(message["executable"]) for message in built if message["target"]["name"] == "mq"]
        (self.it,) = [Program(message["executable"]) for message in built if message["target"]["name"] == "it"]
        self.lib = next(p.path for p, m in zip(self.programs, built) if m["target"]["kind"] == ["lib"])
        self.programs = [*{program.path: program for program in [*self.programs, self.it]}.values()]
        self.noticed = collections.Counter()

    def numbers(self, name):
        with open(os.path.join(self.work, name)) as file:
            return [int(line) for line in file]

    def switch(self, mutant):
        for program in self.programs:
            program.switch(mutant)

    def run(self, command, seconds):
        """Runs tests; `None` if they hang, else their exit code, and what they said."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)
        os.chmod(self.scratch, 0o1777)
        with open(os.path.join(self.work, "log"), "w+", errors="replace") as log:
            # A group of its own to be killed, and no session, whose leader a test with a terminal would make it.
            job = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.tree, process_group=0,
                                   env=dict(os.environ, TMPDIR=self.scratch), preexec_fn=limits)
            try:
                code = job.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
                code = None
            if code != 0:
                self.end_what_is_left()
            log.seek(0)
            return code, log.read()

    def end_what_is_left(self):
        """Workers and jobs of tests that have failed: they stand in the directory of the test."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(self.scratch):
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass

    def tests_of(self, program):
        def listed(*options):
            out = subprocess.run([program, "--list", *options], cwd=self.tree, capture_output=True, text=True, check=True)
            return [line[: -len(": test")] for line in out.stdout.splitlines() if line.endswith(": test")]

        ignored = set(listed("--ignored"))
        wanted = [test for test in listed() if not ONLY or test.startswith(ONLY)]
        return [test for test in wanted if test not in ignored and not test.startswith(BLIND)]

    def command(self, program, tests):
        return [program, "--exact", f"--test-threads={THREADS}", *tests]

    def reach(self):
        """Of each test, in which program it is, how long it takes, and which mutants it comes by."""
        path = os.environ["MQ_REACHED"]
        reached = []
        self.switch(0)
        tests = [(program, test) for program in (self.lib, self.it.path) for test in self.tests_of(program)]
        self.switch(REACHED)
        for program, test in tests:
            with open(path, "r+b") as file:
                file.write(bytes(MAP_LENGTH))
            started = time.monotonic()
            self.run(self.command(program, [test]), 600)
            took = time.monotonic() - started
            with open(path, "rb") as file:
                by = [mutant for mutant, was in enumerate(file.read()) if was]
            reached.append({"program": program, "test": test, "seconds": took, "by": by})
        # With no mutant on, what fails here says nothing of any: for the most what counts system calls, or knows its disk.
        self.switch(0)
        failing = set()
        for program in (self.lib, self.it.path):
            mine = [one["test"] for one in reached if one["program"] == program]
            code, said = self.run(self.command(program, mine), 3600) if mine else (0, "")
            fails = self.failed(said)
            if code is None or code != 0 and not fails:
                sys.exit(f"without a mutant the tests do not end well:\n{said[-2000:]}")
            failing.update(fails)
        for test in sorted(failing):
            print(f"not used, since it fails without a mutant: {test}", flush=True)
        return [one for one in reached if one["test"] not in failing]

    @staticmethod
    def failed(said):
        return re.findall(r"^test (\S+)(?: - should panic)? \.\.\. .*?FAILED$", said, re.MULTILINE)

    def kept(self, name, key, make):
        """What was found out about these very programs before."""
        path = os.path.join(self.work, name)
        try:
            with open(path) as file:
                key_then, then = json.load(file)
            if key_then == key:
                return then
        except (OSError, ValueError):
            pass
        made = make()
        with open(path, "w") as file:
            json.dump([key, made], file)
        return made

    def all(self):
        key = [[program.hash for program in self.programs], [mutant["name"] for mutant in self.mutants], list(ONLY)]
        self.reached = self.kept("reached.json", key, self.reach)
        self.by = collections.defaultdict(list)
        for one in self.reached:
            for mutant in one["by"]:
                self.by[mutant].append(one)
        verdicts = self.kept("verdicts.json", key, dict)
        for mutant in self.mutants:
            if str(mutant["number"]) not in verdicts:
                verdicts[str(mutant["number"])] = self.verdict(mutant)
                with open(os.path.join(self.work, "verdicts.fresh"), "w") as file:
                    json.dump([key, verdicts], file)
                os.rename(file.name, os.path.join(self.work, "verdicts.json"))
        self.switch(0)
        shutil.rmtree(self.scratch, ignore_errors=True)
        return verdicts

    def verdict(self, mutant):
        """caught, hangs, unviable, survives, or unreached: that no test comes by it."""
        if mutant["number"] in self.unviable:
            return "unviable"
        if mutant["number"] in self.singles:
            return self.single(mutant)
        tests = self.by[mutant["number"]]
        if not tests:
            return "unreached"
        self.switch(mutant["number"])

        def promise(one):
            here, anywhere = self.noticed[mutant["file"], one["test"]], self.noticed[one["test"]]
            return -(0.2 + 4 * here + 0.3 * anywhere) / (0.03 + one["seconds"])

        own = [one for one in tests if one["program"] == self.lib]
        runs, run, sizes = [own] if own else [], [], iter([*RUNS, *[60] * len(tests)])
        size = next(sizes)
        for one in sorted((one for one in tests if one["program"] != self.lib), key=promise):
            run.append(one)
            if sum(one["seconds"] for one in run) >= size:
                runs.append(run)
                run, size = [], next(sizes)
        for run in [*runs, run] if run else runs:
            seconds = GRACE + PATIENCE * sum(one["seconds"] for one in run)
            code, said = self.run(self.command(run[0]["program"], [one["test"] for one in run]), seconds)
            if code is None:
                return "hangs"
            if code != 0:
                for test in self.failed(said):
                    self.noticed[test] += 1
                    self.noticed[mutant["file"], test] += 1
                return "caught"
        return "survives"

    def single(self, mutant):
        """One that can't be switched is built by itself."""
        tree = os.path.join(self.work, "single")
        path = os.path.join(tree, mutant["file"])
        with open(path) as file:
            source = file.read()

        def offset(position):
            lines = source.split("\n")[: position["line"]]
            return sum(len(line) + 1 for line in lines[:-1]) + position["column"] - 1

        start, end = offset(mutant["span"]["start"]), offset(mutant["span"]["end"])
        command = ["cargo", "test", "--manifest-path", os.path.join(tree, "Cargo.toml"), "--target-dir", tree + "-target",
                   "--locked", "--quiet"]
        try:
            with open(path, "w") as file:
                file.write(source[:start] + mutant["replacement"] + source[end:])
            code, _ = self.run([*command, "--no-run", "--lib", "--test", "it"], 3600)
            if code != 0:
                return "unviable"
            skip = [word for blind in BLIND for word in ("--skip", blind)]
            code, _ = self.run([*command, "--lib", "--test", "it", "--", *skip, *ONLY], 1800)
            return "hangs" if code is None else "caught" if code else "survives"
        finally:
            with open(path, "w") as file:
                file.write(source)


def reasons(path):
    """The mutants that are listed: each stands on a line of its own, and the indented lines below some are their reason."""
    listed, waiting = {}, []
    with open(path) as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("    "):
                for name in waiting:
                    listed[name] = f"{listed[name]} {line.strip()}".strip()
            elif line and not line.startswith("#"):
                if waiting and listed[waiting[-1]]:
                    waiting = []
                waiting.append(line)
                listed[line] = ""
    for name, reason in listed.items():
        if not reason:
            sys.exit(f"{path}: no reason is given for {name}")
    return listed


def run(work, survivors):
    listed = reasons(survivors)
    survey = Survey(work)
    verdicts = survey.all()
    table, wrong = collections.defaultdict(collections.Counter), 0
    for mutant in survey.mutants:
        verdict, name = verdicts[str(mutant["number"])], mutant["name"]
        if verdict in ("survives", "unreached"):
            if name in listed:
                verdict = "listed"
            else:
                wrong += 1
                print(f"{verdict}: {name}")
        elif name in listed:
            print(f"listed, and yet {verdict}: {name}")
        table[mutant["file"]][verdict] += 1
    kinds = ("caught", "hangs", "unviable", "listed", "survives", "unreached")
    print(f"{'FILE':40}" + "".join(f"{kind:>11}" for kind in kinds))
    for file, row in [*sorted(table.items()), ("all", sum(table.values(), collections.Counter()))]:
        print(f"{file:40}" + "".join(f"{row[kind]:11}" for kind in kinds))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    {"number": number, "unviable": unviable, "run": run}[sys.argv[1]](*sys.argv[2:])
