//! What the end of a job means for its message: by exit code, by signal, by what the worker did to it.

use crate::queue::Outcome;
use crate::time::{format_duration, parse_duration};
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

/// Why the worker stopped a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It ran for longer than this.
    Timeout(Duration),
    /// The worker itself was told to stop.
    Shutdown,
    /// Somebody has cancelled its message, or one of its batch.
    Cancelled,
}

/// What is to become of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    /// Again after the backoff, or dead when the attempts are used up.
    Retry,
    Dead,
    /// Again at once, as if this attempt had not been.
    PutBack,
    /// The same, and the whole queue is paused for so long.
    Pause(Duration),
    /// Again after so long, as if this attempt had not been: the queue could not be paused.
    PutBackFor(Duration),
}

/// A verdict, and what the attempt's record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub verdict: Verdict,
    pub outcome: Outcome,
    pub reason: String,
}

impl Judgement {
    /// The same of a message that was cancelled meanwhile, with this reason: only a job that has done its work is in time.
    pub fn cancelled(self, reason: Option<&String>) -> Judgement {
        match reason {
            Some(reason) if self.verdict != Verdict::Ack => {
                Judgement { verdict: Verdict::Dead, outcome: Outcome::Cancelled, reason: reason.clone() }
            }
            _ => self,
        }
    }
}

/// Exit codes that mean something else than they would by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<(i32, Verdict)>);

impl Rules {
    /// Adds `CODES=OUTCOME`, as in `3,4=dead` or `75=pause:60s`; the later rule for a code counts.
    ///
    /// # Errors
    /// One clause that says what is allowed.
    pub fn add(&mut self, rule: &str) -> Result<(), String> {
        let wrong =
            |why: &str| format!("'{rule}': {why}; write CODES=OUTCOME, like 3,4=dead, 75=retry, 2=ack or 75=pause:60s");
        let (codes, outcome) = rule.split_once('=').ok_or_else(|| wrong("has no '='"))?;
        let verdict = match outcome {
            "ack" => Verdict::Ack,
            "retry" => Verdict::Retry,
            "dead" => Verdict::Dead,
            "pause" => return Err(wrong("a pause has a length")),
            _ => match outcome.strip_prefix("pause:").map(parse_duration) {
                Some(Ok(Duration::ZERO)) => return Err(wrong("a pause has a length")),
                Some(Ok(length)) => Verdict::Pause(length),
                Some(Err(why)) => return Err(wrong(&why)),
                None => return Err(wrong("the outcome is not ack, retry, dead or pause:DURATION")),
            },
        };
        for code in codes.split(',') {
            let digits = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
            let code = code.parse::<u8>().ok().filter(|_| digits);
            self.0.push((code.ok_or_else(|| wrong("a code is a number from 0 to 255"))?.into(), verdict));
        }
        Ok(())
    }

    /// Whether a rule says what is to become of a message that is still there.
    pub fn keeps_messages(&self) -> bool {
        self.0.iter().any(|(_, verdict)| matches!(verdict, Verdict::Retry | Verdict::Dead))
    }

    fn said(&self, code: i32) -> Option<Verdict> {
        self.0.iter().rev().find(|(said, _)| *said == code).map(|(_, verdict)| *verdict)
    }

    fn verdict(&self, code: i32) -> Verdict {
        self.said(code).unwrap_or(match code {
            0 => Verdict::Ack,
            // EX_DATAERR of sysexits.h, and what several job runners take for "do not retry".
            65 | 100 => Verdict::Dead,
            _ => Verdict::Retry,
        })
    }
}

/// Judges a job that ended. `stopping` is the signal by which the worker itself was told to stop, before or after.
pub(super) fn judge(rules: &Rules, exit: Exit, stopped: Option<Stopped>, stopping: Option<i32>) -> Judgement {
    if let Some(Stopped::Timeout(limit)) = stopped {
        let reason = format!("timed out after {}", format_duration(limit));
        return Judgement { verdict: Verdict::Retry, outcome: Outcome::Timeout, reason };
    }
    if stopped == Some(Stopped::Cancelled) {
        // Of the message that was cancelled the worker knows better.
        let reason = format!("{} when another message of its batch was cancelled", said(exit));
        return Judgement { verdict: Verdict::PutBack, outcome: Outcome::Cancelled, reason };
    }
    if let Some(signal) = stopping.filter(|_| interrupted(rules, exit, stopped)) {
        let reason = format!("{} while the worker was stopped by {}", said(exit), signal_name(signal));
        return Judgement { verdict: Verdict::PutBack, outcome: Outcome::Cancelled, reason };
    }
    match exit {
        Exit::Code(0) if rules.verdict(0) == Verdict::Ack => {
            Judgement { verdict: Verdict::Ack, outcome: Outcome::Ok, reason: said(exit) }
        }
        Exit::Code(code) => Judgement { verdict: rules.verdict(code), outcome: Outcome::Exit, reason: said(exit) },
        Exit::Signal(_) => Judgement { verdict: Verdict::Retry, outcome: Outcome::Signal, reason: said(exit) },
    }
}

