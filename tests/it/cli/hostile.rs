//! A queue in which somebody has left, in every directory, whatever a directory can hold under every name that means something
//! there: nothing blocks, nothing outside is touched, nothing reaches a terminal that it would obey, and what was sent comes.

use crate::support::program;
use crate::support::pty::SMALL;
use crate::support::rng::Rng;
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::things::{self, KINDS, obeyed, odd_names, seen};
use mq::cli::exit::Exit;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Older than all that is sent, so that every claimer meets it first.
const OLD: u64 = 1_000_000_000_000_000;
const UID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Nothing may take so long on a machine that has other things to do as well; what blocks takes for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// A queue with something in every directory, and a tree beside it that nobody may touch.
struct Place {
    sandbox: Sandbox,
    /// What must come out of it, each once.
    good: Vec<String>,
    outside: BTreeMap<PathBuf, String>,
    /// How many things were planted.
    planted: u64,
    far: u64,
}

impl Place {
    fn new() -> Place {
        let sandbox = Sandbox::new();
        let outside = sandbox.dir().join("outside");
        fs::create_dir_all(outside.join("dir")).unwrap();
        for name in ["secret", "dir/secret", "dir/1000000000000000-1000000000000000-4-00000"] {
            fs::write(outside.join(name), "secret").unwrap();
        }
        let script = "
            mq create jobs --retain 1d --max-attempts 50 --backoff 1ms
            for n in 1 2 3; do mq send jobs -q -p $n good $n; done
            seq -f 'good line %.0f' 3 | mq send jobs --lines
            seq -f 'good packed %.0f' 70 | mq send jobs --lines -p 6
            mq send jobs -q --group g 'good first'; mq send jobs -q --group g 'good second'
            mq send jobs -q --unique k 'good unique'
            mq send jobs -q done -p 9; mq work jobs -q -n 1 -- true
            mq send jobs -q dead -p 9; mq dead $(mq claim jobs)
            mq send jobs -q later --delay 1w";
        sandbox.sh(script).ok();
        let each = |name: &str, last: u32| (1..=last).map(|n| format!("good {name}{n}")).collect::<Vec<_>>();
        let mut good = [each("line ", 3), each("packed ", 70)].concat();
        // `send jobs good 1` is two messages.
        good.extend(
            ["good first", "good second", "good unique", "good", "good", "good", "1", "2", "3"].map(String::from),
        );
        good.sort();
        let outside = seen(&outside);
        Place { sandbox, good, outside, planted: 0, far: 10_000_000_000_000_000 }
    }

    fn queue(&self) -> PathBuf {
        self.sandbox.queue("jobs")
    }

    /// Every directory of the queue.
    fn dirs(&self) -> Vec<PathBuf> {
        for below in [
            "cancel",
            "memory/1000000000000000",
            "unique/aa",
            "groups/cbf29ce484222325",
            "tmp/bbbbbbbbbbbbbbbbbbbbbbbbbb/000000",
        ] {
            fs::create_dir_all(self.queue().join(below)).unwrap();
        }
        fs::create_dir_all(self.queue().join(format!("ready/4/{OLD}"))).unwrap();
        fs::create_dir_all(self.queue().join(format!("dead/{OLD}"))).unwrap();
        fs::create_dir_all(self.queue().join(format!("done/{OLD}"))).unwrap();
        fs::create_dir_all(self.queue().join("delayed/1000000020000000")).unwrap();
        let tree = self.sandbox.tree("jobs");
        let dirs = tree.lines().filter(|path| path.ends_with('/')).map(|path| self.queue().join(path));
        std::iter::once(self.queue()).chain(dirs).collect()
    }

    /// The last ids that there can be, downwards.
    fn far(&mut self) -> u64 {
        self.far -= 1;
        self.far
    }

