//! One hermetic place to run the binary in: a root of its own, an empty environment, UTC.
#![allow(clippy::disallowed_methods)] // a test looks at the disk from outside

use super::program;
use rustix::io::Errno;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Removed with all its queues when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
}

/// Whether the text has what a C library says of this error: glibc and musl have words of their own, and the program may be built
/// with another than the tests.
pub fn explains(text: &str, error: Errno) -> bool {
    let words: &[&str] = match error {
        Errno::XDEV => &["Invalid cross-device link", "Cross-device link"],
        Errno::MFILE => &["Too many open files", "No file descriptors available"],
        Errno::ROFS => &["Read-only file system"],
        other => panic!("the words for {other:?} are to be written here"),
    };
    words.iter().any(|words| text.contains(words))
}

/// An executable file with this text. Another process writes it: what this one has open for writing, the child that another
/// test is starting has open as well for a moment, and execve(2) says ETXTBSY of it.
pub fn script(path: &Path, text: &str) {
    let write = "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"";
    let written = Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(text).status().unwrap();
    assert!(written.success(), "{}", path.display());
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    pub fn new() -> Sandbox {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("mq-it-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("root")).unwrap();
        Sandbox { dir }
    }

    /// Where the test may put things of its own; the root for queues is `root` in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of a queue.
    pub fn queue(&self, name: &str) -> PathBuf {
        self.dir.join("root").join(name)
    }

    /// The command, ready to run, in an environment that has nothing but this.
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Command {
        let mut command = self.another(program());
        command.args(args);
        command
    }

    /// Another program, in the same environment; `mq` is in its PATH.
    pub fn another(&self, name: &str) -> Command {
        let bin = Path::new(program()).parent().unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        let mut command = Command::new(name);
        command.env_clear().env("PATH", path).env("HOME", &self.dir).env("TZ", "UTC0").env("TERM", "xterm");
        command.env("MQ_ROOT", self.dir.join("root")).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    pub fn mq<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// With these bytes on stdin.
    pub fn mq_stdin<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I, stdin: impl AsRef<[u8]>) -> Ran {
        // Who does not read its stdin closes the pipe: no failure of the test.
        Ran::from(assert_cmd::Command::from_std(self.command(args)).write_stdin(stdin.as_ref()).output().unwrap())
    }

    /// A bash script, with `mq` in its PATH.
    pub fn sh(&self, script: &str) -> Ran {
        Ran::from(self.another("bash").args(["-c", script]).output().unwrap())
    }

    /// Sends one message and returns its id.
    pub fn send(&self, queue: &str, body: impl AsRef<[u8]>) -> String {
        self.mq_stdin(["send", queue, "--allow-empty"], body).ok().trim_end().to_string()
    }

    /// Sends one message and dead-letters it; returns its id.
    pub fn send_dead(&self, queue: &str, body: &str, reason: &str) -> String {
        let id = self.mq(["send", queue, "-p", "9", "--", body]).ok().trim_end().to_string();
        let receipt = self.mq(["claim", queue]).ok().trim_end().to_string();
        assert!(receipt.contains(&id), "{receipt} is not for {id}");
        self.mq(["dead", &receipt, "--reason", reason]).ok();
        id
    }

    /// Every path below a queue, sorted, one a line, without what every command may touch.
    pub fn tree(&self, queue: &str) -> String {
        let mut paths = Vec::new();
        walk(&self.queue(queue), Path::new(""), &mut paths);
        paths.sort();
        paths.join("\n")
    }

    /// The one file of this message in a queue: its name begins with the id, in `delayed/` after the due time.
    pub fn file_of(&self, queue: &str, id: &str) -> PathBuf {
        let tree = self.tree(queue);
        let ours = |path: &&str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let name = if path.starts_with("delayed/") { name.get(17..).unwrap_or_default() } else { name };
            name.starts_with(&format!("{id}-")) && !name.ends_with(".why")
        };
        let found: Vec<&str> = tree.lines().filter(ours).collect();
        assert_eq!(found.len(), 1, "{id} in {tree}");
        self.queue(queue).join(found[0])
    }
}

fn walk(top: &Path, below: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(top.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            paths.push(format!("{}/", path.display()));
            walk(top, &path, paths);
        } else {
            paths.push(path.display().to_string());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A command that has ended. Its exit code is looked at first, always.
#[derive(Debug)]
#[must_use]
pub struct Ran(pub Told);

/// What a command said. Each check gives it back, so that they can be chained.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ran(Told { code: output.status.code(), stdout: output.stdout, stderr })
    }
}

impl Ran {
    #[track_caller]
    pub fn code(self, code: i32) -> Told {
        self.one_of(&[code])
    }

    #[track_caller]
    pub fn one_of(self, codes: &[i32]) -> Told {
        let Ran(told) = self;
        let good = told.code.is_some_and(|code| codes.contains(&code));
        assert!(good, "exit {:?}, not {codes:?}\nstdout: {}\nstderr: {}", told.code, told.text(), told.stderr);
        told
    }

    /// Exit 0; what it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        self.code(0).text()
    }
}

impl Told {
    /// What it printed, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_string).collect()
    }

    /// The piped columns of each line.
    pub fn columns(&self) -> Vec<Vec<String>> {
        self.text().lines().map(|line| line.split('\t').map(str::to_string).collect()).collect()
    }

    /// Each line, parsed.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Told {
        assert!(self.stderr.contains(text), "{text:?} is not in stderr: {}", self.stderr);
        self
    }

    /// Nothing on stderr.
    #[track_caller]
    pub fn silent(self) -> Told {
        assert_eq!(self.stderr, "");
        self
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Told {
        assert_eq!(self.text(), text, "stderr: {}", self.stderr);
        self
    }
}