/// Whether a job that ended after the worker was told to stop did not end by itself. A signal says so; so does a shell whose
/// command died of the same signals (128 + N), and any failure of a job that we had asked to end.
fn interrupted(rules: &Rules, exit: Exit, stopped: Option<Stopped>) -> bool {
    match exit {
        Exit::Signal(_) => true,
        Exit::Code(code) if rules.verdict(code) != Verdict::Retry => false,
        Exit::Code(code) => {
            let by_shell = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].iter().any(|signal| code == 128 + signal);
            stopped == Some(Stopped::Shutdown) || (by_shell && rules.said(code).is_none())
        }
    }
}

fn said(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit {code}"),
        Exit::Signal(signal) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
    }
}

/// `SIGTERM`, or the number where it has no name.
fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[&str]) -> Rules {
        let mut all = Rules::default();
        rules.iter().for_each(|rule| all.add(rule).unwrap());
        all
    }

    #[test]
    fn exit_codes_mean_what_the_table_says() {
        let table =
            [(0, Verdict::Ack), (1, Verdict::Retry), (65, Verdict::Dead), (100, Verdict::Dead), (255, Verdict::Retry)];
        for (code, verdict) in table {
            assert_eq!(judge(&Rules::default(), Exit::Code(code), None, None).verdict, verdict, "{code}");
        }
        let pause = Verdict::Pause(Duration::from_secs(60));
        let rules = rules(&["3,4=dead", "65=retry", "2=ack", "0=retry", "4=ack", "75=pause:60s"]);
        assert_eq!(judge(&rules, Exit::Code(75), None, Some(15)).verdict, pause);
        for (code, verdict) in
            [(3, Verdict::Dead), (65, Verdict::Retry), (2, Verdict::Ack), (0, Verdict::Retry), (4, Verdict::Ack)]
        {
            assert_eq!(judge(&rules, Exit::Code(code), None, None).verdict, verdict, "{code}");
        }
        for signal in 1..65 {
            let judged = judge(&rules, Exit::Signal(signal), None, None);
            assert_eq!((judged.verdict, judged.outcome), (Verdict::Retry, Outcome::Signal));
        }
        assert_eq!(judge(&rules, Exit::Signal(9), None, None).reason, "killed by signal 9 (SIGKILL)");
    }

    #[test]
    fn what_a_shutdown_interrupts_is_not_counted() {
        let none = Rules::default();
        let judged = |exit, stopped| judge(&none, exit, stopped, Some(15)).verdict;
        assert_eq!(judged(Exit::Signal(15), None), Verdict::PutBack);
        assert_eq!(judged(Exit::Code(143), None), Verdict::PutBack);
        assert_eq!(judged(Exit::Code(1), Some(Stopped::Shutdown)), Verdict::PutBack);
        assert_eq!(judged(Exit::Code(0), Some(Stopped::Shutdown)), Verdict::Ack);
        assert_eq!(judged(Exit::Code(65), Some(Stopped::Shutdown)), Verdict::Dead);
        assert_eq!(judged(Exit::Code(1), None), Verdict::Retry);
        let timeout = Some(Stopped::Timeout(Duration::from_secs(30)));
        assert_eq!(judge(&none, Exit::Code(0), timeout, Some(15)).reason, "timed out after 30s");
        assert_eq!(judge(&none, Exit::Code(143), None, None).verdict, Verdict::Retry);
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for rule in [
            "",
            "3",
            "3=",
            "=dead",
            "3=kill",
            "256=dead",
            "-1=ack",
            "+1=ack",
            "3,=dead",
            "a=ack",
            "3=dead=ack",
            "1e2=ack",
            "75=pause",
            "75=pause:",
            "75=pause:0",
            "75=pause:soon",
            "75=pause60s",
        ] {
            let error = Rules::default().add(rule).unwrap_err();
            assert!(!error.contains('\n') && error.contains("CODES=OUTCOME"), "{error}");
        }
    }
}