    /// A name that something in this directory could have, a new one each time.
    fn name(&mut self, number: usize) -> OsString {
        self.planted += 1;
        let id = OLD + self.planted;
        let plain = format!("{id}-{OLD}-4-00000");
        OsString::from(match number % FORMS {
            0 => plain,
            1 => format!("{plain}-l000000000000-{UID}"),
            2 => format!("{plain}-t000000000001-{UID}"),
            3 => format!("{OLD}-{plain}"),
            4 => format!("{plain}-n000007"),
            5 => format!("{plain}-gcbf29ce484222325"),
            6 => format!("{plain}-tcbf29ce484222325"),
            7 => format!("{id}"),
            8 => data_name(self.planted),
            9 => format!("k-{id}"),
            10 => format!("{:06}-4-0000000000000000", self.planted % 1_000_000),
            11 => format!("{id}-9999999999999999-4-00000"),
            // Nothing that is sent after it could have a later id.
            12 => format!("{}-9999999999999999-4-00000", self.far()),
            13 => format!("9999999999999999-{id}-{OLD}-4-99999"),
            14 => format!("{:016}", self.far()),
            _ => format!("{plain}.why"),
        })
    }

    /// Things under a name of each form in each directory: of every kind there, or of so many, other ones in the next.
    fn plant(&mut self, contents: &[Vec<u8>], kinds: usize) {
        let outside = self.sandbox.dir().join("outside");
        for (turn, dir) in self.dirs().into_iter().enumerate() {
            for form in 0..FORMS {
                for kind in 0..kinds {
                    let path = dir.join(self.name(form));
                    things::plant((turn + form + kind * 5) % KINDS, &path, &outside);
                }
            }
            for (number, bytes) in
                contents.iter().enumerate().skip(turn % 4).step_by(if kinds == KINDS { 1 } else { 4 })
            {
                let path = dir.join(self.name(number));
                fs::write(path, bytes).unwrap();
            }
            for name in odd_names() {
                fs::write(dir.join(name), "x").unwrap();
            }
        }
    }

    /// Runs a command of mq in the shell, on a pipe; gives what it printed. It may fail, but neither block nor break.
    #[track_caller]
    fn run(&self, words: &str) -> String {
        let limit = PATIENCE.as_secs().to_string();
        let mut timeout = self.sandbox.another("timeout");
        timeout.args(["-s", "KILL", &limit, program()]).args(words.split(' '));
        let began = Instant::now();
        let output = timeout.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        let documented = code.is_some_and(|code| {
            Exit::TABLE.iter().any(|(exit, number, _)| i32::from(*number) == code && *exit != Exit::Bug)
        });
        let took = began.elapsed();
        assert!(documented && !stderr.contains("panicked"), "mq {words} ended with {code:?} after {took:?}: {stderr}");
        assert!(!stderr.contains(obeyed), "mq {words} says {stderr:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Nothing that the terminal would obey.
    #[track_caller]
    fn shown(&self, words: &str) {
        // It ends, that is: a terminal has no limit of its own.
        self.run(words);
        let Ran(told) = self.sandbox.on_terminal(SMALL, words.split(' '));
        let mut seen = told.text();
        for code in ["0", "1", "2", "31", "32", "33", "36"] {
            seen = seen.replace(&format!("\x1b[{code}m"), "");
        }
        for text in [seen, told.stderr] {
            assert!(!text.contains(obeyed), "mq {words} shows {text:?}");
        }
    }

    /// Every command of mq; what each does to the good messages is undone by another.
    fn every_command(&self) {
        for words in [
            "ls",
            "ls --json",
            "ls jobs",
            "ls jobs --full --json",
            "ls jobs --state ready,delayed,claimed,dead,done,damaged",
            "ls jobs --match nothing",
            "show jobs",
            "show jobs --json",
            "show jobs 1000000000000001",
            "cat jobs 1000000000000001",
            "stats",
            "stats jobs",
            "stats jobs --json",
            "dlq ls jobs",
            "dlq show jobs",
            "fsck jobs",
            "fsck jobs --json",
            "config jobs",
            "config jobs lease 5m",
            "create jobs",
            "wait jobs --timeout 1ms",
            "complete ids jobs",
            "complete queues",
            "pause jobs --reason x",
            "work jobs --drain -- true",
            "resume jobs",
            "extend x",
            "ack x",
            "nack x",
            "dead x",
            "rm jobs 1000000000000001",
            "move jobs 1000000000000001 --to other",
            "cancel jobs 1000000000000001",
            "replay jobs 1000000000000001",
            "dlq redrive jobs 1000000000000001",
            "dlq purge jobs 1000000000000001",
            "rm jobs --all --dry-run",
            "dlq purge jobs --all --dry-run",
            "dlq redrive jobs --all --dry-run",
            "replay jobs --all --dry-run",
            "move jobs --all --to other --dry-run",
            "send other x",
            "pop other",
        ] {
            self.run(words);
        }
        // Claimed, extended and put back; dead and redriven; moved there and back.
        let receipt = self.run("claim jobs");
        let receipt = receipt.trim_end();
        assert!(!receipt.is_empty(), "nothing to claim");
        self.run(&format!("cat {receipt}"));
        self.run(&format!("extend {receipt}"));
        self.run(&format!("nack {receipt} --uncounted --reason \u{1b}[31m"));
        self.run("claim jobs --json -n 2 --lease 1ms");
        self.run("work jobs -q -n 1 -- false");
        self.run("work jobs -q -n 3 --batch 3 -- false");
    }

    /// What comes out at last.
    fn drain(&self) -> Vec<String> {
        let printed = self.run("work jobs -q --drain -j 2 -- cat");
        let mut lines: Vec<String> = printed.lines().map(str::to_string).collect();
        lines.sort();
        lines
    }

    #[track_caller]
    fn nothing_outside_was_touched(&self) {
        let now = seen(&self.sandbox.dir().join("outside"));
        assert_eq!(now, self.outside, "something outside of the queue was touched");
    }
}

/// 26 characters of base32.
fn data_name(number: u64) -> String {
    let digit = |n: u64| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(n % 32) as usize]);
    (0..26).map(|place| digit(number >> (place * 5).min(60))).collect()
}

