//! The worker, over the binary: what a job gets, what its end means, when a run ends, and who holds the lease.

mod ack_first;
mod ahead;
mod batch;
mod cancel;
mod chain;
mod ends;
mod groups;
mod hand;
mod job;
mod lease;
mod outcome;
mod pace;
mod pause;
mod pausing;
mod protections;
mod race;
mod signals;
mod slow;
mod turns;
mod wait;

use crate::support::sandbox::Sandbox;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Looks again and again until it is so.
#[track_caller]
fn until(what: &str, so: impl FnMut() -> bool) {
    until_within(what, DEADLINE, so);
}

#[track_caller]
fn until_within(what: &str, deadline: Duration, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < deadline, "{what}: not within {deadline:?}");
        std::thread::yield_now();
    }
}

/// A worker that runs beside the test, and is killed with it.
struct Beside(Child);

impl Beside {
    fn start(sandbox: &Sandbox, args: &[&str]) -> Beside {
        let mut command = sandbox.command(args);
        // Whoever runs the tests in the background of a script, or with nohup(1), has them ignored, and a worker would take
        // that over.
        // SAFETY: signal(2) may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        Beside(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn end(&mut self) -> ExitStatus {
        until("the worker ends", || self.is_over());
        self.0.wait().unwrap()
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut text).unwrap();
        text
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a job has written into a file of the sandbox; nothing while it is not there.
fn written(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.dir().join(name)).unwrap_or_default()
}

/// The states of all messages, in the order of ls.
fn states(sandbox: &Sandbox, queue: &str) -> Vec<String> {
    sandbox.mq(["ls", queue]).code(0).columns().iter().map(|row| row[1].clone()).collect()
}

/// The attempts of the one message there is.
fn history(sandbox: &Sandbox, queue: &str) -> Vec<serde_json::Value> {
    let rows = sandbox.mq(["ls", queue, "--json", "--full"]).code(0).json();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["history"].as_array().unwrap().clone()
}