const FORMS: usize = 16;

/// A message as mq writes it, whose body is PLANTED, and everything that can become of one.
fn spoilt(sandbox: &Sandbox, every: usize) -> Vec<Vec<u8>> {
    let id = sandbox.send("sample", "PLANTED\n");
    let good = fs::read(sandbox.file_of("sample", &id)).unwrap();
    let mut all =
        vec![vec![], vec![b'x'], vec![0; 4096], vec![b' '; 100], b"{\"mq\":2}\n".to_vec(), b"{\"mq\":1}\n".to_vec()];
    all.extend((0..good.len()).step_by(every).map(|end| good[..end].to_vec()));
    all.extend((0..good.len()).step_by(every).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    }));
    let text = String::from_utf8(good.clone()).unwrap();
    for size in ["9223372036854775808", "18446744073709551615", "1099511627776"] {
        all.push(
            text.replacen("\"size_bytes\":8                   ", &format!("\"size_bytes\":{size:<20}"), 1).into_bytes(),
        );
    }
    all.push([good.as_slice(), b"\ntrailing \xff garbage\0"].concat());
    let mut rng = Rng::new(24);
    all.push((0..3000).map(|_| rng.next().to_le_bytes()[0]).collect());
    all
}

fn hostile_queue(every: usize, kinds: usize) {
    let mut place = Place::new();
    let contents = spoilt(&place.sandbox, every);
    place.plant(&contents, kinds);
    for words in [
        "ls",
        "ls jobs",
        "ls jobs --full",
        "show jobs",
        "stats jobs",
        "dlq ls jobs",
        "fsck jobs",
        "ls jobs --state damaged",
    ] {
        place.shown(words);
    }
    place.every_command();
    place.nothing_outside_was_touched();
    let mut came = place.drain();
    came.retain(|line| line != "PLANTED");
    assert_eq!(came, place.good);
    place.run("fsck jobs --repair");
    place.shown("fsck jobs --repair");
    for words in [
        "dlq redrive jobs --all",
        "replay jobs --all",
        "move jobs --all --to other",
        "rm jobs --all",
        "dlq purge jobs --all",
    ] {
        place.run(words);
    }
    place.nothing_outside_was_touched();
}

#[test]
fn a_queue_full_of_hostile_things_is_still_a_queue() {
    hostile_queue(37, 2);
}

#[test]
#[ignore = "long: a minute"]
fn a_queue_full_of_hostile_things_is_still_a_queue_with_everything_everywhere() {
    hostile_queue(3, KINDS);
}
